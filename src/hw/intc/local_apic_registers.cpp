// The register file of the local APIC: the xAPIC window and the x2APIC MSRs (SDM volume 3, tables "Local APIC Register
// Address Map").
#include "base/log.h"
#include "hw/intc/local_apic.h"

namespace doppel::hw {
namespace {
enum Offset : u32 {
  kId = 0x20,
  kVersion = 0x30,
  kTpr = 0x80,
  kApr = 0x90,
  kPpr = 0xa0,
  kEoi = 0xb0,
  kRrd = 0xc0,
  kLdr = 0xd0,
  kDfr = 0xe0,
  kSvr = 0xf0,
  kIsr = 0x100,
  kTmr = 0x180,
  kIrr = 0x200,
  kEsr = 0x280,
  kIcrLow = 0x300,
  kIcrHigh = 0x310,
  kLvtTimer = 0x320,
  kLvtThermal = 0x330,
  kLvtPerf = 0x340,
  kLvtLint0 = 0x350,
  kLvtLint1 = 0x360,
  kLvtError = 0x370,
  kInitialCount = 0x380,
  kCurrentCount = 0x390,
  kDivide = 0x3e0,
  kSelfIpi = 0x3f0,
};
// Bits that a write may set, by LVT entry in the order of their registers.
constexpr u32 kLvtMask[6] = {0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};
constexpr u32 kIcrMask = 0xccfff;
}  // namespace

bool LocalApic::read_any(u32 offset, u32& value) {
  switch (offset) {
    case kId: value = x2apic_mode() ? p_.id : xapic_id_.load(); return true;
    case kVersion: value = 0x50014; return true;
    case kTpr: value = tpr_.load(); return true;
    case kApr: value = priority(); return true;
    case kPpr: value = ppr_.load(); return true;
    case kRrd: value = 0; return true;
    case kLdr: value = x2apic_mode() ? logical_id_x2() : ldr_.load(); return true;
    case kDfr: value = dfr_.load(); return true;
    case kSvr: value = svr_.load(); return true;
    case kEsr: value = esr_latched_.load(); return true;
    case kIcrLow: value = icr_low_.load(); return true;
    case kIcrHigh: value = icr_high_.load(); return true;
    case kInitialCount: {
      std::lock_guard guard(timer_lock_);
      value = initial_count_;
      return true;
    }
    case kCurrentCount: value = current_count(); return true;
    case kDivide: {
      std::lock_guard guard(timer_lock_);
      value = divide_;
      return true;
    }
    case kEoi: value = 0; return true;
    default: break;
  }
  if (offset >= kIsr && offset < kIsr + 0x80) {
    value = word(isr_, (offset - kIsr) >> 4);
    return true;
  }
  if (offset >= kTmr && offset < kTmr + 0x80) {
    value = word(tmr_, (offset - kTmr) >> 4);
    return true;
  }
  if (offset >= kIrr && offset < kIrr + 0x80) {
    value = word(irr_, (offset - kIrr) >> 4);
    return true;
  }
  if (offset >= kLvtTimer && offset <= kLvtError) {
    value = lvt((offset - kLvtTimer) >> 4);
    return true;
  }
  return false;
}

bool LocalApic::write_any(u32 offset, u32 value, bool lock_held) {
  switch (offset) {
    case kEoi: eoi(lock_held); return true;
    case kTpr: set_tpr(static_cast<u8>(value)); return true;
    case kId: xapic_id_.store(value & 0xff000000u); return true;
    case kLdr: ldr_.store(value & 0xff000000u); return true;
    case kDfr: dfr_.store(value | 0x0fffffff); return true;
    case kSvr:
      svr_.store(value & 0x3ff);
      if ((value & 0x100) == 0) {
        for (auto& entry : lvt_) entry.fetch_or(0x10000);
        std::lock_guard guard(timer_lock_);
        rearm();
      }
      update_event();
      return true;
    case kEsr: esr_latched_.store(esr_.exchange(0)); return true;
    case kIcrLow:
      icr_low_.store(value & kIcrMask);
      write_icr(u64{icr_high_.load()} << 32 | (value & kIcrMask));
      return true;
    case kIcrHigh: icr_high_.store(value & 0xff000000u); return true;
    case kInitialCount: start_timer(value); return true;
    case kDivide: write_divide(value & 0xb); return true;
    case kVersion:
    case kApr:
    case kPpr:
    case kRrd:
    case kCurrentCount: return true;  // read only
    default: break;
  }
  if (offset >= kLvtTimer && offset <= kLvtError) {
    write_lvt((offset - kLvtTimer) >> 4, value);
    return true;
  }
  return offset >= kIsr && offset < kEsr;  // read only
}

u32 LocalApic::read_register(u32 offset) {
  u32 value = 0;
  if (!read_any(offset, value)) error(1 << 7);
  return value;
}

void LocalApic::write_register(u32 offset, u32 value) {
  if (!write_any(offset, value, true)) error(1 << 7);
}

void LocalApic::write_lvt(unsigned entry, u32 value) {
  value &= kLvtMask[entry];
  if (!software_enabled()) value |= 0x10000;
  if (entry == kTimer) {
    if (!p_.tsc_deadline) value &= ~(1u << 18);
    const u32 before = timer_mode();
    const bool was_masked = (lvt(kTimer) & 0x10000) != 0;
    std::lock_guard guard(timer_lock_);
    lvt_[entry].store(value);
    change_timer_mode(before, timer_mode());
    // A one-shot that ran out while masked: nothing is owed.
    const s64 end = timer_start_ + (s64{initial_count_} << divide_shift());
    if (was_masked && timer_mode() == kOneShot && end <= p_.clock.now()) timer_running_ = false;
    rearm();
    return;
  }
  lvt_[entry].store(value);
  if (entry == kLint0 || entry == kLint1) {
    // Unmasked with the line high and level triggered: there is an interrupt now.
    if (entry == kLint0 && lint_[0].load() && (value & 0x18700) == 0x8000) raise_lvt(kLint0);
    update_event();
  }
}

void LocalApic::write_icr(u64 icr) {
  ApicMessage m;
  m.vector = static_cast<u8>(icr);
  m.mode = static_cast<ApicDelivery>((icr >> 8) & 7);
  m.logical = (icr & 0x800) != 0;
  m.x2apic = x2apic_mode();
  m.destination = static_cast<u32>(m.x2apic ? icr >> 32 : icr >> 56);
  const auto shorthand = static_cast<ApicShorthand>((icr >> 18) & 3);
  m.deassert = m.mode == ApicDelivery::Init && (icr & 0x8000) && !(icr & 0x4000);
  if ((m.mode == ApicDelivery::Fixed || m.mode == ApicDelivery::LowestPriority) && m.vector < 16) {
    error(1 << 5);
    return;
  }
  if (m.mode == ApicDelivery::RemoteRead || m.mode == ApicDelivery::ExtInt) {
    DOPPEL_LOG(GuestErrors, "apic %u: ICR with delivery mode %u\n", p_.id, static_cast<unsigned>(m.mode));
    return;
  }
  // INIT and start-up can't be sent to oneself by "all including self".
  const bool wakes = m.mode == ApicDelivery::Init || m.mode == ApicDelivery::Sipi;
  if (wakes && shorthand == ApicShorthand::Self) return;
  p_.bus.deliver(m, this, wakes && shorthand == ApicShorthand::All ? ApicShorthand::AllButSelf : shorthand);
}

bool LocalApic::write_base(u64 value) {
  const u64 old = base();
  constexpr u64 kAddress = 0x000f'ffff'ffff'f000ull;
  if (value & ~(kAddress | kBaseEnable | kBaseX2 | kBaseBsp)) return false;
  const bool en = (value & kBaseEnable) != 0, x2 = (value & kBaseX2) != 0;
  const bool was_en = (old & kBaseEnable) != 0, was_x2 = (old & kBaseX2) != 0;
  if (x2 && (!en || !p_.x2apic)) return false;
  if (was_x2 && en && !x2) return false;  // back from x2APIC only through disabled
  if (!was_en && x2) return false;
  base_.store((value & ~kBaseBsp) | (old & kBaseBsp));
  if (was_en && !en) {
    init_reset();
    xapic_id_.store(p_.id << 24);
  }
  if (p_.base_changed) p_.base_changed(base());
  update_event();
  return true;
}

bool LocalApic::read_msr(u32 msr, u64& value) {
  if (msr == 0x1b) {
    value = base();
    return true;
  }
  if (msr == 0x6e0) {
    value = tsc_deadline();
    return p_.tsc_deadline;
  }
  if (msr < 0x800 || msr > 0x83f || !x2apic_mode()) return false;
  const u32 offset = (msr - 0x800) << 4;
  if (offset == kIcrLow) {
    value = u64{icr_high_.load()} << 32 | icr_low_.load();
    return true;
  }
  if (offset == kEoi || offset == kSelfIpi || offset == kIcrHigh || offset == kDfr || offset == kApr || offset == kRrd)
    return false;
  u32 v = 0;
  if (!read_any(offset, v)) return false;
  value = v;
  return true;
}

bool LocalApic::write_msr(u32 msr, u64 value) {
  if (msr == 0x80b && x2apic_mode()) {  // EOI: the frequent one
    if (value != 0) return false;
    eoi(false);
    return true;
  }
  if (msr == 0x1b) return write_base(value);
  if (msr == 0x6e0) {
    if (!p_.tsc_deadline) return false;
    set_tsc_deadline(value);
    return true;
  }
  if (msr < 0x800 || msr > 0x83f || !x2apic_mode()) return false;
  const u32 offset = (msr - 0x800) << 4;
  if (offset == kIcrLow) {
    if (value & 0xfff33000u) return false;  // reserved, delivery status among them (bit 12)
    icr_low_.store(static_cast<u32>(value) & kIcrMask);
    icr_high_.store(static_cast<u32>(value >> 32));
    write_icr(value);
    return true;
  }
  if (value >> 32) return false;
  const u32 v = static_cast<u32>(value);
  switch (offset) {
    case kSelfIpi: {
      if (v > 0xff) return false;
      write_icr(u64{1} << 18 | v);
      return true;
    }
    case kTpr:
      if (v > 0xff) return false;
      break;
    case kSvr:
      if (v & ~0x3ffu) return false;
      break;
    case kEsr:
      if (v != 0) return false;
      break;
    case kDivide:
      if (v & ~0xbu) return false;
      break;
    case kInitialCount: break;
    default:
      if (offset < kLvtTimer || offset > kLvtError) return false;
      if (v & ~(kLvtMask[(offset - kLvtTimer) >> 4] | 0x5000u))
        return false;  // bits 12 and 14 are read only, not reserved
      break;
  }
  return write_any(offset, v, false);
}

}  // namespace doppel::hw
