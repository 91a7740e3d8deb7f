// Persistent dirty bitmaps are made, removed and changed. Source: qcow2.txt, "Bitmaps".
// A change writes new tables and a new directory, then the header's extension, which lies in the first sector: a power
// cut leaves the old directory or the new one, and perhaps clusters that nobody refers to.
// The image must not have been written by its guest since it was opened: the tracker's rows would lie elsewhere.
#pragma once
#include <functional>

#include "block/qcow2/bitmaps.h"

namespace doppel::block::qcow2 {

// Gives the bits from byte `offset` of a bitmap on, with zeroes behind its end.
using ReadBits = std::function<int(u64 offset, std::span<u8> bits)>;

struct NewBitmap {
  std::string name;
  unsigned granularity_bits = 16;
  bool enabled = true;
  ReadBits read;  // none: no bit is set
};

// Those that the header vouches for: none when a program that knows no bitmaps has written to the image.
Result<std::vector<Bitmap>> valid_bitmaps(Image& image);
u64 bitmap_bytes(u64 disk, unsigned granularity_bits);
// What they need in an image with clusters of another size.
u64 bitmaps_size(const std::vector<Bitmap>& list, u64 disk, u64 cluster_size);
// For ReadBits; the image must outlive it.
Result<ReadBits> bitmap_reader(Image& image, const Bitmap& bitmap);

Status add_bitmaps(Image& image, const std::vector<NewBitmap>& bitmaps);  // all or none
Status remove_bitmap(Image& image, const std::string& name);
Status clear_bitmap(Image& image, const std::string& name);
Status enable_bitmap(Image& image, const std::string& name, bool enabled);
// Bits of `other` (with its granularity) are set here, too.
Status merge_bitmap(Image& image, const std::string& name, const NewBitmap& other);

}  // namespace doppel::block::qcow2
