// loops NAME ROUNDS: runs one loop, prints its name and result.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loops.h"

static const struct {
  const char* name;
  uint64_t (*run)(long);
} kLoops[] = {
    {"alu", alu},           {"branch", branch},     {"crc", crc},
    {"stride", stride},     {"chase", chase},       {"copy", copy},
    {"fib", fib},           {"icall", icall},       {"dbl", dbl},           {"flt", flt},         {"libm", libm},
    {"pipe", pipe_switch},  {"fork", fork_wait},    {"yield", yield},
    {"syscall", syscalls},  {"signal", signals},    {"exec", exec_self},    {"seed", seed},
#ifdef X86
    {"hz", hz},             {"movsb", movsb},       {"stosd", stosd},       {"x87", x87},
    {"simd_f32", simd_f32}, {"simd_f64", simd_f64}, {"simd_int", simd_int}, {"newcode", newcode},
#endif
#ifdef __i386__
    {"mmx", mmx},
#endif
};

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "true") == 0) return 0;
  for (unsigned i = 0; argc == 3 && i < sizeof kLoops / sizeof kLoops[0]; i++) {
    if (strcmp(argv[1], kLoops[i].name) != 0) continue;
    const uint64_t result = kLoops[i].run(atol(argv[2]));
    printf("%s %llx\n", argv[1], (unsigned long long)result);
    return 0;
  }
  fprintf(stderr, "usage: loops NAME ROUNDS\n");
  return 2;
}
