#!/usr/bin/env bash
# Tests what is installed and published: manual pages, completions, packages, archives. Arguments:
# the folder with the built programs, and the target that they were built for.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The schema of CycloneDX comes from PyPI, once, into a folder of its own.
tools=target/package-tools
wanted=$(cat tests/packages/requirements.txt)
if [ "$(cat "$tools/complete" 2>/dev/null)" != "$wanted" ]; then
    echo "Fetching cyclonedx-python-lib from PyPI (5 MB)"
    rm -rf "$tools"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --target "$tools" -r tests/packages/requirements.txt
    echo "$wanted" >"$tools/complete"
fi

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tools RELEASE=$1 TARGET=$2
exec python3 -m unittest discover --start-directory tests/packages
