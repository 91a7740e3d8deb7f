# Debian packages the project needs; sourced by ./run and ./test. Each list is installed only when something of it is missing.
packages_build=(g++ cmake ninja-build pkg-config ccache git libxbyak-dev libcapstone-dev libsdl2-dev libuv1-dev libslirp-dev libseccomp-dev zlib1g-dev libzstd-dev nettle-dev nlohmann-json3-dev libpng-dev)
packages_run=(seabios qemu-system-data kmod cpio gzip dpkg-dev xz-utils ca-certificates)
packages_test=(libgtest-dev python3 gdb xvfb xdotool x11-apps binutils xorriso isolinux syslinux-common pxelinux ipxe-qemu grub-pc-bin grub-common u-boot-qemu binutils-mips-linux-gnu mtools dosfstools fdisk e2fsprogs qemu-utils clang-format clang-tidy)
packages_user=(qemu-user gdb-multiarch gcc-i686-linux-gnu libc6-dev-i386-cross gcc-mips-linux-gnu libc6-dev-mips-cross gcc-mipsel-linux-gnu libc6-dev-mipsel-cross gcc-mips64el-linux-gnuabi64 libc6-dev-mips64el-cross)
packages_cross=(make flex bison bc dpkg-dev gcc-mips-linux-gnu libc6-dev-mips-cross)  # guests/mips-malta
packages_bench=(qemu-system-x86 qemu-system-mips gcc libc6-dev gcc-i686-linux-gnu libc6-dev-i386-cross python3 e2fsprogs openssl util-linux)

# ensure_packages NAME...: installs what is missing; says so in one line.
ensure_packages() {
    local missing=() p sudo=
    for p; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
    [ ${#missing[@]} = 0 ] && return 0
    echo "doppel: installing ${missing[*]}" >&2
    [ "$(id -u)" = 0 ] || sudo=sudo
    if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
        echo "doppel: these Debian packages are missing: ${missing[*]} (install them as root: apt-get install ${missing[*]})" >&2
        return 1
    fi
    local log; log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { $sudo apt-get -o DPkg::Lock::Timeout=600 update && \
           $sudo apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -5 "$log" >&2
        echo "doppel: apt-get could not install the packages above (the whole output: $log)" >&2
        return 1
    fi
    rm -f "$log"
}
