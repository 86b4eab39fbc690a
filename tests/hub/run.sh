#!/usr/bin/env bash
# Compares disk-builder with the hub's own client, from one hub. Arguments: the programs disk-builder
# and hub-server.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=target/hub-tools
tools/scripts/pip.sh "huggingface_hub (3 MB)" $tools tests/hub/requirements.txt

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tools DISK_BUILDER=$1 HUB_SERVER=$2
exec python3 -m unittest discover --start-directory tests/hub
