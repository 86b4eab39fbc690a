#!/usr/bin/env bash
# Measures mounting on a kernel with dm-verity: this machine's, or a virtual machine's, in one
# boot. Arguments: the programs disk-mounter, disk-builder, testvm and bench; what comes after
# them goes to `bench mount`.
set -euo pipefail
cd "$(dirname "$0")/../.."

mounter=$1 builder=$2 testvm=$3 bench=$4
shift 4

work=target/bench/mount
rm -rf "$work"
mkdir -p "$work/model"
trap 'rm -rf "$work"' EXIT
for part in 1 2 3 4; do
    head -c 64M /dev/urandom >"$work/model/model-0000$part-of-00004.safetensors"
done
echo '{"model_type": "benchmark"}' >"$work/model/config.json"
"$builder" build "$work/model" --output "$work/disk.img" >"$work/built"
field() { sed -n "s/^$1:[[:space:]]*//p"; }
root_hash=$(field "Root hash" <"$work/built")
hash_offset=$("$builder" inspect "$work/disk.img" | field "Hash offset")

programs=()
for program in veritysetup mount umount sh find cat; do
    programs+=(--program "$program")
done
commit=$(git describe --always --dirty=+ 2>/dev/null || echo unknown)
# The guest's only way out is its standard output.
"$testvm" run --memory 2048 --timeout 1200 --disk "$work/disk.img" \
    --program "$mounter" --program "$bench" "${programs[@]}" --env "BENCH_COMMIT=$commit" \
    -- sh -c 'bench mount "$TESTVM_DISKS" "$@" --json results.json >/dev/null && cat results.json' \
    sh --root-hash "$root_hash" --hash-offset "$hash_offset" "$@" >"$work/results.json"
mv "$work/results.json" target/bench/mount.json
"$bench" show target/bench/mount.json
