// The main program of a batch: `batch NAME` runs one test, as if it were its own program; without a name it lists them.
#include <stdio.h>
#include <string.h>

struct Test {
  const char* name;
  int (*run)(int argc, char** argv, char** envp);
};
extern const struct Test kTests[];

int main(int argc, char** argv, char** envp) {
  for (const struct Test* t = kTests; t->name; t++) {
    if (argc < 2)
      puts(t->name);
    else if (strcmp(argv[1], t->name) == 0)
      return t->run(1, argv, envp);
  }
  if (argc >= 2) fprintf(stderr, "no such test: %s\n", argv[1]);
  return argc < 2 ? 0 : 125;
}
