#include "hw/block/ata_disk.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"
#include "block/sync.h"
#include "hw/block/disk_queue.h"

namespace doppel::hw {

using namespace ata;

DiskGeometry guess_geometry(block::Node& node) {
  const u64 sectors = node.size() / kSectorSize;
  DiskGeometry g{0, 16, 63};
  std::array<u8, kSectorSize> mbr{};
  if (sectors != 0 && block::read_sync(node, 0, mbr) == 0 && mbr[510] == 0x55 && mbr[511] == 0xaa) {
    for (unsigned i = 0; i < 4; i++) {
      const u8* entry = &mbr[0x1be + 16 * i];
      const u32 heads = entry[5] + 1u, per_track = entry[6] & 63;
      if (load_le<u32>(entry + 12) == 0 || entry[5] == 0 || per_track == 0 || heads > 16) continue;
      const u64 cylinders = sectors / (heads * per_track);
      if (cylinders < 1 || cylinders > 16383) continue;
      g = {0, heads, per_track};
      break;
    }
  }
  g.cylinders = static_cast<u32>(std::clamp<u64>(sectors / (g.heads * g.sectors), 1, 16383));
  return g;
}

AtaDisk::AtaDisk(Params p) : p_(std::move(p)) {
  sectors_ = p_.node->size() / kSectorSize;
  native_ = p_.geometry.cylinders != 0 ? p_.geometry : guess_geometry(*p_.node);
  if (p_.serial.empty()) p_.serial = "DP00001";
  AtaDisk::reset(true);
}

void AtaDisk::set_signature() {
  task_.count = task_.lba_low = 1;
  task_.lba_mid = task_.lba_high = 0;
  task_.status = kDrdy | kDsc;
}

void AtaDisk::reset(bool hard) {
  job_ = Job::None;
  remaining_ = 0;
  dma_error_ = 0;
  power_mode_ = 0xff;
  if (hard) {
    current_ = native_;
    multiple_ = 0;
    write_cache_ = read_ahead_ = smart_enabled_ = smart_autosave_ = true;
    mdma_ = 0;
    udma_ = 0x20;
    pio_mode_ = 4;
  }
  IdeDrive::reset(hard);
}

void AtaDisk::execute(u8 command) {
  task_.error = 0;
  job_ = Job::None;
  if (execute_transfer(command) || execute_power(command)) return;
  if ((command >= kRecalibrateFirst && command <= kRecalibrateLast)) return complete();
  if (command >= kSeekFirst && command <= kSeekLast) {
    task_.count = 1;
    if (start_address(false)) complete();
    return;
  }
  switch (command) {
    case kIdentify: return identify();
    case kSetFeatures: return set_features();
    case kSetMultiple: return set_multiple();
    case kInitializeParameters: return initialize_parameters();
    case kFlushCache:
    case kFlushCacheExt: return flush();
    case kReadNativeMax: return read_native_max(false);
    case kReadNativeMaxExt: return read_native_max(true);
    case kSmart: return smart();
    case kReadLogExt: return read_log();
    case kDataSetManagement: return trim();
    case kCfaRequestExtendedError: return complete();
    case kReadBuffer:
      buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
      job_ = Job::Buffer;
      return start_data_in(kSectorSize);
    case kWriteBuffer: job_ = Job::Buffer; return start_data_out(kSectorSize, false);
    case kIdentifyPacket:
    default: DOPPEL_LOG(GuestErrors, "ata: command 0x%02x is not supported\n", command); return fail(kAbrt);
  }
}

bool AtaDisk::execute_transfer(u8 command) {
  fua_ = command == kWriteDmaFuaExt || command == kWriteMultipleFuaExt;
  switch (command) {
    case kReadSectors:
    case kReadSectorsNoRetry: start_read(false, 1); return true;
    case kReadSectorsExt: start_read(true, 1); return true;
    case kReadMultiple: start_read(false, multiple_); return true;
    case kReadMultipleExt: start_read(true, multiple_); return true;
    case kWriteSectors:
    case kWriteSectorsNoRetry:
    case kWriteVerify: start_write(false, 1); return true;
    case kWriteSectorsExt: start_write(true, 1); return true;
    case kWriteMultiple: start_write(false, multiple_); return true;
    case kWriteMultipleExt:
    case kWriteMultipleFuaExt: start_write(true, multiple_); return true;
    case kReadDma:
    case kReadDmaNoRetry: start_dma_command(false, true); return true;
    case kReadDmaExt: start_dma_command(true, true); return true;
    case kWriteDma:
    case kWriteDmaNoRetry: start_dma_command(false, false); return true;
    case kWriteDmaExt:
    case kWriteDmaFuaExt: start_dma_command(true, false); return true;
    case kReadVerify:
    case kReadVerifyNoRetry: verify(false); return true;
    case kReadVerifyExt: verify(true); return true;
    default: return false;
  }
}

bool AtaDisk::execute_power(u8 command) {
  switch (command) {
    case kStandbyImmediateOld:
    case kStandbyOld:
    case kStandbyImmediate:
    case kStandby:
    case kSleepOld:
    case kSleep: power_mode_ = 0x00; break;
    case kIdleImmediateOld:
    case kIdleOld:
    case kIdleImmediate:
    case kIdle: power_mode_ = 0xff; break;
    case kCheckPowerOld:
    case kCheckPower: task_.count = power_mode_; break;
    default: return false;
  }
  if (power_mode_ == 0) block::flush_sync(*p_.node);
  complete();
  return true;
}

bool AtaDisk::start_address(bool ext) {
  ext_ = ext;
  const u32 count = ext ? u32{task_.hob_count} << 8 | task_.count : task_.count;
  remaining_ = count != 0 ? count : (ext ? 65536 : 256);
  const u32 low24 = task_.lba_low | u32{task_.lba_mid} << 8 | u32{task_.lba_high} << 16;
  if (ext) {
    lba_ = low24 | u64{task_.hob_low} << 24 | u64{task_.hob_mid} << 32 | u64{task_.hob_high} << 40;
  } else if ((task_.device & kLba) != 0) {
    lba_ = low24 | u64{task_.device & 15u} << 24;
  } else {
    const u32 cylinder = low24 >> 8, head = task_.device & 15u, sector = task_.lba_low;
    if (sector == 0 || sector > current_.sectors || head >= current_.heads) {
      remaining_ = 0;
      fail(kIdnf);
      return false;
    }
    lba_ = (u64{cylinder} * current_.heads + head) * current_.sectors + sector - 1;
  }
  if (lba_ >= sectors_ || remaining_ > sectors_ - lba_) {
    DOPPEL_LOG(GuestErrors, "ata: sectors %llu+%u are past the end\n", static_cast<unsigned long long>(lba_),
               remaining_);
    remaining_ = 0;
    fail(kIdnf);
    return false;
  }
  power_mode_ = 0xff;
  return true;
}

void AtaDisk::store_address(u64 lba, bool ext) {
  if (!ext && (task_.device & kLba) == 0) {
    const u64 track = lba / current_.sectors;
    const u32 cylinder = static_cast<u32>(track / current_.heads);
    task_.lba_low = static_cast<u8>(lba % current_.sectors + 1);
    task_.lba_mid = static_cast<u8>(cylinder);
    task_.lba_high = static_cast<u8>(cylinder >> 8);
    task_.device = static_cast<u8>((task_.device & 0xf0) | (track % current_.heads));
    return;
  }
  task_.lba_low = static_cast<u8>(lba);
  task_.lba_mid = static_cast<u8>(lba >> 8);
  task_.lba_high = static_cast<u8>(lba >> 16);
  if (ext) {
    task_.hob_low = static_cast<u8>(lba >> 24);
    task_.hob_mid = static_cast<u8>(lba >> 32);
    task_.hob_high = static_cast<u8>(lba >> 40);
  } else {
    task_.device = static_cast<u8>((task_.device & 0xf0) | ((lba >> 24) & 15));
  }
}

u8 AtaDisk::error_register(int error) {
  if (error == EROFS || error == EINVAL) return kAbrt;
  return error == ERANGE ? kIdnf : kUnc;
}

void AtaDisk::media_error(int error) {
  DOPPEL_LOG(GuestErrors, "ata: request at sector %llu failed, errno %d\n", static_cast<unsigned long long>(lba_),
             error);
  store_address(lba_, ext_);
  remaining_ = 0;
  job_ = Job::None;
  if (error == EROFS) return fail(kAbrt);
  fail(error_register(error), kDrdy | kDsc | (error == ENOSPC ? u8{kDf} : u8{0}));
}

// PIO. One DRQ block is one sector, or `multiple_` of them.
void AtaDisk::start_read(bool ext, u32 block) {
  if (block == 0) return fail(kAbrt);
  if (!start_address(ext)) return;
  job_ = Job::Sectors;
  block_ = block;
  next_read_block();
}

void AtaDisk::next_read_block() {
  const u32 n = std::min(block_, remaining_);
  buffer_.resize(std::max<size_t>(buffer_.size(), kMaxMultiple * kSectorSize));
  if (const int error = block::read_sync(*p_.node, lba_ * kSectorSize, std::span(buffer_).first(n * kSectorSize)))
    return media_error(error);
  lba_ += n;
  remaining_ -= n;
  store_address(lba_ - 1, ext_);
  task_.count = static_cast<u8>(remaining_);
  start_data_in(n * kSectorSize);
}

void AtaDisk::data_in_done() {
  if (job_ == Job::Sectors && remaining_ != 0) return next_read_block();
  job_ = Job::None;
  leave_data_phase();
  task_.status = kDrdy | kDsc;  // no interrupt at the end of a PIO read
}

void AtaDisk::start_write(bool ext, u32 block) {
  if (block == 0) return fail(kAbrt);
  if (!start_address(ext)) return;
  if (p_.node->read_only()) return media_error(EROFS);
  job_ = Job::Sectors;
  block_ = block;
  start_data_out(std::min(block_, remaining_) * kSectorSize, false);
}

void AtaDisk::data_out_done() {
  if (job_ == Job::Buffer || job_ == Job::None) {
    job_ = Job::None;
    return complete();
  }
  const u32 n = end_ / kSectorSize;
  if (const int error = block::write_sync(*p_.node, lba_ * kSectorSize, std::span<const u8>(buffer_).first(end_)))
    return media_error(error);
  lba_ += n;
  remaining_ -= std::min(n, remaining_);
  store_address(lba_ - 1, ext_);
  task_.count = static_cast<u8>(remaining_);
  if (remaining_ != 0) return start_data_out(std::min(block_, remaining_) * kSectorSize, true);
  job_ = Job::None;
  if (fua_ || !write_cache_) {
    if (const int error = block::flush_sync(*p_.node)) return media_error(error);
  }
  complete();
}

// DMA: the bus master asks for any number of bytes; sectors that don't fit the question go through buffer_.
void AtaDisk::start_dma_command(bool ext, bool to_host) {
  if (!start_address(ext)) return;
  if (!to_host && p_.node->read_only()) return media_error(EROFS);
  job_ = Job::Sectors;
  dma_error_ = 0;
  flushed_ = false;
  buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
  at_ = 0;
  end_ = 0;
  start_dma(to_host);
}

u32 AtaDisk::dma_read(std::span<u8> out) {
  u32 moved = 0;
  while (moved < out.size() && !dma_done_) {
    const u32 want = static_cast<u32>(out.size()) - moved;
    if (at_ < end_) {
      const u32 n = std::min(want, end_ - at_);
      std::copy_n(buffer_.begin() + at_, n, out.begin() + moved);
      at_ += n;
      moved += n;
    } else if (remaining_ != 0) {
      const bool direct = want >= kSectorSize;
      const u32 n = direct ? std::min(want / kSectorSize, remaining_) : 1;
      const auto place = direct ? out.subspan(moved, n * kSectorSize) : std::span(buffer_).first(kSectorSize);
      dma_error_ = block::read_sync(*p_.node, lba_ * kSectorSize, place);
      if (dma_error_ != 0) {
        dma_done_ = true;
        break;
      }
      lba_ += n;
      remaining_ -= n;
      if (direct) {
        moved += n * kSectorSize;
      } else {
        at_ = 0;
        end_ = kSectorSize;
      }
    }
    dma_done_ = remaining_ == 0 && at_ == end_;
  }
  return moved;
}

u32 AtaDisk::dma_write(std::span<const u8> in) {
  u32 moved = 0;
  while (moved < in.size() && !dma_done_) {
    const u32 have = static_cast<u32>(in.size()) - moved;
    std::span<const u8> whole;
    if (at_ == 0 && have >= kSectorSize && job_ == Job::Sectors) {
      whole = in.subspan(moved, std::min(have / kSectorSize, remaining_) * kSectorSize);
      moved += static_cast<u32>(whole.size());
    } else {
      const u32 n = std::min(have, kSectorSize - at_);
      std::copy_n(in.begin() + moved, n, buffer_.begin() + at_);
      at_ += n;
      moved += n;
      if (at_ < kSectorSize) break;
      at_ = 0;
      whole = std::span<const u8>(buffer_).first(kSectorSize);
    }
    dma_error_ = job_ == Job::Trim ? trim_block(whole) : block::write_sync(*p_.node, lba_ * kSectorSize, whole);
    const u32 n = static_cast<u32>(whole.size()) / kSectorSize;
    if (dma_error_ == 0) lba_ += n;
    remaining_ -= std::min(n, remaining_);
    dma_done_ = remaining_ == 0 || dma_error_ != 0;
  }
  return moved;
}

void AtaDisk::dma_end() {
  if (dma_error_ == 0 && phase_ == Phase::DmaOut && (fua_ || !write_cache_) && !flushed_)
    dma_error_ = block::flush_sync(*p_.node);
  if (dma_error_ != 0) return media_error(dma_error_);
  if (job_ == Job::Sectors) store_address(lba_ - 1, ext_);
  job_ = Job::None;
  task_.count = 0;
  complete();
}

std::optional<DiskRequest> AtaDisk::disk_request() const {
  if (!dma_active() || job_ != Job::Sectors || at_ != end_ || remaining_ == 0) return std::nullopt;
  return DiskRequest{.node = p_.node,
                     .offset = lba_ * kSectorSize,
                     .bytes = remaining_ * kSectorSize,
                     .flush_after = phase_ == Phase::DmaOut && (fua_ || !write_cache_),
                     .policy = p_.policy};
}

void AtaDisk::disk_done(int error) {
  dma_error_ = error;
  flushed_ = true;
  if (error == 0) lba_ += std::exchange(remaining_, 0);
  dma_done_ = true;
}

void AtaDisk::dma_cancel() {
  job_ = Job::None;
  remaining_ = 0;
  IdeDrive::dma_cancel();
}

void AtaDisk::verify(bool ext) {
  if (!start_address(ext)) return;
  buffer_.resize(std::max<size_t>(buffer_.size(), 128 * kSectorSize));
  while (remaining_ != 0) {
    const u32 n = std::min(remaining_, 128u);
    if (const int error = block::read_sync(*p_.node, lba_ * kSectorSize, std::span(buffer_).first(n * kSectorSize)))
      return media_error(error);
    lba_ += n;
    remaining_ -= n;
  }
  store_address(lba_ - 1, ext_);
  complete();
}

void AtaDisk::archive(StateArchive& ar) {
  // One size whatever was saved: a multiple-sector command finds room after loading, and a state saves as it was
  // loaded.
  buffer_.resize(std::max<size_t>(buffer_.size(), kMaxMultiple * kSectorSize));
  IdeDrive::archive(ar);
  ar.field("job", job_);
  ar.field("current_cylinders", current_.cylinders);
  ar.field("current_heads", current_.heads);
  ar.field("current_sectors", current_.sectors);
  ar.field("lba", lba_);
  ar.field("remaining", remaining_);
  ar.field("dma_error", dma_error_);
  ar.field("block", block_);
  ar.field("ext", ext_);
  ar.field("fua", fua_);
  ar.field("multiple", multiple_);
  ar.field("queue_error_tag", queue_error_tag_);
  ar.field("queue_error_lba", queue_error_lba_);
  ar.field("power_mode", power_mode_);
  ar.field("write_cache", write_cache_);
  ar.field("read_ahead", read_ahead_);
  ar.field("smart_enabled", smart_enabled_);
  ar.field("smart_autosave", smart_autosave_);
  ar.field("mdma", mdma_);
  ar.field("udma", udma_);
  ar.field("pio_mode", pio_mode_);
  if (!ar.loading()) return;
  buffer_.resize(std::max<size_t>(buffer_.size(), kMaxMultiple * kSectorSize));
  if (current_.heads == 0 || current_.sectors == 0) current_ = native_;
  if (lba_ > sectors_ || remaining_ > sectors_ - lba_) remaining_ = 0;
}

std::string AtaDisk::describe() const {
  return "disk, " + std::to_string(sectors_) + " sectors, " + p_.node->filename() +
         (p_.node->read_only() ? " (read-only)" : "");
}

}  // namespace doppel::hw
