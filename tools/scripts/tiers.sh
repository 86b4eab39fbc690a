#!/usr/bin/env bash
# Makes targets of the Makefile, one after the other, and says at the end how long each took.
# Arguments: make, and the targets.
set -euo pipefail

make=$1
shift
times=()
tell() {
    [ ${#times[@]} = 0 ] || printf '%s\n' "${times[@]}" >&2
}
trap tell EXIT

for tier in "$@"; do
    start=$SECONDS
    code=0
    "$make" --no-print-directory "$tier" || code=$?
    [ $code = 0 ] && result=passed || result=FAILED
    times+=("$(printf '%-24s %s in %d s' "$tier" $result $((SECONDS - start)))")
    [ $code = 0 ] || exit $code
done
