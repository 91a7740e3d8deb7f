#!/bin/bash
# build.sh ARCH...: makes, for i386 and/or amd64, what the benchmark's guests run, in bench/out/build/ARCH:
#   root/        a tree of Debian packages (gzip, xz, openssl, python3, sqlite3, gcc), without documentation; the native runs use it too
#   disk.img     the same as an ext2 image; made by mke2fs -d, so nothing is mounted
#   loops        the small loops (src/), static
#   initrd.gz    busybox, modules for IDE and ext2, loops, guest/init.sh
#   vmlinuz      the kernel of guests/ARCH-pc
# What is up to date is left alone. Needs no root.
bench=$(cd "$(dirname "$0")" && pwd)
. "$bench/../scripts/guests/lib.sh"

packages=(busybox-static gzip xz-utils openssl python3-minimal python3 sqlite3 gcc libc6-dev)
prune=(--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/info --exclude=./usr/share/lintian
    --exclude='*.a' --exclude='*/lto1' --exclude='*/lto-wrapper' --exclude='*/g++-mapper-server' --exclude='*/libasan.*' --exclude='*/libtsan.*'
    --exclude='*/liblsan.*' --exclude='*/libubsan.*' --exclude='*gprofng*' --exclude='*/gconv/*' --exclude='./usr/share/perl*' --exclude='*/ld.gold*'
    --exclude='*-ld.gold' --exclude='*-dwp*' --exclude='*/lib2to3/*' --exclude='*/idlelib/*' --exclude='*/pydoc_data/*' --exclude='./usr/bin/dpkg*'
    --exclude='*/tkinter/*' --exclude='./usr/lib/systemd' --exclude='*/plugin/*' --exclude='*-gcov*' --exclude='*/perl-base*')

fresh() {       # RESULT SOURCE...: the result exists and is not older than any source
    local result=$1 s; shift
    [ -e "$result" ] || return 1
    for s; do [ "$result" -nt "$s" ] || return 1; done
}

make_tree() {   # ARCH FOLDER: the packages and all they depend on
    local arch=$1 tree=$2
    fresh "$tree/.complete" "$bench/build.sh" && return 0
    echo "bench: making the $arch tree from Debian packages" >&2
    rm -rf "$tree"
    packages_tree "$arch" "$tree" prune $(packages_closure "$arch" "${packages[@]}")
    mkdir -p "$tree"/{bench,proc,sys,dev,tmp,etc}
    cp "$tree/bin/busybox" "$tree/bin/sh.tmp" && mv -f "$tree/bin/sh.tmp" "$tree/bin/sh"
    find "$tree/usr/lib/python3.11" -name '*.py' -print0 | LC_ALL=C sort -z | xargs -0 cat > "$tree/bench/text"
    truncate -s 3000000 "$tree/bench/text"
    : > "$tree/dev/null"
    # Debian compiles Python's modules when the package is configured; without that each start would compile them again.
    in_root "$tree" /usr/bin/python3.11 -m compileall -q /usr/lib/python3.11 >/dev/null 2>&1 || echo "bench: note: Python's modules stay uncompiled ($arch)" >&2
    : > "$tree/.complete"
}

in_root() {     # TREE COMMAND...: with root's rights by chroot, else in a user namespace
    local tree=$1; shift
    if [ "$(id -u)" = 0 ]; then /usr/sbin/chroot "$tree" "$@"; else unshare --map-root-user --root="$tree" "$@"; fi
}

make_guest() {  # ARCH
    local arch=$1 out=$bench/out/build/$1 tree=$bench/out/build/$1/root kernel_tree libdir size
    local inputs=("$bench"/src/* "$bench"/guest/* "$bench/workloads.txt" "$bench/build.sh")
    mkdir -p "$out"
    make_tree "$arch" "$tree"
    fresh "$out/initrd.gz" "${inputs[@]}" "$tree/.complete" && fresh "$out/disk.img" "$out/loops" && return 0
    echo "bench: building the $arch workloads" >&2
    libdir=$(dirname "$(find "$tree/usr/lib" -name libcrypto.so.3 | head -1)")
    "$bench/src/build.sh" "$arch" "$out" "$libdir"
    mv "$out/rsa_sign" "$tree/bench/rsa_sign"
    [ -f "$bench/out/build/key.pem" ] || openssl genrsa -out "$bench/out/build/key.pem" 2048 2>/dev/null
    cp "$bench/out/build/key.pem" "$bench"/guest/{sample.c,work.py,work.sql} "$tree/bench/"

    "$root/scripts/guests/make.sh" "$arch-pc"
    cp "$OUT/$arch-pc/vmlinuz" "$out/vmlinuz"
    case $arch in
        i386) kernel_tree=$(deb_unpack i386 "$(kernel_package i386 linux-image-686)") ;;
        amd64) kernel_tree=$(deb_unpack amd64 "$(kernel_package amd64 linux-image-amd64)") ;;
    esac
    make_initrd "$out/initrd.gz" "$out/loops" "$(deb_unpack "$arch" busybox-static)/bin/busybox" \
        $(modules_for "$kernel_tree" ata_piix sd_mod crc32c_generic ext4 | grep -v -e crc32c-intel)    # ext4 would like it; not for these CPU models

    size=$(($(du -sm "$tree" | cut -f1) * 115 / 100 + 24))
    rm -f "$out/disk.img"; truncate -s "${size}M" "$out/disk.img"
    mke2fs -q -t ext2 -m 0 -N 12000 -d "$tree" "$out/disk.img"
    touch "$out/initrd.gz"
}

make_initrd() { # OUTFILE LOOPS BUSYBOX MODULE...
    local outf=$1 loops=$2 bb=$3 r m n; shift 3
    r=$(mktemp -d "$WORK/bench.XXXXXX")
    mkdir -p "$r"/{bin,dev,proc,sys,tmp,mnt,lib/modules}
    cp "$bb" "$loops" "$r/bin/"; chmod 755 "$r"/bin/*
    ln -s busybox "$r/bin/sh"
    cp "$bench/guest/init.sh" "$r/init"; chmod 755 "$r/init"
    cp "$bench/workloads.txt" "$r/"
    for m; do
        n=$(basename "$m" .xz)
        echo "$n" >> "$r/lib/modules/order"
        case $m in *.xz) xz -dc "$m" > "$r/lib/modules/$n" ;; *) cp "$m" "$r/lib/modules/" ;; esac
    done
    find "$r" -exec touch -h -d @0 {} +
    (cd "$r" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -9n > "$outf.tmp"
    mv "$outf.tmp" "$outf"
    rm -rf "$r"
}

for arch; do make_guest "$arch"; done
