# The guest's part of run.sh: prints what is left of the disk after a reset, and builds it again.
# Argument: its root hash.
set -eu
mkdir out
mount -t ext4 "$TESTVM_DISKS" out
found=absent
if [ -e out/disk ]; then
    disk-builder verify out/disk --root-hash "$1" >&2
    found=whole
fi
if [ -e out/disk.json ]; then
    grep -q "\"root_hash\": \"$1\"" out/disk.json
    found="$found with its manifest"
fi
# The next run finds nothing in its way, and leaves nothing of the first.
disk-builder build model --output out/disk --force >&2
left=$(ls -A out | tr '\n' ' ')
[ "$left" = "disk disk.json lost+found " ] || { echo "left behind: $left" >&2 && exit 1; }
umount out
echo "$found"
