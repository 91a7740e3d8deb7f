#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/os/files.h"

namespace doppel::os {
namespace {
Error failed(const char* what, const std::string& path) {
  const int error = errno;
  return {std::string("can't ") + what + " '" + path + "': " + std::strerror(error),
          error == ENOSPC ? "make room there" : "check the folder and its permissions"};
}
}  // namespace

Status sync_path(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed("open", path);
  const bool good = ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  errno = error;
  return good ? success() : Status(failed("write", path));
}

Status write_durably(const std::string& path, const std::string& text) {
  const std::string partial = path + ".partial";
  {
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    out << text;
    if (!out.flush()) return failed("write", partial);
  }
  if (Status s = sync_path(partial); !s) return s;
  if (std::rename(partial.c_str(), path.c_str()) != 0) return failed("write", path);
  return sync_path(std::filesystem::path(path).parent_path().string());
}

Result<bool> create_new(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0 && errno == EEXIST) return false;
  if (fd < 0) return failed("make", path);
  ::close(fd);
  return true;
}

std::span<const unsigned char> map_own_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return {};
  struct stat st {};
  void* memory = MAP_FAILED;
  const bool own = ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == ::geteuid() &&
                   (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 && st.st_size > 0;
  if (own) memory = ::mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (memory == MAP_FAILED) return {};
  return {static_cast<const unsigned char*>(memory), static_cast<size_t>(st.st_size)};
}

void unmap_file(std::span<const unsigned char> file) {
  if (!file.empty()) ::munmap(const_cast<unsigned char*>(file.data()), file.size());
}

bool replace_own_file(const std::string& path, std::span<const unsigned char> data) {
  const std::string partial = path + "." + std::to_string(::getpid());
  const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool good = true;
  while (good && !data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n > 0) data = data.subspan(static_cast<size_t>(n));
    good = n > 0 || (n < 0 && errno == EINTR);
  }
  ::close(fd);
  good = good && std::rename(partial.c_str(), path.c_str()) == 0;
  if (!good) ::unlink(partial.c_str());
  return good;
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return in ? text.str() : std::string();
}

}  // namespace doppel::os
