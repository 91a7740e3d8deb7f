// Packet command names (MMC-5, SPC-3) and a big-endian reply builder.
#pragma once
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/bits.h"

namespace doppel::hw::mmc {

enum Op : u8 {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kInquiry = 0x12,
  kModeSelect6 = 0x15,
  kModeSense6 = 0x1a,
  kStartStopUnit = 0x1b,
  kPreventAllow = 0x1e,
  kReadCapacity = 0x25,
  kRead10 = 0x28,
  kSeek10 = 0x2b,
  kVerify10 = 0x2f,
  kSynchronizeCache = 0x35,
  kReadSubChannel = 0x42,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kGetEventStatus = 0x4a,
  kStopPlay = 0x4e,
  kReadDiscInformation = 0x51,
  kReadTrackInformation = 0x52,
  kModeSelect10 = 0x55,
  kModeSense10 = 0x5a,
  kRead12 = 0xa8,
  kGetPerformance = 0xac,
  kReadDvdStructure = 0xad,
  kSetCdSpeed = 0xbb,
  kMechanismStatus = 0xbd,
  kReadCd = 0xbe,
};

class Reply {
 public:
  Reply& byte(unsigned v) {
    bytes_.push_back(static_cast<u8>(v));
    return *this;
  }
  Reply& word(unsigned v) { return byte(v >> 8).byte(v); }
  Reply& dword(u32 v) { return word(v >> 16).word(v & 0xffff); }
  Reply& bytes(std::initializer_list<unsigned> list) {
    for (const unsigned v : list) byte(v);
    return *this;
  }
  Reply& zeroes(size_t n) {
    bytes_.insert(bytes_.end(), n, u8{0});
    return *this;
  }
  Reply& text(const std::string& s, size_t length) {
    for (size_t i = 0; i < length; i++) byte(i < s.size() ? static_cast<u8>(s[i]) : ' ');
    return *this;
  }
  size_t size() const { return bytes_.size(); }
  // Puts the number of bytes after the length field itself at its place.
  Reply& length16(size_t at = 0) {
    const size_t n = bytes_.size() - at - 2;
    bytes_[at] = static_cast<u8>(n >> 8);
    bytes_[at + 1] = static_cast<u8>(n);
    return *this;
  }
  Reply& length32() {
    const size_t n = bytes_.size() - 4;
    for (unsigned i = 0; i < 4; i++) bytes_[i] = static_cast<u8>(n >> (24 - 8 * i));
    return *this;
  }
  std::vector<u8> take() { return std::move(bytes_); }

 private:
  std::vector<u8> bytes_;
};

}  // namespace doppel::hw::mmc
