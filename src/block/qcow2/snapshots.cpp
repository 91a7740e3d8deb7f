#include "block/qcow2/snapshots.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

namespace doppel::block::qcow2 {
namespace {

constexpr size_t kRow = 40, kExtraVmState = 8, kExtraDiskSize = 16, kExtraIcount = 24;
constexpr size_t kMaxExtra = 1024;

Error failed(Image& image, const std::string& what, int error) {
  return {"can't " + what + " of '" + image.file().path() + "': " + std::strerror(error),
          error == ERANGE ? "the image's refcounts are too narrow: make it with a larger refcount_bits" : ""};
}

// Adds `delta` references to all that an L1 table leads to.
int add_references(Image& image, const std::vector<u64>& l1, int delta) {
  for (const u64 entry : l1) {
    const u64 table = entry & kOffsetMask;
    if (table == 0) continue;
    if (table % image.cluster_size() != 0) return EIO;
    for (u64 i = 0; i < image.l2_entries(); i++) {
      L2Entry e;
      if (const int error = image.entry_at(table, i, e)) return error;
      if (const int error =
              image.for_clusters(e, [&](u64 first, u64 number) { return image.refcounts.add(first, number, delta); }))
        return error;
    }
    if (const int error = image.refcounts.add(table >> image.header.cluster_bits, 1, delta)) return error;
    if (delta < 0) {
      u64 count = 1;
      if (image.refcounts.get(table >> image.header.cluster_bits, count) == 0 && count == 0)
        image.l2.forget(table, image.cluster_size());
    }
    if (image.refcounts.crowded()) {
      if (const int error = image.refcounts.write_blocks()) return error;
    }
  }
  return 0;
}

// Whether each count leaves room for one more: found out before anything changes.
int room_for_another(Image& image) {
  const auto full = [&](u64 first, u64 number) {
    for (u64 i = 0; i < number; i++) {
      u64 count = 0;
      if (const int error = image.refcounts.get(first + i, count)) return error;
      // A cluster of compressed data may be counted several times over.
      if (image.refcounts.max_count() - count < (count == 0 ? 1 : count)) return ERANGE;
    }
    return 0;
  };
  for (const u64 entry : image.l1) {
    const u64 table = entry & kOffsetMask;
    if (table == 0) continue;
    for (u64 i = 0; i < image.l2_entries(); i++) {
      L2Entry e;
      if (const int error = image.entry_at(table, i, e)) return error;
      if (const int error = image.for_clusters(e, full)) return error;
    }
    if (const int error = full(table >> image.header.cluster_bits, 1)) return error;
  }
  return 0;
}

std::vector<u8> serialise(const std::vector<Snapshot>& rows) {
  std::vector<u8> out;
  for (const Snapshot& s : rows) {
    const size_t at = out.size(), extra = kExtraIcount + s.unknown.size();
    out.resize(at + align_up(kRow + extra + s.info.id.size() + s.info.name.size(), 8));
    u8* row = &out[at];
    store_be<u64>(row, s.l1_offset);
    store_be<u32>(row + 8, s.l1_size);
    store_be<u16>(row + 12, static_cast<u16>(s.info.id.size()));
    store_be<u16>(row + 14, static_cast<u16>(s.info.name.size()));
    store_be<u32>(row + 16, s.info.date_seconds);
    store_be<u32>(row + 20, s.info.date_nanoseconds);
    store_be<u64>(row + 24, s.info.vm_clock_nanoseconds);
    store_be<u32>(row + 32, s.info.vm_state_size > 0xffffffff ? 0 : static_cast<u32>(s.info.vm_state_size));
    store_be<u32>(row + 36, static_cast<u32>(extra));
    store_be<u64>(row + kRow, s.info.vm_state_size);
    store_be<u64>(row + kRow + 8, s.info.disk_size);
    store_be<u64>(row + kRow + 16, s.info.icount.value_or(~u64{0}));
    u8* text = std::copy(s.unknown.begin(), s.unknown.end(), row + kRow + kExtraIcount);
    text = std::copy(s.info.id.begin(), s.info.id.end(), text);
    std::copy(s.info.name.begin(), s.info.name.end(), text);
  }
  return out;
}

// A new table in a new place; the header switches over when it is complete.
int write_table(Image& image, const SnapshotTable& old, const std::vector<Snapshot>& rows) {
  const std::vector<u8> raw = serialise(rows);
  if (raw.size() > kMaxSnapshotTableBytes || rows.size() > kMaxSnapshots) return EFBIG;
  u64 first = 0;
  if (!raw.empty()) {
    const u64 clusters = div_up(raw.size(), image.cluster_size());
    if (const int error = image.refcounts.allocate_all(clusters, first)) return error;
    std::vector<u8> padded = raw;
    padded.resize(clusters * image.cluster_size());
    if (const int error = image.file().write(first << image.header.cluster_bits, padded)) return error;
  }
  if (const int error = image.flush()) return error;
  const u64 old_first = image.header.snapshots_offset >> image.header.cluster_bits;
  image.header.snapshots_offset = first << image.header.cluster_bits;
  image.header.snapshot_count = static_cast<u32>(rows.size());
  if (const int error = image.write_fields()) return error;
  if (const int error = image.barrier()) return error;
  if (old.bytes != 0) image.refcounts.release(old_first, div_up(old.bytes, image.cluster_size()));
  return 0;
}

const Snapshot* find(const std::vector<Snapshot>& rows, const std::string& id_or_name) {
  for (const auto field : {&SnapshotInfo::id, &SnapshotInfo::name}) {
    for (const Snapshot& s : rows) {
      if (s.info.*field == id_or_name) return &s;
    }
  }
  return nullptr;
}

// Around a change of counts: the dirty mark on and off. `work` returns an errno value.
template <typename Fn>
int marked(Image& image, Fn&& work) {
  if (const int error = image.start_writing()) return error;
  if (const int error = image.flush()) return error;
  if (const int error = image.set_dirty(true)) return error;
  image.forget_packed();
  if (const int error = work()) return error;
  if (const int error = image.flush()) return error;
  if (const int error = image.refcounts.write_blocks()) return error;
  if (const int error = image.barrier()) return error;
  return image.header.compatible & kLazyRefcounts ? 0 : image.set_dirty(false);
}

class RowReader {
 public:
  RowReader(Image& image, u64 at) : image_(image), at_(at), start_(at) {}
  u64 used() const { return at_ - start_; }

  // False: the row is not valid.
  bool read(Snapshot& s) {
    std::array<u8, kRow> row{};
    if (image_.file().read(at_, row) != 0) return false;
    s.l1_offset = load_be<u64>(&row[0]);
    s.l1_size = load_be<u32>(&row[8]);
    const size_t id = load_be<u16>(&row[12]), name = load_be<u16>(&row[14]), extra = load_be<u32>(&row[36]);
    s.info.date_seconds = load_be<u32>(&row[16]);
    s.info.date_nanoseconds = load_be<u32>(&row[20]);
    s.info.vm_clock_nanoseconds = load_be<u64>(&row[24]);
    s.info.vm_state_size = load_be<u32>(&row[32]);
    if (extra > kMaxExtra || u64{s.l1_size} * 8 > kMaxL1Bytes || s.l1_offset % image_.cluster_size() != 0) return false;
    std::vector<u8> rest(extra + id + name);
    if (image_.file().read(at_ + kRow, rest) != 0) return false;
    if (extra >= kExtraVmState) s.info.vm_state_size = load_be<u64>(&rest[0]);
    s.info.disk_size = extra >= kExtraDiskSize ? load_be<u64>(&rest[8]) : image_.header.size;
    if (extra >= kExtraIcount) {
      const u64 icount = load_be<u64>(&rest[16]);
      if (icount != ~u64{0}) s.info.icount = icount;
      s.unknown.assign(rest.begin() + kExtraIcount, rest.begin() + static_cast<std::ptrdiff_t>(extra));
    }
    const auto text = rest.begin() + static_cast<std::ptrdiff_t>(extra);
    s.info.id.assign(text, text + static_cast<std::ptrdiff_t>(id));
    s.info.name.assign(text + static_cast<std::ptrdiff_t>(id), rest.end());
    at_ += align_up(kRow + rest.size(), 8);
    return true;
  }

 private:
  Image& image_;
  u64 at_, start_;
};

// Where a machine's state begins, with a disk of this size: an L1 entry of its own.
u64 vm_state_entry(const Image& image, u64 disk_size) { return image.header.l1_entries_for(disk_size); }
u64 vm_state_start(const Image& image, u64 disk_size) {
  return vm_state_entry(image, disk_size) << (image.header.cluster_bits + image.header.l2_bits());
}

// The state is the snapshot's now: the disk that is written to on does not carry it along.
int forget_vm_state(Image& image) {
  std::vector<u64> state;
  for (u64 i = vm_state_entry(image, image.header.size); i < image.l1.size(); i++) {
    if (image.l1[i] == 0) continue;
    state.push_back(image.l1[i]);
    image.set_l1(i, 0);
  }
  if (state.empty()) return 0;
  if (const int error = image.flush()) return error;
  return add_references(image, state, -1);
}

}  // namespace

int write_vm_state(Image& image, u64 offset, std::span<const u8> data) {
  if (const int error = image.start_writing()) return error;
  const u64 at = vm_state_start(image, image.header.size) + offset;
  const u64 entries = image.header.l1_entries_for(at + data.size());
  if (entries > image.l1.size()) {
    std::vector<u64> l1 = image.l1;
    l1.resize(entries + entries / 8);
    if (const int error = image.replace_l1(std::move(l1), [] {})) return error;
  }
  const auto on_write = std::exchange(image.on_write, {});  // no bytes of the disk
  const int error = image.write(at, data);
  image.on_write = on_write;
  return error;
}

int read_vm_state(Image& image, const Snapshot& snapshot, std::vector<u64>& l1, u64 offset, std::span<u8> data) {
  if (offset > snapshot.info.vm_state_size || data.size() > snapshot.info.vm_state_size - offset) return ENODATA;
  image.l1.swap(l1);
  const int error = image.read(vm_state_start(image, snapshot.info.disk_size) + offset, data);
  image.l1.swap(l1);
  return error;
}

Result<SnapshotTable> load_snapshots(Image& image) {
  SnapshotTable table;
  RowReader reader(image, image.header.snapshots_offset);
  for (u32 i = 0; i < image.header.snapshot_count; i++) {
    Snapshot s;
    if (!reader.read(s) || reader.used() > kMaxSnapshotTableBytes ||
        image.header.snapshots_offset + reader.used() > align_up(image.file().size(), image.cluster_size()))
      return Error{"the snapshot table of '" + image.file().path() + "' is not valid (row " + std::to_string(i) + ")",
                   "img check tells more"};
    table.rows.push_back(std::move(s));
  }
  table.bytes = reader.used();
  return table;
}

int load_l1(Image& image, const Snapshot& snapshot, std::vector<u64>& l1) {
  std::vector<u8> raw(u64{snapshot.l1_size} * 8);
  if (const int error = image.file().read(snapshot.l1_offset, raw)) return error;
  l1.resize(snapshot.l1_size);
  for (size_t i = 0; i < l1.size(); i++) l1[i] = load_be<u64>(&raw[i * 8]);
  return 0;
}

int update_copied_flags(Image& image) {
  for (u64 i = 0; i < image.l1.size(); i++) {
    const u64 table = image.l1[i] & kOffsetMask;
    if (table == 0) continue;
    u64 count = 0;
    if (const int error = image.refcounts.get(table >> image.header.cluster_bits, count)) return error;
    const u64 flagged = table | (count == 1 ? kCopied : 0);
    if (image.l1[i] != flagged) image.set_l1(i, flagged);
    for (u64 k = 0; k < image.l2_entries(); k++) {
      L2Entry e;
      if (const int error = image.entry_at(table, k, e)) return error;
      if (e.compressed() || e.offset() == 0) continue;
      if (const int error = image.refcounts.get(e.offset() >> image.header.cluster_bits, count)) return error;
      const u64 entry = (e.entry & ~kCopied) | (count == 1 ? kCopied : 0);
      if (entry == e.entry) continue;
      if (const int error = image.set_entry(table, k, {entry, e.bitmap})) return error;
    }
    if (image.l2.crowded()) {
      if (const int error = image.commit()) return error;
    }
  }
  return 0;
}

Status create_snapshot(Image& image, const std::string& name, const MachineFacts& machine) {
  const std::string what = "make a snapshot";
  if (image.has_data_file())
    return Error{"'" + image.file().path() + "' has an external data file: it can have no snapshots inside",
                 "make an overlay instead: img create -b"};
  auto table = load_snapshots(image);
  if (!table) return table.error();
  if (const int error = image.flush()) return failed(image, what, error);
  if (const int error = room_for_another(image)) return failed(image, what, error);
  Snapshot s{.l1_size = static_cast<u32>(image.l1.size())};
  u64 last_id = 0;
  for (const Snapshot& other : table->rows) {
    u64 id = 0;
    std::from_chars(other.info.id.data(), other.info.id.data() + other.info.id.size(), id);
    last_id = std::max(last_id, id);
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const u64 nanoseconds = static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  s.info = {.id = std::to_string(last_id + 1),
            .name = name,
            .vm_state_size = machine.state_bytes,
            .date_seconds = static_cast<u32>(nanoseconds / 1000000000),
            .date_nanoseconds = static_cast<u32>(nanoseconds % 1000000000),
            .vm_clock_nanoseconds = machine.clock_ns,
            .disk_size = image.header.size,
            .icount = machine.icount};
  const int error = marked(image, [&] {
    u64 first = 0;
    const u64 clusters = div_up(std::max<u64>(image.l1.size(), 1) * 8, image.cluster_size());
    if (const int e = image.refcounts.allocate_all(clusters, first)) return e;
    s.l1_offset = first << image.header.cluster_bits;
    std::vector<u8> raw(clusters * image.cluster_size());
    for (size_t i = 0; i < image.l1.size(); i++) store_be<u64>(&raw[i * 8], image.l1[i] & ~kCopied);
    if (const int e = image.file().write(s.l1_offset, raw)) return e;
    if (const int e = add_references(image, image.l1, 1)) return e;
    if (const int e = image.refcounts.write_blocks()) return e;
    if (const int e = update_copied_flags(image)) return e;
    std::vector<Snapshot> rows = table->rows;
    rows.push_back(s);
    if (const int e = write_table(image, *table, rows)) return e;
    return forget_vm_state(image);
  });
  return error != 0 ? Status(failed(image, what, error)) : success();
}

Status apply_snapshot(Image& image, const std::string& id_or_name) {
  auto table = load_snapshots(image);
  if (!table) return table.error();
  const Snapshot* s = find(table->rows, id_or_name);
  if (s == nullptr) return Error{"snapshot not found", ""};
  std::vector<u64> l1;
  if (const int error = load_l1(image, *s, l1)) return failed(image, "read a snapshot", error);
  for (u64& entry : l1) entry &= ~kCopied;
  l1.resize(image.header.l1_entries_for(s->info.disk_size));  // without a machine's state
  const int error = marked(image, [&] {
    if (image.on_write) image.on_write(0, image.header.size);
    const std::vector<u64> old = image.l1;
    if (const int e = add_references(image, l1, 1)) return e;
    if (const int e = image.replace_l1(l1, [&] { image.header.size = s->info.disk_size; })) return e;
    if (const int e = add_references(image, old, -1)) return e;
    if (const int e = image.commit()) return e;
    return update_copied_flags(image);
  });
  return error != 0 ? Status(failed(image, "go back to a snapshot", error)) : success();
}

Status view_snapshot(Image& image, const std::string& id_or_name) {
  auto table = load_snapshots(image);
  if (!table) return table.error();
  const Snapshot* s = find(table->rows, id_or_name);
  if (s == nullptr) return Error{"snapshot not found", ""};
  std::vector<u64> l1;
  if (const int error = load_l1(image, *s, l1)) return failed(image, "read a snapshot", error);
  l1.resize(std::max<u64>(l1.size(), image.header.l1_entries_for(s->info.disk_size)));
  image.l1 = std::move(l1);
  image.header.size = s->info.disk_size;
  image.forget_packed();
  return success();
}

Status delete_snapshot(Image& image, const std::string& id_or_name) {
  auto table = load_snapshots(image);
  if (!table) return table.error();
  const Snapshot* found = find(table->rows, id_or_name);
  if (found == nullptr) return Error{"snapshot not found", ""};
  const Snapshot s = *found;
  std::vector<u64> l1;
  if (const int error = load_l1(image, s, l1)) return failed(image, "read a snapshot", error);
  std::vector<Snapshot> rows = table->rows;
  rows.erase(rows.begin() + (found - table->rows.data()));
  const int error = marked(image, [&] {
    if (const int e = write_table(image, *table, rows)) return e;
    if (const int e = add_references(image, l1, -1)) return e;
    image.refcounts.release(s.l1_offset >> image.header.cluster_bits,
                            div_up(std::max<u64>(s.l1_size, 1) * 8, image.cluster_size()));
    if (const int e = image.commit()) return e;
    return update_copied_flags(image);
  });
  return error != 0 ? Status(failed(image, "delete a snapshot", error)) : success();
}

}  // namespace doppel::block::qcow2
