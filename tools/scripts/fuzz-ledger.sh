#!/usr/bin/env bash
# Adds a run of a fuzz target to fuzz/executions.tsv, and writes the table in docs/fuzzing.md anew.
# Arguments: target, sanitizer, executions, coverage, inputs, and the commit that was run.
set -euo pipefail
cd "$(dirname "$0")/../.."

ledger=fuzz/executions.tsv
document=docs/fuzzing.md

# The sums are made by the shell: awk's numbers are no integers.
before=$(awk -F '\t' -v target="$1" -v sanitizer="$2" '$1 == target && $2 == sanitizer { print $3 }' "$ledger")
row=$(printf '%s\t%s\t%d\t%s\t%s\t%s\t%s' "$1" "$2" $((${before:-0} + $3)) "$4" "$5" "$(date -u +%F)" "$6")
{
    head -n 1 "$ledger"
    {
        tail -n +2 "$ledger" | awk -F '\t' -v target="$1" -v sanitizer="$2" '$1 != target || $2 != sanitizer'
        echo "$row"
    } | LC_ALL=C sort
} >"$ledger.new"
mv "$ledger.new" "$ledger"

# 1,234,567
grouped() {
    sed ':again; s/^\([0-9]\{1,\}\)\([0-9]\{3\}\)/\1,\2/; t again' <<<"$1"
}

table() {
    local sum=0
    echo '| target | sanitizer | executions | coverage | inputs | last run | at commit |'
    echo '|---|---|---|---|---|---|---|'
    while IFS=$'\t' read -r target sanitizer executions coverage inputs date commit; do
        sum=$((sum + executions))
        echo "| \`$target\` | $sanitizer | $(grouped "$executions") | $coverage | $inputs | $date | $commit |"
    done < <(tail -n +2 "$ledger")
    echo "| all | | $(grouped $sum) | | | | |"
}

{
    sed '/^| target |/,$d' "$document"
    table
    sed '1,/^| all |/d' "$document"
} >"$document.new"
mv "$document.new" "$document"
