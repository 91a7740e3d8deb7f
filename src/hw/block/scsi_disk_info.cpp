// ScsiDisk: commands that describe the disk: INQUIRY and vital product data (SPC-4, 6.6 and 7.8), mode pages (7.5),
// capacity (SBC-3, 5.15 and 5.16).
#include <algorithm>

#include "hw/block/packet_defs.h"
#include "hw/block/scsi_disk.h"
#include "hw/block/scsi_disk_defs.h"

namespace doppel::hw {

using namespace scsi;
using mmc::Reply;

namespace {
enum VpdPage : u8 {
  kSupportedPages = 0x00,
  kSerialNumber = 0x80,
  kIdentification = 0x83,
  kBlockLimits = 0xb0,
  kCharacteristics = 0xb1,
  kProvisioning = 0xb2,
};
constexpr u8 kCachingPage = 0x08, kControlPage = 0x0a, kErrorRecoveryPage = 0x01, kAllPages = 0x3f;
}  // namespace

bool ScsiDisk::info_command(ScsiTask& t) {
  switch (t.cdb[0]) {
    case kTestUnitReady:
    case kReserve6:
    case kRelease6:
    case kPreventAllow:
    case kStartStopUnit: t.good(); return true;
    case kInquiry: inquiry(t); return true;
    case kRequestSense: {
      const auto sense = fixed_sense({});
      t.reply({sense.begin(), sense.end()}, t.cdb[4]);
      return true;
    }
    case kModeSense6: mode_sense(t, false); return true;
    case kModeSense10: mode_sense(t, true); return true;
    case kModeSelect6: mode_select(t, false); return true;
    case kModeSelect10: mode_select(t, true); return true;
    case kReadCapacity10: read_capacity(t); return true;
    case kServiceActionIn16:
      if ((t.cdb[1] & 0x1f) != kReadCapacity16) return false;
      read_capacity16(t);
      return true;
    default: return false;
  }
}

void ScsiDisk::inquiry(ScsiTask& t) {
  if ((t.cdb[1] & 1) != 0) return vital_product_data(t);
  if (t.cdb[2] != 0) return t.check(kInvalidField);
  Reply r;
  r.bytes({0, p_.removable ? 0x80u : 0u, 5, 0x12, 31, 0, 0, 2});  // SPC-3, hierarchical addressing, command queue
  r.text(p_.vendor, 8).text(p_.product, 16).text(p_.version, 4);
  t.reply(r.take(), t.cdb16(3));
}

void ScsiDisk::vital_product_data(ScsiTask& t) {
  const u8 page = t.cdb[2];
  Reply r;
  r.bytes({0, page}).word(0);
  switch (page) {
    case kSupportedPages:
      r.byte(kSupportedPages);
      if (!p_.serial.empty()) r.byte(kSerialNumber);
      r.bytes({kIdentification, kBlockLimits, kCharacteristics, kProvisioning});
      break;
    case kSerialNumber:
      if (p_.serial.empty()) return t.check(kInvalidField);
      r.text(p_.serial, p_.serial.size());
      break;
    case kIdentification: {
      const std::string& name = !p_.device_id.empty() ? p_.device_id : p_.serial.empty() ? p_.product : p_.serial;
      r.bytes({2, 0, 0, static_cast<unsigned>(name.size())}).text(name, name.size());
      if (p_.wwn != 0) r.bytes({1, 3, 0, 8}).dword(static_cast<u32>(p_.wwn >> 32)).dword(static_cast<u32>(p_.wwn));
      break;
    }
    case kBlockLimits:
      r.bytes({1, 0}).word(8).dword(kMaxTransferBlocks).dword(0).dword(0);  // write same needs a length
      r.dword(kMaxUnmapBlocks).dword(kMaxUnmapRanges).dword(8).dword(0).dword(0).dword(kMaxUnmapBlocks).zeroes(20);
      break;
    case kCharacteristics: r.word(1).zeroes(58); break;   // does not rotate
    case kProvisioning: r.bytes({0, 0xe4, 2, 0}); break;  // UNMAP, WRITE SAME (10 and 16), reads as zeroes; thin
    default: return t.check(kInvalidField);
  }
  t.reply(r.length16(2).take(), t.cdb16(3));
}

std::vector<u8> ScsiDisk::caching_page(bool changeable) const {
  std::vector<u8> page(20);
  page[0] = kCachingPage;
  page[1] = 18;
  if (changeable || write_cache_) page[2] = 4;  // WCE
  return page;
}

void ScsiDisk::mode_sense(ScsiTask& t, bool ten) {
  const u8 page = t.cdb[2] & 0x3f, control = t.cdb[2] >> 6;
  if (control == 3) return t.check({kIllegalRequest, 0x39, 0});  // nothing is saved
  const bool changeable = control == 1, descriptor = (t.cdb[1] & 8) == 0;
  std::vector<u8> d(ten ? 8 : 4);
  d[ten ? 3 : 2] = static_cast<u8>((p_.node->read_only() ? 0x80 : 0) | 0x10);  // DPO and FUA
  if (descriptor) {
    d[ten ? 7 : 3] = 8;
    const u32 n = blocks() > 0xffffff ? 0 : static_cast<u32>(blocks());
    d.insert(d.end(), {0, static_cast<u8>(n >> 16), static_cast<u8>(n >> 8), static_cast<u8>(n), 0, 0, 2, 0});
  }
  bool any = false;
  const auto add = [&](u8 code, const std::vector<u8>& body) {
    if (page != code && page != kAllPages) return;
    any = true;
    d.insert(d.end(), body.begin(), body.end());
  };
  std::vector<u8> recovery(12), queueing(12);
  recovery[0] = kErrorRecoveryPage, recovery[1] = 10;
  if (!changeable) recovery[2] = 0x80;  // automatic reallocation of writes
  queueing[0] = kControlPage, queueing[1] = 10;
  if (!changeable) queueing[3] = 0x10;  // any order
  add(kErrorRecoveryPage, recovery);
  add(kCachingPage, caching_page(changeable));
  add(kControlPage, queueing);
  if (!any) return t.check(kInvalidField);
  const size_t n = d.size() - (ten ? 2 : 1);
  if (ten) d[0] = static_cast<u8>(n >> 8);
  d[ten ? 1 : 0] = static_cast<u8>(n);
  t.reply(std::move(d), ten ? t.cdb16(7) : t.cdb[4]);
}

// The write cache is what can be changed; other pages must say what they are.
void ScsiDisk::mode_select(ScsiTask& t, bool ten) {
  const size_t header = ten ? 8 : 4;
  const std::vector<u8>& d = t.out;
  if ((t.cdb[1] & 1) != 0) return t.check(kInvalidField);  // saved pages
  if ((ten ? t.cdb16(7) : t.cdb[4]) == 0) return t.good();
  if (d.size() < header) return t.check({kIllegalRequest, 0x1a, 0});
  size_t at = header + (ten ? u32{d[6]} << 8 | d[7] : d[3]);
  bool cache = write_cache_;
  while (at + 2 <= d.size()) {
    const u8 code = d[at] & 0x3f;
    const size_t length = size_t{d[at + 1]} + 2;
    if (at + length > d.size()) return t.check({kIllegalRequest, 0x1a, 0});
    if (code == kCachingPage && length == 20) {
      cache = (d[at + 2] & 4) != 0;
    } else if (code != kErrorRecoveryPage && code != kControlPage) {
      return t.check(kInvalidParameter);
    }
    at += length;
  }
  write_cache_ = cache;
  t.good();
}

void ScsiDisk::read_capacity(ScsiTask& t) {
  if (blocks() == 0) return t.check({kNotReady, 0x04, 0});
  Reply r;
  r.dword(static_cast<u32>(std::min<u64>(blocks() - 1, 0xffffffff))).dword(512);
  t.reply(r.take(), 8);
}

void ScsiDisk::read_capacity16(ScsiTask& t) {
  if (blocks() == 0) return t.check({kNotReady, 0x04, 0});
  const u64 last = blocks() - 1;
  Reply r;
  r.dword(static_cast<u32>(last >> 32)).dword(static_cast<u32>(last)).dword(512);
  r.bytes({0, 3, 0xc0, 0}).zeroes(16);  // 8 blocks a physical one; thin, unmapped blocks read as zeroes
  t.reply(r.take(), t.cdb32(10));
}

}  // namespace doppel::hw
