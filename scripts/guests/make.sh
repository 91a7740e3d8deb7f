#!/bin/bash
# Makes guests for ./run and the boot tests from Debian packages: make.sh [i386-pc] [amd64-pc] [amd64-net] [amd64-virtio] [amd64-share] [amd64-disk] [amd64-fat] [amd64-root] [amd64-plug] [amd64-tcc] [mipsel-malta] [mips-malta] [pc-iso] [pc-grub-iso] [pc-disk] [installers] [installers-mips]
#   guests/i386-pc/{vmlinuz,initrd.gz}    Debian's linux-image-686 and busybox-static
#   guests/amd64-pc/{vmlinuz,initrd.gz}   linux-image-amd64
#   guests/amd64-net/{vmlinuz,initrd.gz}  the same with the drivers of all network cards
#   guests/amd64-virtio/{vmlinuz,initrd.gz}   the same with the virtio drivers and ext4
#   guests/amd64-disk/{vmlinuz,initrd.gz}     the same with the drivers of all disk controllers and ext4
#   guests/amd64-fat/{vmlinuz,initrd.gz}      the same with FAT, floppy and virtio disks
#   guests/amd64-root/disk.img            a raw disk of 4 GiB (sparse) with MBR, GRUB and a Debian root on ext4
#   guests/amd64-plug/{vmlinuz,initrd.gz}   the same with the drivers of cards that are plugged in, and of the power button
#   guests/amd64-tcc/{vmlinuz,initrd.gz}      the same with a C compiler (tcc) and compile-steps.sh
#   guests/amd64-share/{vmlinuz,initrd.gz}    the same with 9P and virtio-input
#   guests/mipsel-malta/{vmlinux,initrd.gz}   linux-image-4kc-malta and busybox-static of mipsel
#   guests/mips-malta/{vmlinux,initrd.gz}     big-endian, for which Debian has no port: Linux and busybox from Debian's sources, cross-compiled (some minutes)
#   guests/pc-iso/boot.iso                the i386 guest on a CD: El Torito, ISOLINUX, serial console
#   guests/pc-grub-iso/grub.iso           the same by grub-mkrescue
#   guests/pc-disk/disk.img               a raw disk with MBR, GRUB and the i386 guest
#   guests/installer-{i386,amd64}-{text,gtk}/{vmlinuz,initrd.gz}   the Debian 12 installer's
#   guests/installer-{mipsel,mips64el}-text/{vmlinuz,initrd.gz}       the same for Malta, with 32- and 64-bit kernels
# What is there already is left alone. Needs no root but for two device nodes in the initramfs.
. "$(dirname "$0")/lib.sh"
. "$here/cross.sh"

pc() {      # NAME ARCH META [MODULE...]
    local name=$1 arch=$2 kpkg tree bb modules
    [ -f "$OUT/$name/initrd.gz" ] && [ -f "$OUT/$name/vmlinuz" ] && return 0
    echo "doppel: making the guest $name from Debian packages" >&2
    kpkg=$(kernel_package "$arch" "$3")
    tree=$(deb_unpack "$arch" "$kpkg")
    bb=$(deb_unpack "$arch" busybox-static)/bin/busybox
    mkdir -p "$OUT/$name"
    modules=$(modules_for "$tree" ata_piix sd_mod sr_mod bochs "${@:4}")
    [ -n "$modules" ] || { echo "doppel: no kernel modules found in $tree (is the package kmod installed?)" >&2; return 1; }
    initramfs "$OUT/$name/initrd.gz" "$bb" $modules
    cp "$tree"/boot/vmlinuz-* "$OUT/$name/vmlinuz"
}

# The amd64 guest with the drivers of all network cards.
amd64_net() {
    [ -f "$OUT/amd64-net/initrd.gz" ] && [ -f "$OUT/amd64-net/vmlinuz" ] && return 0
    pc amd64-net amd64 linux-image-amd64 af_packet e1000 8139cp 8139too ne2k-pci pcnet32 virtio_pci virtio_net virtio_rng virtio_balloon virtio_console
}

# The amd64 guest that mounts folders of the host and has virtio's keyboards and pointers.
amd64_share() {
    pc amd64-share amd64 linux-image-amd64 9p 9pnet_virtio virtio_pci virtio_input evdev
}

# The amd64 guest with the drivers of all virtio devices.
amd64_virtio() {
    pc amd64-virtio amd64 linux-image-amd64 af_packet ext4 crc32c_generic virtio_pci virtio_net virtio_blk virtio_scsi virtio_rng virtio_balloon virtio_console
}

# The amd64 guest with the drivers of all disk controllers.
amd64_disk() {
    pc amd64-disk amd64 linux-image-amd64 ahci nvme ext4 crc32c_generic isofs virtio_pci virtio_blk virtio_scsi
}

# The amd64 guest that reads FAT disks.
amd64_fat() {
    pc amd64-fat amd64 linux-image-amd64 vfat nls_cp437 nls_iso8859-1 nls_utf8 floppy virtio_pci virtio_blk
}

# A disk with a Debian userland. Its ext4 file system is made from a folder, without root: the files' owner is whoever runs this.
amd64_root() {
    [ -f "$OUT/amd64-root/disk.img" ] && return 0
    amd64_disk
    echo "doppel: making the Debian root of amd64-root" >&2
    mkdir -p "$OUT/amd64-root"
    local d=$OUT/amd64-root/disk.img.tmp w p; w=$(mktemp -d "$WORK/root.XXXXXX")
    mkdir -p "$w"/root/usr/{bin,sbin,lib,lib64} "$w"/root/{boot/grub,dev,proc,sys,tmp,data}
    for p in bin sbin lib lib64; do ln -s usr/$p "$w/root/$p"; done
    for p in base-files libc6 libtinfo6 bash coreutils diffutils libselinux1 libpcre2-8-0 libacl1 libattr1 libgmp10 busybox-static; do
        tar -C "$(deb_unpack amd64 "$p")" -c . | tar -C "$w/root" -x --keep-directory-symlink
    done
    rm -rf "$w"/root/usr/share/{doc,man,info,locale}
    install -m 755 "$here/root-init.sh" "$w/root/sbin/doppel-init"
    cp "$OUT/amd64-disk/vmlinuz" "$OUT/amd64-disk/initrd.gz" "$w/root/boot/"
    cat > "$w/root/boot/grub/grub.cfg" <<'CFG'
serial --unit=0 --speed=115200
terminal_output console serial
set timeout=0
menuentry "Doppel Debian root" {
  linux /boot/vmlinuz console=ttyS0,115200 quiet guest_root=doppel-root guest_write=16
  initrd /boot/initrd.gz
}
CFG
    rm -f "$d"
    truncate -s 4G "$d"
    printf 'label: dos\nstart=2048, type=83, bootable\n' | /sbin/sfdisk -q "$d"
    /sbin/mke2fs -q -t ext4 -L doppel-root -O ^metadata_csum_seed,^orphan_file -E offset=1048576,lazy_itable_init=1 -d "$w/root" "$d" $((4095 * 1024))k
    grub-mkimage -O i386-pc -d /usr/lib/grub/i386-pc -p '(hd0,msdos1)/boot/grub' -o "$w/core.img" biosdisk part_msdos ext2 normal linux serial terminal echo reboot
    dd if=/usr/lib/grub/i386-pc/boot.img of="$d" bs=440 count=1 conv=notrunc status=none
    dd if="$w/core.img" of="$d" bs=512 seek=1 conv=notrunc status=none
    [ "$(stat -c %s "$w/core.img")" -lt $((2047 * 512)) ]
    mv "$d" "$OUT/amd64-root/disk.img"
    rm -rf "$w"
}

# The amd64 guest for cards that come and go, and for the power button.
amd64_plug() {
    pc amd64-plug amd64 linux-image-amd64 af_packet button evdev e1000 8139too virtio_pci virtio_net virtio_blk virtio_rng virtio_balloon virtio_console
}

# The amd64 guest with the drivers of all disk controllers and a C compiler that it runs.
amd64_tcc() {
    [ -f "$OUT/amd64-tcc/initrd.gz" ] && [ -f "$OUT/amd64-tcc/vmlinuz" ] && return 0
    local libc tcc lib=lib/x86_64-linux-gnu; libc=$(deb_unpack amd64 libc6) tcc=$(deb_unpack amd64 tcc)
    EXTRA=$(mktemp -d "$WORK/tcc.XXXXXX")
    mkdir -p "$EXTRA"/{bin,lib64,$lib,usr/$lib}
    cp -L "$libc/$lib"/{libc.so.6,libm.so.6,libdl.so.2,libpthread.so.0} "$EXTRA/$lib/"
    cp -L "$libc/$lib/ld-linux-x86-64.so.2" "$EXTRA/lib64/"
    cp -L "$tcc/usr/bin/tcc" "$EXTRA/bin/"
    cp -r "$tcc/usr/$lib/tcc" "$EXTRA/usr/$lib/"
    install -m 755 "$here/compile-steps.sh" "$EXTRA/bin/compile-steps"
    pc amd64-tcc amd64 linux-image-amd64 ahci nvme virtio_pci virtio_blk virtio_scsi
    rm -rf "$EXTRA"
    EXTRA=
}

# Little-endian MIPS on a Malta board.
mipsel_malta() {
    [ -f "$OUT/mipsel-malta/initrd.gz" ] && [ -f "$OUT/mipsel-malta/vmlinux" ] && return 0
    echo "doppel: making the guest mipsel-malta from Debian packages" >&2
    local tree bb modules
    tree=$(deb_unpack mipsel "$(kernel_package mipsel linux-image-4kc-malta)")
    bb=$(deb_unpack mipsel busybox-static)/bin/busybox
    mkdir -p "$OUT/mipsel-malta"
    modules=$(modules_for "$tree" ata_piix sd_mod sr_mod af_packet pcnet32 e1000 virtio_pci virtio_blk virtio_net)
    [ -n "$modules" ] || { echo "doppel: no kernel modules found in $tree (is the package kmod installed?)" >&2; return 1; }
    initramfs "$OUT/mipsel-malta/initrd.gz" "$bb" $modules
    cp "$tree"/boot/vmlinu* "$OUT/mipsel-malta/vmlinux"
}

mips_malta() {
    [ -f "$OUT/mips-malta/initrd.gz" ] && [ -f "$OUT/mips-malta/vmlinux" ] && return 0
    echo "doppel: making the guest mips-malta from Debian sources (some minutes)" >&2
    mkdir -p "$OUT/mips-malta"
    local bb; bb=$(cross_busybox mips-linux-gnu-)
    cross_kernel mips mips-linux-gnu- "$here/mips-malta.config" "$OUT/mips-malta/vmlinux"
    initramfs "$OUT/mips-malta/initrd.gz" "$bb"
}

pc_iso() {
    [ -f "$OUT/pc-iso/boot.iso" ] && return 0
    pc i386-pc i386 linux-image-686
    mkdir -p "$OUT/pc-iso"
    local r; r=$(mktemp -d "$WORK/iso.XXXXXX")
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$r/"
    cp "$OUT/i386-pc/vmlinuz" "$OUT/i386-pc/initrd.gz" "$r/"
    cat > "$r/isolinux.cfg" <<'CFG'
serial 0 115200
default i386
prompt 1
timeout 10
label i386
  kernel /vmlinuz
  append initrd=/initrd.gz console=tty0 console=ttyS0,115200
CFG
    xorriso -as mkisofs -quiet -o "$OUT/pc-iso/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$r"
    rm -rf "$r"
}

grub_config() {
    cat <<'CFG'
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=3
menuentry "Doppel i386 guest" {
  linux /vmlinuz console=tty0 console=ttyS0,115200
  initrd /initrd.gz
}
menuentry "Reboot" { reboot }
CFG
}

pc_grub_iso() {
    [ -f "$OUT/pc-grub-iso/grub.iso" ] && return 0
    pc i386-pc i386 linux-image-686
    mkdir -p "$OUT/pc-grub-iso"
    local r; r=$(mktemp -d "$WORK/grub.XXXXXX")
    mkdir -p "$r/boot/grub"
    cp "$OUT/i386-pc/vmlinuz" "$OUT/i386-pc/initrd.gz" "$r/"
    grub_config > "$r/boot/grub/grub.cfg"
    grub-mkrescue -d /usr/lib/grub/i386-pc -o "$OUT/pc-grub-iso/grub.iso" "$r" >"$WORK/grub-mkrescue.log" 2>&1 || { cat "$WORK/grub-mkrescue.log" >&2; return 1; }
    rm -rf "$r"
}

# A raw disk image without root or loop devices: core.img with the FAT file system's files, boot.img in the MBR.
pc_disk() {
    [ -f "$OUT/pc-disk/disk.img" ] && return 0
    pc i386-pc i386 linux-image-686
    mkdir -p "$OUT/pc-disk"
    local d=$OUT/pc-disk/disk.img.tmp w; w=$(mktemp -d "$WORK/disk.XXXXXX")
    truncate -s 64M "$d"
    printf 'label: dos\nstart=2048, type=c, bootable\n' | /sbin/sfdisk -q "$d"
    truncate -s 63M "$w/fat"
    mformat -i "$w/fat" -F -h 16 -s 63 -H 2048 ::
    grub_config > "$w/grub.cfg"
    mmd -i "$w/fat" ::/boot ::/boot/grub
    mcopy -i "$w/fat" "$w/grub.cfg" ::/boot/grub/grub.cfg
    mcopy -i "$w/fat" "$OUT/i386-pc/vmlinuz" "$OUT/i386-pc/initrd.gz" ::/
    grub-mkimage -O i386-pc -d /usr/lib/grub/i386-pc -p '(hd0,msdos1)/boot/grub' -o "$w/core.img" \
        biosdisk part_msdos fat normal linux serial terminal echo reboot configfile all_video vbe vga video_bochs
    dd if="$w/fat" of="$d" bs=1M seek=1 conv=notrunc status=none
    dd if=/usr/lib/grub/i386-pc/boot.img of="$d" bs=440 count=1 conv=notrunc status=none
    dd if="$w/core.img" of="$d" bs=512 seek=1 conv=notrunc status=none
    [ "$(stat -c %s "$w/core.img")" -lt $((2047 * 512)) ]
    mv "$d" "$OUT/pc-disk/disk.img"
    rm -rf "$w"
}

# The installer's network boot files as Debian packs them (240 MB of packages).
installer() {      # ARCH
    local arch=$1 kind tree
    [ -f "$OUT/installer-$arch-gtk/initrd.gz" ] && return 0
    echo "doppel: unpacking Debian's installer for $arch" >&2
    tree=$(deb_unpack amd64 "debian-installer-12-netboot-$arch")
    for kind in text gtk; do
        local from=$tree/usr/lib/debian-installer/images/12/$arch/$kind/debian-installer/$arch to=$OUT/installer-$arch-$kind
        mkdir -p "$to"
        cp "$from/linux" "$to/vmlinuz"
        cp "$from/initrd.gz" "$to/initrd.gz.tmp" && mv "$to/initrd.gz.tmp" "$to/initrd.gz"
    done
    rm -rf "$tree"
}

installer_malta() {  # ARCH
    local arch=$1 tree from to=$OUT/installer-$1-text
    [ -f "$to/initrd.gz" ] && return 0
    echo "doppel: unpacking Debian's installer for $arch" >&2
    tree=$(deb_unpack amd64 "debian-installer-12-netboot-$arch")
    from=$tree/usr/lib/debian-installer/images/12/$arch/malta
    mkdir -p "$to"
    cp "$from"/vmlinuz-* "$to/vmlinuz"
    cp "$from/initrd.gz" "$to/initrd.gz.tmp" && mv "$to/initrd.gz.tmp" "$to/initrd.gz"
    rm -rf "$tree"
}

[ $# -gt 0 ] || set -- amd64-pc
for guest; do
    case $guest in
        i386-pc) pc i386-pc i386 linux-image-686 ;;
        amd64-pc) pc amd64-pc amd64 linux-image-amd64 ;;
        amd64-net) amd64_net ;;
        amd64-virtio) amd64_virtio ;;
        amd64-share) amd64_share ;;
        amd64-disk) amd64_disk ;;
        amd64-fat) amd64_fat ;;
        amd64-root) amd64_root ;;
        amd64-plug) amd64_plug ;;
        amd64-tcc) amd64_tcc ;;
        mipsel-malta) mipsel_malta ;;
        mips-malta) mips_malta ;;
        pc-iso) pc_iso ;;
        pc-grub-iso) pc_grub_iso ;;
        pc-disk) pc_disk ;;
        installers) installer i386 && installer amd64 ;;
        installers-mips) installer_malta mipsel && installer_malta mips64el ;;
        *) echo "doppel: no such guest: $guest (i386-pc amd64-pc amd64-net amd64-virtio amd64-share amd64-disk amd64-fat amd64-root amd64-plug amd64-tcc mipsel-malta mips-malta pc-iso pc-grub-iso pc-disk installers installers-mips)" >&2; exit 2 ;;
    esac
done
