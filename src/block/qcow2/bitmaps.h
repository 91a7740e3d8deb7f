// Persistent dirty bitmaps. Those that are enabled ("auto") follow the writes and are stored when the image is closed;
// the others stay as they are. Source: qcow2.txt, "Bitmaps".
// A bitmap that changes is marked in_use on the disk first, so that after a crash nobody trusts it.
#pragma once
#include <unordered_map>
#include <vector>

#include "block/image_info.h"
#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

constexpr u64 kMaxBitmapName = 1023, kMaxBitmapEntries = 0x8000000, kMaxBitmapBytes = 512 << 20;
constexpr size_t kBitmapRow = 24;  // bytes of a directory's row before its extra data and name
constexpr u64 kAllOnes = 1;        // of a table entry without an offset
constexpr unsigned kMinGranularityBits = 9, kMaxGranularityBits = 31;

struct Bitmap {
  enum Flags : u32 { kInUse = 1, kAuto = 2, kExtraCompatible = 4 };
  std::string name;
  u64 entry_offset = 0;  // of its row in the directory, in the file
  u64 table_offset = 0;
  u32 table_size = 0;  // entries
  u32 flags = 0;
  unsigned granularity_bits = 16;
  u32 extra_size = 0;
};

// Empty without the extension. Error: the directory is not valid.
Result<std::vector<Bitmap>> load_bitmaps(Image& image);
int load_bitmap_table(Image& image, const Bitmap& bitmap, std::vector<u64>& table);

class BitmapTracker {
 public:
  BitmapTracker(Image& image, std::vector<Bitmap> bitmaps);
  bool tracks() const { return !bitmaps_.empty(); }
  void on_write(u64 offset, u64 length);
  int store();  // before the image is closed

 private:
  struct Tracked {
    Bitmap bitmap;
    std::vector<u64> table;
    std::unordered_map<u64, std::vector<u8>> clusters;  // of bits, those that changed
  };
  int begin();
  int set_bits(Tracked& t, u64 first, u64 last);
  std::vector<u8>* cluster_of(Tracked& t, u64 index);
  int store(Tracked& t);
  int write_flags(const Bitmap& b);
  Image& image_;
  std::vector<Tracked> bitmaps_;
  bool begun_ = false, lost_ = false;  // lost: they stay in_use
};

}  // namespace doppel::block::qcow2
