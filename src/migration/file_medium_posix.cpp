#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/os/fd_sets.h"
#include "migration/file_medium.h"

namespace doppel::migration {
namespace {

class PosixMedium final : public FileMedium {
 public:
  PosixMedium(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixMedium() override { ::close(fd_); }
  int write(u64 offset, std::span<const u8> data) override {
    while (!data.empty()) {
      const ssize_t n = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return n < 0 ? errno : EIO;
      data = data.subspan(static_cast<size_t>(n));
      offset += static_cast<u64>(n);
    }
    return 0;
  }
  int read(u64 offset, std::span<u8> data) override {
    while (!data.empty()) {
      const ssize_t n = ::pread(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return n < 0 ? errno : ENODATA;
      data = data.subspan(static_cast<size_t>(n));
      offset += static_cast<u64>(n);
    }
    return 0;
  }
  std::string name() const override { return "'" + path_ + "'"; }

 private:
  int fd_;
  std::string path_;
};

Result<std::unique_ptr<FileMedium>> open_with(const std::string& path, int flags, const char* verb) {
  const int fd = os::open_named(path, flags, 0600);
  if (fd < 0) return Error{std::string("can't ") + verb + " '" + path + "': " + std::strerror(errno), ""};
  return std::unique_ptr<FileMedium>(std::make_unique<PosixMedium>(fd, path));
}

}  // namespace

Result<std::unique_ptr<FileMedium>> FileMedium::create(const std::string& path) {
  return open_with(path, O_RDWR | O_CREAT | O_TRUNC, "write");
}
Result<std::unique_ptr<FileMedium>> FileMedium::open(const std::string& path) {
  return open_with(path, O_RDONLY, "read");
}

}  // namespace doppel::migration
