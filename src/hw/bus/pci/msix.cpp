#include "hw/bus/pci/msix.h"

#include <bit>

#include "base/assert.h"
#include "hw/bus/pci/pci_bus.h"

namespace doppel::hw {
namespace {
constexpr u8 kCapabilityId = 0x11, kCapabilitySize = 12;
constexpr u16 kEnable = 0x8000, kFunctionMask = 0x4000;
constexpr u32 kVectorMask = 1;
enum Word : unsigned { kAddress, kAddressHigh, kData, kControl };

u64 half_of_bar(unsigned vectors) { return std::max<u64>(2048, std::bit_ceil(u64{vectors} * 16)); }
}  // namespace

PciMsix::PciMsix(PciDevice& device, int index, unsigned vectors)
    : device_(device), table_(size_t{vectors} * 4), pending_(vectors) {
  ASSERT(vectors >= 1 && vectors <= kMaxVectors);
  const u64 half = half_of_bar(vectors);
  device.add_mmio_bar(index, 2 * half, *this);
  capability_ = device.add_capability(kCapabilityId, kCapabilitySize);
  device.define16(static_cast<u8>(capability_ + 2), static_cast<u16>(vectors - 1), kEnable | kFunctionMask);
  device.define32(static_cast<u8>(capability_ + 4), static_cast<u32>(index));
  device.define32(static_cast<u8>(capability_ + 8), static_cast<u32>(half) | static_cast<u32>(index));
  reset();
}

bool PciMsix::enabled() const { return (device_.config16(static_cast<u8>(capability_ + 2)) & kEnable) != 0; }

bool PciMsix::masked(unsigned vector) const {
  return (device_.config16(static_cast<u8>(capability_ + 2)) & kFunctionMask) != 0 ||
         (table_[vector * 4 + kControl] & kVectorMask) != 0;
}

void PciMsix::send(unsigned vector) {
  pending_[vector] = 0;
  if (device_.bus() == nullptr || (device_.command() & pci::kBusMaster) == 0) return;
  device_.bus()->send_msi(u64{entry(vector, kAddressHigh)} << 32 | entry(vector, kAddress), entry(vector, kData));
}

void PciMsix::notify(unsigned vector) {
  if (vector >= pending_.size() || !enabled()) return;
  if (masked(vector)) {
    pending_[vector] = 1;
  } else {
    send(vector);
  }
}

void PciMsix::send_pending() {
  if (!enabled()) return;
  for (unsigned v = 0; v < pending_.size(); v++) {
    if (pending_[v] && !masked(v)) send(v);
  }
}

void PciMsix::config_written(u8 offset, unsigned size) {
  if (offset < capability_ + 4 && offset + size > capability_ + 2u) send_pending();
}

u64 PciMsix::read(u64 offset, unsigned) {
  const u64 half = half_of_bar(vectors());
  if (offset < half) return offset / 4 < table_.size() ? table_[offset / 4] : 0;
  const u64 first = (offset - half) * 8;
  u32 bits = 0;
  for (unsigned i = 0; i < 32 && first + i < pending_.size(); i++) bits |= u32{pending_[first + i]} << i;
  return bits;
}

void PciMsix::write(u64 offset, u64 value, unsigned) {
  if (offset / 4 >= table_.size()) return;
  const unsigned vector = static_cast<unsigned>(offset / 16), word = static_cast<unsigned>(offset / 4 % 4);
  entry(vector, word) = word == kControl ? static_cast<u32>(value) & kVectorMask : static_cast<u32>(value);
  if (word == kControl && pending_[vector] && enabled() && !masked(vector)) send(vector);
}

void PciMsix::reset() {
  for (unsigned v = 0; v < pending_.size(); v++) {
    for (unsigned w = 0; w < 4; w++) entry(v, w) = w == kControl ? kVectorMask : 0;
    pending_[v] = 0;
  }
}

void PciMsix::archive(StateArchive& ar) {
  // SAFETY: the table's words as bytes; its size does not change.
  ar.bytes("msix_table", {reinterpret_cast<u8*>(table_.data()), table_.size() * sizeof(u32)});
  ar.bytes("msix_pending", pending_);
  for (u8& p : pending_) p = p != 0;
}

}  // namespace doppel::hw
