#!/usr/bin/env bash
# Refreshes tools/advisories, the copy of RustSec's database for audits that do not reach it: takes
# the advisories of the crates in Cargo.lock. Arguments: a clone of
# https://github.com/RustSec/advisory-db, and another folder for the copy.
set -euo pipefail
cd "$(dirname "$0")/../.."
clone=$1 folder=${2:-tools/advisories}

mkdir -p "$folder"
rm -rf "$folder/crates"
mkdir "$folder/crates"
tools/scripts/locked.sh >"$folder/crates.txt"
while read -r name; do
    if [ -d "$clone/crates/$name" ]; then
        cp -r "$clone/crates/$name" "$folder/crates/"
    fi
done <"$folder/crates.txt"
git -C "$clone" log -1 --format=%cs >"$folder/date"
