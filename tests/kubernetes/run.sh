#!/usr/bin/env bash
# Runs the sidecar on a real Kubernetes node: containerd, runc and a kubelet in a virtual machine.
# Arguments: the programs disk-mounter, disk-builder, testvm and that of the tests; what comes after
# them goes to the tests, which are all without it.
set -euo pipefail
cd "$(dirname "$0")/../.."

mounter=$1 builder=$2 testvm=$3 tests=$4
shift 4

tests/kubernetes/programs.sh
for program in "$mounter" "$builder"; do
    cargo run --quiet --locked --package xtask -- image target/image "$program"
done
work=$(mktemp -d -p target/kubernetes)
trap 'rm -rf "$work"' EXIT
tests/kubernetes/node.sh "$testvm" "$work/node.img"

# boot ARGUMENT…: runs the tests on the node.
boot() {
    "$testvm" run --memory 3072 --timeout 2400 --writable-disk "$work/node.img" --program unshare \
        --program mount --program umount \
        --file "$mounter:programs/disk-mounter" --file "$builder:programs/disk-builder" \
        --file "$tests:programs/kubernetes" --file tests/kubernetes/enter.sh:enter.sh \
        --file target/image/disk-mounter.oci.tar:disk-mounter.oci.tar \
        --file target/image/disk-builder.oci.tar:disk-builder.oci.tar --file deploy/kubernetes:kubernetes \
        -- sh enter.sh kubernetes "$@"
}
if [ $# != 0 ]; then
    boot "$@"
    exit
fi

# All tests, a node that is reset while a pod runs, and its next boot.
code=0
boot then-reset 2>"$work/log" || code=$?
{ [ "$code" = 125 ] && grep -q "the guest ended before COMMAND did" "$work/log"; } ||
    { cat "$work/log" >&2 && echo "not reset, but $code" >&2 && exit 1; }
boot after-reset
