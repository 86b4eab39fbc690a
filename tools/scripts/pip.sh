#!/usr/bin/env bash
# Fetches what a file of requirements lists from PyPI into a folder, once. Only wheels, as what a
# source package says is run when it is installed, and only with the hashes that are listed.
# Arguments: what it is fetched for, the folder, and the file.
set -euo pipefail
purpose=$1 folder=$2 list=$3

wanted=$(cat "$list")
if [ "$(cat "$folder/complete" 2>/dev/null)" = "$wanted" ]; then
    exit
fi
echo "Fetching from PyPI $purpose" >&2
rm -rf "$folder"
if ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --only-binary=:all: --require-hashes --no-deps --target "$folder" --requirement "$list" >&2; then
    echo "$list cannot be had from PyPI: without a network, copy $folder from where there is one" >&2
    exit 1
fi
echo "$wanted" >"$folder/complete"
