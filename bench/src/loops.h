// The small loops of the benchmark: each does `n` rounds of fixed work and returns a number that must be the same on every machine.
#pragma once
#include <stdint.h>

#if defined(__i386__) || defined(__x86_64__)
#define X86 1
#endif

uint64_t alu(long n), branch(long n), crc(long n), hz(long n);
uint64_t stride(long n), chase(long n), copy(long n), movsb(long n), stosd(long n);
uint64_t fib(long n), icall(long n);
uint64_t dbl(long n), flt(long n), x87(long n), libm(long n);
uint64_t simd_f32(long n), simd_f64(long n), simd_int(long n), mmx(long n);
uint64_t pipe_switch(long n), fork_wait(long n), yield(long n), syscalls(long n), signals(long n), exec_self(long n);
uint64_t newcode(long n), seed(long n);
