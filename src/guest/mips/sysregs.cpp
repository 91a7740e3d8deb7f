// Coprocessor 0 registers (vol. III, chapter 9), as MFC0 and MTC0 see them. Values of 32-bit registers are
// sign-extended by the reader.
#include "guest/mips/platform.h"
#include "guest/mips/state.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

constexpr u32 key(unsigned reg, unsigned sel) { return reg * 8 + sel; }

// The PageMask values that exist: pairs of bits from the bottom, 4 KiB to 256 MiB (vol. III, table 9.31).
u32 legal_page_mask(u32 value) {
  u32 mask = 0;
  for (unsigned bit = 13; bit < 29 && (value >> bit & 3) == 3; bit += 2) mask |= u32{3} << bit;
  return mask;
}

u64 entry_lo_mask(const MipsState& s) {
  const unsigned pfn_bits = s.model->pa_bits - 12;
  return ((u64{1} << pfn_bits) - 1) << 6 | 0x3f;
}

void set_entry_hi(MipsState& s, u64 value) {
  const u64 vpn2 = s.model->is_64bit ? (u64{3} << 62 | ((u64{1} << s.model->va_bits) - 1)) & ~u64{0x1fff} : 0xffffe000;
  const u32 before = s.entry_hi & 0xff;
  s.entry_hi = value & (vpn2 | 0xff);
  if ((s.entry_hi & 0xff) != before && s.h.soft_tlb) mem::tlb_set_space(s.h, s.entry_hi & 0xff, true);
}

void arm(MipsState& s) {
  s.compare_at.store(~u64{0}, std::memory_order_seq_cst);
  if (s.cause & CA_DC) return;
  const u64 now = timer_ticks(s);
  const u32 ticks = s.compare - (static_cast<u32>(now) + s.count_offset);
  const u64 distance = ticks == 0 ? u64{1} << 32 : ticks;
  s.compare_at.store(now + distance, std::memory_order_seq_cst);
  s.platform->arm_compare(s.h.index, ticks_to_ns(s, distance));
}

void set_count(MipsState& s, u32 value) {
  if (s.cause & CA_DC) {
    s.stopped_count = value;
    return;
  }
  s.count_offset += value - read_count(s);
  arm(s);
}

void set_compare(MipsState& s, u32 value) {
  s.compare = value;
  s.compare_at.store(~u64{0}, std::memory_order_seq_cst);  // the old one can't come any more
  s.lines.fetch_and(~u32{kTimerLine | CA_TI});
  arm(s);
}

void set_cause(MipsState& s, u32 value) {
  const u32 mask = CA_IP_SOFT | CA_IV | CA_WP | (s.model->release >= 2 ? u32{CA_DC} : 0);
  const u32 count = read_count(s);
  const u32 before = s.cause;
  s.cause = (s.cause & ~mask) | (value & mask);
  if (!((before ^ s.cause) & CA_DC)) return;
  if (s.cause & CA_DC)
    s.stopped_count = count;
  else
    set_count(s, s.stopped_count);
}

u32 read_cause(MipsState& s) {
  check_timer(s);
  const u32 lines = s.lines.load(std::memory_order_seq_cst);
  return s.cause | (lines & CA_IP) | (s.model->release >= 2 ? lines & CA_TI : 0);
}

u64 x_context(const MipsState& s) {
  const unsigned segbits = s.model->va_bits;
  const u64 vpn2 = s.bad_vaddr >> 13 & ((u64{1} << (segbits - 13)) - 1);
  return vpn2 << 4 | (s.bad_vaddr >> 62) << (segbits - 13 + 4);
}

}  // namespace

u64 read_cp0(MipsState& s, unsigned reg, unsigned sel) {
  switch (key(reg, sel)) {
#define CP0(reg, sel, name, field, writable) \
  case key(reg, sel):                        \
    return s.field;
#define SPECIAL(reg, sel, name)
#include "guest/mips/sysregs.def"
#undef CP0
#undef SPECIAL
    case key(1, 0): return random_index(s);
    case key(2, 0): return s.entry_lo0;
    case key(3, 0): return s.entry_lo1;
    case key(4, 0): return s.context;
    case key(4, 2): return s.user_local;
    case key(5, 0): return s.page_mask;
    case key(6, 0): return s.wired;
    case key(9, 0): check_timer(s); return read_count(s);
    case key(10, 0): return s.entry_hi;
    case key(11, 0): return s.compare;
    case key(12, 0): return s.status;
    case key(13, 0): return read_cause(s);
    case key(15, 0): return s.model->prid;
    case key(16, 1): return s.model->config1;
    case key(16, 2): return s.model->config2;
    case key(16, 3): return s.model->config3;
    case key(16, 4): return s.model->config4;
    case key(16, 5): return s.config5;
    case key(16, 7): return s.model->config7;
    case key(20, 0): return s.model->is_64bit ? x_context(s) | (s.context & ~u64{0x7fffff}) : 0;
    default: return 0;
  }
}

void write_cp0(MipsState& s, unsigned reg, unsigned sel, u64 value) {
  switch (key(reg, sel)) {
#define CP0(reg, sel, name, field, writable)                                                                  \
  case key(reg, sel):                                                                                         \
    s.field = static_cast<decltype(s.field)>((s.field & ~static_cast<u64>(writable)) | (value & (writable))); \
    return;
#define SPECIAL(reg, sel, name)
#include "guest/mips/sysregs.def"
#undef CP0
#undef SPECIAL
    case key(2, 0): s.entry_lo0 = value & entry_lo_mask(s); return;
    case key(3, 0): s.entry_lo1 = value & entry_lo_mask(s); return;
    case key(4, 0):
      s.context = (s.context & 0x7fffff) | (value & ~u64{0x7fffff});
      if (!s.model->is_64bit) s.context = static_cast<u32>(s.context);
      return;
    case key(4, 2): s.user_local = value; return;
    case key(5, 0): s.page_mask = legal_page_mask(static_cast<u32>(value)); return;
    case key(6, 0):
      s.wired = static_cast<u32>(value) % s.model->tlb_entries;
      s.random_counter = 0;
      return;
    case key(9, 0): set_count(s, static_cast<u32>(value)); return;
    case key(10, 0): set_entry_hi(s, value); return;
    case key(11, 0): set_compare(s, static_cast<u32>(value)); return;
    case key(12, 0): set_status(s, static_cast<u32>(value)); return;
    case key(13, 0): set_cause(s, static_cast<u32>(value)); return;
    case key(16, 5):
      s.config5 = (s.config5 & ~s.model->config5_writable) | (static_cast<u32>(value) & s.model->config5_writable);
      return update_mode(s);
    default: return;
  }
}

void set_status(MipsState& s, u32 value) {
  const u32 before = s.status;
  s.status = (before & ~s.model->status_writable) | (value & s.model->status_writable);
  if (((before ^ s.status) & ST_ERL) && s.h.soft_tlb) mem::tlb_flush_all(s.h);  // kuseg is mapped or not
  update_mode(s);
}

}  // namespace doppel::mips
