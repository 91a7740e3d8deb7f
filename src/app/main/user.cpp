// doppel-user: single programs only, with few libraries, so that it starts fast: `doppel user` becomes it.
#include <cstdio>

#include "app/user/run_user.h"

int main(int argc, char** argv) {
  const int status = doppel::app::user_entry(argc, argv);
  if (status < 0)
    std::fputs("doppel-user: it knows `user` and `binfmt` only (doppel has the other commands)\n", stderr);
  return status < 0 ? 2 : status;
}
