# Parts of guests that Debian has no packages of: cross-compiled from its sources. Sourced after lib.sh. Needs packages_cross of scripts/packages.sh.

need_tools() {      # COMMAND...
    local c missing=()
    for c; do command -v "$c" >/dev/null || missing+=("$c"); done
    [ ${#missing[@]} = 0 ] && return 0
    echo "doppel: not installed: ${missing[*]} (packages_cross in scripts/packages.sh names the Debian packages; ./test --full installs them)" >&2
    return 1
}

# cross_busybox PREFIX: a static busybox by Debian's cross compiler of that prefix; prints the file.
cross_busybox() {
    local prefix=$1 o=$WORK/busybox-${1%-} src
    if [ ! -x "$o/busybox" ]; then
        need_tools "${prefix}gcc" make dpkg-source || return 1
        src=$(mktemp -d "$WORK/source.XXXXXX")
        (cd "$src" && apt_for "$(dpkg --print-architecture)-src" apt-get -qq source busybox) >/dev/null 2>&1 || { echo "doppel: apt-get could not fetch busybox's source" >&2; return 1; }
        rm -rf "$o"; mkdir -p "$o"
        {
            make -s -C "$src"/busybox-*/ O="$o" defconfig
            sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' "$o/.config"
            make -s -C "$o" CROSS_COMPILE="$prefix" -j"$(nproc)" busybox
        } > "$o/log" 2>&1 || { tail -5 "$o/log" >&2; echo "doppel: busybox does not build (the whole output: $o/log)" >&2; return 1; }
        rm -rf "$src"
    fi
    echo "$o/busybox"
}

# cross_kernel ARCH PREFIX CONFIG OUTFILE: the vmlinux of Debian's Linux source with the options of the file CONFIG, all others off.
cross_kernel() {
    local arch=$1 prefix=$2 config=$3 out=$4 src o lost
    need_tools "${prefix}gcc" make flex bison bc || return 1
    o=$(mktemp -d "$WORK/kernel.XXXXXX")
    src=$(deb_unpack "$(dpkg --print-architecture)" linux-source-6.1)
    tar -C "$o" -xf "$src"/usr/src/linux-source-6.1.tar.xz
    set -- -s -C "$o/linux-source-6.1" ARCH="$arch" CROSS_COMPILE="$prefix" KBUILD_BUILD_USER=doppel KBUILD_BUILD_HOST=doppel KBUILD_BUILD_TIMESTAMP=2024-01-01
    make "$@" KCONFIG_ALLCONFIG="$config" allnoconfig > "$o/log" 2>&1 || { tail -5 "$o/log" >&2; return 1; }
    lost=$(grep '^CONFIG' "$config" | grep -vxFf "$o/linux-source-6.1/.config" | tr '\n' ' ') || true
    [ -z "$lost" ] || { echo "doppel: options of $config that this kernel does not take: $lost" >&2; return 1; }
    make "$@" -j"$(nproc)" vmlinux >> "$o/log" 2>&1 || { tail -5 "$o/log" >&2; echo "doppel: Linux does not build (the whole output: $o/log)" >&2; return 1; }
    "${prefix}strip" -o "$out.tmp" "$o/linux-source-6.1/vmlinux"
    mv "$out.tmp" "$out"
    rm -rf "$o" "$src"
}
