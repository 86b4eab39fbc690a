# The guest's part of run.sh: builds a disk on the writable one, and resets the machine at a moment:
# half-written, named or done.
set -eu
# A builder that has failed is not worth a reset.
at_work() {
    if grep -q '^State:.*zombie' "/proc/$1/status"; then
        wait "$1"
    fi
}
mkdir out
mount -t ext4 "$TESTVM_DISKS" out
disk-builder build model --output out/disk &
case $1 in
half-written) until [ "$(sed -n 's/^wchar: //p' /proc/$!/io)" -gt 32000000 ]; do at_work $!; done ;;
named) until [ -e out/disk ]; do at_work $!; done ;;
done) wait $! ;;
esac
echo b >/proc/sysrq-trigger
sleep 1000
