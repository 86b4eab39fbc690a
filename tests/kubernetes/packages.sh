#!/usr/bin/env bash
# Fetches what the node is made of, once:
#
#   target/kubernetes/packages   packages of a newer Debian than this machine's, never installed here
#   target/kubernetes/bin        the programs of Kubernetes
#
# The latter are taken from the folder KUBERNETES_BIN, where that is set: they lie there each by its
# name, or as one program for all, hyperkube, which may be compressed with xz. Otherwise they are
# those of the official release, known by its checksum.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A kubelet from 1.36 on speaks to containerd 2 alone, and Debian 12 has 1.6.
suite=forky
packages=(containerd runc libseccomp2 libc6 mount libmount1 libblkid1 libselinux1 libpcre2-8-0
    libsmartcols1 libsystemd0 libcap2 etcd-server kubectl)
release=v1.36.0
archive=kubernetes-server-linux-amd64.tar.gz
checksum=1c64da92575451c2c7ff97c79b772e603995f8e76da1371a6b0746aaa27b65dce81c4d734cbb50f40e71486a8e08df36f14e12974f97d4d29e41f23a172a6a25
programs=(kubelet kube-apiserver kube-controller-manager kube-scheduler)

target=$PWD/target/kubernetes
mkdir -p "$target"

# Lists and states of its own, and the mirror that this machine uses.
fetch_packages() {
    local mirror apt=$target/apt
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
    rm -rf "$apt" "$target/packages.partial"
    mkdir -p "$apt"/{lists/partial,archives/partial,state} "$target/packages.partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
    : >"$apt/status"
    cat >"$apt/conf" <<EOF
Dir::State "$apt/state";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
EOF
    export APT_CONFIG=$apt/conf
    apt-get update -qq
    (cd "$target/packages.partial" && apt-get download -qq "${packages[@]}")
    rm -rf "$apt"
    mv "$target/packages.partial" "$target/packages"
}

# From a folder with the programs, or with one for all.
take_programs() {
    local name
    for name in "${programs[@]}"; do
        if [ -e "$1/$name" ]; then
            cp "$1/$name" "$target/bin.partial/"
        else
            ln -s hyperkube "$target/bin.partial/$name"
        fi
    done
    [ -e "$1/kubelet" ] || if [ -e "$1/hyperkube" ]; then
        cp "$1/hyperkube" "$target/bin.partial/"
    else
        xz -dc "$1/hyperkube.xz" >"$target/bin.partial/hyperkube"
    fi
    chmod -R a+x "$target/bin.partial"
}

fetch_programs() {
    rm -rf "$target/bin.partial"
    mkdir "$target/bin.partial"
    if [ -n "${KUBERNETES_BIN:-}" ]; then
        take_programs "$KUBERNETES_BIN"
    else
        echo "Fetching Kubernetes $release (400 MB)" >&2
        if ! python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as source, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(source, file)' "https://dl.k8s.io/$release/$archive" "$target/$archive"; then
            echo "Kubernetes cannot be fetched: KUBERNETES_BIN names a folder with its programs" >&2
            exit 1
        fi
        echo "$checksum  $target/$archive" | sha512sum --check --quiet
        tar xf "$target/$archive" -C "$target/bin.partial" --strip-components=3 \
            "${programs[@]/#/kubernetes/server/bin/}"
        rm "$target/$archive"
    fi
    mv "$target/bin.partial" "$target/bin"
}

# is_of FOLDER SOURCE: whether what is there is whole, and was made of this.
is_of() {
    [ "$(cat "$target/$1/made-of" 2>/dev/null)" = "$2" ]
}

source="$suite ${packages[*]}"
if ! is_of packages "$source"; then
    echo "Fetching packages of Debian's $suite for the Kubernetes node (70 MB)" >&2
    rm -rf "$target/packages"
    fetch_packages
    echo "$source" >"$target/packages/made-of"
fi
source=${KUBERNETES_BIN:-$release}
if ! is_of bin "$source"; then
    rm -rf "$target/bin"
    fetch_programs
    echo "$source" >"$target/bin/made-of"
fi
