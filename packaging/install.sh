#!/usr/bin/env bash
# Installs programs with what belongs to them under ROOT, or removes them from there.
#
#     install.sh install ROOT RELEASE PROGRAM...     RELEASE is the folder with the built programs
#     install.sh remove ROOT PROGRAM...
#
# ROOT is $DESTDIR$PREFIX. ZSH_FUNCTIONS names another folder under ROOT for zsh's completions.
set -euo pipefail
here=$(dirname "$0")

# Calls put MODE FROM TO for each file of a program.
files() {
    local name=$1 program page
    case $name in
    disk-mounter) program=sbin/$name page=man/man8/$name.8 ;;
    disk-builder) program=bin/$name page=man/man1/$name.1 ;;
    *) echo "There is no program $name to install" >&2 && return 1 ;;
    esac
    local completions=bash-completion/completions/$name fish=fish/vendor_completions.d/$name.fish
    local zsh=${ZSH_FUNCTIONS:-share/zsh/site-functions}/_$name
    put 755 "$release/$name" "$program"
    put 644 "$documents/$page" "share/$page"
    put 644 "$documents/$completions" "share/$completions"
    put 644 "$documents/zsh/site-functions/_$name" "$zsh"
    put 644 "$documents/$fish" "share/$fish"
    put 644 "$here/../LICENSE" "share/doc/$name/LICENSE"
}

verb=$1 root=$2
shift 2
release='' documents=''
case $verb in
install)
    release=$1
    shift
    for program in documents "$@"; do
        [ -x "$release/$program" ] || { echo "$release/$program is missing: make build" >&2 && exit 1; }
    done
    documents=$(mktemp -d)
    trap 'rm -rf "$documents"' EXIT
    "$release/documents" "$documents" --date "$("$here/date.sh" +%F)"
    put() { install -D --mode "$1" "$2" "$root/$3"; }
    ;;
remove)
    put() { rm -f "$root/$3"; }
    ;;
*) echo "$verb: neither install nor remove" >&2 && exit 2 ;;
esac

for name in "$@"; do
    files "$name"
    if [ "$verb" = remove ] && [ -d "$root/share/doc/$name" ]; then
        rmdir --ignore-fail-on-non-empty "$root/share/doc/$name"
    fi
done
