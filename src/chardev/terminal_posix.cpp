#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "chardev/terminal.h"

namespace doppel::chardev {
namespace {
// The terminal belongs to the process, not to an object: exit handlers and signal handlers have to find its old mode.
termios g_saved;
std::atomic<bool> g_raw{false};
}  // namespace

void Terminal::restore() {
  if (g_raw.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &g_saved);
}

Terminal::Terminal(bool signals) {
  if (!::isatty(STDIN_FILENO) || ::tcgetpgrp(STDIN_FILENO) != ::getpgrp()) return;
  if (!g_raw.load() && ::tcgetattr(STDIN_FILENO, &g_saved) != 0) return;
  termios raw = g_saved;
  raw.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  raw.c_oflag |= OPOST;  // our own messages end lines with a line feed alone
  raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
  raw.c_cflag = (raw.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  static const int registered = std::atexit(&Terminal::restore);
  (void)registered;
  g_raw.store(true);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

Terminal::~Terminal() { restore(); }

}  // namespace doppel::chardev
