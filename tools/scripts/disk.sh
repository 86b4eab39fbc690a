#!/usr/bin/env bash
# Makes a disk of the real model, and what is needed to check it:
#
#   target/model/disk.img    the disk, and disk.img.json, its manifest
#   target/model/root-hash   its root hash
#   target/model/SHA256SUMS  the model's files, as sha256sum lists them
#
# The first argument is the disk-builder program.
set -euo pipefail
cd "$(dirname "$0")/../.."

builder=$1
model=$(tools/scripts/model.sh)
disk=target/model/disk.img

(cd "$model" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >target/model/SHA256SUMS
"$builder" build "$model" --output "$disk" --force | tee target/model/printed >&2
sed -n 's/^Root hash:[[:space:]]*//p' target/model/printed >target/model/root-hash
rm target/model/printed
