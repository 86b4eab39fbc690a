#!/usr/bin/env bash
# Makes the root filesystem of the Kubernetes node: packages of a newer Debian than this machine's, which
# are never installed here, what programs.sh has fetched, the files in node/, and an image of busybox that
# containers are made of. Arguments: the program testvm, and the file.
set -euo pipefail
cd "$(dirname "$0")/../.."
testvm=$1 out=$2

# A kubelet from 1.36 on speaks to containerd 2 alone, and Debian 12 has 1.6.
packages=$("$testvm" unpack forky containerd runc mount etcd-server kubectl)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
for name in bin sbin lib lib64; do
    ln -s "usr/$name" "$root/$name"
done
tar c -C "$packages" --exclude=./usr/share --exclude='./usr/*/cni' --exclude='./usr/*/*-fp*' . |
    tar x -C "$root" --keep-directory-symlink
cp -a target/kubernetes/bin/. "$root/usr/bin/"
rm "$root/usr/bin/made-of"
cp -a tests/kubernetes/node/. "$root/"
cp /bin/busybox "$root/usr/bin/busybox"
for applet in $("$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done
mkdir -p "$root"/{dev,proc,sys,run,tmp,mnt,root,images,var/lib,var/log,usr/local/bin,etc/kubernetes/manifests}
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost node' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"

# What the API server signs the tokens of service accounts with.
ssh-keygen -q -t rsa -m PEM -N '' -f "$root/etc/kubernetes/service-accounts.pem"

# An image as `docker save` writes it. Without arguments it sleeps: that is all that a pod's sandbox does.
image=$root/images/busybox
mkdir -p "$image/layer/bin"
cp /bin/busybox "$image/layer/bin/"
for applet in sh sleep sha256sum cat date ls; do
    ln -s busybox "$image/layer/bin/$applet"
done
tar c -C "$image/layer" --owner=0 --group=0 . >"$image/layer.tar"
rm -r "$image/layer"
cat >"$image/config.json" <<EOF
{"architecture": "amd64", "os": "linux",
 "config": {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["while :; do sleep 1000; done"], "Env": ["PATH=/bin"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$(sha256sum <"$image/layer.tar" | cut -d ' ' -f 1)"]}}
EOF
echo '[{"Config": "config.json", "RepoTags": ["docker.io/library/busybox:node"], "Layers": ["layer.tar"]}]' \
    >"$image/manifest.json"
tar c -C "$image" . >"$image.tar"
rm -r "$image"

rm -f "$out"
truncate -s 4G "$out"
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$out"
