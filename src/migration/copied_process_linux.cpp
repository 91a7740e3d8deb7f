#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "migration/copied_process.h"

namespace doppel::migration {
namespace {

constexpr int kLock = 3;

// In the copy: apart from the terminal and from all that the machine has open.
bool leave_machine(int lock) {
  ::setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGSEGV, SIGBUS, SIGPIPE}) std::signal(signal, SIG_DFL);
  const int nothing = ::open("/dev/null", O_RDWR);
  if (nothing < 0 || ::dup2(lock, kLock) < 0) return false;
  for (int fd = 0; fd < kLock; fd++) {
    if (::dup2(nothing, fd) < 0) return false;
  }
  return ::close_range(kLock + 1, ~0u, 0) == 0;
}

[[noreturn]] void run_copy(int lock, const std::function<Status()>& work) {
  if (lock == kLock) lock = ::dup(lock);
  if (!leave_machine(lock)) ::_exit(1);
  const Status done = work();
  if (!done) {
    const std::string text = done.error().text();
    if (::pwrite(kLock, text.data(), text.size(), 0) < 0) ::_exit(1);
  }
  ::_exit(done ? 0 : 1);
}

}  // namespace

bool run_in_copy(const std::string& lock_file, const std::function<Status()>& work) {
  const int lock = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (lock < 0) return false;
  const pid_t copy = ::flock(lock, LOCK_EX) == 0 ? ::fork() : -1;
  if (copy == 0) run_copy(lock, work);
  ::close(lock);
  if (copy < 0) {
    ::unlink(lock_file.c_str());
    return false;
  }
  std::thread([copy] { ::waitpid(copy, nullptr, 0); }).detach();
  return true;
}

Status wait_for_copy(const std::string& lock_file, const std::function<void()>& busy) {
  const int lock = ::open(lock_file.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return success();
  if (::flock(lock, LOCK_SH | LOCK_NB) != 0) {
    busy();
    while (::flock(lock, LOCK_SH) != 0 && errno == EINTR) {
    }
  }
  char text[512];
  const ssize_t n = ::pread(lock, text, sizeof text, 0);
  ::close(lock);
  return n > 0 ? Status(Error{std::string(text, static_cast<size_t>(n)), ""}) : success();
}

}  // namespace doppel::migration
