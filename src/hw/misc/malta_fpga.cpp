#include "hw/misc/malta_fpga.h"

namespace doppel::hw {
namespace {

enum Reg : u64 {
  kSwitch = 0x200,
  kStatus = 0x208,
  kJumpers = 0x210,
  kLedBar = 0x408,
  kAsciiWord = 0x410,
  kAsciiFirst = 0x418,
  kAsciiLast = 0x450,
  kSoftReset = 0x500,
  kBreakReset = 0x508,
};
enum GpioReg : u64 { kOutput = 0x000, kI2cInput = 0x100, kI2cEnable = 0x108, kI2cOutput = 0x110, kI2cSelect = 0x118 };
constexpr u32 kStatusBigEndian = 2, kStatusMonitor = 0x10, kSoftResetMagic = 0x42;

// Registers are in the CPU's byte order; windows are little-endian.
u32 ordered(u32 value, bool big_endian) { return big_endian ? __builtin_bswap32(value) : value; }

char printable(u32 c) { return c >= 32 && c < 127 ? static_cast<char>(c) : ' '; }

}  // namespace

u64 MaltaFpga::read(u64 offset, unsigned) {
  u32 value = 0;
  switch (offset) {
    case kStatus: value = kStatusMonitor | (p_.big_endian ? kStatusBigEndian : 0); break;
    case kLedBar: value = leds_; break;
    case kBreakReset: value = break_reset_; break;
    default: break;  // switches and jumpers are off
  }
  return ordered(value, p_.big_endian);
}

void MaltaFpga::write(u64 offset, u64 value, unsigned) {
  const u32 v = ordered(static_cast<u32>(value), p_.big_endian);
  static constexpr char kHex[] = "0123456789ABCDEF";
  if (offset >= kAsciiFirst && offset <= kAsciiLast && offset % 8 == 0) {
    display_[(offset - kAsciiFirst) / 8] = printable(v);
    return;
  }
  switch (offset) {
    case kLedBar: leds_ = v & 0xff; break;
    case kAsciiWord:
      for (unsigned i = 0; i < 8; i++) display_[i] = kHex[v >> (28 - 4 * i) & 15];
      break;
    case kBreakReset: break_reset_ = v & 0xff; break;
    case kSoftReset:
      if (v == kSoftResetMagic && p_.reset_request) p_.reset_request();
      break;
    default: break;
  }
}

void MaltaFpga::reset() {
  leds_ = 0;
  break_reset_ = 0x0a;
  display_.fill(' ');
}

void MaltaFpga::archive(StateArchive& ar) {
  ar.field("leds", leds_);
  ar.field("break_reset", break_reset_);
  ar.field("display", display_);
}

std::string MaltaFpga::info() const {
  return "malta display: '" + std::string(display_.begin(), display_.end()) + "'\n";
}

u64 MaltaGpio::read(u64 offset, unsigned) {
  u32 value = 0;
  switch (offset) {
    case kOutput: value = output_; break;
    case kI2cInput: value = i2c_enable_ & 3 ? i2c_output_ & i2c_enable_ : 3; break;  // nobody pulls the lines down
    case kI2cEnable: value = i2c_enable_; break;
    case kI2cOutput: value = i2c_output_; break;
    case kI2cSelect: value = i2c_select_; break;
    default: break;
  }
  return ordered(value, big_endian_);
}

void MaltaGpio::write(u64 offset, u64 value, unsigned) {
  const u32 v = ordered(static_cast<u32>(value), big_endian_);
  switch (offset) {
    case kOutput: output_ = v & 0xff; break;
    case kI2cEnable: i2c_enable_ = v & 3; break;
    case kI2cOutput: i2c_output_ = v & 3; break;
    case kI2cSelect: i2c_select_ = v & 1; break;
    default: break;
  }
}

void MaltaGpio::reset() {
  output_ = i2c_enable_ = 0;
  i2c_output_ = 3;
  i2c_select_ = 1;
}

void MaltaGpio::archive(StateArchive& ar) {
  ar.field("output", output_);
  ar.field("i2c_enable", i2c_enable_);
  ar.field("i2c_output", i2c_output_);
  ar.field("i2c_select", i2c_select_);
}

}  // namespace doppel::hw
