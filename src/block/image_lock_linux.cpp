// OFD locks have no owner pid in F_OFD_GETLK; the holder is found by looking for a locked descriptor of the same inode
// in /proc/*/fdinfo.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "block/image_lock.h"

namespace doppel::block {
namespace {

constexpr off_t kFirst = 100, kLength = 200;
constexpr off_t kReads = 100, kWrites = 101, kDeniesWriters = 201;

struct flock range(short type, off_t start, off_t length) {
  struct flock l {};
  l.l_type = type;
  l.l_whence = SEEK_SET;
  l.l_start = start;
  l.l_len = length;
  return l;
}

// 0: taken; EAGAIN: somebody else has it; others: this file can't be locked.
int take(int fd, short type, off_t start, off_t length) {
  struct flock l = range(type, start, length);
  if (fcntl(fd, F_OFD_SETLK, &l) == 0) return 0;
  return errno == EACCES ? EAGAIN : errno;
}

bool writer_present(int fd) {
  struct flock l = range(F_WRLCK, kWrites, 1);
  return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

bool holds_lock(const std::string& fdinfo) {
  std::ifstream in(fdinfo);
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with("lock:")) return true;
  }
  return false;
}

bool process_locks(const std::string& pid, const struct stat& image, int own_fd) {
  const std::string folder = "/proc/" + pid + "/fd";
  DIR* fds = opendir(folder.c_str());
  if (fds == nullptr) return false;
  bool found = false;
  while (const dirent* entry = readdir(fds)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    if (own_fd >= 0 && std::atoi(entry->d_name) == own_fd) continue;
    struct stat st {};
    if (stat((folder + "/" + entry->d_name).c_str(), &st) != 0) continue;
    if (st.st_dev != image.st_dev || st.st_ino != image.st_ino) continue;
    if (holds_lock("/proc/" + pid + "/fdinfo/" + entry->d_name)) {
      found = true;
      break;
    }
  }
  closedir(fds);
  return found;
}

// "process 1234 (qemu-system-x86)", "this machine" or "another process".
std::string find_holder(int fd) {
  struct stat image {};
  if (fstat(fd, &image) != 0) return "another process";
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return "another process";
  const std::string self = std::to_string(getpid());
  std::string holder = "another process";
  while (const dirent* entry = readdir(proc)) {
    const std::string pid = entry->d_name;
    if (std::isdigit(static_cast<unsigned char>(pid[0])) == 0) continue;
    if (!process_locks(pid, image, pid == self ? fd : -1)) continue;
    if (pid == self) {
      holder = "this machine, as another drive";
    } else {
      std::string name;
      std::ifstream("/proc/" + pid + "/comm") >> name;
      holder = "process " + pid + (name.empty() ? "" : " (" + name + ")");
    }
    break;
  }
  closedir(proc);
  return holder;
}

Error in_use(int fd, const std::string& path, bool writer) {
  return {"'" + path + "' is in use by " + find_holder(fd),
          writer ? "close it there, or open it here with readonly=on or snapshot=on when the other only reads"
                 : "close it there: a disk that somebody writes to can't be read safely"};
}

}  // namespace

Status lock_image(int fd, const std::string& path, bool writer) {
  if (writer) {
    return take(fd, F_WRLCK, kFirst, kLength) == EAGAIN ? Status(in_use(fd, path, true)) : success();
  }
  if (take(fd, F_RDLCK, kReads, 1) == EAGAIN || take(fd, F_RDLCK, kDeniesWriters, 1) == EAGAIN || writer_present(fd)) {
    return in_use(fd, path, false);
  }
  return success();
}

}  // namespace doppel::block
