#!/usr/bin/env bash
# Tests what is installed and published: manual pages, completions, packages, archives. Arguments:
# the folder with the built programs, and the target that they were built for.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=target/package-tools
tools/scripts/pip.sh "cyclonedx-python-lib (5 MB)" $tools tests/packages/requirements.txt

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tools RELEASE=$1 TARGET=$2
exec python3 -m unittest discover --start-directory tests/packages
