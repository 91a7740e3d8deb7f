#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "app/daemon.h"

namespace doppel::app {
namespace {

Error failed(const char* what) { return {std::string("-daemonize: ") + what + ": " + std::strerror(errno), ""}; }

// The child wrote a byte, or is gone: its status then.
int wait_for(pid_t child, int pipe) {
  char byte = 0;
  ssize_t n = 0;
  do n = ::read(pipe, &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n == 1) return 0;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

Result<int> Daemon::detach() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return failed("can't make a pipe");
  const pid_t child = ::fork();
  if (child < 0) return failed("can't make a process");
  if (child > 0) {
    ::close(ends[1]);
    return wait_for(child, ends[0]);
  }
  ::close(ends[0]);
  pipe_ = ends[1];
  ::setsid();
  return -1;
}

void Daemon::ready() {
  if (pipe_ < 0) return;
  std::error_code ignored;
  std::filesystem::current_path("/", ignored);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null >= 0) ::dup2(null, fd);
  }
  if (null > STDERR_FILENO) ::close(null);
  while (::write(pipe_, "", 1) < 0 && errno == EINTR) {
  }
  ::close(pipe_);
  pipe_ = -1;
}

PidFile::~PidFile() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

Status PidFile::write(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0)
    return Error{"can't write the pid file " + path + ": " + std::strerror(errno), "choose another path with -pidfile"};
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &whole) != 0) {
    const bool told = ::fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    ::close(fd);
    return Error{"the pid file " + path + " is held by " +
                     (told ? "process " + std::to_string(whole.l_pid) : std::string("another process")),
                 "end it, or choose another path with -pidfile"};
  }
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const Error error{"can't write the pid file " + path + ": " + std::strerror(errno),
                      "choose another path with -pidfile"};
    ::close(fd);
    return error;
  }
  path_ = std::filesystem::absolute(path).string();
  fd_ = fd;
  return success();
}

}  // namespace doppel::app
