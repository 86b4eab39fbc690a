#!/usr/bin/env bash
# Fetches the programs of Kubernetes into target/kubernetes/bin, once.
#
# They are taken from the folder KUBERNETES_BIN, where that is set: they lie there each by its name, or
# as one program for all, hyperkube, which may be compressed with xz. Otherwise they are those of the
# official release, known by its checksum.
set -euo pipefail
cd "$(dirname "$0")/../.."

release=v1.36.0
archive=kubernetes-server-linux-amd64.tar.gz
# The archive's SHA-512 in CHANGELOG/CHANGELOG-1.36.md of the sources.
checksum=1c64da92575451c2c7ff97c79b772e603995f8e76da1371a6b0746aaa27b65dce81c4d734cbb50f40e71486a8e08df36f14e12974f97d4d29e41f23a172a6a25
programs=(kubelet kube-apiserver kube-controller-manager kube-scheduler)

target=$PWD/target/kubernetes
partial=$target/bin.partial

# From a folder with the programs, or with one for all.
take_programs() {
    local name
    for name in "${programs[@]}"; do
        if [ -e "$1/$name" ]; then
            cp "$1/$name" "$partial/"
        else
            ln -s hyperkube "$partial/$name"
        fi
    done
    [ -e "$1/kubelet" ] || if [ -e "$1/hyperkube" ]; then
        cp "$1/hyperkube" "$partial/"
    else
        xz -dc "$1/hyperkube.xz" >"$partial/hyperkube"
    fi
    chmod -R a+x "$partial"
}

fetch_programs() {
    echo "Fetching Kubernetes $release (400 MB)" >&2
    if ! python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as source, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(source, file)' "https://dl.k8s.io/$release/$archive" "$target/$archive"; then
        echo "Kubernetes cannot be fetched: KUBERNETES_BIN names a folder with its programs" >&2
        exit 1
    fi
    echo "$checksum  $target/$archive" | sha512sum --check --quiet
    tar xf "$target/$archive" -C "$partial" --strip-components=3 \
        "${programs[@]/#/kubernetes/server/bin/}"
    rm "$target/$archive"
}

source=${KUBERNETES_BIN:-$release}
# Whether what is there is whole, and was made of this.
[ "$(cat "$target/bin/made-of" 2>/dev/null)" != "$source" ] || exit 0
rm -rf "$target/bin" "$partial"
mkdir -p "$partial"
if [ -n "${KUBERNETES_BIN:-}" ]; then
    take_programs "$KUBERNETES_BIN"
else
    fetch_programs
fi
echo "$source" >"$partial/made-of"
mv "$partial" "$target/bin"
