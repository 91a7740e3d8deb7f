// ScsiDisk: commands that touch the medium (SBC-3, chapter 5).
#include "hw/block/scsi_disk.h"

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "block/sync.h"
#include "hw/block/disk_queue.h"
#include "hw/block/scsi_disk_defs.h"

namespace doppel::hw {

using namespace scsi;

namespace {
constexpr u64 kBlock = 512, kMaxTransfer = 64 << 20;
constexpr u8 kFua = 8, kUnmapBit = 8;

Sense sense_of(int error, bool is_read) {
  if (error == EROFS) return kWriteProtected;
  if (error == ENOSPC) return kSpaceExhausted;
  return is_read ? kReadError : kWriteError;
}
}  // namespace

void ScsiDisk::execute(std::shared_ptr<ScsiTask> task) {
  const u8 op = task->cdb[0];
  if (attention_ && op != kInquiry && op != kRequestSense) {
    attention_ = false;
    return task->check(kWasReset);
  }
  if (transfer_command(task) || info_command(*task)) return;
  DOPPEL_LOG(GuestErrors, "scsi-hd: command 0x%02x is not supported\n", op);
  task->check(kInvalidOpcode);
}

bool ScsiDisk::transfer_command(const Task& t) {
  const bool fua = (t->cdb[1] & kFua) != 0;
  const u32 lba6 = t->cdb32(0) & 0x1fffff, count6 = t->cdb[4] == 0 ? 256 : t->cdb[4];
  switch (t->cdb[0]) {
    case kRead6: read(t, lba6, count6); return true;
    case kRead10: read(t, t->cdb32(2), t->cdb16(7)); return true;
    case kRead12: read(t, t->cdb32(2), t->cdb32(6)); return true;
    case kRead16: read(t, t->cdb64(2), t->cdb32(10)); return true;
    case kWrite6: write(t, lba6, count6, false); return true;
    case kWrite10:
    case kWriteVerify10: write(t, t->cdb32(2), t->cdb16(7), fua); return true;
    case kWrite12: write(t, t->cdb32(2), t->cdb32(6), fua); return true;
    case kWrite16: write(t, t->cdb64(2), t->cdb32(10), fua); return true;
    case kVerify10: verify(t, t->cdb32(2), t->cdb16(7)); return true;
    case kVerify16: verify(t, t->cdb64(2), t->cdb32(10)); return true;
    case kSynchronizeCache10:
    case kSynchronizeCache16: synchronize(t); return true;
    case kWriteSame10: write_same(t, t->cdb32(2), t->cdb16(7), true); return true;
    case kWriteSame16: write_same(t, t->cdb64(2), t->cdb32(10), false); return true;
    case kUnmap: unmap(t); return true;
    default: return false;
  }
}

bool ScsiDisk::check_range(ScsiTask& t, u64 block, u64 count) const {
  const u64 end = blocks();
  if (block <= end && count <= end - block) return true;
  t.check(kOutOfRange);
  return false;
}

bool ScsiDisk::check_writable(ScsiTask& t) const {
  if (!p_.node->read_only()) return true;
  t.check(kWriteProtected);
  return false;
}

void ScsiDisk::submit(const Task& t, std::function<int(block::Node&, ScsiTask&)> work, bool is_read) {
  queue_->submit([t, node = p_.node, work = std::move(work)] { return work(*node, *t); },
                 [t, is_read](int error) { error == 0 ? t->good() : t->check(sense_of(error, is_read)); },
                 {.policy = p_.policy, .is_read = is_read, .bytes = is_read ? t->in.size() : t->out.size()});
}

void ScsiDisk::read(const Task& t, u64 block, u64 count) {
  if (!check_range(*t, block, count)) return;
  if (count == 0) return t->good();
  if (count * kBlock > kMaxTransfer) return t->check(kInvalidField);
  t->in.resize(count * kBlock);
  submit(
      t,
      [offset = block * kBlock](block::Node& node, ScsiTask& task) { return block::read_sync(node, offset, task.in); },
      true);
}

void ScsiDisk::write(const Task& t, u64 block, u64 count, bool fua) {
  if (!check_writable(*t) || !check_range(*t, block, count)) return;
  if (count == 0) return t->good();
  if (t->out.size() < count * kBlock) return t->check(kInvalidField);  // the initiator gives less than it says
  const bool flush = fua || !write_cache_;
  submit(t, [offset = block * kBlock, size = count * kBlock, flush](block::Node& node, ScsiTask& task) {
    const int error = block::write_sync(node, offset, std::span<const u8>(task.out).first(size));
    return error == 0 && flush ? block::flush_sync(node) : error;
  });
}

// Only whether the medium can be read, not a comparison with the initiator's data.
void ScsiDisk::verify(const Task& t, u64 block, u64 count) {
  if ((t->cdb[1] & 6) != 0) return t->check(kInvalidField);
  if (!check_range(*t, block, count)) return;
  t->good();
}

void ScsiDisk::synchronize(const Task& t) {
  if (p_.node->read_only()) return t->good();
  submit(t, [](block::Node& node, ScsiTask&) { return block::flush_sync(node); });
}

// WRITE SAME of zeroes, or with UNMAP, is write zeroes; of anything else it is a small range.
void ScsiDisk::write_same(const Task& t, u64 block, u64 count, bool ten) {
  const bool no_data = !ten && (t->cdb[1] & 1) != 0;
  if ((t->cdb[1] & 0xf2) != 0) return t->check(kInvalidField);
  if (!check_writable(*t) || !check_range(*t, block, count)) return;
  if (count == 0) return t->check(kInvalidField);  // WSNZ
  if (!no_data && t->out.size() < kBlock) return t->check(kInvalidField);
  const std::vector<u8> pattern =
      no_data ? std::vector<u8>(kBlock) : std::vector<u8>(t->out.begin(), t->out.begin() + static_cast<long>(kBlock));
  const bool zero = std::all_of(pattern.begin(), pattern.end(), [](u8 b) { return b == 0; });
  const u64 offset = block * kBlock, length = count * kBlock;
  const bool flush = !write_cache_;
  if (zero) {
    return submit(t, [=](block::Node& node, ScsiTask&) {
      const int error = block::write_zeroes_sync(node, offset, length);
      return error == 0 && flush ? block::flush_sync(node) : error;
    });
  }
  if (length > kMaxTransfer) return t->check(kInvalidField);
  submit(t, [=](block::Node& node, ScsiTask&) {
    std::vector<u8> all(length);
    for (u64 at = 0; at < length; at += kBlock)
      std::copy(pattern.begin(), pattern.end(), all.begin() + static_cast<long>(at));
    const int error = block::write_sync(node, offset, all);
    return error == 0 && flush ? block::flush_sync(node) : error;
  });
}

void ScsiDisk::unmap(const Task& t) {
  if (!check_writable(*t)) return;
  const std::vector<u8>& d = t->out;
  if ((t->cdb[1] & 1) != 0) return t->check(kInvalidField);  // anchored
  if (t->cdb16(7) == 0) return t->good();
  if (d.size() < 8) return t->check({kIllegalRequest, 0x1a, 0});  // parameter list length error
  const auto word = [&](size_t at) { return u32{d[at]} << 8 | d[at + 1]; };
  const auto dword = [&](size_t at) { return word(at) << 16 | word(at + 2); };
  const size_t bytes = std::min<size_t>(word(2), d.size() - 8) / 16 * 16;
  struct Range {
    u64 offset, length;
  };
  std::vector<Range> ranges;
  for (size_t at = 8; at < 8 + bytes; at += 16) {
    const u64 block = u64{dword(at)} << 32 | dword(at + 4), count = dword(at + 8);
    if (!check_range(*t, block, count)) return;
    if (count != 0) ranges.push_back({block * kBlock, count * kBlock});
  }
  if (ranges.size() > kMaxUnmapRanges) return t->check(kInvalidParameter);
  submit(t, [ranges = std::move(ranges)](block::Node& node, ScsiTask&) {
    int error = 0;
    for (const Range& r : ranges) {
      if (error == 0) error = block::discard_sync(node, r.offset, r.length);
    }
    return error;
  });
}

void ScsiDisk::reset() {
  write_cache_ = true;
  attention_ = false;
}

void ScsiDisk::archive(StateArchive& ar) {
  ar.field("write_cache", write_cache_);
  ar.field("attention", attention_);
}

std::string ScsiDisk::describe() const {
  return "disk, " + std::to_string(blocks()) + " blocks, " + p_.node->filename() +
         (p_.node->read_only() ? " (read-only)" : "");
}

}  // namespace doppel::hw
