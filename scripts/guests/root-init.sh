#!/bin/bash
# /sbin/doppel-init of the amd64-root guest: what runs from a Debian root on a disk. Kernel command line words it obeys:
#   guest_write=MIB     write that much, drop the caches, read it again: GUEST-ROOT hash pass
#   guest_files=FROM    write files for ever, each with fsync, from that number on: GUEST-WROTE N after each
#   guest_verify=N      check that files 1 to N are there and what they should be: GUEST-VERIFIED N
#   guest_run=COMMAND   run it (+ for blanks)
# Then the machine is switched off.
export PATH=/bin:/sbin
mount() { busybox mount "$@"; }
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev 2>/dev/null; mount -t tmpfs tmpfs /tmp
read -r -a words < /proc/cmdline
echo "GUEST-ROOT up on $(busybox awk '$2 == "/" && $1 != "rootfs" {print $1}' /proc/mounts), $(. /etc/os-release; echo "$PRETTY_NAME")"
mkdir -p /data
contents() { seq $(($1 * 7)) $(($1 * 7 + 3000 + $1 % 50 * 100)); }
write_data() {
    local a b
    a=$(head -c $(($1 * 1048576)) /dev/urandom | tee /data/big | sha256sum)
    sync
    echo 3 > /proc/sys/vm/drop_caches
    b=$(sha256sum < /data/big)
    if [ "$a" = "$b" ]; then echo "GUEST-ROOT hash pass $1 MiB"; else echo "GUEST-ROOT hash FAIL"; fi
    rm /data/big
}
write_files() {
    local n=$1
    while :; do
        contents $n > /data/f$n && sync -d /data/f$n && sync /data && echo "GUEST-WROTE $n"
        n=$((n + 1))
    done
}
verify() {
    local n bad=0
    for ((n = 1; n <= $1; n++)); do
        contents $n | cmp -s - /data/f$n || { echo "GUEST-LOST $n"; bad=1; }
    done
    [ $bad = 1 ] || echo "GUEST-VERIFIED $1"
}
for w in "${words[@]}"; do
    case $w in
        guest_verify=*) verify "${w#*=}" ;;
        guest_write=*) write_data "${w#*=}" ;;
        guest_files=*) write_files "${w#*=}" ;;
        guest_run=*) bash -c "$(tr + ' ' <<< "${w#*=}")" ;;
    esac
done
sync
mount -o remount,ro /
busybox poweroff -f
