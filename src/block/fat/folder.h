// What a host folder holds, as it was when it was looked at: plain files and folders. Links are followed to files
// inside the folder only; other links, devices, sockets and pipes are left out.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::block::fat {

struct Item {
  std::string path, name;
  bool is_folder = false, read_only = false;
  u64 size = 0;                              // of a file
  s64 changed = 0;                           // seconds since 1970
  u64 device = 0, number = 0;                // of the file itself: what is opened later has to be it
  std::vector<std::unique_ptr<Item>> items;  // of a folder, by name
};

// Errors: no folder, no permission, a file of 4 GiB or more, folders in folders without end.
Result<std::unique_ptr<Item>> look_at_folder(const std::string& path);

// Bytes of files that were looked at. A file that has changed its place is not read; one that has become shorter reads
// as zeroes behind its end. Any thread.
class FileReader {
 public:
  FileReader();
  ~FileReader();
  int read(const Item& item, u64 offset, u8* data, u64 size);  // 0 or an errno value

 private:
  struct Open;
  std::unique_ptr<Open> open_;
};

// The date and time of a directory entry, in the host's time zone; 1980 to 2107.
struct Stamp {
  u16 date = 0, time = 0;
};
Stamp stamp_of(s64 seconds);

}  // namespace doppel::block::fat
