#include "block/qcow2/compact.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <unordered_map>

#include "base/page_vector.h"
#include "block/qcow2/snapshots.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kBatchBytes = 64 << 20;

class Compactor {
 public:
  Compactor(Image& image, const std::function<void(u64)>& progress, CompactResult& result)
      : image_(image), progress_(progress), r_(result) {}

  int run() {
    if (const int error = image_.start_writing()) return error;
    if (const int error = give_back_zeroes()) return error;
    if (const int error = settle()) return error;
    if (!image_.has_data_file()) {
      // Data first: their references are in tables, which move then.
      for (const bool tables : {false, true}) {
        if (const int error = move_down(tables)) return error;
      }
      if (const int error = move_l1()) return error;
    }
    return cut();
  }

 private:
  // A reference to a host cluster: an entry of an L2 table, of the active L1 table or of a snapshot's.
  struct Reference {
    enum class In : u8 { L2, ActiveL1, SnapshotL1 } in;
    u64 table = 0, index = 0;
  };
  struct Users {
    std::vector<Reference> list;
    u64 count = 0;  // what the reference count must be
  };
  struct Table {
    Reference::In in;
    u64 offset;
    std::vector<u64> entries;
  };

  int give_back_zeroes() {
    const u64 size = image_.cluster_size(), end = image_.header.size;
    PageVector data(size);
    for (u64 at = 0; at < end;) {
      Piece piece;
      if (const int error = image_.lookup(at, end - at, piece)) return error;
      const u64 before = at;
      if (piece.kind == Kind::Data || (piece.kind == Kind::Zero && piece.host != 0)) {
        if (const int error = give_back(at, piece.kind == Kind::Zero, data)) return error;
        at = align_down(at, size) + size;
      } else {
        at += std::max<u64>(piece.length, 1);
      }
      progress_(std::min(at, end) - before);
    }
    return 0;
  }

  int give_back(u64 at, bool known, std::span<u8> data) {
    at = align_down(at, image_.cluster_size());
    const auto part = data.first(std::min(image_.cluster_size(), image_.header.size - at));
    if (!known || image_.header.extended_l2()) {
      if (const int error = image_.read(at, part)) return error;
      if (!is_zero(part)) return 0;
    }
    r_.given_back++;
    return image_.discard(at, part.size());
  }

  // Everything on the disk, nothing waits to be free.
  int settle() {
    for (int round = 0; round < 3; round++) {
      if (const int error = image_.commit()) return error;
    }
    return image_.barrier();
  }

  // What is in use fits into that many clusters.
  int find_limit() {
    const u64 end = div_up(image_.file().size(), image_.cluster_size());
    limit_ = 0;
    for (u64 i = 0, count = 0; i < end; i++) {
      if (const int error = image_.refcounts.get(i, count)) return error;
      if (count != 0) limit_++;
    }
    return 0;
  }

  int move_down(bool tables) {
    if (const int error = find_limit()) return error;
    users_.clear();
    if (const int error = find_references(tables)) return error;
    std::vector<u64> clusters;
    for (const auto& [cluster, users] : users_) clusters.push_back(cluster);
    std::sort(clusters.begin(), clusters.end());
    const size_t batch = std::max<u64>(kBatchBytes / image_.cluster_size(), 1);
    u64 from = 1;
    for (size_t first = 0; first < clusters.size(); first += batch) {
      const auto part = std::span(clusters).subspan(first, std::min(batch, clusters.size() - first));
      if (const int error = move(part, from)) return error;
    }
    return 0;
  }

  int find_references(bool tables) {
    std::vector<Table> all{{Reference::In::ActiveL1, image_.header.l1_table_offset, image_.l1}};
    auto snapshots = load_snapshots(image_);
    if (!snapshots) return EIO;
    for (const Snapshot& s : snapshots->rows) {
      all.push_back({Reference::In::SnapshotL1, s.l1_offset, {}});
      if (const int error = load_l1(image_, s, all.back().entries)) return error;
    }
    std::map<u64, u64> uses;  // of L2 tables: what is in them is counted once for each
    for (const Table& l1 : all) {
      for (u64 i = 0; i < l1.entries.size(); i++) {
        const u64 table = l1.entries[i] & kOffsetMask;
        if (table % image_.cluster_size() != 0) return EIO;
        if (table == 0) continue;
        uses[table]++;
        if (tables) note(table, {l1.in, l1.offset, i}, 1);
      }
    }
    for (const auto& [table, times] : uses) {
      for (u64 k = 0; k < image_.l2_entries() && !tables; k++) {
        L2Entry e;
        if (const int error = image_.entry_at(table, k, e)) return error;
        if (!e.compressed() && e.offset() != 0) note(e.offset(), {Reference::In::L2, table, k}, times);
      }
    }
    return 0;
  }

  void note(u64 offset, const Reference& r, u64 times) {
    const u64 cluster = offset >> image_.header.cluster_bits;
    if (cluster < limit_ || offset % image_.cluster_size() != 0) return;
    Users& users = users_[cluster];
    users.list.push_back(r);
    users.count += times;
  }

  int move(std::span<const u64> clusters, u64& from) {
    std::vector<std::pair<u64, u64>> moves;
    std::vector<u8> data(image_.cluster_size());
    for (const u64 cluster : clusters) {
      u64 count = 0, to = 0;
      if (const int error = image_.refcounts.get(cluster, count)) return error;
      if (count != users_[cluster].count) continue;  // something else lies there, too
      if (const int error = next_free(from, to)) return error;
      if (to == 0) break;
      if (const int error = image_.file().read(cluster * image_.cluster_size(), data)) return error;
      if (const int error = image_.file().write(to * image_.cluster_size(), data)) return error;
      if (const int error = image_.refcounts.set(to, count)) return error;
      moves.emplace_back(cluster, to);
    }
    if (const int error = settle()) return error;
    for (const auto& [cluster, to] : moves) {
      for (const Reference& r : users_[cluster].list) {
        if (const int error = point(r, to * image_.cluster_size())) return error;
        if (const int error = image_.l2.crowded() ? image_.commit() : 0) return error;
      }
    }
    if (const int error = settle()) return error;
    for (const auto& [cluster, to] : moves) {
      image_.l2.forget(cluster * image_.cluster_size(), image_.cluster_size());
      for (u64 i = 0; i < users_[cluster].count; i++) image_.refcounts.release(cluster);
    }
    r_.moved += moves.size();
    return settle();
  }

  // The next free cluster below the limit, 0: there is none.
  int next_free(u64& from, u64& to) {
    for (; from < limit_; from++) {
      u64 count = 0;
      if (const int error = image_.refcounts.get(from, count)) return error;
      if (count != 0) continue;
      to = from++;
      return 0;
    }
    return 0;
  }

  int point(const Reference& r, u64 offset) {
    if (r.in == Reference::In::L2) {
      L2Entry e;
      if (const int error = image_.entry_at(r.table, r.index, e)) return error;
      e.entry = (e.entry & ~kOffsetMask) | offset;
      return image_.set_entry(r.table, r.index, e);
    }
    if (r.in == Reference::In::ActiveL1) {
      image_.set_l1(r.index, (image_.l1[r.index] & ~kOffsetMask) | offset);
      return 0;
    }
    std::array<u8, 8> raw;
    if (const int error = image_.file().read(r.table + r.index * 8, raw)) return error;
    store_be<u64>(raw.data(), (load_be<u64>(raw.data()) & ~kOffsetMask) | offset);
    return image_.file().write(r.table + r.index * 8, raw);
  }

  int move_l1() {
    if (image_.header.l1_table_offset >> image_.header.cluster_bits < limit_) return 0;
    if (const int error = image_.replace_l1(image_.l1, [] {})) return error;
    return settle();
  }

  // Counts of what is free are not kept, free clusters are holes, and the file ends behind the last one in use.
  int cut() {
    for (int round = 0; round < 2; round++) {  // a block may be counted in one that is empty then
      if (const int error = image_.refcounts.drop_empty_blocks()) return error;
      if (const int error = settle()) return error;
    }
    const u64 size = image_.cluster_size(), end = div_up(image_.file().size(), size);
    u64 last = 0, free_from = ~u64{0};
    for (u64 i = 0; i < end; i++) {
      u64 count = 0;
      if (const int error = image_.refcounts.get(i, count)) return error;
      if (count == 0) {
        free_from = std::min(free_from, i);
        continue;
      }
      if (free_from < i) {
        if (const int error = image_.file().discard(free_from * size, (i - free_from) * size)) return error;
      }
      free_from = ~u64{0};
      last = i;
    }
    if ((last + 1) * size < image_.file().size()) {
      if (const int error = image_.file().truncate((last + 1) * size)) return error;
    }
    return image_.barrier();
  }

  Image& image_;
  const std::function<void(u64)>& progress_;
  CompactResult& r_;
  u64 limit_ = 0;
  std::unordered_map<u64, Users> users_;  // of clusters that shall move
};

}  // namespace

int compact(Image& image, const std::function<void(u64)>& progress, CompactResult& result) {
  return Compactor(image, progress, result).run();
}

}  // namespace doppel::block::qcow2
