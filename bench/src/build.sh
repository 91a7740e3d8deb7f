#!/bin/bash
# build.sh ARCH FOLDER [LIBDIR]: builds `loops` (static) for i386, amd64, mips or mipsel (without the loops that are x86's), and with
# LIBDIR (the guest's libraries) `rsa_sign`.
# i386 code is for the Pentium Pro but for the files that say SSE or SSE2: those loops run only where the guest's CPU has it.
set -euo pipefail
cd "$(dirname "$0")"
arch=$1 out=$2
mkdir -p "$out/obj"
case $arch in
    i386) cc=i686-linux-gnu-gcc base=(-march=pentiumpro -mtune=generic) ;;
    amd64) cc=gcc base=(-march=x86-64 -mtune=generic) ;;
    mips|mipsel) cc=$arch-linux-gnu-gcc base=(-march=mips32r2) ;;
esac
case $arch in i386|amd64) x86=1 base+=(-fcf-protection=none) ;; *) x86= ;; esac
common=(-std=gnu11 -O2 -Wall -Wextra -fno-tree-vectorize -ffp-contract=off -fno-pie "${base[@]}")
objects=()
object() {      # FILE FLAGS...
    local f=$1; shift
    "$cc" "${common[@]}" "$@" -c "$f.c" -o "$out/obj/$f.o"
    objects+=("$out/obj/$f.o")
}
object main
object integer
object memory
object calls -fno-optimize-sibling-calls
object fp -fno-math-errno
object sse_scalar ${x86:+-msse -mfpmath=sse} -fno-math-errno
if [ -n "$x86" ]; then
    object x87 -fno-math-errno
    object simd_f32 -msse -mfpmath=sse -O3 -ftree-vectorize
    object simd_sse2 -msse2 -mfpmath=sse -O3 -ftree-vectorize
    [ "$arch" = amd64 ] || object mmx -mmmx
    object newcode
fi
object system
"$cc" -static -no-pie "${objects[@]}" -lm -o "$out/loops"
strip_tool=${cc%gcc}strip
"$strip_tool" "$out/loops"
if [ $# -gt 2 ]; then
    "$cc" "${common[@]}" -no-pie rsa_sign.c -o "$out/rsa_sign" "$3/libcrypto.so.3" -Wl,--unresolved-symbols=ignore-in-shared-libs
    "$strip_tool" "$out/rsa_sign"
fi
rm -r "$out/obj"
