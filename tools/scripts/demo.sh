#!/usr/bin/env bash
# The demonstration: from a real model to a verified mount, and what happens to a disk that
# somebody changed. Arguments: the programs disk-mounter, disk-builder and testvm.
set -euo pipefail
cd "$(dirname "$0")/../.."
mounter=$1 builder=$2 testvm=$3
step() { printf '\n== %s\n' "$*"; }
step "A disk of a model"
tools/scripts/disk.sh "$builder"
disk=target/model/disk.img
root_hash=$(cat target/model/root-hash)

step "The disk, checked block by block by disk-builder and by veritysetup, and its root hash by the model"
"$builder" verify "$disk" --root-hash "$root_hash"
[ "$("$builder" root-hash "$(tools/scripts/model.sh)")" = "$root_hash" ]
echo "root-hash of the model directory: the same"
hash_offset=$("$builder" inspect "$disk" | sed -n 's/^Hash offset:[[:space:]]*//p')
veritysetup verify "$disk" "$disk" "$root_hash" "--hash-offset=$hash_offset"
echo "veritysetup verify: the root hash and every block are as they should be"

step "Two changed copies: one byte of the weights, one byte of the root block"
tampered() { # FILE OFFSET
    cp --reflink=auto "$disk" "$1"
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
tampered target/model/tampered-weights.img $((hash_offset / 2))
tampered target/model/tampered-tree.img $((hash_offset + 4096 + 5))

step "The kernel's dm-verity"
"$testvm" run --timeout 300 \
    --disk "$disk" --disk target/model/tampered-weights.img --disk target/model/tampered-tree.img \
    --program "$mounter" --program sha256sum \
    --file tools/scripts/demo-guest.sh:demo.sh --file target/model/SHA256SUMS:SHA256SUMS \
    --env "ROOT_HASH=$root_hash" -- sh demo.sh
rm target/model/tampered-weights.img target/model/tampered-tree.img

step Summary
files=$(wc -l <target/model/SHA256SUMS)
kind="the real model all-MiniLM-L6-v2"
[ "${DEMO_MODEL:-real}" = real ] || kind="a GENERATED model"
cat <<END
Model:      $kind, $files files
Disk:       $disk, $(stat -c %s "$disk") bytes
Root hash:  $root_hash
Mounted:    read-only under dm-verity; all $files files are as their source
Tampered:   the changed weights cannot be read (I/O error, status: corrupt);
            the changed tree is not mounted (exit code 3)
Time:       $SECONDS s without installing and compiling
END
