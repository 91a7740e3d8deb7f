#!/bin/bash
# build.sh MACHINE...: makes, for x86_64, i386, mips and mipsel, what bench/user runs, in bench/out/user/MACHINE: loops (static), true
# (dynamic), for the x86 machines sample.i, and for i386 a tree with Debian's cc1 (cc1/; x86_64 uses the host's gcc-12).
bench=$(cd "$(dirname "$0")/.." && pwd)
. "$bench/../scripts/guests/lib.sh"
nothing=(--exclude=./usr/share/doc)

for machine; do
    out=$bench/out/user/$machine
    mkdir -p "$out"
    case $machine in
        x86_64) arch=amd64 cc=gcc ;;
        i386) arch=i386 cc=i686-linux-gnu-gcc ;;
        mips|mipsel) arch=$machine cc=$machine-linux-gnu-gcc ;;
        *) echo "bench: no such machine: $machine (x86_64 i386 mips mipsel)" >&2; exit 2 ;;
    esac
    newest=$(ls -t "$bench"/src/* "$bench/guest/sample.c" "$bench/user/build.sh" | head -1)
    if [ ! "$out/true" -nt "$newest" ]; then
        "$bench/src/build.sh" "$arch" "$out"
        case $machine in x86_64|i386) $cc -E -P "$bench/guest/sample.c" -o "$out/sample.i" ;; esac
        echo 'int main(void) { return 0; }' | $cc -O2 -x c - -o "$out/true"
    fi
    if [ $machine = i386 ] && [ ! -f "$out/cc1/.complete" ]; then
        rm -rf "$out/cc1"
        packages_tree i386 "$out/cc1" nothing $(packages_closure i386 cpp-12)
        : > "$out/cc1/.complete"
    fi
done
