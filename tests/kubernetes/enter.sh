# The guest's part of run.sh: goes into the node's root filesystem, which is on the writable disk, and
# runs a program there.
set -eu
if [ "${1-}" != inside ]; then
    # Whom nobody can reach: there is no network.
    ip address add 10.0.0.1/32 dev lo
    exec unshare -m sh "$0" inside "$@"
fi
shift

mkdir /node
mount -t ext4 "${TESTVM_DISKS##*:}" /node
for folder in dev proc sys; do
    mount --rbind "/$folder" "/node/$folder"
done
mount -t tmpfs -o mode=755 tmpfs /node/run
mount -t tmpfs -o mode=1777 tmpfs /node/tmp
mount --rbind /root/programs /node/usr/local/bin
mount --rbind /root /node/root
cd /node
pivot_root . mnt
umount -l /mnt
# As systemd does it: what is mounted on the node is seen in its containers, and the other way round.
mount --make-rshared /
for controller in cpuset cpu io memory hugetlb pids; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done
cd /root
# Memory is there, and an emulated processor is slow.
export GOGC=400
exec "$@"
