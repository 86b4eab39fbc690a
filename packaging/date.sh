#!/usr/bin/env bash
# Prints the time that everything in a package bears, in a FORMAT of date(1): SOURCE_DATE_EPOCH, or
# else the time of the last commit. So one commit gives one package, whenever it is made.
set -euo pipefail
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$(dirname "$0")" log -1 --format=%ct)} || {
    echo "This is no git repository: set SOURCE_DATE_EPOCH" >&2
    exit 1
}
LC_ALL=C exec date --utc --date "@$epoch" "$@"
