#!/usr/bin/env bash
# Installs the Debian packages that are missing for some purposes, and says which before it does:
#
#     setup.sh build|packages|peers|machine|fuzz|tests...
set -euo pipefail

# A package, and a command or the pattern of a file that tells whether it is there.
needed=()
for purpose in "$@"; do
    case $purpose in
    build)
        needed+=(
            gcc:cc
            libc6-dev:/usr/include/stdio.h
            pkg-config:pkg-config
            libdevmapper-dev:/usr/include/libdevmapper.h
            libclang-dev:/usr/lib/llvm-*/lib/libclang.so
        )
        ;;
    packages) needed+=(python3:python3) ;;
    # What our programs are compared with.
    peers) needed+=(cryptsetup-bin:veritysetup erofs-utils:mkfs.erofs) ;;
    # The virtual machine, and a real model for it.
    machine)
        needed+=(
            qemu-system-x86:qemu-system-x86_64
            busybox-static:/bin/busybox
            python3:python3
            python3-pip:pip3
            unzip:unzip
        )
        ;;
    fuzz) needed+=(g++:c++) ;;
    # What only the tests need.
    tests)
        needed+=(
            dmsetup:dmsetup
            e2fsprogs:mke2fs
            squashfs-tools:mksquashfs
            strace:strace
            systemd:systemd-repart
            util-linux-extra:fincore
            xfsprogs:mkfs.xfs
            buildah:buildah
            crun:crun
            man-db:man
            mandoc:mandoc
            zsh:zsh
            fish:fish
        )
        ;;
    *) echo "$purpose is no purpose of setup.sh" >&2 && exit 2 ;;
    esac
done

missing=()
for entry in "${needed[@]}"; do
    package=${entry%%:*} sign=${entry#*:}
    case $sign in
    /*) compgen -G "$sign" >/dev/null || missing+=("$package") ;;
    *) command -v "$sign" >/dev/null || missing+=("$package") ;;
    esac
done

if [ ${#missing[@]} -gt 0 ]; then
    install="apt-get install --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        echo "These Debian packages are missing; as root: $install" >&2
        exit 1
    fi
    echo "Installing the missing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

case " $* " in *" tests "*) ;; *) exit ;; esac
for component in clippy rustfmt; do
    if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
        echo "Installing the Rust component $component"
        rustup component add "$component"
    fi
done
