#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/os/fd_sets.h"
#include "base/page_vector.h"
#include "migration/stream_medium.h"

namespace doppel::migration {
namespace {

constexpr int kLookMs = 100;  // how soon a cancellation is seen
constexpr size_t kPiece = size_t{1} << 20;

Error failed(const std::string& what, const std::string& fix = "") { return {what + ": " + std::strerror(errno), fix}; }

// What an address leads to; `program` is to be waited for.
struct Way {
  std::string name;
  int fd = -1;
  std::FILE* program = nullptr;
  ~Way() {
    if (program)
      ::pclose(program);
    else if (fd >= 0)
      ::close(fd);
  }
  Way() = default;
  Way(Way&& o) noexcept
      : name(std::move(o.name)), fd(std::exchange(o.fd, -1)), program(std::exchange(o.program, nullptr)) {}
  Way& operator=(Way&&) = delete;
};

Result<Way> open_descriptor(const std::string& name, const TakeDescriptor& take) {
  Way way;
  way.name = "descriptor " + name;
  const char* end = name.data() + name.size();
  int number = -1;
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end) {
    if (number > STDERR_FILENO && ::fcntl(number, F_GETFD) >= 0) way.fd = number;
  } else if (take) {
    way.fd = take(name);
  }
  if (way.fd >= 0) return way;
  return Error{"there is no descriptor '" + name + "'",
               "name one with getfd, or leave it open for the emulator at its start"};
}

Result<Way> open_program(const std::string& command, bool out) {
  Way way;
  way.name = "'" + command + "'";
  way.program = ::popen(command.c_str(), out ? "we" : "re");
  if (!way.program)
    return failed("can't run '" + command + "'", errno == EPERM ? "-sandbox spawn=deny forbids other programs" : "");
  way.fd = ::fileno(way.program);
  return way;
}

Result<Way> open_file(const std::string& text, bool out) {
  Way way;
  std::string path = text;
  u64 offset = 0;
  if (const size_t at = path.find(",offset="); at != std::string::npos) {
    const char *from = path.data() + at + 8, *end = path.data() + path.size();
    const auto parsed = std::from_chars(from, end, offset);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      return Error{"'" + text + "' has an offset that is no number", "file:PATH,offset=BYTES"};
    path.resize(at);
  }
  way.name = "'" + path + "'";
  way.fd = os::open_named(path, out ? O_WRONLY | O_CREAT : O_RDONLY, 0600);
  if (way.fd < 0)
    return failed(std::string("can't ") + (out ? "write '" : "read '") + path + "'", os::fd_set_hint(path));
  if (out && ::ftruncate(way.fd, static_cast<off_t>(offset)) != 0 && errno != EINVAL)
    return failed("can't empty '" + path + "'");
  if (offset != 0 && ::lseek(way.fd, static_cast<off_t>(offset), SEEK_SET) < 0)
    return failed("can't seek in '" + path + "'");
  return way;
}

Result<Way> open_way(const std::string& address, const TakeDescriptor& take, bool out) {
  const size_t colon = address.find(':');
  const std::string kind = address.substr(0, colon), rest = colon == std::string::npos ? "" : address.substr(colon + 1);
  if (kind == "fd") return open_descriptor(rest, take);
  if (kind == "exec") return open_program(rest, out);
  if (kind == "file") return open_file(rest, out);
  if (kind == "tcp" || kind == "unix" || kind == "rdma" || kind == "vsock")
    return Error{"states do not travel by " + kind + ": not built yet",
                 "fd:, exec: or file:, for example exec:ssh HOST ..."};
  return Error{"'" + address + "' says no way for a state", "fd:NAME, exec:COMMAND or file:PATH"};
}

class OutgoingWay final : public Outgoing {
 public:
  OutgoingWay(Way way, const std::atomic<bool>& cancelled) : way_(std::move(way)), cancelled_(cancelled) {
    ::fcntl(way_.fd, F_SETFL, ::fcntl(way_.fd, F_GETFL) | O_NONBLOCK);
  }
  int write(u64 offset, std::span<const u8> data) override {
    if (offset != written_) return ESPIPE;
    while (!data.empty()) {
      if (cancelled_.load()) return ECANCELED;
      pollfd p{way_.fd, POLLOUT, 0};
      if (::poll(&p, 1, kLookMs) <= 0) continue;
      const ssize_t n = ::write(way_.fd, data.data(), std::min(data.size(), kPiece));
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) return n < 0 ? errno : EIO;
      data = data.subspan(static_cast<size_t>(n));
      written_ += static_cast<u64>(n);
    }
    return 0;
  }
  int read(u64, std::span<u8>) override { return ESPIPE; }
  std::string name() const override { return way_.name; }
  u64 written() const override { return written_; }
  Status close() override {
    if (!way_.program) return success();
    const int status = ::pclose(std::exchange(way_.program, nullptr));
    way_.fd = -1;
    if (status == 0) return success();
    return Error{way_.name + " failed", "see what it printed"};
  }

 private:
  Way way_;
  const std::atomic<bool>& cancelled_;
  std::atomic<u64> written_{0};
};

class IncomingWay final : public Incoming {
 public:
  explicit IncomingWay(Way way) : way_(std::move(way)) {}
  ~IncomingWay() override {
    if (spool_ >= 0) ::close(spool_);
  }
  Status receive() override {
    std::error_code ec;
    const std::string folder = std::filesystem::temp_directory_path(ec).string();
    spool_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (spool_ < 0) return failed("can't make a temporary file in " + folder, "TMPDIR names another folder");
    PageVector piece(kPiece);
    for (;;) {
      const ssize_t n = ::read(way_.fd, piece.data(), piece.size());
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        pollfd p{way_.fd, POLLIN, 0};
        ::poll(&p, 1, kLookMs);
        continue;
      }
      if (n < 0) return failed("can't read the state from " + way_.name);
      if (n == 0) return success();
      if (const int error = put({piece.data(), static_cast<size_t>(n)})) {
        errno = error;
        return failed("can't keep the state in " + folder, "make room there, or TMPDIR names another folder");
      }
    }
  }
  int write(u64, std::span<const u8>) override { return EROFS; }
  int read(u64 offset, std::span<u8> data) override {
    while (!data.empty()) {
      const ssize_t n = ::pread(spool_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return n < 0 ? errno : ENODATA;
      data = data.subspan(static_cast<size_t>(n));
      offset += static_cast<u64>(n);
    }
    return 0;
  }
  std::string name() const override { return way_.name; }

 private:
  int put(std::span<const u8> data) {
    while (!data.empty()) {
      const ssize_t n = ::write(spool_, data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return n < 0 ? errno : EIO;
      data = data.subspan(static_cast<size_t>(n));
    }
    return 0;
  }
  Way way_;
  int spool_ = -1;
};

}  // namespace

Result<std::unique_ptr<Outgoing>> Outgoing::open(const std::string& address, const TakeDescriptor& take,
                                                 const std::atomic<bool>& cancelled) {
  auto way = open_way(address, take, true);
  if (!way) return way.error();
  return std::unique_ptr<Outgoing>(std::make_unique<OutgoingWay>(way.take(), cancelled));
}

Result<std::unique_ptr<Incoming>> Incoming::open(const std::string& address, const TakeDescriptor& take) {
  auto way = open_way(address, take, false);
  if (!way) return way.error();
  return std::unique_ptr<Incoming>(std::make_unique<IncomingWay>(way.take()));
}

}  // namespace doppel::migration
