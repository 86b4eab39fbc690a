#!/usr/bin/env bash
# Prints the time that everything in a package bears, in a FORMAT of date(1): SOURCE_DATE_EPOCH, or
# else the time of the last commit. So one commit gives one package, whenever it is made.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
# Root, too, may look at what another user has cloned.
epoch=${SOURCE_DATE_EPOCH:-$(git -c safe.directory="$here" -C "$here" log -1 --format=%ct)} || {
    echo "This is no git repository: set SOURCE_DATE_EPOCH" >&2
    exit 1
}
LC_ALL=C exec date --utc --date "@$epoch" "$@"
