#!/usr/bin/env bash
# Runs the fuzz targets under libFuzzer, one after the other, and adds what they executed to the
# ledger. Arguments: the seconds for each, and the names of some; all without any. SANITIZER is any of
# cargo-fuzz.
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

sanitizer=${SANITIZER:-address}

# What was run must be what a commit has, or its count says nothing.
commit_of_sources() {
    [ -z "$(git status --porcelain -- . ':!docs' ':!fuzz/executions.tsv')" ] && git rev-parse --short=7 HEAD
}

# What targets leave there goes with them: libFuzzer ends them without a farewell. In memory, as the
# disks of some are written anew for each input.
TMPDIR=$(mktemp -d -p /dev/shm)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

for target in "${targets[@]}"; do
    # New finds go to the first folder; the seeds are only read.
    mkdir -p "fuzz/working-corpus/$target"
    log=fuzz/working-corpus/$target.log
    # Seeds are short: what is much longer takes time, and shows nothing more.
    longest=$(find "fuzz/corpus/$target" -type f -printf '%s\n' | sort -n | tail -n 1)
    commit=$(commit_of_sources) || commit=
    status=0
    # The minute for an input is one of the clock: others may be at work here too.
    cargo +nightly fuzz run --sanitizer "$sanitizer" --features libfuzzer "$target" \
        "fuzz/working-corpus/$target" "fuzz/corpus/$target" -- \
        -max_len=$((2 * longest)) -max_total_time="$seconds" \
        -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
        >"$log" 2>&1 || status=$?
    if [ $status != 0 ]; then
        cut -c -300 "$log" >&2
        echo "$target: failed; the input is in fuzz/artifacts/$target" >&2
        exit 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    inputs=$(sed -n 's,.* corp: \([0-9]*\)/.*,\1,p' "$log" | tail -n 1)
    echo "$target: $executions executions in $seconds s, coverage $coverage"
    if [ -n "$commit" ]; then
        tools/scripts/fuzz-ledger.sh "$target" "$sanitizer" "$executions" "$coverage" "$inputs" "$commit"
    else
        echo "$target: not added to fuzz/executions.tsv: the sources are not those of a commit" >&2
    fi
done
