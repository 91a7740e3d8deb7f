#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <list>
#include <mutex>

#include "block/fat/folder.h"

namespace doppel::block::fat {
namespace {

constexpr unsigned kMaxDepth = 60;
constexpr size_t kMaxItems = 1000000, kOpenFiles = 16;

Error failed(const std::string& what, int error) { return {"can't " + what + ": " + std::strerror(error), ""}; }

std::string real_path(const std::string& path) {
  char* whole = ::realpath(path.c_str(), nullptr);
  const std::string out = whole != nullptr ? whole : "";
  std::free(whole);
  return out;
}

class Scan {
 public:
  explicit Scan(std::string root) : inside_(root == "/" ? root : root + "/") {}

  Status folder(Item& item, unsigned depth) {
    if (depth > kMaxDepth) return Error{"'" + item.path + "' is more than 60 folders deep", ""};
    auto names = names_in(item.path);
    if (!names) return names.error();
    for (const std::string& name : *names) {
      auto child = std::make_unique<Item>();
      child->name = name;
      child->path = item.path + "/" + name;
      struct stat st {};
      if (!look(*child, st)) continue;
      if (++count_ > kMaxItems) return Error{"'" + inside_ + "' has more than a million files", ""};
      fill(*child, st);
      if (Status s = child->is_folder ? folder(*child, depth + 1) : check_file(*child); !s) return s;
      item.items.push_back(std::move(child));
    }
    return success();
  }

  static void fill(Item& item, const struct stat& st) {
    item.is_folder = S_ISDIR(st.st_mode);
    item.read_only = (st.st_mode & 0222) == 0;
    item.size = item.is_folder ? 0 : static_cast<u64>(st.st_size);
    item.changed = st.st_mtime;
    item.device = st.st_dev;
    item.number = st.st_ino;
  }

 private:
  static Result<std::vector<std::string>> names_in(const std::string& path) {
    DIR* folder = ::opendir(path.c_str());
    if (folder == nullptr) return failed("look into the folder '" + path + "'", errno);
    std::vector<std::string> names;
    errno = 0;
    for (const dirent* e; (e = ::readdir(folder)) != nullptr;) {
      if (std::strcmp(e->d_name, ".") != 0 && std::strcmp(e->d_name, "..") != 0) names.emplace_back(e->d_name);
    }
    const int error = errno;
    ::closedir(folder);
    if (error != 0) return failed("look into the folder '" + path + "'", error);
    std::sort(names.begin(), names.end());
    return names;
  }

  // False: it is nothing for the disk.
  bool look(Item& item, struct stat& st) const {
    if (::lstat(item.path.c_str(), &st) != 0) return false;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) return true;
    if (!S_ISLNK(st.st_mode)) return false;
    const std::string target = real_path(item.path);
    if (!target.starts_with(inside_) || ::lstat(target.c_str(), &st) != 0) return false;
    item.path = target;
    return S_ISREG(st.st_mode);
  }

  static Status check_file(const Item& item) {
    if (item.size > 0xffffffff)
      return Error{"'" + item.path + "' is larger than the 4 GiB that a file on a FAT disk may have",
                   "move it elsewhere"};
    if (::access(item.path.c_str(), R_OK) != 0) return failed("read '" + item.path + "'", errno);
    return success();
  }

  std::string inside_;
  size_t count_ = 0;
};

}  // namespace

Result<std::unique_ptr<Item>> look_at_folder(const std::string& path) {
  auto root = std::make_unique<Item>();
  struct stat st {};
  root->path = real_path(path);
  if (root->path.empty() || ::stat(root->path.c_str(), &st) != 0) {
    const int error = errno;
    return Error{"can't show the folder '" + path + "' as a disk: " + std::strerror(error), "check the path"};
  }
  if (!S_ISDIR(st.st_mode)) return Error{"can't show '" + path + "' as a disk: it is no folder", "fat: takes a folder"};
  Scan::fill(*root, st);
  if (Status s = Scan(root->path).folder(*root, 0); !s) return s.error();
  return root;
}

// The files read last stay open.
struct FileReader::Open {
  struct File {
    const Item* item;
    int fd;
    ~File() { ::close(fd); }
  };
  std::mutex lock;
  std::list<std::shared_ptr<File>> files;

  std::shared_ptr<File> get(const Item& item, int& error) {
    const std::lock_guard hold(lock);
    const auto it = std::find_if(files.begin(), files.end(), [&](const auto& f) { return f->item == &item; });
    if (it != files.end()) {
      files.splice(files.begin(), files, it);
      return files.front();
    }
    const int fd = ::open(item.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    error = fd < 0 ? EIO : 0;
    if (fd < 0) return nullptr;
    auto file = std::make_shared<File>(&item, fd);
    struct stat st {};
    if (::fstat(fd, &st) != 0 || st.st_dev != item.device || st.st_ino != item.number || !S_ISREG(st.st_mode)) {
      error = EIO;
      return nullptr;
    }
    files.push_front(file);
    if (files.size() > kOpenFiles) files.pop_back();
    return file;
  }
};

FileReader::FileReader() : open_(std::make_unique<Open>()) {}
FileReader::~FileReader() = default;

int FileReader::read(const Item& item, u64 offset, u8* data, u64 size) {
  int error = 0;
  const auto file = open_->get(item, error);
  if (file == nullptr) return error;
  while (size != 0) {
    const ssize_t n = ::pread(file->fd, data, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) {
      std::memset(data, 0, size);
      return 0;
    }
    offset += static_cast<u64>(n);
    data += n;
    size -= static_cast<u64>(n);
  }
  return 0;
}

Stamp stamp_of(s64 seconds) {
  const std::time_t t = seconds;
  std::tm when{};
  if (::localtime_r(&t, &when) == nullptr || when.tm_year < 80) return {0x21, 0};
  if (when.tm_year > 207) return {0xff9f, 0xbf7d};
  return {static_cast<u16>((when.tm_year - 80) << 9 | (when.tm_mon + 1) << 5 | when.tm_mday),
          static_cast<u16>(when.tm_hour << 11 | when.tm_min << 5 | std::min(when.tm_sec, 59) / 2)};
}

}  // namespace doppel::block::fat
