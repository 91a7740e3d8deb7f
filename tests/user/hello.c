// Arguments, environment, auxiliary vector, thread-local storage of the first thread, exit status.
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static __thread int tls_zero;
static __thread int tls_value = 42;
static char big_bss[100000];
static double half = 0.5;

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) printf("argument %d: '%s'\n", i, argv[i]);
  const char* v = getenv("TEST_VARIABLE");
  printf("variable: %s\n", v ? v : "(none)");
  printf("absent: %s\n", getenv("TEST_ABSENT") ? "there" : "(none)");
  int nonzero = 0;
  for (size_t i = 0; i < sizeof big_bss; i++) nonzero += big_bss[i] != 0;
  printf("bss: %d\n", nonzero);
  printf("tls: %d %d\n", tls_zero, tls_value);
  printf("page size: %ld %lu\n", sysconf(_SC_PAGESIZE), getauxval(AT_PAGESZ));
  const unsigned char* random = (const unsigned char*)getauxval(AT_RANDOM);
  int zeros = 0;
  for (int i = 0; i < 16; i++) zeros += random[i] == 0;
  printf("random: %s\n", zeros < 8 ? "yes" : "no");
  printf("phdr: %s, secure %lu, uid %d\n", getauxval(AT_PHDR) ? "yes" : "no", getauxval(AT_SECURE),
         getauxval(AT_UID) == (unsigned long)getuid());
  const char* name = (const char*)getauxval(AT_EXECFN);
  printf("execfn: %s\n", name && strstr(name, "hello") ? "yes" : "no");
  printf("half: %.3f %.3f\n", half, half * argc / 3);
  fflush(stdout);
  fprintf(stderr, "to stderr\n");
  return 7;
}
