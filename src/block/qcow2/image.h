// Image: a qcow2 image's disk, without locks and threads (the Node in qcow2.h adds them). Calls return 0 or an errno
// value. Source: qcow2.txt, "Cluster mapping" and "Extended L2 Entries".
//
// Order of writes. Data is written at once; tables stay in caches until commit():
//   1. refcount blocks | barrier | refcount table
//   2. barrier | L2 tables, L1 table
//   3. barrier | counts of clusters that nothing refers to any more fall, for the next commit's step 1
// A barrier is a flush of the file. A new L2 table is written when it is made, empty or as the copy of the shared one,
// and is stable by step 2, so that L1 and L2 need no order. Whenever the power fails, every reference on the disk is
// counted and leads to data that was stable before: at worst clusters are leaked. A cluster is used again only after
// step 3. With lazy refcounts the dirty bit replaces step 1, and opening a dirty image rebuilds the counts.
#pragma once
#include <array>
#include <functional>
#include <memory>

#include "block/bytes.h"
#include "block/node.h"
#include "block/qcow2/cache_sizes.h"
#include "block/qcow2/header.h"
#include "block/qcow2/refcounts.h"
#include "block/qcow2/slice_cache.h"

namespace doppel::block::qcow2 {

constexpr u64 kOffsetMask = 0x00fffffffffffe00;  // of L1 entries and standard L2 entries
constexpr u64 kCopied = u64{1} << 63, kCompressed = u64{1} << 62, kZeroFlag = 1;
constexpr unsigned kSubclusters = 32;

// An L2 entry; `bitmap` only with extended entries.
struct L2Entry {
  u64 entry = 0, bitmap = 0;
  bool compressed() const { return (entry & kCompressed) != 0; }
  u64 offset() const { return entry & kOffsetMask; }
  bool operator==(const L2Entry&) const = default;
};

enum class Kind : u8 { Unallocated, Zero, Data, Compressed };

// A run of guest bytes of one kind.
struct Piece {
  Kind kind = Kind::Unallocated;
  u64 length = 0;
  u64 host = 0;   // Data: where; Zero: of a preallocated cluster, or 0
  L2Entry entry;  // of the first cluster
};

struct CompressedPlace {
  u64 offset = 0, length = 0;  // bytes in the file, to the end of the last sector
};

class Image {
 public:
  struct Params {
    std::shared_ptr<File> file;
    std::shared_ptr<File> data_file;  // of an image with an external one
    std::shared_ptr<Node> backing;
    Header header;
    CacheBounds caches{};
    bool writable = false;
  };
  explicit Image(Params p);
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  int load();  // the tables that are kept in memory

  // The disk. Ranges must lie inside it (vm state: behind it).
  int read(u64 offset, std::span<u8> data);
  int write(u64 offset, std::span<const u8> data);
  int write_zeroes(u64 offset, u64 length);
  int discard(u64 offset, u64 length);
  int flush();
  // One whole cluster, packed by compress_cluster; takes the place of what was there.
  int write_compressed(u64 offset, std::span<const u8> packed);
  int lookup(u64 offset, u64 length, Piece& piece);
  // What lookup found; of kinds but Compressed also while other threads look things up.
  int read_piece(const Piece& piece, u64 offset, std::span<u8> data);
  int read_piece(const Piece& piece, u64 offset, Pieces data);
  int read_whole_compressed(u64 entry, std::span<u8> cluster);
  // How much of a write, from its start, goes to where it is (`host` in the data file); 0: none.
  int find_in_place(u64 offset, u64 length, u64& host, u64& done);
  // A write into clusters that are new, in steps, for writers side by side: begin_new and end_new under the lock of
  // the tables, fill between them without it. Nobody else may write to these guest clusters meanwhile.
  struct NewRun {
    u64 offset = 0, length = 0;  // the guest's bytes, inside one L2 table
    u64 from = 0, to = 0;        // grown to where bytes around are copied
    u64 table = 0, index = 0;    // of the first cluster
    u64 host = 0;                // of the first cluster
    std::vector<L2Entry> old;    // one a cluster
    bool reused = false;         // a preallocated cluster of zeroes takes the data itself
    bool fresh = false;          // the file has a hole there
  };
  using ReadOld = std::function<int(u64 offset, std::span<u8> data)>;
  int begin_new(u64 offset, u64 length, NewRun& run);  // `old` stays empty: such a write has to be alone
  int fill(const NewRun& run, Pieces data, const ReadOld& read_old);
  int end_new(const NewRun& run, int error);  // links the clusters, or gives them back; the error
  int preallocate(u64 offset, u64 length);    // clusters for a range that has none
  Status resize(u64 size);
  int close();

  int commit();  // the tables, in order
  int barrier();
  bool clean() const {  // commit() would do nothing
    return writable_ && !refcounts.dirty() && !refcounts.has_releases() && !l2.dirty() &&
           first_dirty_l1_ >= end_dirty_l1_;
  }
  int write_fields();       // the header's first sector
  Status rewrite_header();  // all of it, extensions too
  // Compressed clusters may be freed by other ways than writes: begin new ones, read old ones again.
  void forget_packed() {
    packed_at_ = 0;
    unpacked_ = ~u64{0};
  }
  int set_dirty(bool dirty);
  int set_corrupt(bool corrupt);
  int make_empty();     // nothing is the image's own any more: all is the backing image's
  int start_writing();  // before the first write: clears features that don't survive it
  void mark_corrupt();

  Header header;
  Refcounts refcounts;
  std::vector<u64> l1;
  SliceCache l2;
  std::function<void(u64 offset, u64 length)> on_write;  // guest bytes change (bitmaps)

  File& file() { return *file_; }
  File& data_file() { return data_file_ ? *data_file_ : *file_; }
  bool has_data_file() const { return data_file_ != nullptr; }
  u64 cached_bytes() const { return l2.bytes() + refcounts.cached_bytes(); }
  u64 peak_cached_bytes() const { return l2.peak_bytes() + refcounts.peak_bytes(); }
  void drop_unused();  // of the caches: what was not used since the last call
  u64 file_allocated() const { return file_->allocated_bytes(); }
  std::shared_ptr<Node> shared_backing() const { return backing_; }
  Node* backing() { return backing_.get(); }
  void set_backing(std::shared_ptr<Node> node) { backing_ = std::move(node); }
  bool writable() const { return writable_; }
  u64 cluster_size() const { return header.cluster_size(); }
  u64 l2_entries() const { return u64{1} << header.l2_bits(); }
  u64 unit_size() const { return header.extended_l2() ? cluster_size() / kSubclusters : cluster_size(); }

  // Tables, for snapshots and check.
  int entry_at(u64 table, u64 index, L2Entry& e);
  int set_entry(u64 table, u64 index, const L2Entry& e);
  CompressedPlace compressed_place(u64 entry) const;
  void set_l1(u64 index, u64 entry);
  int replace_l1(std::vector<u64> entries, const std::function<void()>& also);  // a new place; `also` edits the header
  // Calls fn(first cluster, number) for the host clusters an entry refers to.
  template <typename Fn>
  int for_clusters(const L2Entry& e, Fn&& fn) const;
  Kind kind_of(const L2Entry& e, u64 unit) const;
  bool overlaps_metadata(u64 offset, u64 length) const;

 private:
  bool wants_commit() const;
  int relieve();
  int set_feature(u64 bit, bool on);
  u64 table_of(u64 offset) const;  // 0: there is none
  int own_table(u64 offset, u64& table);
  u64 index_of(u64 offset) const { return offset >> header.cluster_bits & (l2_entries() - 1); }
  bool in_place(const L2Entry& e) const;
  int write_some(u64 offset, std::span<const u8> data, u64& done);
  int write_in_place(u64 offset, std::span<const u8> data, u64 table, const L2Entry& e, u64& done);
  int run_in_place(u64 offset, u64 length, u64 table, const L2Entry& e, u64& host, u64& done);
  int write_subclusters(u64 offset, std::span<const u8> data, u64 table, L2Entry e);
  int plan_new(u64 offset, u64 length, u64 table, NewRun& run);
  int write_run(const NewRun& run, std::span<const u8> data);
  int link(const NewRun& run);
  int release_entry(const L2Entry& e);
  int zero_clusters(u64 offset, u64 number, bool keep);
  int zero_part(u64 offset, u64 length);
  int zero_units(u64 offset, u64 length);
  int read_backing(u64 offset, std::span<u8> data);
  int read_compressed(u64 entry, u64 cluster, u64 inside, std::span<u8> data);
  int allocate_bytes(u64 number, u64& offset);
  int new_cluster_run(u64 offset, u64& number, u64& host);
  int write_l1();

  std::shared_ptr<File> file_, data_file_;
  std::shared_ptr<Node> backing_;
  bool writable_, started_ = false;
  u64 first_dirty_l1_ = ~u64{0}, end_dirty_l1_ = 0;
  u64 packed_at_ = 0;  // where the next compressed cluster may begin; 0: in a new cluster
  u64 unpacked_ = ~u64{0};
  u64 unpacked_entry_ = 0;
  std::vector<u8> unpacked_data_;  // the compressed cluster read last
};

template <typename Fn>
int Image::for_clusters(const L2Entry& e, Fn&& fn) const {
  if (has_data_file()) return 0;
  if (e.compressed()) {
    const CompressedPlace p = compressed_place(e.entry);
    const u64 first = p.offset >> header.cluster_bits, last = (p.offset + p.length - 1) >> header.cluster_bits;
    return fn(first, last - first + 1);
  }
  return e.offset() == 0 ? 0 : fn(e.offset() >> header.cluster_bits, u64{1});
}

}  // namespace doppel::block::qcow2
