// AtapiCd: ATA commands, the packet protocol (ATA8-ACS section 7.33 and the packet command protocols of ATA/ATAPI-7
// volume 2) and data phases.
#include "hw/block/atapi_cd.h"

#include <algorithm>

#include "base/log.h"
#include "block/sync.h"
#include "hw/block/ata_strings.h"

namespace doppel::hw {

using namespace ata;

namespace {
constexpr u32 kCdbBytes = 12;
constexpr u32 kReadAhead = 32;  // sectors fetched at once
}  // namespace

AtapiCd::AtapiCd(Params p) : p_(std::move(p)) {
  if (p_.serial.empty()) p_.serial = "DP00003";
  AtapiCd::reset(true);
}

u64 AtapiCd::blocks() const { return p_.node != nullptr ? (p_.node->size() + 2047) / 2048 : 0; }

void AtapiCd::set_signature() {
  task_.count = task_.lba_low = 1;
  task_.lba_mid = 0x14;
  task_.lba_high = 0xeb;
  task_.status = 0;  // a packet device reports DRDY after its first command
}

void AtapiCd::reset(bool hard) {
  stage_ = Stage::None;
  reply_.clear();
  reply_at_ = sectors_left_ = 0;
  read_error_ = false;
  if (hard) {
    locked_ = tray_open_ = false;
    attention_ = false;
    sense_key_ = asc_ = ascq_ = 0;
    media_event_ = 0;
    mdma_ = 0;
    udma_ = 0x20;
    pio_mode_ = 4;
  }
  IdeDrive::reset(hard);
}

void AtapiCd::execute(u8 command) {
  task_.error = 0;
  stage_ = Stage::None;
  switch (command) {
    case kPacket: return start_packet();
    case kIdentifyPacket: return identify_packet();
    case kSetFeatures: return set_features();
    case kDeviceReset: {
      const u8 device = task_.device;
      reset(false);
      task_.device = device;
      return;  // no interrupt
    }
    case kIdentify:
    case kReadSectors:
      set_signature();  // how software finds out that this is a packet device
      return fail(kAbrt);
    case kCheckPower:
    case kCheckPowerOld: task_.count = 0xff; return complete();
    case kNop: return fail(kAbrt);
    case kFlushCache:
    case kIdleImmediate:
    case kIdleImmediateOld:
    case kStandbyImmediate:
    case kStandbyImmediateOld:
    case kIdle:
    case kStandby:
    case kSleep:
    case kSleepOld: return complete();
    default: DOPPEL_LOG(GuestErrors, "atapi: ATA command 0x%02x is not supported\n", command); return fail(kAbrt);
  }
}

void AtapiCd::identify_packet() {
  buffer_.resize(std::max<size_t>(buffer_.size(), kSectorSize));
  std::fill_n(buffer_.begin(), kSectorSize, u8{0});
  IdentifyWords w(buffer_);
  w[0] = 0x85c0;  // packet device, CD-ROM, removable, DRQ within 50 us, 12-byte packets
  w.text(10, 20, p_.serial);
  w[20] = 3;
  w[21] = 512;
  w[22] = 4;
  w.text(23, 8, p_.firmware);
  w.text(27, 40, p_.model);
  w[48] = 1;
  w[49] = 0x0b00;  // IORDY, LBA, DMA
  w[53] = 0x0006;
  w[63] = static_cast<u16>(0x0007 | mdma_ << 8);
  w[64] = 0x0003;
  w[65] = w[66] = w[67] = w[68] = 120;
  w[71] = w[72] = 30;
  w[80] = 0x01f0;
  w[81] = 0x0028;
  w[82] = 0x4000 | 0x0200 | 0x0010;  // NOP, DEVICE RESET, PACKET
  w[83] = 0x4000;
  w[84] = 0x4000;
  w[85] = 0x4000 | 0x0200 | 0x0010;
  w[87] = 0x4000;
  w[88] = static_cast<u16>(0x003f | udma_ << 8);
  w[93] = static_cast<u16>(0x6001 | (slave() ? 0x0600 : 0));
  stage_ = Stage::None;
  start_data_in(kSectorSize);
}

void AtapiCd::set_features() {
  if (task_.feature != 0x03) return complete();
  const u8 mode = task_.count & 7;
  switch (task_.count >> 3) {
    case 0:
    case 1: pio_mode_ = mode; break;
    case 4:
      if (mode > 2) return fail(kAbrt);
      mdma_ = static_cast<u16>(1 << mode);
      udma_ = 0;
      break;
    case 8:
      if (mode > 5) return fail(kAbrt);
      udma_ = static_cast<u16>(1 << mode);
      mdma_ = 0;
      break;
    default: return fail(kAbrt);
  }
  complete();
}

void AtapiCd::start_packet() {
  if ((task_.feature & 2) != 0) return fail(kAbrt);  // overlap
  packet_dma_ = (task_.feature & 1) != 0;
  byte_limit_ = task_.lba_mid | u32{task_.lba_high} << 8;
  task_.count = kCoD;
  stage_ = Stage::Cdb;
  start_data_out(kCdbBytes, false);
}

void AtapiCd::data_out_done() {
  if (stage_ == Stage::Cdb) {
    std::copy_n(buffer_.begin(), kCdbBytes, cdb_.begin());
    leave_data_phase();
    return run_packet();
  }
  good();  // parameters: accepted and not needed
}

// The reply: `reply_`, then `sectors_left_` sectors.
void AtapiCd::reply(std::vector<u8> data, u32 allocation) {
  data.resize(std::min<size_t>(data.size(), allocation));
  reply_ = std::move(data);
  reply_at_ = 0;
  sectors_left_ = 0;
  start_reply();
}

void AtapiCd::start_reply() {
  read_error_ = false;
  if (reply_left() == 0) return good();
  stage_ = Stage::Data;
  task_.count = kIo;
  if (packet_dma_) return start_dma(true);
  next_pio_block();
}

void AtapiCd::next_pio_block() {
  // A limit of zero is not allowed to move data and 0xffff means 0xfffe; an odd limit is only good for the last block.
  u32 limit = byte_limit_ == 0 || byte_limit_ == 0xffff ? 0xfffe : byte_limit_;
  const u64 left = reply_left();
  if (left > limit && limit > 1) limit &= ~u32{1};
  const u32 n = static_cast<u32>(std::min<u64>(left, limit));
  buffer_.resize(std::max<size_t>(buffer_.size(), n));
  if (!gather(std::span(buffer_).first(n))) return read_failed();
  task_.count = kIo;
  task_.lba_mid = static_cast<u8>(n);
  task_.lba_high = static_cast<u8>(n >> 8);
  start_data_in(n);
}

void AtapiCd::data_in_done() {
  if (stage_ != Stage::Data) {  // IDENTIFY PACKET DEVICE
    leave_data_phase();
    task_.status = kDrdy | kDsc;
    return;
  }
  if (reply_left() != 0) return next_pio_block();
  good();
}

bool AtapiCd::gather(std::span<u8> out) {
  size_t done = 0;
  while (done < out.size()) {
    if (reply_at_ == reply_.size() && !refill()) return false;
    const size_t n = std::min<size_t>(out.size() - done, reply_.size() - reply_at_);
    std::copy_n(reply_.begin() + reply_at_, n, out.begin() + static_cast<std::ptrdiff_t>(done));
    reply_at_ += static_cast<u32>(n);
    done += n;
  }
  return true;
}

// READ CD's 2352-byte sectors: sync and header are made up, EDC and ECC are zero.
bool AtapiCd::refill() {
  if (sectors_left_ == 0 || p_.node == nullptr) return false;
  const u32 n = std::min(sectors_left_, kReadAhead), pad = sector_bytes_ == 2352 ? 16 : 0;
  reply_.assign(size_t{n} * sector_bytes_, 0);
  reply_at_ = 0;
  const auto bcd = [](u32 v) { return static_cast<u8>(v / 10 << 4 | v % 10); };
  if (pad == 0) {
    if (block::read_sync(*p_.node, u64{lba_} * 2048, reply_) != 0) return false;
  }
  for (u32 i = 0; pad != 0 && i < n; i++) {
    const auto sector = std::span(reply_).subspan(size_t{i} * sector_bytes_, sector_bytes_);
    if (block::read_sync(*p_.node, (u64{lba_} + i) * 2048, sector.subspan(pad, 2048)) != 0) return false;
    std::fill(sector.begin() + 1, sector.begin() + 11, u8{0xff});
    const u32 frame = lba_ + i + 150;
    sector[12] = bcd(frame / 75 / 60 % 100);
    sector[13] = bcd(frame / 75 % 60);
    sector[14] = bcd(frame % 75);
    sector[15] = 1;
  }
  lba_ += n;
  sectors_left_ -= n;
  return true;
}

void AtapiCd::read_failed() {
  reply_.clear();
  reply_at_ = sectors_left_ = 0;
  if (!ready()) return check(0x02, 0x3a);
  check(0x03, 0x11);  // MEDIUM ERROR, unrecovered read error
}

u32 AtapiCd::dma_read(std::span<u8> out) {
  const u32 n = static_cast<u32>(std::min<u64>(out.size(), reply_left()));
  read_error_ = !gather(out.first(n));
  dma_done_ = read_error_ || reply_left() == 0;
  return read_error_ ? 0 : n;
}

u32 AtapiCd::dma_write(std::span<const u8> in) {
  const u32 n = static_cast<u32>(std::min<u64>(in.size(), end_ - at_));
  at_ += n;
  dma_done_ = at_ == end_;
  return n;
}

void AtapiCd::dma_end() {
  if (read_error_) return read_failed();
  good();
}

std::optional<DiskRequest> AtapiCd::disk_request() const {
  constexpr u32 kMost = 4096;  // sectors at once
  const bool whole = phase_ == Phase::DmaIn && stage_ == Stage::Data && reply_at_ == reply_.size();
  if (!whole || sectors_left_ == 0 || sectors_left_ > kMost || sector_bytes_ != 2048 || p_.node == nullptr)
    return std::nullopt;
  return DiskRequest{.node = p_.node, .offset = u64{lba_} * 2048, .bytes = sectors_left_ * 2048};
}

// The disc may have been changed meanwhile: what was read is of the old one, as asked for.
void AtapiCd::disk_done(int error) {
  read_error_ = error != 0;
  lba_ += std::exchange(sectors_left_, 0);
  dma_done_ = true;
}

void AtapiCd::good() {
  stage_ = Stage::None;
  task_.count = kIo | kCoD;
  complete();
}

void AtapiCd::check(u8 key, u8 asc, u8 ascq) {
  stage_ = Stage::None;
  sense_key_ = key;
  asc_ = asc;
  ascq_ = ascq;
  task_.count = kIo | kCoD;
  fail(static_cast<u8>(key << 4 | kAbrt), kDrdy | kDsc);
}

void AtapiCd::insert(std::shared_ptr<block::Node> node) {
  if (p_.node == nullptr && node == nullptr) {
    tray_open_ = false;
    return;
  }
  p_.node = std::move(node);
  tray_open_ = false;
  locked_ = false;
  attention_ = p_.node != nullptr;
  attention_asc_ = 0x28;                      // medium may have changed
  media_event_ = p_.node != nullptr ? 2 : 3;  // new media, media removal
  if (stage_ == Stage::Data) sectors_left_ = 0;
}

bool AtapiCd::eject(bool force) {
  if (locked_ && !force) {
    media_event_ = 1;  // eject request: the guest may let go
    return false;
  }
  insert(nullptr);
  tray_open_ = true;
  media_event_ = 3;
  return true;
}

void AtapiCd::archive(StateArchive& ar) {
  IdeDrive::archive(ar);
  ar.field("stage", stage_);
  ar.field("cdb", cdb_);
  ar.field("packet_dma", packet_dma_);
  ar.field("sense_key", sense_key_);
  ar.field("asc", asc_);
  ar.field("ascq", ascq_);
  ar.field("attention", attention_);
  ar.field("attention_asc", attention_asc_);
  ar.field("locked", locked_);
  ar.field("tray_open", tray_open_);
  ar.field("read_error", read_error_);
  ar.field("media_event", media_event_);
  ar.blob("reply", reply_);
  ar.field("reply_at", reply_at_);
  ar.field("lba", lba_);
  ar.field("sectors_left", sectors_left_);
  ar.field("sector_bytes", sector_bytes_);
  ar.field("byte_limit", byte_limit_);
  ar.field("mdma", mdma_);
  ar.field("udma", udma_);
  ar.field("pio_mode", pio_mode_);
  if (!ar.loading()) return;
  if (reply_at_ > reply_.size()) reply_at_ = static_cast<u32>(reply_.size());
  if (sector_bytes_ != 2352) sector_bytes_ = 2048;
}

std::string AtapiCd::describe() const {
  const std::string state = std::string(tray_open_ ? ", tray open" : "") + (locked_ ? ", locked" : "");
  return p_.node == nullptr ? "CD/DVD drive, empty" + state : "CD/DVD drive, " + p_.node->filename() + state;
}

}  // namespace doppel::hw
