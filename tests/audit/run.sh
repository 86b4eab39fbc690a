#!/usr/bin/env bash
# Tests that an audit fails for what it should fail for, and so does what comes from PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."

export PYTHONDONTWRITEBYTECODE=1
exec python3 -m unittest discover --start-directory tests/audit
