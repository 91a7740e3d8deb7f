// Interrupt acceptance, priorities, EOI and messages. Registers: local_apic_registers.cpp. Timer: local_apic_timer.cpp.
#include "hw/intc/local_apic.h"

#include <bit>
#include <cstdio>

namespace doppel::hw {

LocalApic::LocalApic(Params p) : p_(std::move(p)), timer_(p_.clock, [this] { timer_fired(); }) { reset(); }

void LocalApic::reset() {
  base_.store(0xfee00000u | kBaseEnable | (p_.bsp ? kBaseBsp : 0));
  xapic_id_.store(p_.id << 24);
  init_reset();
  if (p_.bsp && p_.virtual_wire) lvt_[kLint0].store(0x700);
  update_event();
}

// State after INIT: all but the id and the base register. From any thread (an INIT message).
void LocalApic::init_reset() {
  for (auto* bits : {&irr_, &isr_, &tmr_}) {
    for (auto& w : *bits) w.store(0);
  }
  ldr_.store(0);
  dfr_.store(~0u);
  svr_.store(0xff);
  esr_.store(0);
  esr_latched_.store(0);
  icr_low_.store(0);
  icr_high_.store(0);
  tpr_.store(0);
  ppr_.store(0);
  for (auto& entry : lvt_) entry.store(0x10000);
  extint_message_.store(false);
  std::lock_guard guard(timer_lock_);
  initial_count_ = divide_ = 0;
  timer_running_ = false;
  debt_.forget();
  cadence_.forget();
  tsc_deadline_.store(0);
  timer_.disarm();
}

int LocalApic::highest(const Bits& bits) {
  for (unsigned i = 4; i-- > 0;) {
    const u64 w = bits[i].load(std::memory_order_seq_cst);
    if (w != 0) return static_cast<int>(i * 64 + 63 - static_cast<unsigned>(std::countl_zero(w)));
  }
  return -1;
}

bool LocalApic::vector_pending() const {
  const int v = highest(irr_);
  return v >= 0 && (v >> 4) > (ppr_.load(std::memory_order_seq_cst) >> 4) && accepts();
}

bool LocalApic::extint_pending() const {
  if (!enabled()) return lint_[0].load();  // the APIC is out of the way: INTR is the CPU's pin
  if (extint_message_.load()) return true;
  return lint_[0].load() && (lvt(kLint0) & 0x10700) == 0x700;
}

bool LocalApic::pending() const { return vector_pending() || extint_pending(); }

void LocalApic::raise_event() {
  if (!event_.exchange(true) && p_.apic_event) p_.apic_event(true);
}

void LocalApic::update_event(bool force) {
  if (pending()) {
    raise_event();
  } else if (event_.load() || force) {
    event_.store(false);
    if (p_.apic_event) p_.apic_event(false);
    // A request that came in between may have been lowered again by the line above.
    if (pending()) {
      event_.store(true);
      if (p_.apic_event) p_.apic_event(true);
    }
  }
}

void LocalApic::update_ppr() {
  const int in_service = highest(isr_);
  const u8 tpr = tpr_.load(std::memory_order_relaxed);
  const u8 service = in_service < 0 ? 0 : static_cast<u8>(in_service & 0xf0);
  ppr_.store((tpr & 0xf0) >= service ? tpr : service, std::memory_order_seq_cst);
}

void LocalApic::set_tpr(u8 value) {
  tpr_.store(value, std::memory_order_relaxed);
  update_ppr();
  update_event();
}

int LocalApic::acknowledge() {
  const int v = highest(irr_);
  if (v >= 0 && (v >> 4) > (ppr_.load(std::memory_order_relaxed) >> 4) && accepts()) {
    const u64 bit = u64{1} << (v & 63);
    irr_[static_cast<unsigned>(v) / 64].fetch_and(~bit);
    isr_[static_cast<unsigned>(v) / 64].fetch_or(bit);
    ppr_.store(static_cast<u8>(v & 0xf0));  // above TPR, or it would not have been taken
    update_event();
    return v;
  }
  int vector = -1;
  if (extint_pending() && p_.bus.p_.pic_acknowledge) {
    std::lock_guard guard(p_.bus.p_.device_lock);
    if (extint_pending()) {  // INTR may have fallen meanwhile
      extint_message_.store(false);
      vector = p_.bus.p_.pic_acknowledge();
    }
  }
  update_event(vector < 0);
  return vector;
}

void LocalApic::eoi(bool lock_held) {
  const int v = highest(isr_);
  if (v < 0) return;
  const unsigned i = static_cast<unsigned>(v) / 64;
  const u64 bit = u64{1} << (v & 63);
  isr_[i].fetch_and(~bit);
  update_ppr();
  if (tmr_[i].load(std::memory_order_relaxed) & bit) {
    p_.bus.broadcast_eoi(static_cast<u8>(v), lock_held);
    const u32 lint0 = lvt(kLint0);  // a level triggered pin of our own that is still high
    if ((lint0 & 0x187ff) == (0x8000u | static_cast<u32>(v)) && lint_[0].load()) request(static_cast<u8>(v), true);
  }
  update_event();
}

void LocalApic::request(u8 vector, bool level) {
  const unsigned i = vector / 64;
  const u64 bit = u64{1} << (vector & 63);
  const u64 tmr = tmr_[i].load(std::memory_order_relaxed);
  if (level != ((tmr & bit) != 0)) {
    if (level)
      tmr_[i].fetch_or(bit);
    else
      tmr_[i].fetch_and(~bit);
  }
  irr_[i].fetch_or(bit, std::memory_order_seq_cst);
  if ((vector >> 4) > (ppr_.load(std::memory_order_seq_cst) >> 4)) raise_event();
}

void LocalApic::raise_lvt(unsigned entry) {
  const u32 v = lvt(entry);
  if (v & 0x10000) return;
  // Timer and error entries have no mode field: fixed.
  const auto mode = static_cast<ApicDelivery>(entry == kTimer || entry == kError ? 0 : (v >> 8) & 7);
  switch (mode) {
    case ApicDelivery::Fixed:
      if ((v & 0xff) < 16) {
        error(1 << 6);
        return;
      }
      if (accepts()) request(static_cast<u8>(v), entry == kLint0 && (v & 0x8000));
      break;
    case ApicDelivery::Nmi:
      if (p_.nmi) p_.nmi();
      break;
    case ApicDelivery::Smi:
      if (p_.smi) p_.smi();
      break;
    case ApicDelivery::Init:
      if (p_.init) p_.init();
      break;
    case ApicDelivery::ExtInt:
      if (extint_pending()) raise_event();
      break;
    default: break;
  }
}

void LocalApic::set_lint(unsigned n, bool level) {
  const bool was = lint_[n & 1].exchange(level);
  if (!level || was) return;  // falling: the owner notices when it acknowledges
  if (enabled()) {
    raise_lvt(n == 0 ? kLint0 : kLint1);
  } else if (n == 0) {
    raise_event();
  } else if (p_.nmi) {
    p_.nmi();
  }
}

bool LocalApic::matches(const ApicMessage& m) const {
  if (!enabled()) return false;
  const u32 d = m.destination;
  if (d == (m.x2apic ? ~0u : 0xffu)) return true;
  if (x2apic_mode()) {
    if (!m.logical) return d == p_.id;
    const u32 mine = logical_id_x2();
    return (mine >> 16) == (d >> 16) && (mine & d & 0xffff) != 0;
  }
  if (d > 0xff) return false;
  if (!m.logical) return (xapic_id_.load(std::memory_order_relaxed) >> 24) == d;
  const u32 ldr = ldr_.load(std::memory_order_relaxed) >> 24;
  if (dfr_.load(std::memory_order_relaxed) >> 28 == 0xf) return (ldr & d) != 0;
  return (ldr >> 4) == (d >> 4) && (ldr & d & 0xf) != 0;
}

u8 LocalApic::priority() const {
  const int waiting = highest(irr_);
  const u8 ppr = ppr_.load(std::memory_order_relaxed);
  const u8 irr = waiting < 0 ? 0 : static_cast<u8>(waiting & 0xf0);
  return ppr > irr ? ppr : irr;
}

bool LocalApic::accept(const ApicMessage& m) {
  if (!enabled()) return false;
  switch (m.mode) {
    case ApicDelivery::Fixed:
    case ApicDelivery::LowestPriority:
      if (!software_enabled()) return false;
      if (m.vector < 16)
        error(1 << 6);
      else
        request(m.vector, m.level);
      return true;
    case ApicDelivery::Nmi:
      if (p_.nmi) p_.nmi();
      return true;
    case ApicDelivery::Smi:
      if (p_.smi) p_.smi();
      return true;
    case ApicDelivery::Init:
      if (!m.deassert) {
        init_reset();
        if (p_.init) p_.init();
      }
      return true;
    case ApicDelivery::Sipi:
      if (p_.sipi) p_.sipi(m.vector);
      return true;
    case ApicDelivery::ExtInt:
      extint_message_.store(true);
      raise_event();
      return true;
    default: return false;
  }
}

void LocalApic::error(u32 bit) {
  const u32 before = esr_.fetch_or(bit);
  if ((before & bit) == 0) raise_lvt(kError);
}

void LocalApic::archive(StateArchive& ar) {
  auto atom = [&](const char* name, auto& a) {
    auto v = a.load();
    ar.field(name, v);
    if (ar.loading()) a.store(v);
  };
  auto bits = [&](const char* name, Bits& b) {
    std::array<u64, 4> v{};
    for (unsigned i = 0; i < 4; i++) v[i] = b[i].load();
    ar.field(name, v);
    if (ar.loading())
      for (unsigned i = 0; i < 4; i++) b[i].store(v[i]);
  };
  atom("base", base_);
  atom("xapic_id", xapic_id_);
  atom("ldr", ldr_);
  atom("dfr", dfr_);
  atom("svr", svr_);
  atom("esr", esr_);
  atom("esr_latched", esr_latched_);
  atom("tpr", tpr_);
  atom("icr_low", icr_low_);
  atom("icr_high", icr_high_);
  bits("irr", irr_);
  bits("isr", isr_);
  bits("tmr", tmr_);
  std::array<u32, kLvtCount> entries{};
  for (unsigned i = 0; i < kLvtCount; i++) entries[i] = lvt(i);
  ar.field("lvt", entries);
  if (ar.loading())
    for (unsigned i = 0; i < kLvtCount; i++) lvt_[i].store(entries[i]);
  atom("lint0", lint_[0]);
  atom("lint1", lint_[1]);
  atom("extint_message", extint_message_);
  {
    std::lock_guard guard(timer_lock_);
    atom("tsc_deadline", tsc_deadline_);
    ar.field("initial_count", initial_count_);
    ar.field("divide", divide_);
    ar.field("timer_start", timer_start_);
    ar.field("timer_running", timer_running_);
    if (ar.loading()) {
      debt_.forget();
      cadence_.forget();
      rearm();
    }
  }
  if (ar.loading()) {
    update_ppr();
    event_.store(true);  // unknown at the other end: say it in any case
    if (p_.apic_event) p_.apic_event(true);
    update_event();
  }
}

std::string LocalApic::info() const {
  char line[256];
  std::snprintf(line, sizeof line,
                "apic %u: base=%llx tpr=%02x ppr=%02x svr=%03x ldr=%08x icr=%08x lvt timer=%05x lint0=%05x lint1=%05x "
                "error=%05x\n",
                p_.id, static_cast<unsigned long long>(base()), tpr_.load(), ppr_.load(), svr_.load(), ldr_.load(),
                icr_low_.load(), lvt(kTimer), lvt(kLint0), lvt(kLint1), lvt(kError));
  std::string text = line;
  auto list = [&](const char* name, const Bits& bits) {
    text += name;
    for (unsigned v = 0; v < 256; v++) {
      if (bits[v / 64].load() >> (v & 63) & 1) {
        std::snprintf(line, sizeof line, " %02x", v);
        text += line;
      }
    }
    text += "\n";
  };
  list("  irr:", irr_);
  list("  isr:", isr_);
  return text;
}

}  // namespace doppel::hw
