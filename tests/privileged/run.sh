#!/usr/bin/env bash
# Runs the privileged tests on a kernel with dm-verity: this machine's, or a virtual machine's, which
# has the one that KERNEL names.
# Arguments: the programs disk-mounter, disk-builder, testvm and that of the tests; what comes
# after them goes to the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

mounter=$1 builder=$2 testvm=$3 tests=$4
shift 4

tools/scripts/disk.sh "$builder"

# Filesystems with all that mkfs.erofs can put into one.
tests/privileged/erofs_images.sh "$testvm" target/erofs-images

# The real image, for the container runtime.
cargo run --quiet --locked --package xtask -- image target/image "$mounter"
rm -rf target/image/rootfs
tests/deploy/rootfs.py target/image/disk-mounter.oci.tar target/image/rootfs >/dev/null

programs=()
for program in crun fusermount3 mkfs.erofs mksquashfs mke2fs mkfs.xfs systemd-repart veritysetup dmsetup losetup \
    mount umount unshare setpriv fincore strace mknod sh cat cp env mv find sha256sum chmod sleep sort; do
    programs+=(--program "$program")
done
# mksquashfs loads this one by itself, where ldd does not see it.
libgcc=$(ldconfig -p | sed -n 's/.*libgcc_s\.so\.1 .*=> //p' | head -n 1)
"$testvm" run ${KERNEL:+--kernel "$KERNEL"} --memory 2048 --timeout 2400 \
    --disk target/model/disk.img --file target/model/SHA256SUMS:SHA256SUMS --file "$libgcc" \
    --program "$mounter" --program "$builder" --program "$tests" "${programs[@]}" \
    --env "MODEL_ROOT_HASH=$(cat target/model/root-hash)" --env MODEL_SUMS=SHA256SUMS \
    --file target/erofs-images:erofs-images --env EROFS_IMAGES=erofs-images \
    --file target/image/rootfs:rootfs --env IMAGE_ROOTFS=rootfs \
    -- "$(basename "$tests")" "$@"
