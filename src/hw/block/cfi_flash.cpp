#include "hw/block/cfi_flash.h"

#include <algorithm>
#include <vector>

namespace doppel::hw {
namespace {

enum Command : u8 {
  kProgramOld = 0x10,
  kBlockErase = 0x20,
  kFullChipErase = 0x30,
  kProgram = 0x40,
  kClearStatus = 0x50,
  kLockSetup = 0x60,
  kReadStatus = 0x70,
  kReadId = 0x90,
  kReadQuery = 0x98,
  kSuspend = 0xb0,
  kConfigure = 0xb8,
  kConfirm = 0xd0,
  kWriteBuffer = 0xe8,
  kSetLock = 0x01,  // after kLockSetup; kConfirm clears all of them
};
enum StatusBits : u8 { kLocked = 0x02, kProgramError = 0x10, kEraseError = 0x20, kReady = 0x80 };
constexpr u8 kBadSequence = kProgramError | kEraseError;
constexpr u8 kManufacturer = 0x89, kDeviceId = 0xd4;

// The query table (JESD68, tables 2 to 4; document 290598, appendix B) from place 0x10.
constexpr u64 kQueryFirst = 0x10;
constexpr u8 kQuery[] = {
    'Q',  'R',  'Y',                                 // 0x10
    0x01, 0x00, 0x31, 0x00,                          // command set, and where its table is
    0x00, 0x00, 0x00, 0x00,                          // no alternate one
    0x30, 0x55, 0x30, 0x55,                          // 0x1b: Vcc and Vpp, BCD volts
    0x03, 0x06, 0x0a, 0x0f,                          // 0x1f: time of a word, buffer (us), block, chip (ms): powers of 2
    0x02, 0x03, 0x03, 0x03,                          // 0x23: at most so many times longer: powers of 2
    0x16, 0x02, 0x00, 0x05, 0x00,                    // 0x27: 2^22 bytes, x8 or x16, buffer of 2^5 bytes
    0x01, 0x3f, 0x00, 0x00, 0x01,                    // 0x2c: one region of 64 blocks of 256 * 256 bytes
    'P',  'R',  'I',  '1',  '0',                     // 0x31
    0x0f, 0x00, 0x00, 0x00, 0x01, 0x03, 0x00, 0x50,  // chip erase, suspends, locks; status of blocks; Vcc
};

}  // namespace

u32 CfiFlash::ordered(u64 value, unsigned size) const {
  const u32 v = static_cast<u32>(value);
  return p_.big_endian ? __builtin_bswap32(v) >> (32 - 8 * size) : v;
}

// What stands in the low byte of a doubleword.
u8 CfiFlash::answer(u64 offset) const {
  const u64 place = offset % kBlockBytes / 4;
  if (mode_ == Mode::Status) return status_ | kReady;
  if (mode_ == Mode::ExtendedStatus) return kReady;
  if (mode_ == Mode::Query && place >= kQueryFirst)
    return place - kQueryFirst < std::size(kQuery) ? kQuery[place - kQueryFirst] : u8{0};
  switch (place) {
    case 0: return kManufacturer;
    case 1: return kDeviceId;
    case 2: return locks_[offset / kBlockBytes];
    default: return 0;
  }
}

u64 CfiFlash::read(u64 offset, unsigned size) {
  offset %= kBytes;
  if (mode_ != Mode::Array) return ordered(answer(offset), size);
  u64 value = 0;
  for (unsigned i = 0; i < size; i++) value |= u64{p_.array[(offset + i) % kBytes]} << (8 * i);
  return value;
}

void CfiFlash::fail(u8 bits) {
  status_ |= bits;
  start(Mode::Status, Next::Command);
}

void CfiFlash::command(u8 value) {
  next_ = Next::Command;
  switch (value) {
    case kProgram:
    case kProgramOld: return start(Mode::Status, Next::Program);
    case kBlockErase: return start(Mode::Status, Next::Erase);
    case kFullChipErase: return start(Mode::Status, Next::EraseAll);
    case kLockSetup: return start(Mode::Status, Next::Lock);
    case kConfigure: return start(Mode::Status, Next::Configure);
    case kWriteBuffer: return start(Mode::ExtendedStatus, Next::BufferCount);
    case kReadStatus:
    case kSuspend:
    case kConfirm: mode_ = Mode::Status; return;
    case kClearStatus: status_ = 0; return;
    case kReadId: mode_ = Mode::Id; return;
    case kReadQuery: mode_ = Mode::Query; return;
    default: mode_ = Mode::Array; return;
  }
}

// Bits go to 0; `value` in memory's order.
void CfiFlash::program(u64 offset, u32 value, unsigned size) {
  if (lock(offset)) return fail(kProgramError | kLocked);
  if (p_.read_only) return fail(kProgramError);
  bool any = false;
  for (unsigned i = 0; i < size; i++) {
    u8& byte = p_.array[(offset + i) % kBytes];
    const u8 after = byte & static_cast<u8>(value >> (8 * i));
    any |= after != byte;
    byte = after;
  }
  if (any && !changed(offset, std::min<u64>(size, kBytes - offset))) return fail(kProgramError);
  start(Mode::Status, Next::Command);
}

// All that is buffered goes to one block.
void CfiFlash::buffer_write(u64 offset, u32 value, unsigned size) {
  if (offset / kBlockBytes != buffer_block_) return fail(kBadSequence);
  buffer_offset_[buffer_filled_] = static_cast<u32>(offset);
  buffer_value_[buffer_filled_] = value;
  buffer_size_[buffer_filled_++] = static_cast<u8>(size);
  if (buffer_filled_ == buffer_count_) next_ = Next::BufferConfirm;
}

void CfiFlash::program_buffer() {
  start(Mode::Status, Next::Command);
  for (unsigned i = 0; i < buffer_count_ && !(status_ & kProgramError); i++)
    program(buffer_offset_[i], buffer_value_[i], buffer_size_[i]);
}

void CfiFlash::erase(u64 block) {
  if (locks_[block]) return fail(kEraseError | kLocked);
  if (p_.read_only) return fail(kEraseError);
  std::fill_n(p_.array.begin() + static_cast<long>(block * kBlockBytes), kBlockBytes, u8{0xff});
  if (!changed(block * kBlockBytes, kBlockBytes)) return fail(kEraseError);
  start(Mode::Status, Next::Command);
}

void CfiFlash::erase_all() {
  start(Mode::Status, Next::Command);
  for (u64 block = 0; block < kBlocks; block++) {
    if (!locks_[block]) erase(block);
  }
}

void CfiFlash::change_lock(u64 offset, u8 value) {
  if (value != kSetLock && value != kConfirm) return fail(kBadSequence);
  if (value == kSetLock)
    lock(offset) = true;
  else
    locks_.fill(false);
  start(Mode::Status, Next::Command);
}

void CfiFlash::write(u64 offset, u64 value, unsigned size) {
  offset %= kBytes;
  const u8 low = static_cast<u8>(ordered(value, size));
  const u32 data = static_cast<u32>(value);
  const bool confirms = next_ == Next::BufferConfirm || next_ == Next::Erase || next_ == Next::EraseAll;
  if (confirms && low != kConfirm) return fail(kBadSequence);
  switch (next_) {
    case Next::Command: return command(low);
    case Next::Program: return program(offset, data, size);
    case Next::BufferCount:
      if (low >= kBufferWrites) return fail(kBadSequence);
      buffer_block_ = static_cast<u32>(offset / kBlockBytes);
      buffer_count_ = static_cast<u8>(low + 1);
      buffer_filled_ = 0;
      return start(Mode::Status, Next::BufferData);
    case Next::BufferData: return buffer_write(offset, data, size);
    case Next::BufferConfirm: return program_buffer();
    case Next::Erase: return erase(offset / kBlockBytes);
    case Next::EraseAll: return erase_all();
    case Next::Lock: return change_lock(offset, low);
    case Next::Configure: return start(Mode::Status, Next::Command);
  }
}

void CfiFlash::reset() {
  start(Mode::Array, Next::Command);
  status_ = 0;
  buffer_block_ = buffer_count_ = buffer_filled_ = 0;
}

// Blocks that are erased are left out.
void CfiFlash::archive(StateArchive& ar) {
  u8 mode = static_cast<u8>(mode_), next = static_cast<u8>(next_);
  ar.field("mode", mode), ar.field("next", next), ar.field("status", status_), ar.field("locks", locks_);
  ar.field("buffer_block", buffer_block_), ar.field("buffer_count", buffer_count_),
      ar.field("buffer_filled", buffer_filled_), ar.field("buffer_offset", buffer_offset_),
      ar.field("buffer_value", buffer_value_), ar.field("buffer_size", buffer_size_);
  for (u64 at = 0; at < kBytes; at += kBlockBytes) {
    const std::span<u8> block = p_.array.subspan(at, kBlockBytes);
    std::vector<u8> bytes;
    if (std::any_of(block.begin(), block.end(), [](u8 b) { return b != 0xff; }))
      bytes.assign(block.begin(), block.end());
    ar.blob("block" + std::to_string(at / kBlockBytes), bytes);
    if (!ar.loading()) continue;
    bytes.resize(kBlockBytes, 0xff);
    if (std::equal(bytes.begin(), bytes.end(), block.begin())) continue;
    std::copy(bytes.begin(), bytes.end(), block.begin());
    changed(at, kBlockBytes);
  }
  if (!ar.loading()) return;
  mode_ = mode <= static_cast<u8>(Mode::ExtendedStatus) ? static_cast<Mode>(mode) : Mode::Array;
  next_ = next <= static_cast<u8>(Next::Configure) ? static_cast<Next>(next) : Next::Command;
  buffer_count_ = std::min<u8>(buffer_count_, kBufferWrites);
  for (u32& offset : buffer_offset_) offset %= kBytes;
  for (u8& size : buffer_size_) size = std::min<u8>(size, 4);
  if (next_ == Next::BufferData && buffer_filled_ >= buffer_count_) next_ = Next::Command;
}

std::string CfiFlash::info() const {
  return std::string("flash: ") + (mode_ == Mode::Array ? "reads its array" : "answers commands") +
         (p_.read_only ? ", read-only\n" : "\n");
}

}  // namespace doppel::hw
