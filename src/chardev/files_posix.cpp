// Character devices that are opened by a path or descriptor: stdio, file, pipe, pty.
#include <fcntl.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/os/fd_sets.h"
#include "chardev/devices.h"

namespace doppel::chardev {
namespace {
Error cannot_open(const std::string& path, const char* fix = "") {
  const int error = errno;
  const std::string hint = os::fd_set_hint(path);
  return Error{"can't open " + path + ": " + std::strerror(error), hint.empty() ? fix : hint};
}
}  // namespace

Result<std::shared_ptr<Chardev>> open_stdio(const std::shared_ptr<IoLoop>& loop, bool signals) {
  FdStream::Options o;
  o.read_fd = STDIN_FILENO;
  o.write_fd = STDOUT_FILENO;
  o.owned = false;
  return std::shared_ptr<Chardev>(
      std::make_shared<StreamDevice>(loop, o, "stdio", std::make_unique<Terminal>(signals)));
}

Result<std::shared_ptr<Chardev>> open_file(const std::shared_ptr<IoLoop>& loop, const std::string& path,
                                           const std::string& input, bool append) {
  FdStream::Options o;
  o.write_fd = os::open_named(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0666);
  if (o.write_fd < 0) return cannot_open(path, "the folder must exist and be writable");
  if (!input.empty()) {
    o.read_fd = os::open_named(input, O_RDONLY);
    if (o.read_fd < 0) {
      const Error error = cannot_open(input);
      ::close(o.write_fd);
      return error;
    }
  }
  return std::shared_ptr<Chardev>(std::make_shared<StreamDevice>(loop, o, "file:" + path));
}

Result<std::shared_ptr<Chardev>> open_pipe(const std::shared_ptr<IoLoop>& loop, const std::string& path) {
  // Two FIFOs, PATH.in and PATH.out, or one file for both ways. Opened for reading and writing: no wait for the other
  // side.
  FdStream::Options o;
  o.read_fd = ::open((path + ".in").c_str(), O_RDWR | O_CLOEXEC);
  o.write_fd = o.read_fd < 0 ? -1 : ::open((path + ".out").c_str(), O_RDWR | O_CLOEXEC);
  if (o.write_fd < 0) {
    if (o.read_fd >= 0) ::close(o.read_fd);
    o.read_fd = o.write_fd = os::open_named(path, O_RDWR);
    if (o.read_fd < 0) return cannot_open(path, "make the pipes with: mkfifo PATH.in PATH.out");
  }
  return std::shared_ptr<Chardev>(std::make_shared<StreamDevice>(loop, o, "pipe:" + path));
}

Result<std::shared_ptr<Chardev>> open_pty(const std::shared_ptr<IoLoop>& loop) {
  int master = -1, slave = -1;
  char name[128] = {};
  termios raw{};
  ::cfmakeraw(&raw);
  raw.c_cflag |= CREAD | CS8;
  if (::openpty(&master, &slave, name, &raw, nullptr) != 0)
    return Error{std::string("can't make a pseudo terminal: ") + std::strerror(errno), "mount /dev/pts"};
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  // The other end stays open here for as long as the process runs: the master sees no hang-up while nobody is
  // connected.
  ::fcntl(slave, F_SETFD, FD_CLOEXEC);
  FdStream::Options o;
  o.read_fd = o.write_fd = master;
  o.companion_fd = slave;
  o.limit = size_t{64} << 10;
  return std::shared_ptr<Chardev>(std::make_shared<StreamDevice>(loop, o, std::string("pty:") + name));
}

}  // namespace doppel::chardev
