#!/bin/busybox sh
# The guest's first process. It makes a root filesystem that programs know their
# way in, runs /testvm/command, and says with which exit code that ended.
#
# Its own output goes to the kernel's console. A failure here ends it, which the
# kernel answers with a panic; QEMU then ends, without the closing line.
set -eu

# busybox finds its other programs by /proc/self/exe.
/bin/busybox mount -t proc proc /proc

if [ "${1-}" != second ]; then
    while read -r module; do
        insmod "/testvm/modules/$module.ko"
    done </testvm/modules/order
    rm -r /testvm/modules

    # On the initramfs itself pivot_root, and so a container runtime, does not
    # work. It does on any other filesystem. A runtime also makes the mount that
    # a container lies on private: with a /run and /tmp of their own, as usual,
    # that is not the root.
    mkdir /newroot
    mount -t tmpfs -o size=95%,mode=755 tmpfs /newroot
    mkdir /newroot/run /newroot/tmp
    mount -t tmpfs -o size=95%,mode=755 tmpfs /newroot/run
    mount -t tmpfs -o size=95%,mode=1777 tmpfs /newroot/tmp
    for entry in /*; do
        case $entry in
        /newroot | /proc) ;;
        *) cp -a "$entry" /newroot/ ;;
        esac
    done
    mkdir /newroot/proc
    exec switch_root /newroot /init second
fi

mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
hostname testvm
ip link set lo up

# The ports to the host: standard output, standard error, and the closing line.
# They appear a while after their module is loaded.
until [ -c /dev/vport0p1 ] && [ -c /dev/vport0p2 ] && [ -c /dev/vport0p3 ]; do
    usleep 10000
done

# A port can be opened only once, a FIFO as often as a script likes.
mkfifo /testvm/out /testvm/err
cat </testvm/out >/dev/vport0p1 &
out=$!
cat </testvm/err >/dev/vport0p2 &
err=$!

# The boot was quiet, as the console is slow. From here on its log tells the host
# what happened, should the guest crash.
dmesg -n 8
echo "<0>testvm: COMMAND begins" >/dev/kmsg
code=0
cd /root
env -i /bin/sh /testvm/command </dev/null >/testvm/out 2>/testvm/err || code=$?

# What COMMAND left running would keep the FIFOs open.
for process in /proc/[0-9]*; do
    process=${process#/proc/}
    case $process in
    1 | "$out" | "$err") ;;
    *) kill -9 "$process" 2>/dev/null || : ;;
    esac
done
wait "$out"
wait "$err"
echo "testvm: COMMAND ended with $code" >/dev/vport0p3
poweroff -f
