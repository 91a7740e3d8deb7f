// ReadOnlyImage: what the formats share that are only read here. A format says where the bytes at an offset are; this
// class reads them, unpacks (the last packed part stays in memory) and refuses to write.
#pragma once
#include <mutex>
#include <vector>

#include "block/bytes.h"
#include "block/file.h"
#include "block/image_info.h"
#include "block/node.h"

namespace doppel::block {

struct Place {
  enum class Kind : u8 { Zero, Data, Packed, Backing };
  Kind kind = Kind::Zero;
  u64 length = 0;        // of the part, from the offset that was asked for
  File* file = nullptr;  // Data, Packed
  u64 host = 0;          // Data: of the first byte; Packed: of the packed bytes
  u64 packed_size = 0;
  u64 start = 0, size = 0;  // Packed: the part of the disk that is packed together
};

class ReadOnlyImage : public Node {
 public:
  u64 size() const override { return size_; }
  bool read_only() const override { return true; }
  std::string filename() const override { return file_->path(); }
  std::string format() const override { return name_; }
  void read(u64 offset, std::span<u8> data, Completion done) override;
  void write(u64, std::span<const u8>, Completion done) override;
  void flush(Completion done) override { done(0); }
  void discard(u64, u64, Completion done) override;
  void write_zeroes(u64, u64, Completion done) override;
  Extent extent(u64 offset, u64 length) override;
  std::shared_ptr<Node> backing() const override { return backing_; }
  ImageInfo info() const override;
  u64 allocated_bytes() const override { return file_->allocated_bytes(); }

 protected:
  ReadOnlyImage(std::string name, std::shared_ptr<File> file) : name_(std::move(name)), file_(std::move(file)) {}
  // The part at `offset`, which lies inside the disk. 0 or an errno value. Called with the lock held.
  virtual int locate(u64 offset, Place& place) = 0;
  // Fills `out` (place.size bytes) from the packed bytes. False: they are damaged.
  virtual bool unpack(std::span<const u8>, std::span<u8>) { return false; }

  Error bad(const std::string& what) const {
    return {"'" + file_->path() + "' is no usable " + name_ + " image: " + what, "restore it from a backup"};
  }
  Error unsupported(const std::string& what) const {
    return {"'" + file_->path() + "' is a " + name_ + " image with " + what + ": that is not built yet",
            "convert it: qemu-img convert"};
  }
  // `count` numbers at an offset, as they are in the file; empty when they can't be there.
  template <typename T>
  std::vector<T> table(File& file, u64 offset, u64 count) const {
    if (count > kMaxTable / sizeof(T) || offset > file.size() ||
        count * sizeof(T) > align_up(file.size() - offset, 1 << 21))
      return {};
    std::vector<T> t(count);
    if (file.read(offset, {reinterpret_cast<u8*>(t.data()), count * sizeof(T)}) != 0) t.clear();
    return t;
  }

  static constexpr u64 kMaxTable = 512 << 20, kMaxPacked = 64 << 20;
  std::string name_;
  std::shared_ptr<File> file_;
  std::shared_ptr<Node> backing_;
  std::string backing_file_, backing_format_;
  u64 size_ = 0, cluster_size_ = 0;

 private:
  int read_part(const Place& place, u64 offset, std::span<u8> data);
  int read_packed(const Place& place, u64 offset, std::span<u8> data);
  std::mutex lock_;
  u64 unpacked_start_ = ~u64{0};
  std::vector<u8> unpacked_;
};

// Each: the image, or what is wrong with it. `depth`: of the chain, for formats with backing images.
using OpenFormat = Result<std::shared_ptr<Node>> (*)(std::shared_ptr<File>, const OpenOptions&, int depth);
Result<std::shared_ptr<Node>> open_vdi(std::shared_ptr<File> file, const OpenOptions&, int);
Result<std::shared_ptr<Node>> open_vpc(std::shared_ptr<File> file, const OpenOptions&, int);
Result<std::shared_ptr<Node>> open_vhdx(std::shared_ptr<File> file, const OpenOptions&, int);
Result<std::shared_ptr<Node>> open_vmdk(std::shared_ptr<File> file, const OpenOptions& options, int depth);
Result<std::shared_ptr<Node>> open_parallels(std::shared_ptr<File> file, const OpenOptions&, int);
Result<std::shared_ptr<Node>> open_qcow1(std::shared_ptr<File> file, const OpenOptions& options, int depth);
Result<std::shared_ptr<Node>> open_dmg(std::shared_ptr<File> file, const OpenOptions&, int);

// zlib's own format (with a header), whole.
bool inflate_zlib(std::span<const u8> in, std::span<u8> out);

}  // namespace doppel::block
