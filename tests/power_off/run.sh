#!/usr/bin/env bash
# Resets a virtual machine while `disk-builder build` writes to a disk, and looks in a second boot at
# what is there. Nothing is written out before: what was not synced is lost.
# (`power::` of the privileged tests has many more moments, on a disk that also loses its own cache.)
# Arguments: the programs disk-builder and testvm. KERNEL names the guest's kernel.
set -euo pipefail
cd "$(dirname "$0")/../.."
builder=$1 testvm=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/model"
head -c 64M /dev/urandom >"$work/model/weights"
echo '{}' >"$work/model/config.json"
root_hash=$("$builder" root-hash "$work/model")

# boot SCRIPT ARGUMENT: runs a guest with the disk.
boot() {
    "$testvm" run ${KERNEL:+--kernel "$KERNEL"} --writable-disk "$work/disk.img" --program "$builder" --program mount \
        --file "$work/model:model" --file "tests/power_off/$1:$1" -- sh "$1" "$2" 2>"$work/log"
}

for moment in half-written named done; do
    rm -f "$work/disk.img"
    truncate -s 256M "$work/disk.img"
    mke2fs -q -t ext4 "$work/disk.img"
    code=0
    boot build.sh "$moment" >/dev/null || code=$?
    { [ "$code" = 125 ] && grep -q "the guest ended before COMMAND did" "$work/log"; } || { cat "$work/log" >&2 && echo "$moment: not reset, but $code" >&2 && exit 1; }
    found=$(boot look.sh "$root_hash") || { cat "$work/log" >&2 && exit 1; }
    echo "power off, $moment: $found"
    case $moment:$found in
    half-written:absent | named:absent | named:whole* | done:"whole with its manifest") ;;
    *) echo "$moment: $found is wrong" >&2 && exit 1 ;;
    esac
done
