#include "block/qcow2/check.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "block/qcow2/bitmaps.h"
#include "block/qcow2/snapshots.h"

namespace doppel::block::qcow2 {
namespace {

template <typename... Args>
std::string text(const char* format, Args... args) {
  char line[200];
  std::snprintf(line, sizeof line, format, args...);
  return line;
}

class Checker {
 public:
  Checker(Image& image, Repair repair, const std::function<void(const std::string&)>& say)
      : image_(image), h_(image.header), repair_(repair), say_(say) {}

  CheckResult run() {
    find();
    if (rebuild_ && repair_ == Repair::All) rebuild();
    copied_flags();
    r_.total_clusters = div_up(h_.size, h_.cluster_size());
    for (u64 i = counts_.size(); i-- > 0 && r_.image_end == 0;) {
      u64 count = 0;
      if (counts_[i] != 0 || (image_.refcounts.get(i, count) == 0 && count != 0))
        r_.image_end = (i + 1) * h_.cluster_size();
    }
    return r_;
  }

 private:
  void find() {
    end_ = div_up(image_.file().size(), h_.cluster_size());
    counts_.assign(end_ + 1, 0);
    count_all();
    compare();
  }

  void corruption(const std::string& line) {
    r_.corruptions++;
    say_("ERROR " + line);
  }

  void count(u64 offset, u64 length, const char* what) {
    if (length == 0) return;
    const u64 first = offset >> h_.cluster_bits, last = (offset + length - 1) >> h_.cluster_bits;
    if (offset + length < offset || last >= end_)
      return corruption(text("%s at offset 0x%" PRIx64 " lies outside the file", what, offset));
    for (u64 i = first; i <= last; i++) {
      if (counts_[i] != ~u32{0}) counts_[i]++;
    }
  }

  void count_all() {
    count(0, h_.cluster_size(), "the header");
    if (h_.encryption) count(h_.encryption->offset, h_.encryption->length, "the encryption header");
    count_l1(image_.l1, h_.l1_table_offset, true);
    count_snapshots();
    count_bitmaps();
    count(h_.refcount_table_offset, h_.refcount_table_clusters * h_.cluster_size(), "the refcount table");
    const std::vector<u64>& table = image_.refcounts.table();
    for (size_t i = 0; i < table.size(); i++) count_block(i, table[i]);
  }

  void count_block(size_t index, u64 offset) {
    if (offset == 0) return;
    if (offset % h_.cluster_size() != 0 || offset >> h_.cluster_bits >= end_) {
      rebuild_ = true;
      return corruption(text("refcount block %zu is not where a cluster of the file is", index));
    }
    count(offset, h_.cluster_size(), "a refcount block");
    if (counts_[offset >> h_.cluster_bits] == 1) return;
    rebuild_ = true;
    corruption(text("refcount block %zu lies where other things are", index));
  }

  void count_snapshots() {
    auto table = load_snapshots(image_);
    if (!table) return corruption("the snapshot table is not valid");
    count(h_.snapshots_offset, table->bytes, "the snapshot table");
    for (const Snapshot& s : table->rows) {
      std::vector<u64> l1;
      if (load_l1(image_, s, l1) != 0) {
        r_.check_errors++;
        continue;
      }
      count_l1(l1, s.l1_offset, false);
    }
  }

  void count_bitmaps() {
    auto list = load_bitmaps(image_);
    if (!list) return corruption("the bitmap directory is not valid");
    if (!h_.bitmaps) return;
    count(h_.bitmaps->directory_offset, h_.bitmaps->directory_size, "the bitmap directory");
    for (const Bitmap& b : *list) {
      std::vector<u64> table;
      count(b.table_offset, u64{b.table_size} * 8, "a bitmap table");
      if (load_bitmap_table(image_, b, table) != 0) r_.check_errors++;
      for (const u64 entry : table) {
        if ((entry & kOffsetMask) != 0) count(entry & kOffsetMask, h_.cluster_size(), "bitmap data");
      }
    }
  }

  void count_l1(const std::vector<u64>& l1, u64 offset, bool active) {
    count(offset, l1.size() * 8, "an L1 table");
    for (const u64 entry : l1) {
      const u64 table = entry & kOffsetMask;
      if (table == 0) continue;
      if ((entry & ~(kOffsetMask | kCopied)) != 0) corruption(text("L1 entry 0x%" PRIx64 " has reserved bits", entry));
      if (table % h_.cluster_size() != 0) {
        corruption(text("l2_offset=%" PRIx64 ": Table is not cluster aligned; L1 entry corrupted", table));
        continue;
      }
      count(table, h_.cluster_size(), "an L2 table");
      if (table >> h_.cluster_bits < end_) count_l2(table, active);
    }
  }

  void count_l2(u64 table, bool active) {
    for (u64 i = 0; i < image_.l2_entries(); i++) {
      L2Entry e;
      if (image_.entry_at(table, i, e) != 0) {
        r_.check_errors++;
        return;
      }
      if (e.compressed()) {
        count_compressed(e, active);
      } else if (e.offset() != 0) {
        count_standard(e, active);
      }
      if (h_.extended_l2() && !e.compressed() && (e.bitmap & e.bitmap >> 32 & 0xffffffff) != 0)
        corruption(text("L2 entry 0x%" PRIx64 ": a subcluster is allocated and zero", e.entry));
      if (h_.extended_l2() && !e.compressed() && e.offset() == 0 && (e.bitmap & 0xffffffff) != 0 &&
          !image_.has_data_file())
        corruption(text("L2 entry 0x%" PRIx64 ": subclusters are allocated without a cluster", e.entry));
    }
  }

  void count_compressed(const L2Entry& e, bool active) {
    if (image_.has_data_file()) return corruption("a compressed cluster in an image with an external data file");
    if ((e.entry & kCopied) != 0)
      corruption(text("coffset=0x%" PRIx64 ": copied flag must never be set for compressed clusters", e.entry));
    const CompressedPlace p = image_.compressed_place(e.entry);
    // The last sector may be cut off by the file's end.
    const u64 file_end = end_ << h_.cluster_bits;
    count(p.offset, std::max(std::min(p.offset + p.length, file_end), p.offset + 1) - p.offset, "a compressed cluster");
    if (!active) return;
    r_.allocated_clusters++;
    r_.compressed_clusters++;
    r_.fragmented_clusters++;
  }

  void count_standard(const L2Entry& e, bool active) {
    if (e.offset() % h_.cluster_size() != 0)
      return corruption(text("offset=%" PRIx64 ": Cluster is not properly aligned; L2 entry corrupted.", e.offset()));
    if (active) {
      r_.allocated_clusters++;
      if (next_ != 0 && e.offset() != next_) r_.fragmented_clusters++;
      next_ = e.offset() + h_.cluster_size();
    }
    if (!image_.has_data_file()) count(e.offset(), h_.cluster_size(), "a data cluster");
  }

  // Each count against what was found.
  void compare() {
    const u64 covered = image_.refcounts.table().size() << h_.block_bits();
    for (u64 i = 0; i < std::max<u64>(counts_.size(), std::min(covered, end_ + image_.refcounts.entries_per_block()));
         i++) {
      const u64 wanted = i < counts_.size() ? counts_[i] : 0;
      u64 count = 0;
      if (image_.refcounts.get(i, count) != 0) {
        if (wanted != 0) rebuild_ = true;
        count = 0;
      }
      if (count != wanted) differs(i, count, wanted);
    }
  }

  void differs(u64 cluster, u64 count, u64 wanted) {
    const bool leak = count > wanted;
    const bool fix = repair_ == Repair::All || (repair_ == Repair::Leaks && leak);
    say_(text("%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
              fix    ? "Repairing"
              : leak ? "Leaked"
                     : "ERROR",
              cluster, count, wanted));
    const u64 block = cluster >> h_.block_bits();
    const std::vector<u64>& table = image_.refcounts.table();
    bool fixed = false;
    if (fix && !leak && (block >= table.size() || table[block] == 0)) {
      rebuild_ = true;  // a new block must not land on what is in use
      fixed = true;
    } else if (fix) {
      fixed = rebuild_ || image_.refcounts.set(cluster, wanted) == 0;
    }
    (fixed ? (leak ? r_.leaks_fixed : r_.corruptions_fixed) : (leak ? r_.leaks : r_.corruptions))++;
  }

  // New blocks and a new table behind the file's end. The old ones are not counted and so become free.
  void rebuild() {
    for (u64 i = h_.refcount_table_offset >> h_.cluster_bits, n = h_.refcount_table_clusters; n != 0; n--, i++) {
      if (i < counts_.size() && counts_[i] != 0) counts_[i]--;
    }
    for (const u64 offset : image_.refcounts.table()) {
      const u64 i = offset >> h_.cluster_bits;
      if (offset != 0 && offset % h_.cluster_size() == 0 && i < end_ && counts_[i] != 0) counts_[i]--;
    }
    counts_.resize(end_);
    if (const int error = image_.refcounts.start_over(counts_)) {
      r_.check_errors++;
      return say_(text("can't write new refcounts: error %d", error));
    }
    // What was found above is mended, except what is found again.
    r_.corruptions_fixed += r_.corruptions;
    Checker again(image_, Repair::None, say_);
    again.find();
    r_.corruptions = again.r_.corruptions;
    r_.corruptions_fixed -= std::min(r_.corruptions_fixed, r_.corruptions);
    counts_ = std::move(again.counts_);
    end_ = again.end_;
  }

  void copied_flags() {
    if (image_.has_data_file()) return;
    for (u64 i = 0; i < image_.l1.size(); i++) {
      const u64 table = image_.l1[i] & kOffsetMask;
      if (table == 0 || table % h_.cluster_size() != 0 || table >> h_.cluster_bits >= end_) continue;
      if (wrong_flag(image_.l1[i], "L2 cluster: l1_entry")) image_.set_l1(i, image_.l1[i] ^ kCopied);
      for (u64 k = 0; k < image_.l2_entries(); k++) {
        L2Entry e;
        if (image_.entry_at(table, k, e) != 0) break;
        if (e.compressed() || e.offset() == 0 || e.offset() % h_.cluster_size() != 0) continue;
        if (!wrong_flag(e.entry, "data cluster: l2_entry")) continue;
        image_.set_entry(table, k, {e.entry ^ kCopied, e.bitmap});
      }
      if (image_.l2.crowded() && image_.commit() != 0) r_.check_errors++;
    }
  }

  // Says so; true: it is to be mended.
  bool wrong_flag(u64 entry, const char* what) {
    u64 count = 0;
    if (image_.refcounts.get((entry & kOffsetMask) >> h_.cluster_bits, count) != 0) return false;
    if ((count == 1) == ((entry & kCopied) != 0)) return false;
    const bool fix = repair_ == Repair::All;
    say_(text("%s OFLAG_COPIED %s=%" PRIx64 " refcount=%" PRIu64, fix ? "Repairing" : "ERROR", what, entry, count));
    (fix ? r_.corruptions_fixed : r_.corruptions)++;
    return fix;
  }

  Image& image_;
  const Header& h_;
  Repair repair_;
  const std::function<void(const std::string&)>& say_;
  CheckResult r_;
  std::vector<u32> counts_;
  u64 end_ = 0;   // clusters of the file
  u64 next_ = 0;  // where the next data cluster continues the last
  bool rebuild_ = false;
};

}  // namespace

CheckResult check(Image& image, Repair repair, const std::function<void(const std::string&)>& say) {
  CheckResult r = Checker(image, repair, say).run();
  if (repair == Repair::None) return r;
  if (image.flush() != 0 || image.refcounts.write_blocks() != 0 || image.barrier() != 0) r.check_errors++;
  return r;
}

}  // namespace doppel::block::qcow2
