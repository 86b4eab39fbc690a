#!/usr/bin/env bash
# Runs cryptsetup's own tests of dm-verity in a virtual machine, with the real veritysetup and with
# what stands in its place, and compares what comes out with docs/peers.md.
# Arguments: the programs disk-builder and testvm.
set -euo pipefail
cd "$(dirname "$0")/../.."
builder=$1 testvm=$2

script=$("$testvm" source trixie cryptsetup)/tests/verity-compat-test
unpacked=$("$testvm" unpack trixie cryptsetup-bin)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

programs=()
for program in bash dmsetup losetup dd grep realpath sed sha256sum stat; do
    programs+=(--program "$program")
done
# There is no udev to make nodes, so libdevmapper is to do it.
"$testvm" run --where vm --timeout 2400 --program "$builder" "${programs[@]}" \
    --env DM_DISABLE_UDEV=1 --file "$unpacked" --env UNPACKED="$unpacked" \
    --file "$script:verity-compat-test" --file tests/peers:peers -- sh -euc '
        for place in theirs ours; do bash peers/compat.sh verity-compat-test peers/$place; done' \
    >"$work/outcomes" 2>"$work/log" &&
    awk -f tests/peers/tables.awk "$work/outcomes" >"$work/tables" ||
    { cat "$work/log" >&2 && exit 1; }
sed -n "/^## cryptsetup/,/^## go-dmverity/{/^|/p}" docs/peers.md |
    diff -u --label docs/peers.md --label "what came out" - "$work/tables"
echo "cryptsetup's checks: $(grep -c '^ours	passed' "$work/outcomes") passed," \
    "$(grep -c '^ours	refused' "$work/outcomes") refused on purpose;" \
    "with veritysetup $(grep -c '^theirs	passed' "$work/outcomes") passed"
