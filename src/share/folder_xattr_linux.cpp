// Extended attributes of a shared folder's objects. Which of them a guest may see depends on the security model: with
// mapped attributes, those that keep the mapping are hidden, and POSIX access control lists have names beside them.
#include <sys/xattr.h>

#include <cerrno>

#include "share/folder.h"

namespace doppel::share {
namespace {

constexpr std::string_view kUser = "user.", kSecurity = "security.", kAcl = "system.posix_acl_",
                           kMapped = "user.virtfs.", kMappedAcl = "user.virtfs.system.posix_acl_";
constexpr size_t kListLimit = size_t{64} << 10;

std::string own_path(const Fd& object) { return "/proc/self/fd/" + std::to_string(object.get()); }

}  // namespace

// The host's name of an attribute; empty: the guest can't have one of that name.
std::string Folder::host_attribute(const std::string& name) const {
  if (by_file() || name.find('\0') != std::string::npos || name.size() > kMaxAttributeName) return {};
  const bool acl = name == std::string(kAcl) + "access" || name == std::string(kAcl) + "default";
  if (mapped()) {
    if (acl) return std::string(kMapped) + name;
    return name.starts_with(kUser) && !name.starts_with(kMapped) ? name : std::string();
  }
  return acl || name.starts_with(kUser) || name.starts_with(kSecurity) ? name : std::string();
}

int Folder::get_attribute(const Path& path, const std::string& name, std::vector<u8>& value) const {
  const std::string host = host_attribute(name);
  Fd object;
  if (host.empty()) return EOPNOTSUPP;
  if (const int e = find(path, object)) return e;
  value.resize(kMaxAttribute);
  const ssize_t n = ::getxattr(own_path(object).c_str(), host.c_str(), value.data(), value.size());
  if (n < 0) return errno;
  value.resize(static_cast<size_t>(n));
  return 0;
}

// Names, each with a zero behind it.
int Folder::list_attributes(const Path& path, std::vector<u8>& names) const {
  Fd object;
  if (const int e = find(path, object)) return e;
  std::string all(kListLimit, 0);
  const ssize_t n = ::listxattr(own_path(object).c_str(), all.data(), all.size());
  if (n < 0) return errno;
  all.resize(static_cast<size_t>(n));
  names.clear();
  for (size_t at = 0; at < all.size();) {
    std::string name = all.c_str() + at;
    at += name.size() + 1;
    if (mapped() && name.starts_with(kMappedAcl)) name.erase(0, kMapped.size());
    if (host_attribute(name).empty()) continue;
    names.insert(names.end(), name.c_str(), name.c_str() + name.size() + 1);
  }
  return 0;
}

int Folder::set_attribute(const Path& path, const std::string& name, std::span<const u8> value, int flags) const {
  const std::string host = host_attribute(name);
  Fd object;
  int e = may_write();
  if (e == 0 && host.empty()) e = EOPNOTSUPP;
  if (e == 0) e = find(path, object);
  if (e != 0) return e;
  const std::string at = own_path(object);
  const int r = value.empty() && (flags & kRemoveAttribute)
                    ? ::removexattr(at.c_str(), host.c_str())
                    : ::setxattr(at.c_str(), host.c_str(), value.data(), value.size(), flags & ~kRemoveAttribute);
  return r < 0 ? errno : 0;
}

}  // namespace doppel::share
