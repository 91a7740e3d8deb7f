#!/bin/sh
# /init of the busybox guests: looks at the machine, does a little work whose answers are known, prints GUEST-OK and ends.
# Kernel command line words it obeys:
#   guest_end=poweroff|reboot|halt|shell   (poweroff when absent)
#   guest_quiet                            no report of the machine, no checks
#   guest_net=HTTP,TCP                     check every network card against the gateway's two ports
#   guest_root=LABEL                       go on from the ext4 file system of that name, with its /sbin/doppel-init
#   guest_run=COMMAND                      run it with sh (+ for blanks) before the end
PATH=/bin
b() { busybox "$@"; }
if [ "$1" = dhcp ]; then    # the script of udhcpc
    case $2 in bound|renew)
        b ip addr flush dev $interface; b ip addr add $ip/$mask dev $interface
        [ -z "$router" ] || b ip route add default via $router dev $interface 2>/dev/null
        [ -z "$dns" ] || echo "nameserver $dns" > /etc/resolv.conf ;;
    esac
    exit 0
fi
b mount -t proc proc /proc
b mount -t sysfs sysfs /sys
b mount -t devtmpfs devtmpfs /dev 2>/dev/null
end=poweroff quiet= run= net= root=
for w in $(b cat /proc/cmdline); do
    case $w in
        guest_end=*) end=${w#guest_end=} ;;
        guest_quiet) quiet=1 ;;
        guest_net=*) net=${w#guest_net=} ;;
        guest_root=*) root=${w#guest_root=} ;;
        guest_run=*) run=$(echo "${w#guest_run=}" | b tr + ' ') ;;
    esac
done
b --install -s /bin 2>/dev/null
if [ -f /lib/modules/order ]; then
    # "No such device": it drives what this CPU or board does not have.
    while read -r m; do
        said=$(b insmod /lib/modules/$m 2>&1) || case $said in *"No such device"*) ;; *) echo "GUEST-INSMOD-FAIL $said" ;; esac
    done < /lib/modules/order
fi
if [ -n "$root" ]; then
    for n in 1 2 3 4 5 6 7 8 9 10; do d=$(b findfs LABEL=$root 2>/dev/null) && break; b sleep 1; done
    if b mount -t ext4 $d /mnt; then b umount /proc /sys /dev; exec busybox switch_root /mnt /sbin/doppel-init; fi
    echo "GUEST-NO-ROOT $root"; b cat /proc/partitions; b poweroff -f
fi
fail=0
check() { if [ "$2" = "$3" ]; then echo "GUEST-CHECK $1 pass"; else echo "GUEST-CHECK $1 FAIL got=$2 want=$3"; fail=1; fi; }
if [ -z "$quiet" ]; then
    b sleep 1
    echo "GUEST-UP $(b uname -srm)"
    b cat /proc/cpuinfo | b grep -E 'processor|model name|flags'
    echo "-- interrupts"; b cat /proc/interrupts
    echo "-- partitions"; b cat /proc/partitions
    echo "-- fb"; b cat /proc/fb 2>/dev/null
    echo "-- clocksource $(b cat /sys/devices/system/clocksource/clocksource0/current_clocksource 2>/dev/null)"
    check md5 "$(b seq 1 20000 | b md5sum | b cut -c1-32)" e071f707df7bbeee2a6a1eb48011ddd0
    check sha256 "$(b seq 1 20000 | b sha256sum | b cut -c1-16)" f6351f5ead9a700e
    check gzip "$(b seq 1 20000 | b gzip | b gunzip | b md5sum | b cut -c1-32)" e071f707df7bbeee2a6a1eb48011ddd0
    check float "$(b awk 'BEGIN{s=0;for(i=1;i<=3000;i++){s+=1/i;s=s*0.999+(i%7)/3};printf "%.12f",s}')" 950.775417324650
    check fork "$(i=0; while [ $i -lt 50 ]; do (echo x) ; i=$((i+1)); done | b wc -l | b tr -d ' ')" 50
    for d in /dev/vda /dev/sda; do
        [ -b $d ] || continue
        b seq 1 3000 | b dd of=$d bs=512 seek=100000 conv=notrunc 2>/dev/null
        b sync; echo 3 > /proc/sys/vm/drop_caches
        check disk:$d "$(b dd if=$d bs=512 skip=100000 count=64 2>/dev/null | b head -n 3000 | b md5sum | b cut -c1-32)" ee9762749fc5338b6c9b0948d14219c7
        break
    done
    if [ "$(b grep -c ^processor /proc/cpuinfo)" -gt 1 ]; then
        n=$(b nproc); i=0
        while [ $i -lt $n ]; do (b seq 1 60000 | b sha256sum > /tmp/p$i) & i=$((i+1)); done; wait
        check parallel "$(b cat /tmp/p* | b sort -u | b wc -l | b tr -d ' ')" 1
    fi
    echo "uptime $(b cut -d' ' -f1 /proc/uptime)"
    if [ $fail = 0 ]; then echo "GUEST-OK"; else echo "GUEST-BAD"; fi
fi
# A card: address by DHCP, echo of the gateway, TCP from, to and into the guest. The other end knows the hashes.
check_card() {
    local i=$1 http=${net%,*} tcp=${net#*,} gw driver
    driver=$(b basename $(b readlink /sys/class/net/$i/device/driver))
    [ "$driver" != virtio_net ] || driver=virtio-net
    lease $i >/dev/null 2>&1
    gw=$(b ip -4 addr show dev $i | b sed -n 's/.*inet \([0-9.]*\)\.[0-9]*\/.*/\1.2/p')
    if [ -z "$gw" ]; then echo "GUEST-NET $driver no-address"; return; fi
    b ip route flush dev $i; b ip route add ${gw%.*}.0/24 dev $i
    b ping -c 2 -W 5 $gw >/dev/null && echo "GUEST-NET $driver ping"
    b wget -q -O /tmp/data http://$gw:$http/data && echo "GUEST-NET $driver got $(b sha256sum < /tmp/data | b cut -c1-64)"
    b nc $gw $tcp < /tmp/data && echo "GUEST-NET $driver sent"
    echo "GUEST-NET $driver listens"
    echo "GUEST-NET $driver took $(b nc -l -p 7000 < /dev/null | b sha256sum | b cut -c1-64)"
    b ip link set $i down
}
lease() { b ip link set $1 up; b udhcpc -i $1 -n -q -t 8 -T 2 -s /bin/lease; }
if [ -d /sys/class/net/eth0 ]; then
    b mkdir -p /etc; b ip link set lo up
    printf '#!/bin/sh\nexec sh /init dhcp "$1"\n' > /bin/lease; b chmod 755 /bin/lease
    if [ -n "$net" ]; then for i in /sys/class/net/eth*; do check_card $(b basename $i); done
    elif [ $end = shell ]; then lease eth0 >/dev/null 2>&1 & fi
fi
[ -z "$run" ] || sh -c "$run"
case $end in
    shell)
        echo; echo "Doppel guest: $(b uname -srm). 'poweroff -f' ends the machine."
        while :; do b setsid busybox cttyhack sh; done ;;
    reboot) b reboot -f ;;
    halt) b halt -f ;;
    *) b poweroff -f ;;
esac
b sleep 5; echo "GUEST-STILL-HERE"; while :; do b sleep 60; done
