// Qcow2: a qcow2 image as a Node. Requests run on the caller's thread: reads and writes side by side, under a lock only
// while they look at the tables or change them; what else changes the tables alone. Tools use the image itself through
// locked().
#pragma once
#include <condition_variable>
#include <list>
#include <mutex>
#include <shared_mutex>

#include "block/gate.h"
#include "block/image_info.h"
#include "block/qcow2/bitmaps.h"
#include "block/qcow2/cache_cleaner.h"
#include "block/qcow2/check.h"
#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

class Qcow2 final : public Node {
 public:
  // Opens what the header names, too: backing image and data file. Errors name what is wrong and where.
  static Result<std::shared_ptr<Qcow2>> open_image(std::shared_ptr<File> file, const OpenOptions& options, int depth);
  ~Qcow2() override;
  u64 size() const override { return image_.header.size; }
  bool read_only() const override { return !writable_; }
  std::string filename() const override { return path_; }
  std::string format() const override { return "qcow2"; }
  void read(u64 offset, std::span<u8> data, Completion done) override;
  void write(u64 offset, std::span<const u8> data, Completion done) override;
  void read_pieces(u64 offset, Pieces data, Completion done) override;
  void write_pieces(u64 offset, Pieces data, Completion done) override;
  void flush(Completion done) override;
  void discard(u64 offset, u64 length, Completion done) override;
  void write_zeroes(u64 offset, u64 length, Completion done) override;
  Extent extent(u64 offset, u64 length) override;
  std::shared_ptr<Node> backing() const override { return backing_; }
  Status resize(u64 size) override;
  ImageInfo info() const override;
  u64 allocated_bytes() const override { return image_.file_allocated(); }

  // One cluster that compress_cluster made smaller. EINVAL: this image can't have compressed clusters.
  int write_compressed(u64 offset, std::span<const u8> packed);
  Compression compression() const { return image_.header.compression; }
  u64 cluster_size() const { return image_.cluster_size(); }
  std::string data_file() const { return image_.has_data_file() ? data_path_ : std::string(); }
  Status set_backing(const std::string& file, const std::string& format);  // the header only
  void replace_backing(std::shared_ptr<Node> node);
  template <typename Fn>
  auto locked(Fn&& fn) {
    const std::lock_guard hold(gate_);
    return fn(image_);
  }
  // Writes everything and closes; the destructor does the same but can't tell errors.
  int close();
  void keep_clean(CacheCleaner::Interval interval);  // the caches; 0: no more

 private:
  explicit Qcow2(Image::Params p);
  Status prepare_to_write();
  int check_range(u64 offset, u64 length) const;
  int read_inside(u64 offset, Pieces data);
  int write_beside(u64 offset, Pieces data, u64& written);
  int write_new(std::unique_lock<std::mutex>& hold, u64 offset, Pieces data, u64& done);
  bool wait_for_others(std::unique_lock<std::mutex>& hold, u64 offset, u64& length);
  mutable Gate gate_;
  mutable std::mutex lock_;           // of the caches and of what is being filled, for those inside the gate together
  std::list<Image::NewRun> filling_;  // clusters that are not linked yet
  std::condition_variable filled_;
  mutable Image image_;
  std::string path_, data_path_;
  std::shared_ptr<Node> backing_;
  std::unique_ptr<BitmapTracker> bitmaps_;
  bool writable_;
  u64 cleaner_ = 0;  // its ticket
};

// A path as it stands in an image, seen from the image's folder. "json:" and network names are refused by name.
Result<std::string> resolve_path(const std::string& image, const std::string& name);

}  // namespace doppel::block::qcow2
