# The part of the demonstration that needs the kernel's dm-verity. The three disks are the good
# one, one with changed weights and one with a changed tree.
set -eu
exec 2>&1

IFS=: read -r good weights tree <<END
$TESTVM_DISKS
END

expect() { # EXIT_CODE COMMAND...
    expected=$1
    shift
    echo "\$ $*"
    code=0
    "$@" || code=$?
    echo "exit code $code"
    [ "$code" = "$expected" ] || { echo "expected exit code $expected" && exit 1; }
}

echo "Linux $(uname -r)"
expect 0 disk-mounter mount --root-hash "$ROOT_HASH" "$good" /mnt/model
grep ' /mnt/model ' /proc/mounts
sums=$PWD/SHA256SUMS
(cd /mnt/model && expect 0 sha256sum -c "$sums")
expect 0 disk-mounter status /mnt/model
expect 0 disk-mounter unmount /mnt/model

echo
echo "The same with one byte of the weights changed:"
expect 0 disk-mounter mount --root-hash "$ROOT_HASH" "$weights" /mnt/model
(cd /mnt/model && expect 1 sha256sum -c --quiet "$sums")
expect 3 disk-mounter status /mnt/model
expect 0 disk-mounter unmount /mnt/model

echo
echo "The same with one byte of the hash tree's root block changed:"
expect 3 disk-mounter mount --root-hash "$ROOT_HASH" "$tree" /mnt/model
! grep ' /mnt/model ' /proc/mounts
