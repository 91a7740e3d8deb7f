#include "machine/pc_platform.h"

#include <algorithm>

#include "base/log.h"
#include "hw/intc/local_apic.h"

namespace doppel::machine {

u32 PcPlatform::port_in(u16 port, unsigned size) {
  const std::lock_guard guard(p_.device_lock);
  const u32 value = p_.ports.read(port, size);
  DOPPEL_LOG(Ports, "in  %#06x size %u = %#x\n", port, size, value);
  return value;
}

void PcPlatform::port_out(u16 port, u32 value, unsigned size) {
  const std::lock_guard guard(p_.device_lock);
  DOPPEL_LOG(Ports, "out %#06x size %u = %#x\n", port, size, value);
  p_.ports.write(port, value, size);
}

int PcPlatform::acknowledge_interrupt(u32 cpu) {
  if (hw::LocalApic* a = apic(cpu)) return a->acknowledge();
  const std::lock_guard guard(p_.device_lock);
  return pic_ && pic_->intr() ? pic_->acknowledge() : -1;
}

bool PcPlatform::apic_msr_read(u32 cpu, u32 msr, u64& value) {
  hw::LocalApic* a = apic(cpu);
  return a && a->read_msr(msr, value);
}

bool PcPlatform::apic_msr_write(u32 cpu, u32 msr, u64 value) {
  hw::LocalApic* a = apic(cpu);
  return a && a->write_msr(msr, value);
}

u64 PcPlatform::apic_base(u32 cpu) {
  hw::LocalApic* a = apic(cpu);
  return a ? a->base() : 0xfee00000 | hw::LocalApic::kBaseEnable | (cpu == 0 ? hw::LocalApic::kBaseBsp : 0);
}

u8 PcPlatform::read_cr8(u32 cpu) {
  hw::LocalApic* a = apic(cpu);
  return a ? a->cr8() : 0;
}

void PcPlatform::write_cr8(u32 cpu, u8 value) {
  if (hw::LocalApic* a = apic(cpu)) a->set_cr8(value);
}

void PcPlatform::tsc_deadline(u32 cpu, u64 tsc) {
  if (hw::LocalApic* a = apic(cpu)) a->set_tsc_deadline(tsc);
}

void PcPlatform::ferr(u32, bool level) {
  const std::lock_guard guard(p_.device_lock);
  fpu_irq_.set(level);
}

void PcPlatform::smi_entered(u32 cpu, bool in_smm) {
  const std::lock_guard guard(p_.device_lock);
  in_smm_.resize(p_.cpus);
  in_smm_[cpu] = in_smm;
  if (p_.smm) p_.smm(std::any_of(in_smm_.begin(), in_smm_.end(), [](bool b) { return b; }));
}

}  // namespace doppel::machine
