// AtaDisk: commands without media transfers. IDENTIFY DEVICE words as in ATA8-ACS section 7.16, SMART section 7.52.
#include <algorithm>
#include <numeric>

#include "block/sync.h"
#include "hw/block/ata_disk.h"
#include "hw/block/ata_strings.h"
#include "hw/block/disk_queue.h"

namespace doppel::hw {

using namespace ata;

namespace {

enum Feature : u8 {
  kEnableWriteCache = 0x02,
  kSetTransferMode = 0x03,
  kEnableApm = 0x05,
  kEnableAam = 0x42,
  kDisableReadAhead = 0x55,
  kKeepSettings = 0x66,
  kDisableWriteCache = 0x82,
  kDisableApm = 0x85,
  kEnableReadAhead = 0xaa,
  kDisableAam = 0xc2,
  kRevertSettings = 0xcc,
};
enum SmartCommand : u8 {
  kReadData = 0xd0,
  kReadThresholds = 0xd1,
  kAttributeAutosave = 0xd2,
  kSaveAttributes = 0xd3,
  kExecuteOffline = 0xd4,
  kReadLog = 0xd5,
  kSmartEnable = 0xd8,
  kSmartDisable = 0xd9,
  kReturnStatus = 0xda,
};

// The last byte of a SMART structure makes the sum of all 512 zero.
void set_checksum(std::span<u8> sector) {
  sector[511] = 0;
  sector[511] = static_cast<u8>(-std::accumulate(sector.begin(), sector.begin() + 511, 0u));
}

struct Attribute {
  u8 id;
  u16 flags;
  u8 value, worst, threshold;
  u32 raw;
};
constexpr Attribute kAttributes[] = {
    {1, 0x03, 100, 100, 6, 0},     // raw read error rate
    {3, 0x03, 100, 100, 0, 16},    // spin-up time
    {4, 0x02, 100, 100, 20, 100},  // start/stop count
    {5, 0x03, 100, 100, 36, 0},    // reallocated sectors
    {9, 0x03, 100, 100, 0, 1},     // power-on hours
    {12, 0x03, 100, 100, 0, 0},    // power cycles
    {190, 0x03, 69, 69, 50, 31},   // airflow temperature
};

}  // namespace

void AtaDisk::identify() {
  buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
  std::fill_n(buffer_.begin(), kSectorSize, u8{0});
  IdentifyWords w(buffer_);
  const u64 lba28 = std::min<u64>(sectors_, 0x0fffffff);
  const u64 chs = u64{current_.cylinders} * current_.heads * current_.sectors;
  w[0] = 0x0040;
  w[1] = static_cast<u16>(native_.cylinders);
  w[3] = static_cast<u16>(native_.heads);
  w[4] = static_cast<u16>(kSectorSize * native_.sectors);
  w[5] = kSectorSize;
  w[6] = static_cast<u16>(native_.sectors);
  w.text(10, 20, p_.serial);
  w[20] = 3;
  w[21] = 512;  // cache, in sectors
  w[22] = 4;
  w.text(23, 8, p_.firmware);
  w.text(27, 40, p_.model);
  w[47] = 0x8000 | kMaxMultiple;
  w[48] = 1;       // 32-bit PIO
  w[49] = 0x0f00;  // IORDY, LBA, DMA
  w[50] = 0x4000;
  w[51] = w[52] = 0x0200;
  w[53] = 0x0007;  // words 54-58, 64-70 and 88 are valid
  w[54] = static_cast<u16>(current_.cylinders);
  w[55] = static_cast<u16>(current_.heads);
  w[56] = static_cast<u16>(current_.sectors);
  w[57] = static_cast<u16>(chs);
  w[58] = static_cast<u16>(chs >> 16);
  w[59] = multiple_ != 0 ? static_cast<u16>(0x0100 | multiple_) : u16{0};
  w[60] = static_cast<u16>(lba28);
  w[61] = static_cast<u16>(lba28 >> 16);
  w[63] = static_cast<u16>(0x0007 | mdma_ << 8);
  w[64] = 0x0003;                       // PIO 3 and 4
  w[65] = w[66] = w[67] = w[68] = 120;  // cycle times, ns
  w[80] = 0x01f0;                       // ATA-4 to ATA8-ACS
  w[81] = 0x0028;
  w[82] = 0x4000 | 0x0020 | 0x0040 | 0x0008 | 0x0001;  // NOP, write cache, look-ahead, power management, SMART
  w[83] = 0x4000 | 0x2000 | 0x1000 | 0x0400;           // flush ext, flush, 48-bit addresses
  w[84] = 0x4000 | 0x0040 | 0x0020;                    // write FUA, logs by READ LOG EXT
  w[85] = static_cast<u16>(0x4000 | 0x0008 | (write_cache_ ? 0x0020 : 0) | (read_ahead_ ? 0x0040 : 0) |
                           (smart_enabled_ ? 1 : 0));
  w[86] = 0x2000 | 0x1000 | 0x0400;
  w[87] = 0x4000 | 0x0040 | 0x0020;
  w[88] = static_cast<u16>(0x003f | udma_ << 8);
  w[93] = 0x6001 | (slave() ? 0x0600 : 0);  // 80-wire cable
  if (p_.sata) {
    w[75] = 31;      // queue depth, less one
    w[76] = 0x010e;  // NCQ; 1.5, 3 and 6 Gbit/s
    w[93] = 0;
  }
  for (unsigned i = 0; i < 4; i++) w[100 + i] = static_cast<u16>(sectors_ >> (16 * i));
  if (!p_.node->read_only()) {
    w[105] = 1;  // TRIM: one block of ranges a command
    w[169] = 1;
  }
  job_ = Job::Buffer;
  start_data_in(kSectorSize);
}

void AtaDisk::set_features() {
  const u8 mode = task_.count;
  switch (task_.feature) {
    case kEnableWriteCache: write_cache_ = true; return complete();
    case kDisableWriteCache: write_cache_ = false; return flush();
    case kEnableReadAhead: read_ahead_ = true; return complete();
    case kDisableReadAhead: read_ahead_ = false; return complete();
    case kEnableApm:
    case kDisableApm:
    case kEnableAam:
    case kDisableAam:
    case kKeepSettings:
    case kRevertSettings: return complete();
    case kSetTransferMode:
      switch (mode >> 3) {
        case 0: pio_mode_ = 0; break;
        case 1: pio_mode_ = mode & 7; break;
        case 4:
          if ((mode & 7) > 2) return fail(kAbrt);
          mdma_ = static_cast<u16>(1 << (mode & 7));
          udma_ = 0;
          break;
        case 8:
          if ((mode & 7) > 5) return fail(kAbrt);
          udma_ = static_cast<u16>(1 << (mode & 7));
          mdma_ = 0;
          break;
        default: return fail(kAbrt);
      }
      return complete();
    default: return fail(kAbrt);
  }
}

void AtaDisk::set_multiple() {
  const u8 n = task_.count;
  if (n > kMaxMultiple || (n & (n - 1)) != 0) return fail(kAbrt);
  multiple_ = n;
  complete();
}

void AtaDisk::initialize_parameters() {
  const u32 heads = (task_.device & 15u) + 1, per_track = task_.count;
  if (per_track == 0 || per_track > 63) return fail(kAbrt);
  current_ = {static_cast<u32>(std::min<u64>(sectors_ / (heads * per_track), 65535)), heads, per_track};
  complete();
}

void AtaDisk::flush() {
  if (DiskQueue* queue = disk_queue()) {
    wait_for_disk();
    queue->submit([node = p_.node] { return block::flush_sync(*node); },
                  [this](int error) {
                    error == 0 ? complete() : media_error(error);
                    host_->drive_ready(*this);
                  },
                  {.policy = p_.policy});
    return;
  }
  if (const int error = block::flush_sync(*p_.node)) return media_error(error);
  complete();
}

// READ LOG EXT: the directory, and of a drive that queues the page that tells which command failed (ATA8-ACS, 9.14).
void AtaDisk::read_log() {
  const bool directory = task_.lba_low == 0 && task_.lba_mid == 0, errors = p_.sata && task_.lba_low == 0x10;
  if ((!directory && !errors) || task_.count != 1 || task_.hob_count != 0) return fail(kAbrt);
  buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
  const auto sector = std::span(buffer_).first(kSectorSize);
  std::fill(sector.begin(), sector.end(), u8{0});
  job_ = Job::Buffer;
  if (directory) {
    sector[0] = 1;
    sector[2 * 0x10] = p_.sata ? 1 : 0;
    return start_data_in(kSectorSize);
  }
  sector[0] = queue_error_tag_;
  sector[2] = kDrdy | kErr;
  sector[3] = kUnc;
  for (unsigned i = 0; i < 3; i++) {
    sector[4 + i] = static_cast<u8>(queue_error_lba_ >> (8 * i));
    sector[8 + i] = static_cast<u8>(queue_error_lba_ >> (24 + 8 * i));
  }
  sector[7] = kLba;
  set_checksum(sector);
  queue_error_tag_ = 0x80;
  start_data_in(kSectorSize);
}

void AtaDisk::set_queue_error(u8 tag, u64 lba) {
  queue_error_tag_ = tag;
  queue_error_lba_ = lba;
}

void AtaDisk::read_native_max(bool ext) {
  if (sectors_ == 0) return fail(kAbrt);
  const u64 last = ext ? sectors_ - 1 : std::min<u64>(sectors_ - 1, 0x0fffffff);
  task_.device |= kLba;
  store_address(last, ext);
  complete();
}

void AtaDisk::trim() {
  const bool dma_trim = (task_.feature & 1) != 0;
  if (!dma_trim || p_.node->read_only()) return fail(kAbrt);
  const u32 count = u32{task_.hob_count} << 8 | task_.count;
  if (count == 0) return fail(kAbrt);
  remaining_ = count;
  lba_ = 0;
  ext_ = true;
  fua_ = false;
  dma_error_ = 0;
  job_ = Job::Trim;
  buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
  at_ = end_ = 0;
  start_dma(false);
}

int AtaDisk::trim_block(std::span<const u8> ranges) {
  for (size_t i = 0; i + 8 <= ranges.size(); i += 8) {
    const u64 entry = load_le<u64>(&ranges[i]), start = entry & mask_bits(48), length = entry >> 48;
    if (length == 0) continue;
    if (start >= sectors_ || length > sectors_ - start) return EINVAL;
    if (const int error = block::discard_sync(*p_.node, start * kSectorSize, length * kSectorSize)) return error;
  }
  return 0;
}

void AtaDisk::smart_read_data() {
  auto sector = std::span(buffer_).first(kSectorSize);
  sector[0] = 1;
  unsigned at = 2;
  for (const Attribute& a : kAttributes) {
    sector[at] = a.id;
    store_le<u16>(&sector[at + 1], a.flags);
    sector[at + 3] = a.value;
    sector[at + 4] = a.worst;
    store_le<u32>(&sector[at + 5], a.raw);
    at += 12;
  }
  sector[362] = 0x02;  // offline collection completed
  sector[367] = 0x01;  // offline immediate is there
  store_le<u16>(&sector[368], 0x0003);
  sector[372] = 2;
  set_checksum(sector);
}

void AtaDisk::smart_thresholds() {
  auto sector = std::span(buffer_).first(kSectorSize);
  sector[0] = 1;
  unsigned at = 2;
  for (const Attribute& a : kAttributes) {
    sector[at] = a.id;
    sector[at + 1] = a.threshold;
    at += 12;
  }
  set_checksum(sector);
}

void AtaDisk::smart() {
  if (task_.lba_mid != 0x4f || task_.lba_high != 0xc2) return fail(kAbrt);
  if (!smart_enabled_ && task_.feature != kSmartEnable) return fail(kAbrt);
  buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
  const auto send = [this] {
    job_ = Job::Buffer;
    start_data_in(kSectorSize);
  };
  switch (task_.feature) {
    case kSmartEnable: smart_enabled_ = true; return complete();
    case kSmartDisable: smart_enabled_ = false; return complete();
    case kAttributeAutosave: smart_autosave_ = task_.count != 0; return complete();
    case kSaveAttributes:
    case kExecuteOffline:
    case kReturnStatus: return complete();  // 0x4f 0xc2 left in place: no threshold exceeded
    default: break;
  }
  std::fill_n(buffer_.begin(), kSectorSize, u8{0});
  switch (task_.feature) {
    case kReadData: smart_read_data(); return send();
    case kReadThresholds: smart_thresholds(); return send();
    case kReadLog:
      if (task_.lba_low == 0) {  // log directory: error log and self-test log of one sector
        buffer_[0] = 1;
        buffer_[2] = buffer_[12] = 1;
        return send();
      }
      if (task_.lba_low != 1 && task_.lba_low != 6) return fail(kAbrt);
      buffer_[0] = 1;
      set_checksum(std::span(buffer_).first(kSectorSize));
      return send();
    default: return fail(kAbrt);
  }
}

}  // namespace doppel::hw
