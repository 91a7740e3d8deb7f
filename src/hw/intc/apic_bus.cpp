#include "hw/intc/apic_bus.h"

#include "hw/intc/ioapic_82093aa.h"
#include "hw/intc/local_apic.h"

namespace doppel::hw {

int ApicBus::deliver(const ApicMessage& m, LocalApic* source, ApicShorthand shorthand) {
  if (shorthand == ApicShorthand::Self) return source != nullptr && source->accept(m) ? 1 : 0;
  auto addressed = [&](const LocalApic& apic) {
    switch (shorthand) {
      case ApicShorthand::All: return true;
      case ApicShorthand::AllButSelf: return &apic != source;
      default: return apic.matches(m);
    }
  };
  if (m.mode == ApicDelivery::LowestPriority) {
    // The lowest priority takes it; among equals each in turn.
    LocalApic* best = nullptr;
    u8 best_priority = 0;
    const size_t count = apics_.size();
    const u32 start = rotor_.fetch_add(1, std::memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
      LocalApic* apic = apics_[(start + i) % count];
      if (!addressed(*apic) || !apic->enabled() || !apic->software_enabled()) continue;
      const u8 priority = apic->priority();
      if (best == nullptr || priority < best_priority) {
        best = apic;
        best_priority = priority;
      }
    }
    return best != nullptr && best->accept(m) ? 1 : 0;
  }
  int accepted = 0;
  for (LocalApic* apic : apics_) {
    if (addressed(*apic) && apic->accept(m)) accepted++;
  }
  return accepted;
}

int ApicBus::deliver_msi(u64 address, u32 data) {
  ApicMessage m;
  m.vector = static_cast<u8>(data);
  m.mode = static_cast<ApicDelivery>((data >> 8) & 7);
  m.level = (data & 0x8000) != 0;
  m.logical = (address & 4) != 0;
  m.destination = static_cast<u32>(address >> 12) & 0xff;
  if (m.level && !(data & 0x4000)) return 0;  // level, de-assert
  return deliver(m);
}

void ApicBus::broadcast_eoi(u8 vector, bool lock_held) {
  std::unique_lock lock(p_.device_lock, std::defer_lock);
  if (!lock_held) lock.lock();
  for (IoApic82093* io_apic : io_apics_) io_apic->eoi(vector);
}

void ApicBus::set_intr(bool level) {
  for (LocalApic* apic : apics_) apic->set_lint(0, level);
}

// Registers are 32 bits wide on 16-byte boundaries; other accesses are undefined (SDM) and read as zero, write as
// nothing.
u64 ApicBus::read(u64 offset, unsigned size) {
  LocalApic* cpu = apic(static_cast<unsigned>(p_.current_cpu ? p_.current_cpu() : 0));
  if (cpu == nullptr || !cpu->enabled() || cpu->x2apic_mode()) return mask_bits(size * 8);
  const unsigned skip = offset & 15;
  if (skip >= 4) return 0;
  return u64{cpu->read_register(static_cast<u32>(offset & 0xff0))} >> (8 * skip) & mask_bits(size * 8);
}

void ApicBus::write(u64 offset, u64 value, unsigned size) {
  LocalApic* cpu = apic(static_cast<unsigned>(p_.current_cpu ? p_.current_cpu() : 0));
  if (cpu == nullptr || !cpu->enabled() || cpu->x2apic_mode()) return;
  if ((offset & 15) != 0 || size < 4) return;
  cpu->write_register(static_cast<u32>(offset & 0xff0), static_cast<u32>(value));
}

}  // namespace doppel::hw
