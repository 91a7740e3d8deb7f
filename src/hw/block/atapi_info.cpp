// AtapiCd: packet commands that describe the drive: INQUIRY, REQUEST SENSE, MODE SENSE, GET CONFIGURATION, events
// (MMC-5 chapters 5 to 7).
#include <algorithm>

#include "hw/block/atapi_cd.h"
#include "hw/block/packet_defs.h"

namespace doppel::hw {

using namespace mmc;

namespace {
constexpr u16 kProfileCd = 0x0008, kProfileDvd = 0x0010;
constexpr u64 kCdBlocks = 360'000;  // 80 minutes: what is longer is a DVD
}  // namespace

bool AtapiCd::info_command() {
  switch (cdb_[0]) {
    case kInquiry: inquiry(); return true;
    case kRequestSense: request_sense(); return true;
    case kModeSense6: mode_sense(false); return true;
    case kModeSense10: mode_sense(true); return true;
    case kModeSelect6: mode_select(cdb_[4]); return true;
    case kModeSelect10: mode_select(cdb16(7)); return true;
    case kGetConfiguration: get_configuration(); return true;
    case kGetEventStatus: get_event_status(); return true;
    case kMechanismStatus: mechanism_status(); return true;
    case kReadDiscInformation: read_disc_information(); return true;
    case kReadTrackInformation: read_track_information(); return true;
    case kReadDvdStructure: read_dvd_structure(); return true;
    case kGetPerformance: get_performance(); return true;
    default: return false;
  }
}

void AtapiCd::inquiry() {
  const u32 allocation = cdb16(3);
  Reply r;
  if ((cdb_[1] & 1) != 0) {  // vital product data
    switch (cdb_[2]) {
      case 0x00: r.bytes({5, 0x00}).word(0).bytes({0x00, 0x80, 0x83}); break;
      case 0x80: r.bytes({5, 0x80}).word(0).text(p_.serial, 20); break;
      case 0x83: r.bytes({5, 0x83}).word(0).bytes({2, 0, 0, 20}).text(p_.serial, 20); break;
      default: return invalid_field();
    }
    return reply(r.length16(2).take(), allocation);
  }
  r.bytes({5, 0x80, 0, 0x21, 31, 0, 0, 0});  // CD-ROM, removable, ATAPI
  const size_t space = p_.model.find(' ');
  const std::string vendor = p_.model.substr(0, space),
                    product = space == std::string::npos ? p_.model : p_.model.substr(space + 1);
  r.text(vendor, 8).text(product, 16).text(p_.firmware, 4);
  reply(r.take(), allocation);
}

void AtapiCd::request_sense() {
  if (sense_key_ == 0 && attention_) {
    attention_ = false;
    sense_key_ = 0x06;
    asc_ = attention_asc_;
    ascq_ = 0;
  }
  Reply r;
  r.bytes({0x70, 0, sense_key_, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc_, ascq_, 0, 0, 0, 0});
  sense_key_ = asc_ = ascq_ = 0;
  reply(r.take(), cdb_[4]);
}

void AtapiCd::mode_sense(bool ten) {
  const u8 page = cdb_[2] & 0x3f, control = cdb_[2] >> 6;
  const bool changeable = control == 1;
  if (control == 3) return check(0x05, 0x39);  // saving parameters is not supported
  const u32 medium = tray_open_ ? 0x71 : p_.node == nullptr ? 0x70 : 0x01;
  Reply r;
  if (ten) {
    r.word(0).byte(medium).zeroes(5);
  } else {
    r.byte(0).byte(medium).zeroes(2);
  }
  bool any = false;
  const auto add = [&](u8 code, std::initializer_list<unsigned> body) {
    if (page != code && page != 0x3f) return;
    any = true;
    r.byte(code).byte(static_cast<unsigned>(body.size()));
    if (changeable) {
      r.zeroes(body.size());
    } else {
      r.bytes(body);
    }
  };
  add(0x01, {0, 5, 0, 0, 0, 0});                               // read error recovery: five retries
  add(0x0e, {4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0});  // CD audio control
  add(0x1a, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0});                   // power condition
  // Capabilities and mechanical status: reads CD-R, CD-RW, DVD-ROM; tray loader with lock; speed 706 kB/s units, 64x.
  add(0x2a, {0x3b, 0x00, 0x71, 0x60, 0x29 | (locked_ ? 2u : 0u),
             0x00, 0x2c, 0x20, 0x00, 0x02,
             0x02, 0x00, 0x2c, 0x20, 0x00,
             0x00, 0x00, 0x00, 0x00, 0x00});
  if (!any) return invalid_field();
  std::vector<u8> data = r.take();
  const u32 n = static_cast<u32>(data.size()) - (ten ? 2 : 1);
  if (ten) data[0] = static_cast<u8>(n >> 8);
  data[ten ? 1 : 0] = static_cast<u8>(n);
  reply(std::move(data), ten ? cdb16(7) : cdb_[4]);
}

void AtapiCd::mode_select(u32 bytes) {
  if (bytes == 0) return good();
  stage_ = Stage::Parameters;
  task_.count = 0;
  if (packet_dma_) {
    at_ = 0;
    end_ = bytes;
    buffer_.resize(std::max<size_t>(buffer_.size(), bytes));
    return start_dma(false);
  }
  task_.lba_mid = static_cast<u8>(bytes);
  task_.lba_high = static_cast<u8>(bytes >> 8);
  start_data_out(bytes, true);
}

void AtapiCd::get_configuration() {
  const u32 start = cdb16(2), allocation = cdb16(7);
  const u8 which = cdb_[1] & 3;
  if (which == 3) return invalid_field();
  const u16 profile = !ready() ? 0 : blocks() > kCdBlocks ? kProfileDvd : kProfileCd;
  Reply r;
  r.dword(0).word(0).word(profile);
  // Feature descriptors: code, version << 2 | persistent << 1 | current, length, data.
  const auto feature = [&](u16 code, u8 version, bool persistent, bool current, std::initializer_list<unsigned> body) {
    if (which == 2 ? code != start : code < start || (which == 1 && !current)) return;
    r.word(code).byte(static_cast<unsigned>(version << 2 | (persistent ? 2 : 0) | (current ? 1 : 0)));
    r.byte(static_cast<unsigned>(body.size())).bytes(body);
  };
  const bool cd = profile == kProfileCd, dvd = profile == kProfileDvd;
  feature(0x0000, 0, true, true, {0, kProfileDvd, dvd, 0, 0, kProfileCd, cd, 0});  // profile list
  feature(0x0001, 2, true, true, {0, 0, 0, 2, 1, 0, 0, 0});                        // core: ATAPI
  feature(0x0002, 1, true, true, {0, 0, 0, 0});                                    // morphing
  feature(0x0003, 1, true, true, {0x29, 0, 0, 0});                 // removable medium: tray, eject, lock
  feature(0x0010, 0, false, cd || dvd, {0, 0, 8, 0, 0, 1, 0, 0});  // random readable: 2048 bytes
  feature(0x001e, 2, false, cd, {0, 0, 0, 0});                     // CD read
  feature(0x001f, 0, false, dvd, {});                              // DVD read
  feature(0x0100, 0, true, true, {});                              // power management
  feature(0x0105, 0, true, true, {0, 0, 0, 0});                    // timeout
  reply(r.length32().take(), allocation);
}

void AtapiCd::get_event_status() {
  const u32 allocation = cdb16(7);
  if ((cdb_[1] & 1) == 0) return invalid_field();  // only polled
  Reply r;
  if ((cdb_[4] & 0x10) == 0) {
    r.word(2).bytes({0x80, 0x10});  // no event available in the classes asked for; media is supported
    return reply(r.take(), allocation);
  }
  const unsigned status = (tray_open_ ? 1u : 0u) | (p_.node != nullptr && !tray_open_ ? 2u : 0u);
  r.word(6).bytes({0x04, 0x10}).bytes({media_event_, status, 0, 0});
  media_event_ = 0;
  reply(r.take(), allocation);
}

void AtapiCd::mechanism_status() {
  Reply r;
  r.bytes({0, tray_open_ ? 0x10u : 0u, 0, 0, 0, 1, 0, 0});
  reply(r.take(), cdb16(8));
}

void AtapiCd::read_disc_information() {
  if ((cdb_[1] & 7) != 0) return invalid_field();
  Reply r;
  r.word(0).bytes({0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0}).zeroes(4).zeroes(4).zeroes(4).zeroes(8).zeroes(2);
  reply(r.length16().take(), cdb16(7));
}

void AtapiCd::read_track_information() {
  const u8 type = cdb_[1] & 3;
  const u32 number = cdb32(2);
  if (type == 3 || (type == 1 && number != 1 && number != 0xff) || (type == 2 && number != 1)) return invalid_field();
  if (type == 0 && number >= blocks()) return check(0x05, 0x21);
  Reply r;
  r.word(0)
      .bytes({1, 1, 0, 0x04, 0x01, 0})
      .dword(0)
      .dword(0)
      .dword(0)
      .dword(0)
      .dword(static_cast<u32>(blocks()))
      .zeroes(8);
  reply(r.length16().take(), cdb16(7));
}

void AtapiCd::read_dvd_structure() {
  const u8 format = cdb_[7];
  const u32 allocation = cdb16(8);
  if (format != 0xff && blocks() <= kCdBlocks) return check(0x05, 0x30, 0x02);  // incompatible medium
  Reply r;
  r.word(0).word(0);
  switch (format) {
    case 0x00: {  // physical: one layer, data from 0x30000
      if (cdb_[6] != 0) return invalid_field();
      const u32 last = 0x30000 + static_cast<u32>(blocks()) - 1;
      r.bytes({0x01, 0x0f, 0x01, 0x00}).dword(0x30000).dword(last & 0xffffff).dword(0).zeroes(2032);
      break;
    }
    case 0x01: r.dword(0); break;      // copyright: none
    case 0x04: r.zeroes(2048); break;  // manufacturing
    case 0xff: r.bytes({0x00, 0x40, 0x08, 0x04, 0x01, 0x40, 0x00, 0x08, 0x04, 0x40, 0x08, 0x04}); break;
    default: return invalid_field();
  }
  reply(r.length16().take(), allocation);
}

void AtapiCd::get_performance() {
  if (cdb_[10] != 0) return invalid_field();  // only nominal performance
  const u32 last = blocks() != 0 ? static_cast<u32>(blocks()) - 1 : 0;
  Reply r;
  r.dword(0).dword(0).dword(0).dword(11080).dword(last).dword(11080);
  reply(r.length32().take(), cdb16(8) * 16 + 8);
}

}  // namespace doppel::hw
