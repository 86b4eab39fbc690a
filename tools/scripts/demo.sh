#!/usr/bin/env bash
# The demonstration: from a real model to its files, verified, and what happens to a disk that
# somebody changed: first as any user and without the kernel, then under dm-verity. Arguments: the
# programs disk-mounter, disk-builder and testvm.
set -euo pipefail
cd "$(dirname "$0")/../.."
mounter=$1 builder=$2 testvm=$3
step() { printf '\n== %s\n' "$*"; }
step "A disk of a model, and its root hash"
tools/scripts/disk.sh "$builder"
disk=target/model/disk.img
root_hash=$(cat target/model/root-hash)
[ "$("$builder" root-hash "$(tools/scripts/model.sh)")" = "$root_hash" ]
echo "root-hash of the model directory: the same"

step "Read by user $(id -un), without mounting it"
expect() { # EXIT_CODE COMMAND ARGUMENTS...: of disk-mounter, with the root hash
    local expected=$1 code=0
    shift
    printf '\n$ disk-mounter %s\n' "$* --root-hash ${root_hash:0:8}…"
    "$mounter" "$@" --root-hash "$root_hash" 2>&1 || code=$?
    [ "$code" = 0 ] || echo "exit code $code"
    [ "$code" = "$expected" ] || { echo "expected exit code $expected" && exit 1; }
}
extracted=target/model/extracted
rm -rf "$extracted"
expect 0 ls "$disk" -l
expect 0 cat "$disk" 1_Pooling/config.json
expect 0 extract "$disk" "$extracted" --quiet
(cd "$extracted" && sha256sum --check --quiet ../SHA256SUMS)
echo "sha256sum: all files are as their source"
rm -r "$extracted"

step "Two changed copies: one byte of the weights, one byte of the root block"
tampered() { # FILE OFFSET
    cp --reflink=auto "$disk" "$1"
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
hash_offset=$("$builder" inspect "$disk" | sed -n 's/^Hash offset:[[:space:]]*//p')
tampered target/model/tampered-weights.img $((hash_offset / 2))
tampered target/model/tampered-tree.img $((hash_offset + 4096 + 5))
expect 3 extract target/model/tampered-weights.img "$extracted" --quiet
[ ! -e "$extracted/model.safetensors" ]
rm -r "$extracted"
expect 3 ls target/model/tampered-tree.img

step "The disk, checked block by block by disk-builder and by veritysetup"
"$builder" verify "$disk" --root-hash "$root_hash"
veritysetup verify "$disk" "$disk" "$root_hash" "--hash-offset=$hash_offset"
echo "veritysetup verify: the root hash and every block are as they should be"

step "The same three under the kernel's dm-verity"
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
Extracted:  by user $(id -un); all $files files are as their source
Mounted:    read-only under dm-verity; all $files files are as their source
Tampered:   the changed weights are not extracted (exit code 3), and cannot be read where
            they are mounted (I/O error, status: corrupt);
            the changed tree is neither read nor mounted (exit code 3)
Time:       $SECONDS s without installing and compiling
END
