// The one binary. Its name chooses the command line: qemu-system-* (or doppel-system-*) is QEMU's, else Doppel's own.
#include "app/commands.h"

int main(int argc, char** argv) { return doppel::app::main_entry(argc, argv); }
