#!/usr/bin/env bash
# The guest's part of run.sh: runs cryptsetup's verity-compat-test with the veritysetup of a directory.
# Prints a line for each of its checks, with tabs: passed, refused or failed, its name, and why; and
# then one for each command that was called for: it, who answered, how that ended, and how often. The
# name of the directory stands before each.
# Arguments: the script and the directory.
script=$(realpath "$1")
CRYPTSETUP_PATH=$(realpath "$2")
cd "$(mktemp -d)" || exit
export CRYPTSETUP_PATH CALLS=$PWD/calls CHECK=0
: >calls
: >verdicts
# What the script says is for people.
exec 3>&1 >&2

# verdict NAME CODE: of the check that has ended.
verdict() {
    local reason
    reason=$(sed -n "s/^$CHECK	[a-z]*	refused	//p" calls | head -n 1)
    case $reason:$1:$2 in
    # 1 is a device that was not repaired: the script's lines know whether it should have been.
    :*:0 | :check_fec:1) printf 'passed\t%s\n' "$1" ;;
    :*) printf 'failed\t%s\t%s\n' "$1" "$2" ;;
    *) printf 'refused\t%s\t%s\n' "$1" "$reason" ;;
    esac >>verdicts
}

# counted NAME ARGUMENTS: one check. Where it fails, its shell ends, and has removed what the script
# had prepared for it and the checks after it.
counted() {
    local name=$1 code=0
    shift
    CHECK=$(($(wc -l <verdicts) + 1))
    if [ -n "$fallen" ]; then
        fallen=''
        original_prepare "${prepared[@]}"
    fi
    ("original_$name" "$@") || code=$?
    [ $code = 0 ] || fallen=yes
    verdict "$name" $code
    CHECK=0
    return $code
}

end() {
    verdict "the lines between them" $?
    cut -f 2-4 calls | sort | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/called\t\2\t\1/' >counts
    sed "s/^/${CRYPTSETUP_PATH##*/}\t/" verdicts counts >&3
}
trap end EXIT

# The script as it stands, in two: the functions, and the lines that call them. A function that is
# called there is a check, but for these.
sed '/^# VERITYSETUP tests$/q' "$script" >functions
sed '1,/^# VERITYSETUP tests$/d' "$script" >lines
# shellcheck disable=SC1091
. ./functions
for name in $(declare -F | cut -d ' ' -f 3); do
    case $name in
    verdict | counted | end | fail | skip | remove_mapping | check_version) continue ;;
    esac
    if grep -q "\b$name\b" lines; then
        eval "original_$(declare -f "$name")"
        eval "$name() { counted $name \"\$@\"; }"
    fi
done
prepare() {
    prepared=("$@")
    original_prepare "$@"
}
# shellcheck disable=SC1091
. ./lines
