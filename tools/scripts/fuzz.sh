#!/usr/bin/env bash
# Runs the fuzz targets under libFuzzer, one after the other. Arguments: the seconds for each, and
# the names of some; all without any.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=$1
shift
case $seconds in
'' | *[!0-9]*)
    echo "SECONDS is a number of seconds for each target, not \"$seconds\"" >&2
    exit 2
    ;;
esac
if ! rustc +nightly --version >/dev/null 2>&1; then
    echo "Fuzzing needs Rust's nightly toolchain: rustup toolchain install nightly --profile minimal" >&2
    exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "Fuzzing needs cargo-fuzz: cargo install --locked cargo-fuzz" >&2
    exit 1
fi
[ $# -gt 0 ] && targets=("$@") || mapfile -t targets < <(cargo fuzz list)

# The sanitizer needs a program that is linked dynamically, and names in what it tells.
unset RUSTFLAGS CARGO_BUILD_TARGET
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_STRIP=none

# What targets leave there goes with them: libFuzzer ends them without a farewell.
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

for target in "${targets[@]}"; do
    # New finds go to the first folder; the seeds are only read.
    mkdir -p "fuzz/working-corpus/$target"
    log=fuzz/working-corpus/$target.log
    status=0
    cargo +nightly fuzz run --features libfuzzer "$target" \
        "fuzz/working-corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        >"$log" 2>&1 || status=$?
    if [ $status != 0 ]; then
        cut -c -300 "$log" >&2
        echo "$target: failed; the input is in fuzz/artifacts/$target" >&2
        exit 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    echo "$target: $executions executions in $seconds s, $coverage"
done
