#!/usr/bin/env bash
# Installs the Debian packages that are missing for some purposes: tools/xtask/src/setup.rs knows
# which. It takes a C compiler to link that, which is all that is looked after here.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v cc >/dev/null || [ ! -e /usr/include/stdio.h ]; then
    install="apt-get install --no-install-recommends gcc libc6-dev"
    if [ "$(id -u)" != 0 ]; then
        echo "The C compiler is missing; as root: $install" >&2
        exit 1
    fi
    echo "Installing the C compiler: gcc libc6-dev"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    $install -y -qq >/dev/null
fi
exec cargo run --quiet --locked --package xtask -- setup "$@"
