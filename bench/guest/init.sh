#!/bin/sh
# /init of the benchmark's guests. Runs the workloads that bench=NAME,... on the kernel's command line names, in the order of
# /workloads.txt, and tells the harness on the console where each begins and ends:
#   @@boot | @@begin NAME | @@end NAME STATUS OUTPUT | @@skip NAME FLAG | @@done
# The harness reads the emulator's CPU clock as a line arrives; the pauses let its readings and the console's output settle.
PATH=/bin
b() { busybox "$@"; }
b mount -t proc proc /proc
b mount -t sysfs sysfs /sys
b mount -t devtmpfs devtmpfs /dev 2>/dev/null
b --install -s /bin 2>/dev/null
while read -r m; do b insmod /lib/modules/$m || echo "@@note insmod $m failed"; done < /lib/modules/order
n=0
while [ ! -b /dev/sda ] && [ $n -lt 50 ]; do b sleep 0.1; n=$((n + 1)); done
if b mount -t ext2 -o ro /dev/sda /mnt; then
    b mount -t proc proc /mnt/proc
    b mount -t devtmpfs devtmpfs /mnt/dev
    b mount -t tmpfs tmpfs /mnt/tmp
else
    echo "@@note no disk"
fi
loops seed 1
echo "@@boot"
b sleep 0.5
list=
for w in $(b cat /proc/cmdline); do
    case $w in bench=*) list=,${w#bench=}, ;; esac
done
flags=" $(b sed -n 's/^flags[^:]*: //p' /proc/cpuinfo) "
while IFS='|' read -r name class machines needs command; do
    case $list in *,$name,*) ;; *) continue ;; esac
    if [ -n "$needs" ]; then
        case $flags in *" $needs "*) ;; *) echo "@@skip $name $needs"; continue ;; esac
    fi
    echo "@@begin $name"
    case $command in
        loops\ *) out=$($command 2>&1 < /dev/null) ;;
        *) out=$(chroot /mnt /bin/sh -c "$command" 2>&1 < /dev/null) ;;
    esac
    status=$?
    echo "@@end $name $status $(echo "$out" | b tail -n 1 | b cut -c1-150)"
    b sleep 0.1
done < /workloads.txt
echo "@@done"
b sleep 0.5
b poweroff -f
while :; do b sleep 60; done
