#!/bin/sh
# /bin/compile-steps of the amd64-tcc guest: compile-steps DISK STEPS. Each step makes a C file of 300 functions, compiles it with tcc, runs the
# program, which goes on from the number of the step before, and writes its answer to the disk: STEP-N, at the end RESULT-NUMBER-HASH-END.
# tests/state/run.py knows the answers.
disk=$1 steps=$2 v=1 i=0
while [ $i -lt $steps ]; do
    awk -v i=$i -v v=$v 'BEGIN {
        n = 300
        print "typedef unsigned long long u64;"
        for (k = 0; k < n; k++) {
            a = (i * n + k) * 7919 + 1; b = (i + 3) * (k + 11) * 101
            printf "static u64 f%d(u64 x, int n) {\n  u64 s = %dULL;\n  for (int j = 0; j < n; j++) { s = s * %dULL + (x >> (j & 31)); x ^= s << %d; if (s & %d) x += j; }\n", k, b, a * 2 + 1, k % 23 + 1, k % 7 + 1
            printf "  return s ^ x;\n}\n"
        }
        printf "static u64 (*const table[])(u64, int) = {"
        for (k = 0; k < n; k++) printf "f%d, ", k
        print "};"
        printf "static long call(long n, long a, long b, long c) {\n  long r;\n  __asm__ volatile(\"syscall\" : \"=a\"(r) : \"a\"(n), \"D\"(a), \"S\"(b), \"d\"(c) : \"rcx\", \"r11\", \"memory\");\n  return r;\n}\n"
        printf "void _start(void) {\n  char out[24];\n  int at = 24;\n  u64 x = %sULL;\n  for (int r = 0; r < 2000; r++) x = table[x %% %d](x, r %% 19 + 1);\n", v, n
        print "  out[--at] = 10;\n  do { out[--at] = 48 + x % 10; x /= 10; } while (x != 0);\n  call(1, 1, (long)(out + at), 24 - at);\n  call(60, 0, 0, 0);\n}"
    }' > /tmp/p.c
    rm -f /tmp/p
    tcc -nostdlib -static -o /tmp/p /tmp/p.c || echo "COMPILER-FAILED $?"
    v=$(/tmp/p)
    printf '%-512s' $v | dd of=$disk bs=512 seek=$((i * 9)) conv=notrunc 2>/dev/null
    echo STEP-$i
    i=$((i + 1))
done
sync
echo 3 > /proc/sys/vm/drop_caches
j=0
while [ $j -lt $steps ]; do
    dd if=$disk bs=512 skip=$((j * 9)) count=1 2>/dev/null
    j=$((j + 1))
done > /tmp/blocks
echo RESULT-$v-$(sha256sum < /tmp/blocks | cut -c1-64)-END
