#!/usr/bin/env bash
# Makes a model, and an image of it for each row in the table of docs/kernels.md, with the options
# that stand there, by a mkfs.erofs that is newer than this machine's.
# Arguments: the program testvm and the directory, which is made anew.
set -euo pipefail
testvm=$1 images=$2

root=$("$testvm" unpack forky erofs-utils)
mkfs() {
    "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/bin/mkfs.erofs" "$@"
}

rm -rf "$images"
mkdir -p "$images/model/shards/more"
cd "$images/model"
# What can be compressed, what is there twice or almost, what cannot, nothing at all, and zeros.
seq 20000 >text
{ seq 5 12000 && echo && seq 2 9000; } >almost
cp text shards/same
head -c 30000 /dev/urandom >weights
: >empty
truncate -s 100000 shards/zeros
for number in $(seq 24); do
    echo "$number" >"shards/more/with-a-longer-name-$number"
done
cd "$OLDPWD"

sed -n 's/^| `\([a-z0-9-]*\)` | `\(-[^`]*\)` |.*/\1 \2/p' docs/kernels.md |
    while read -r name options; do
        # shellcheck disable=SC2086 # Options are words.
        mkfs --quiet -T0 $options "$images/$name.erofs" "$images/model" 2>"$images/log" ||
            { cat "$images/log" >&2 && exit 1; }
    done
