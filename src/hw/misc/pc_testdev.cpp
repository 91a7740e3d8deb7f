#include "hw/misc/pc_testdev.h"

#include <algorithm>

namespace doppel::hw {

void PcTestdev::reset() {
  latch_ = 0;
  std::fill(memory_.begin(), memory_.end(), u8{0});
  for (const IrqLine& line : p_.irq) line.set(false);
}

u64 PcTestdev::read_latch(u64 offset, unsigned) { return offset < 4 ? u64{latch_} >> (8 * offset) : 0; }

void PcTestdev::write_latch(u64 offset, u64 value, unsigned size) {
  if (offset >= 4) return;  // 0xe4: flush requests, nothing to flush
  const unsigned shift = 8 * static_cast<unsigned>(offset);
  const u32 mask = static_cast<u32>(mask_bits(8 * size)) << shift;
  latch_ = (latch_ & ~mask) | (static_cast<u32>(value) << shift & mask);
}

void PcTestdev::write_lines(u64 offset, u64 value, unsigned) {
  if (offset < p_.irq.size()) p_.irq[offset].set(value != 0);
}

u64 PcTestdev::read_memory(u64 offset, unsigned size) {
  u64 v = 0;
  for (unsigned i = 0; i < size; i++) v |= u64{memory_[(offset + i) & 0xffff]} << (8 * i);
  return v;
}

void PcTestdev::write_memory(u64 offset, u64 value, unsigned size) {
  for (unsigned i = 0; i < size; i++) memory_[(offset + i) & 0xffff] = static_cast<u8>(value >> (8 * i));
}

void PcTestdev::archive(StateArchive& ar) {
  ar.field("latch", latch_);
  ar.bytes("memory", memory_);
}

}  // namespace doppel::hw
