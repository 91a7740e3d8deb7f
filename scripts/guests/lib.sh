# Shared by the guest scripts; sourced, not run. Guests are made from Debian packages alone, into guests/ of the project.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
OUT=${DOPPEL_GUESTS:-$root/guests}
WORK=$OUT/.work
mkdir -p "$OUT" "$WORK"

archive_uri() {     # the Debian archive this machine uses
    local u
    u=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
    [ -n "$u" ] || u=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
    echo "$u"
}

# apt_for ARCH apt-args...: runs an apt tool against a private apt root, so that the machine's own architectures stay as they are. ARCH-src: one for
# source packages.
apt_for() {
    local root=$1 arch=${1%-src} kind=deb a=$WORK/apt/$1; shift
    [ "$root" = "$arch" ] || kind=deb-src
    local tool=$1; shift
    if [ ! -f "$a/ready" ]; then
        mkdir -p "$a/state/lists/partial" "$a/cache/archives/partial"
        : > "$a/status"
        echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive_uri) bookworm main" > "$a/sources.list"
        : > "$a/ready"
        apt_for "$root" apt-get -qq update >/dev/null || { rm -f "$a/ready"; return 1; }
    fi
    "$tool" -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
        -o Dir::State="$a/state" -o Dir::State::status="$a/status" -o Dir::Cache="$a/cache" \
        -o Dir::Etc::sourcelist="$a/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root "$@"
}

# deb_unpack ARCH PKG: downloads one binary package and unpacks it; prints the folder.
deb_unpack() {
    local arch=$1 pkg=$2 d=$WORK/debs/$1 f
    mkdir -p "$d"
    if [ ! -d "$d/$pkg" ]; then
        rm -f "$d/${pkg}"_*.deb
        (cd "$d" && apt_for "$arch" apt-get -qq download "$pkg" >&2)
        f=$(ls "$d/${pkg}"_*.deb | head -1)
        rm -rf "$d/$pkg.tmp"
        dpkg-deb -x "$f" "$d/$pkg.tmp" && mv "$d/$pkg.tmp" "$d/$pkg"
        rm -f "$f"
    fi
    echo "$d/$pkg"
}

# packages_closure ARCH PKG...: the packages and all they depend on.
packages_closure() {
    local arch=$1; shift
    apt_for "$arch" apt-get -qq -s install --no-install-recommends "$@" | awk '$1 == "Inst" { print $2 }'
}

# packages_tree ARCH FOLDER PRUNE PKG...: downloads packages and unpacks them over each other into a merged-/usr tree. PRUNE names an array of tar's
# options; --wildcards is on.
packages_tree() {
    local arch=$1 tree=$2 debs p; local -n unwanted=$3; shift 3
    [ $# -gt 0 ] || { echo "doppel: apt-get found no packages for $arch" >&2; return 1; }
    mkdir -p "$tree"/usr/{bin,lib,lib32,lib64,libx32,sbin}
    for p in bin sbin lib lib32 lib64 libx32; do ln -s usr/$p "$tree/$p"; done
    debs=$(mktemp -d "$WORK/debs.XXXXXX")
    (cd "$debs" && apt_for "$arch" apt-get -qq download "$@" >&2)
    for p in "$debs"/*.deb; do
        dpkg-deb --fsys-tarfile "$p" | tar -x -C "$tree" --no-same-owner --keep-directory-symlink "${unwanted[@]}" --wildcards
    done
    rm -rf "$debs"
}

# kernel_package ARCH META: the versioned package that a linux-image metapackage points at.
kernel_package() {
    apt_for "$1" apt-cache depends "$2" | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -1
}

# modules_for TREE NAME...: paths of modules and all they depend on, in load order.
modules_for() {
    local tree=$1 v n; shift
    [ -e "$tree/lib" ] || ln -s usr/lib "$tree/lib"
    v=$(ls "$tree/lib/modules" | head -1)
    [ -f "$tree/lib/modules/$v/modules.dep" ] || /sbin/depmod -b "$tree" "$v"
    for n; do
        /sbin/modprobe -d "$tree" -S "$v" --show-depends -C /dev/null "$n" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++'
}

# initramfs OUTFILE BUSYBOX [MODULE.ko...]: a gzip-compressed cpio with busybox, /init, what is in the folder $EXTRA and, in load order, the modules.
initramfs() {
    local outf=$1 bb=$2 r m n; shift 2
    r=$(mktemp -d "$WORK/initrd.XXXXXX")
    mkdir -p "$r"/{bin,dev,proc,sys,tmp,mnt,lib/modules}
    cp "$bb" "$r/bin/busybox"; chmod 755 "$r/bin/busybox"
    ln -s busybox "$r/bin/sh"
    cp "$here/init.sh" "$r/init"; chmod 755 "$r/init"
    [ -z "${EXTRA:-}" ] || cp -r "$EXTRA/." "$r/"
    for m; do
        n=$(basename "$m" .xz)
        echo "$n" >> "$r/lib/modules/order"
        case $m in *.xz) xz -dc "$m" > "$r/lib/modules/$n";; *) cp "$m" "$r/lib/modules/";; esac
    done
    mknod -m 600 "$r/dev/console" c 5 1 2>/dev/null || true
    mknod -m 666 "$r/dev/null" c 1 3 2>/dev/null || true
    find "$r" -exec touch -h -d @0 {} +
    (cd "$r" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -9n > "$outf.tmp"
    mv "$outf.tmp" "$outf"
    rm -rf "$r"
}
