// Sets of file descriptors that whoever started or controls us opened for us (-add-fd, QMP's add-fd), and the names
// they have: "/dev/fdset/N" stands for set N wherever a file is opened. The sets are the process's, as its descriptors
// are: one table, under a lock.
#pragma once
#include <sys/types.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::os {

struct FdSet {
  struct Member {
    int fd = -1;
    std::string opaque;  // the client's note
  };
  u32 id = 0;
  std::vector<Member> members;
};

// The descriptor belongs to the set from now on; no set given: a new one. Returns the set's number.
u32 add_to_fd_set(std::optional<u32> set, int fd, const std::string& opaque);
// No descriptor given: the whole set. False: there is no such one. Files opened by the set's name stay open.
bool remove_from_fd_set(u32 set, std::optional<int> fd);
std::vector<FdSet> fd_sets();

constexpr char kFdSetPrefix[] = "/dev/fdset/";
// As open(2), always with O_CLOEXEC. A name of a set: a duplicate of its member that may do what `flags` ask for.
// EACCES: the set has none; ENOENT: there is no such set.
int open_named(const std::string& path, int flags, mode_t mode = 0);
std::FILE* open_stream(const std::string& path, const char* mode);  // the same with "r", "w" or "a"
std::optional<std::string> read_named(const std::string& path);     // all of a file; empty: see errno
// What to write after an error of open_named ("can't open /dev/fdset/7: ..."): what helps with a set; empty for files.
std::string fd_set_hint(const std::string& path);

}  // namespace doppel::os
