// Image: writing. In place where the cluster is the image's own (its COPIED flag), else into new clusters together with
// what the request doesn't cover of them (copy on write), which are linked when their bytes are written.
#include <algorithm>
#include <cerrno>

#include "block/qcow2/image.h"

namespace doppel::block::qcow2 {

int Image::write(u64 offset, std::span<const u8> data) {
  if (const int error = start_writing()) return error;
  if (on_write) on_write(offset, data.size());
  while (!data.empty()) {
    if (const int error = relieve()) return error;
    u64 done = 0;
    if (const int error = write_some(offset, data, done)) return error;
    offset += done;
    data = data.subspan(done);
  }
  return 0;
}

bool Image::in_place(const L2Entry& e) const {
  if (e.compressed() || (e.entry & kCopied) == 0 || (e.offset() == 0 && !has_data_file())) return false;
  if (header.extended_l2()) return (e.bitmap & 0xffffffff) == 0xffffffff;
  return header.version < 3 || (e.entry & kZeroFlag) == 0;
}

int Image::write_some(u64 offset, std::span<const u8> data, u64& done) {
  u64 table = 0;
  if (const int error = own_table(offset, table)) return error;
  L2Entry e;
  if (const int error = entry_at(table, index_of(offset), e)) return error;
  if (!e.compressed() && e.offset() % cluster_size() != 0) {
    mark_corrupt();
    return EIO;
  }
  if (in_place(e)) return write_in_place(offset, data, table, e, done);
  const bool owned = !e.compressed() && (e.entry & kCopied) != 0 && (e.offset() != 0 || has_data_file());
  if (header.extended_l2() && owned) {
    done = std::min<u64>(data.size(), cluster_size() - offset % cluster_size());
    return write_subclusters(offset, data.first(done), table, e);
  }
  NewRun run;
  if (const int error = plan_new(offset, data.size(), table, run)) return error;
  done = run.length;
  return end_new(run, write_run(run, data.first(done)));
}

// The L2 table of a guest offset, made or copied so that it may be changed.
int Image::own_table(u64 offset, u64& table) {
  const u64 index = offset >> (header.cluster_bits + header.l2_bits());
  if (index >= l1.size()) return EFBIG;
  const u64 old = l1[index] & kOffsetMask;
  if (old % cluster_size() != 0) {
    mark_corrupt();
    return EIO;
  }
  table = old;
  if (old != 0 && (l1[index] & kCopied) != 0) return 0;
  u64 number = 1, cluster = 0;
  if (const int error = refcounts.allocate(number, cluster)) return error;
  table = cluster << header.cluster_bits;
  if (overlaps_metadata(table, cluster_size())) {
    mark_corrupt();
    return EIO;
  }
  std::vector<u8> copy(cluster_size());
  for (u64 at = 0; old != 0 && at < cluster_size(); at += l2.slice_size()) {
    int error = 0;
    const u8* slice = l2.load(old + at, error);
    if (slice == nullptr) return error;
    std::copy_n(slice, l2.slice_size(), copy.begin() + static_cast<std::ptrdiff_t>(at));
  }
  l2.forget(table, cluster_size());
  if (const int error = file_->write(table, copy)) {
    refcounts.add(cluster, 1, -1);
    return error;
  }
  set_l1(index, table | kCopied);
  if (old != 0) refcounts.release(old >> header.cluster_bits);
  return 0;
}

int Image::run_in_place(u64 offset, u64 length, u64 table, const L2Entry& e, u64& host, u64& done) {
  const u64 first = index_of(offset), inside = offset % cluster_size();
  u64 n = cluster_size() - inside;
  for (u64 k = 1; n < length && first + k < l2_entries(); k++, n += cluster_size()) {
    L2Entry next;
    if (const int error = entry_at(table, first + k, next)) return error;
    if (!in_place(next) || next.offset() != e.offset() + k * cluster_size()) break;
  }
  done = std::min<u64>(n, length);
  host = e.offset() + inside;
  if (!has_data_file() && overlaps_metadata(host, done)) {
    mark_corrupt();
    return EIO;
  }
  return 0;
}

int Image::write_in_place(u64 offset, std::span<const u8> data, u64 table, const L2Entry& e, u64& done) {
  u64 host = 0;
  if (const int error = run_in_place(offset, data.size(), table, e, host, done)) return error;
  return data_file().write(host, data.first(done));
}

int Image::find_in_place(u64 offset, u64 length, u64& host, u64& done) {
  done = 0;
  const u64 index = offset >> (header.cluster_bits + header.l2_bits());
  if (index >= l1.size() || (l1[index] & kCopied) == 0 || !started_ || !writable_) return 0;
  const u64 table = l1[index] & kOffsetMask;
  if (table == 0 || table % cluster_size() != 0) return 0;
  L2Entry e;
  if (const int error = entry_at(table, index_of(offset), e)) return error;
  if (!in_place(e) || e.offset() % cluster_size() != 0) return 0;
  if (on_write) on_write(offset, length);
  return run_in_place(offset, length, table, e, host, done);
}

// Into a cluster of the image's own, some of whose subclusters are not there yet.
int Image::write_subclusters(u64 offset, std::span<const u8> data, u64 table, L2Entry e) {
  const u64 unit = unit_size(), end = offset + data.size(), cluster = align_down(offset, cluster_size());
  const u64 first = (offset - cluster) / unit, last = (end - 1 - cluster) / unit;
  NewRun s{.offset = offset, .length = data.size(), .from = offset, .to = end};
  s.host = e.offset();
  if ((e.bitmap >> first & 1) == 0) s.from = align_down(offset, unit);
  if ((e.bitmap >> last & 1) == 0) s.to = align_up(end, unit);
  s.old.push_back(e);
  if (const int error = write_run(s, data)) return error;
  const u64 touched = mask_bits(static_cast<unsigned>(last - first + 1)) << first;
  L2Entry linked = e;
  linked.bitmap = (e.bitmap | touched) & ~(touched << 32);
  return linked == e ? 0 : set_entry(table, index_of(offset), linked);
}

int Image::new_cluster_run(u64 offset, u64& number, u64& host) {
  if (has_data_file()) {
    host = align_down(offset, cluster_size());
    return 0;
  }
  u64 first = 0;
  if (const int error = refcounts.allocate(number, first)) return error;
  host = first << header.cluster_bits;
  if ((host + number * cluster_size() - 1) & ~(kOffsetMask | 511)) return EFBIG;
  if (!overlaps_metadata(host, number * cluster_size())) return 0;
  mark_corrupt();
  return EIO;
}

// Chooses the clusters of a write and where they shall be.
int Image::plan_new(u64 offset, u64 length, u64 table, NewRun& s) {
  s = {.offset = offset, .table = table, .index = index_of(offset)};
  const u64 inside = offset % cluster_size(), wanted = div_up(inside + length, cluster_size());
  for (u64 k = 0; k < wanted && s.index + k < l2_entries() && !s.reused; k++) {
    L2Entry e;
    if (const int error = entry_at(table, s.index + k, e)) return error;
    const bool owned = !e.compressed() && e.offset() != 0 && (e.entry & kCopied) != 0;
    if (k != 0 && owned) break;
    s.reused = owned;
    s.old.push_back(e);
  }
  u64 number = s.reused ? 1 : s.old.size();
  if (s.reused) {
    s.host = s.old[0].offset();
  } else if (const int error = new_cluster_run(offset, number, s.host)) {
    return error;
  }
  s.old.resize(number);
  s.length = std::min<u64>(length, number * cluster_size() - inside);
  const auto copies_all = [](const L2Entry& e) { return e.compressed() || (e.bitmap & 0xffffffff) != 0; };
  const u64 unit = unit_size();
  s.from = align_down(offset, copies_all(s.old.front()) ? cluster_size() : unit);
  s.to = align_up(offset + s.length, copies_all(s.old.back()) ? cluster_size() : unit);
  s.fresh = !s.reused && s.host >= data_file().size();
  return 0;
}

int Image::write_run(const NewRun& s, std::span<const u8> data) {
  // SAFETY: a write only reads what the pieces point to.
  const std::span<u8> piece(const_cast<u8*>(data.data()), data.size());
  return fill(s, {&piece, 1}, [this](u64 offset, std::span<u8> old) { return read(offset, old); });
}

int Image::begin_new(u64 offset, u64 length, NewRun& run) {
  run.old.clear();
  if (!started_ || !writable_ || wants_commit()) return 0;
  u64 table = 0;
  if (const int error = own_table(offset, table)) return error;
  L2Entry e;
  if (const int error = entry_at(table, index_of(offset), e)) return error;
  const bool damaged = !e.compressed() && e.offset() % cluster_size() != 0;
  const bool owned = !e.compressed() && (e.entry & kCopied) != 0 && (e.offset() != 0 || has_data_file());
  if (damaged || in_place(e) || (header.extended_l2() && owned)) return 0;
  if (const int error = plan_new(offset, length, table, run)) return run.old.clear(), error;
  if (on_write) on_write(offset, run.length);
  return 0;
}

int Image::end_new(const NewRun& s, int error) {
  if (error == 0) error = link(s);
  if (error != 0 && !s.reused && !has_data_file()) refcounts.add(s.host >> header.cluster_bits, s.old.size(), -1);
  return error;
}

// Writes the data, and around it what the guest reads there now; nothing where that is zero and the file has a hole.
int Image::fill(const NewRun& s, Pieces data, const ReadOld& read_old) {
  const u64 end = s.offset + s.length;
  const auto holds_nothing = [&](const L2Entry& e) { return s.fresh && backing_ == nullptr && e == L2Entry{}; };
  std::vector<u8> before(holds_nothing(s.old.front()) ? 0 : s.offset - s.from);
  std::vector<u8> after(holds_nothing(s.old.back()) ? 0 : s.to - end);
  if (const int error = before.empty() ? 0 : read_old(s.from, before)) return error;
  if (const int error = after.empty() ? 0 : read_old(end, after)) return error;
  if (s.fresh && is_zero(before)) before.clear();
  if (s.fresh && is_zero(after)) after.clear();
  const u64 host = s.host + (s.offset - before.size() - align_down(s.offset, cluster_size()));
  if (before.empty() && after.empty()) return data_file().write_pieces(host, data);
  std::vector<std::span<u8>> all{before};
  all.insert(all.end(), data.begin(), data.end());
  all.emplace_back(after);
  return data_file().write_pieces(host, all);
}

int Image::link(const NewRun& s) {
  const u64 unit = unit_size();
  u64 cluster = align_down(s.offset, cluster_size());
  for (u64 k = 0; k < s.old.size(); k++, cluster += cluster_size()) {
    L2Entry e{.entry = (s.host + k * cluster_size()) | kCopied};
    if (header.extended_l2()) {
      const u64 first = (std::max(s.from, cluster) - cluster) / unit;
      const u64 end = (std::min(s.to, cluster + cluster_size()) - cluster) / unit;
      const u64 touched = mask_bits(static_cast<unsigned>(end - first)) << first;
      e.bitmap = (s.old[k].compressed() ? 0 : s.old[k].bitmap & ~mask_bits(32)) & ~(touched << 32);
      e.bitmap |= touched;
    }
    if (const int error = set_entry(s.table, s.index + k, e)) return error;
    if (s.old[k].compressed() || s.old[k].offset() != e.offset()) release_entry(s.old[k]);
  }
  return 0;
}

int Image::release_entry(const L2Entry& e) {
  return for_clusters(e, [&](u64 first, u64 number) {
    if (e.compressed()) {
      unpacked_ = ~u64{0};
      const u64 open = packed_at_ >> header.cluster_bits;
      if (open >= first && open < first + number) packed_at_ = 0;
    }
    refcounts.release(first, number);
    return 0;
  });
}

// Room for a compressed cluster, behind the last one where that is possible.
int Image::allocate_bytes(u64 number, u64& offset) {
  const u64 size = cluster_size();
  if (packed_at_ != 0) {
    const u64 cluster = packed_at_ >> header.cluster_bits, room = size - packed_at_ % size;
    u64 count = 0;
    if (const int error = refcounts.get(cluster, count)) return error;
    if (count == 0 || count == refcounts.max_count()) packed_at_ = 0;
    if (packed_at_ != 0 && number <= room) {
      offset = packed_at_;
      packed_at_ = number == room ? 0 : packed_at_ + number;
      return refcounts.add(cluster, 1, 1);
    }
  }
  u64 one = 1, first = 0;
  if (const int error = refcounts.allocate(one, first)) return error;
  const u64 at = first << header.cluster_bits;
  if (packed_at_ != 0 && packed_at_ >> header.cluster_bits == first - 1) {
    offset = packed_at_;
    if (const int error = refcounts.add(first - 1, 1, 1)) return error;
  } else {
    offset = at;
  }
  packed_at_ = (offset + number) % size == 0 ? 0 : offset + number;
  return 0;
}

int Image::write_compressed(u64 offset, std::span<const u8> packed) {
  if (has_data_file() || packed.empty() || packed.size() >= cluster_size()) return EINVAL;
  if (const int error = start_writing()) return error;
  if (on_write) on_write(offset, cluster_size());
  if (const int error = relieve()) return error;
  u64 table = 0, at = 0;
  if (const int error = own_table(offset, table)) return error;
  L2Entry old;
  if (const int error = entry_at(table, index_of(offset), old)) return error;
  if (const int error = allocate_bytes(packed.size(), at)) return error;
  const unsigned x = 62 - (header.cluster_bits - 8);
  if (at + packed.size() > std::min(mask_bits(x), kOffsetMask)) return EFBIG;
  if (const int error = file_->write(at, packed)) return error;
  const u64 sectors = ((at + packed.size() - 1) >> 9) - (at >> 9);
  unpacked_ = ~u64{0};
  if (const int error = set_entry(table, index_of(offset), {.entry = kCompressed | sectors << x | at})) return error;
  return release_entry(old);
}

}  // namespace doppel::block::qcow2
