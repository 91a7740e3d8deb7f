// AtapiCd: packet commands that touch the disc or the tray (MMC-5 chapter 6, SPC-3).
#include <algorithm>

#include "base/log.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/packet_defs.h"

namespace doppel::hw {

using namespace mmc;

namespace {

// Commands that work whatever the state of the medium and leave a UNIT ATTENTION waiting.
bool ignores_attention(u8 op) {
  return op == kInquiry || op == kRequestSense || op == kGetConfiguration || op == kGetEventStatus;
}

bool needs_medium(u8 op) {
  switch (op) {
    case kTestUnitReady:
    case kReadCapacity:
    case kRead10:
    case kRead12:
    case kReadCd:
    case kSeek10:
    case kVerify10:
    case kReadToc:
    case kReadSubChannel:
    case kReadDiscInformation:
    case kReadTrackInformation:
    case kReadDvdStructure: return true;
    default: return false;
  }
}

}  // namespace

void AtapiCd::run_packet() {
  const u8 op = cdb_[0];
  DOPPEL_LOG(Trace, "atapi: packet %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x\n", op, cdb_[1], cdb_[2], cdb_[3],
             cdb_[4], cdb_[5], cdb_[6], cdb_[7], cdb_[8], cdb_[9]);
  if (attention_ && !ignores_attention(op)) {
    attention_ = false;
    return check(0x06, attention_asc_);
  }
  if (needs_medium(op) && !ready()) return check(0x02, 0x3a, tray_open_ ? 0x02 : 0x01);
  if (op != kRequestSense) sense_key_ = asc_ = ascq_ = 0;
  if (media_command() || info_command()) return;
  DOPPEL_LOG(GuestErrors, "atapi: packet command 0x%02x is not supported\n", op);
  check(0x05, 0x20);  // ILLEGAL REQUEST, invalid command operation code
}

bool AtapiCd::media_command() {
  switch (cdb_[0]) {
    case kTestUnitReady:
    case kSynchronizeCache:
    case kStopPlay:
    case kSetCdSpeed: good(); return true;
    case kRead10: read_sectors(cdb32(2), cdb16(7), 2048); return true;
    case kRead12: read_sectors(cdb32(2), cdb32(6), 2048); return true;
    case kReadCd: read_cd(); return true;
    case kSeek10: seek(cdb32(2)); return true;
    case kVerify10: verify(cdb32(2), cdb16(7)); return true;
    case kReadCapacity: read_capacity(); return true;
    case kStartStopUnit: start_stop_unit(); return true;
    case kPreventAllow: prevent_allow(); return true;
    case kReadToc: read_toc(); return true;
    case kReadSubChannel: read_subchannel(); return true;
    default: return false;
  }
}

void AtapiCd::read_sectors(u32 lba, u32 count, u32 sector_bytes) {
  if (lba > blocks() || count > blocks() - lba) return check(0x05, 0x21);  // logical block address out of range
  reply_.clear();
  reply_at_ = 0;
  lba_ = lba;
  sectors_left_ = count;
  sector_bytes_ = sector_bytes;
  start_reply();
}

void AtapiCd::verify(u32 lba, u32 count) {
  if (lba > blocks() || count > blocks() - lba) return check(0x05, 0x21);
  good();
}

void AtapiCd::read_cd() {
  const u32 count = u32{cdb_[6]} << 16 | cdb16(7);
  const u8 fields = cdb_[9] & 0xf8, type = (cdb_[1] >> 2) & 7;
  if (type != 0 && type != 2 && type != 4) return check(0x05, 0x64);  // not audio: illegal mode for this track
  if (fields == 0 || count == 0) return good();
  if (fields == 0x10) return read_sectors(cdb32(2), count, 2048);
  if (fields == 0xf8) return read_sectors(cdb32(2), count, 2352);
  invalid_field();
}

void AtapiCd::seek(u32 lba) {
  if (lba >= blocks()) return check(0x05, 0x21);
  good();
}

void AtapiCd::read_capacity() {
  Reply r;
  r.dword(static_cast<u32>(std::min<u64>(blocks(), 0xffffffff)) - (blocks() != 0 ? 1 : 0)).dword(2048);
  reply(r.take(), 8);
}

void AtapiCd::start_stop_unit() {
  const bool start = (cdb_[4] & 1) != 0, load_eject = (cdb_[4] & 2) != 0;
  if ((cdb_[4] & 0xf0) != 0 || !load_eject) return good();  // power conditions, spin up and down
  if (!start) {
    if (locked_) return ready() ? check(0x05, 0x53, 0x02) : check(0x02, 0x53, 0x02);  // medium removal prevented
    if (!tray_open_) media_event_ = 3;
    tray_open_ = true;
    return good();
  }
  if (tray_open_) {
    tray_open_ = false;
    if (p_.node != nullptr) {
      attention_ = true;
      attention_asc_ = 0x28;
      media_event_ = 2;
    }
  }
  good();
}

void AtapiCd::prevent_allow() {
  locked_ = (cdb_[4] & 1) != 0;
  good();
}

void AtapiCd::read_toc() {
  const bool msf = (cdb_[1] & 2) != 0;
  const u32 allocation = cdb16(7), start = cdb_[6];
  u8 format = cdb_[2] & 0x0f;
  if (format == 0) format = cdb_[9] >> 6;  // where SFF-8020 has it
  const u32 leadout = static_cast<u32>(blocks());
  Reply r;
  const auto address = [&](u32 lba) {
    if (!msf) return r.dword(lba);
    lba += 150;
    return r.bytes({0, lba / 75 / 60, lba / 75 % 60, lba % 75});
  };
  switch (format) {
    case 0:
      if (start > 1 && start != 0xaa) return invalid_field();
      r.word(0).bytes({1, 1});
      if (start <= 1) {
        r.bytes({0, 0x14, 1, 0});
        address(0);
      }
      r.bytes({0, 0x14, 0xaa, 0});
      address(leadout);
      break;
    case 1:  // sessions: one
      r.word(0).bytes({1, 1, 0, 0x14, 1, 0});
      address(0);
      break;
    case 2: {  // full TOC: points A0, A1, A2, 1
      r.word(0).bytes({1, 1});
      const u32 out = leadout + 150;
      r.bytes({1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0});
      r.bytes({1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1, 0, 0});
      r.bytes({1, 0x14, 0, 0xa2, 0, 0, 0, 0, out / 75 / 60, out / 75 % 60, out % 75});
      r.bytes({1, 0x14, 0, 1, 0, 0, 0, 0, 0, 2, 0});
      break;
    }
    default: return invalid_field();
  }
  reply(r.length16().take(), allocation);
}

void AtapiCd::read_subchannel() {
  const u32 allocation = cdb16(7);
  Reply r;
  r.bytes({0, 0x15}).word(0);  // no audio status
  if ((cdb_[2] & 0x40) == 0) return reply(r.take(), allocation);
  switch (cdb_[3]) {
    case 1: r.bytes({1, 0x14, 1, 1}).dword(0).dword(0); break;  // current position: the start
    case 2:
    case 3:
      r.bytes({cdb_[3], cdb_[3] == 3 ? 0x14u : 0u, cdb_[3] == 3 ? 1u : 0u, 0}).zeroes(16);
      break;  // no catalogue number, no ISRC
    default: return invalid_field();
  }
  reply(r.length16(2).take(), allocation);
}

}  // namespace doppel::hw
