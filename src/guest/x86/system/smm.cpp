// System management mode: SMI, RSM and the save-state map (SDM vol. 3, chapter 31; AMD APM vol. 2, chapter 10).
// CPUs with long mode use AMD's 64-bit map (revision 0x20064), others the 32-bit map of the SDM (revision 0x20000),
// whose reserved area holds the hidden parts of the segment registers. Only SMBASE relocation is offered, no I/O
// restart. Trap: SMRAM must be open before the map is written and until the last byte of it has been read.
#include "base/log.h"
#include "guest/x86/helpers/table.h"
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

constexpr u32 kRevision32 = 0x20000, kRevision64 = 0x20064;

struct Map {
  X86State& s;
  u64 base;  // SMBASE + 0x8000: offsets are those of the manuals minus 0x8000
  void put16(u32 at, u64 v) {
    const u16 x = static_cast<u16>(v);
    mem::phys_write(s.h, base + at, &x, 2);
  }
  void put32(u32 at, u64 v) {
    const u32 x = static_cast<u32>(v);
    mem::phys_write(s.h, base + at, &x, 4);
  }
  void put64(u32 at, u64 v) { mem::phys_write(s.h, base + at, &v, 8); }
  u64 get(u32 at, unsigned size) {
    u64 v = 0;
    mem::phys_read(s.h, base + at, &v, size);
    return v;
  }
};

bool wide_map(const X86State& s) { return s.model->has(FeatureWord::E1Edx, 29); }

// Order of the general registers in both maps, from the top down.
constexpr u8 kGprOrder[16] = {RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15};
// The 64-bit map's segment rows from 0x7e00.
constexpr u8 kWideSegments[6] = {ES, CS, SS, DS, FS, GS};

void save_segment64(Map& m, u32 at, const Segment& g) {
  m.put16(at, g.selector);
  m.put16(at + 2, (g.attr & 0xff) | (g.attr >> 4 & 0xf00));
  m.put32(at + 4, g.limit);
  m.put64(at + 8, g.base);
}
Segment load_segment64(Map& m, u32 at) {
  const u16 a = static_cast<u16>(m.get(at + 2, 2));
  return {m.get(at + 8, 8), static_cast<u32>(m.get(at + 4, 4)), static_cast<u16>(m.get(at, 2)),
          static_cast<u16>((a & 0xff) | (a & 0xf00) << 4)};
}

void save64(X86State& s, Map& m) {
  for (unsigned i = 0; i < 6; i++) save_segment64(m, 0x7e00 + 16 * i, s.seg[kWideSegments[i]]);
  save_segment64(m, 0x7e60, s.gdtr);
  save_segment64(m, 0x7e70, s.seg[LDTR]);
  save_segment64(m, 0x7e80, s.idtr);
  save_segment64(m, 0x7e90, s.seg[TR]);
  m.put16(0x7ec8, s.halted == kHalted ? 0x0100 : 0);  // byte 0x7ec9: auto-halt restart
  m.put64(0x7ed0, s.efer);
  m.put32(0x7efc, kRevision64);
  m.put32(0x7f00, s.smbase);
  m.put64(0x7f48, s.cr4);
  m.put64(0x7f50, s.cr3);
  m.put64(0x7f58, s.cr0);
  m.put64(0x7f60, s.dr[7]);
  m.put64(0x7f68, s.dr[6]);
  m.put64(0x7f70, get_eflags(s));
  m.put64(0x7f78, s.rip);
  for (unsigned i = 0; i < 16; i++) m.put64(0x7ff8 - 8 * i, s.gpr[kGprOrder[i]]);
}

void load64(X86State& s, Map& m) {
  for (unsigned i = 0; i < 6; i++) s.seg[kWideSegments[i]] = load_segment64(m, 0x7e00 + 16 * i);
  s.gdtr = load_segment64(m, 0x7e60);
  s.seg[LDTR] = load_segment64(m, 0x7e70);
  s.idtr = load_segment64(m, 0x7e80);
  s.seg[TR] = load_segment64(m, 0x7e90);
  s.halted = m.get(0x7ec9, 1) & 1 ? kHalted : kRunning;
  s.efer = m.get(0x7ed0, 8) & (efer_allowed(*s.model) | EFER_LMA);
  if (m.get(0x7efc, 4) & 0x20000) s.smbase = m.get(0x7f00, 4);
  s.cr4 = m.get(0x7f48, 8) & cr4_allowed(*s.model);
  s.cr3 = m.get(0x7f50, 8);
  s.cr0 = m.get(0x7f58, 8) | CR0_ET;
  s.dr[7] = m.get(0x7f60, 8);
  s.dr[6] = m.get(0x7f68, 8);
  set_eflags(s, static_cast<u32>(m.get(0x7f70, 8)), ~u32{0});
  s.rip = m.get(0x7f78, 8);
  for (unsigned i = 0; i < 16; i++) s.gpr[kGprOrder[i]] = m.get(0x7ff8 - 8 * i, 8);
}

// 32-bit map: hidden parts at 0x7f10, twelve bytes a register, tables after them.
constexpr u32 kHidden = 0x7f10;
constexpr u32 kSelectors32[8] = {0x7fa8, 0x7fac, 0x7fb0, 0x7fb4,
                                 0x7fb8, 0x7fbc, 0x7fc0, 0x7fc4};  // ES CS SS DS FS GS LDTR TR

void save_hidden(Map& m, unsigned i, const Segment& g) {
  const u32 at = kHidden + 12 * i;
  m.put32(at, g.base);
  m.put32(at + 4, g.limit);
  m.put32(at + 8, g.attr);
}
void load_hidden(Map& m, unsigned i, Segment& g) {
  const u32 at = kHidden + 12 * i;
  g.base = m.get(at, 4);
  g.limit = static_cast<u32>(m.get(at + 4, 4));
  g.attr = static_cast<u16>(m.get(at + 8, 2));
}

void save32(X86State& s, Map& m) {
  m.put32(0x7ffc, s.cr0);
  m.put32(0x7ff8, s.cr3);
  m.put32(0x7ff4, get_eflags(s));
  m.put32(0x7ff0, s.rip);
  for (unsigned i = 0; i < 8; i++) m.put32(0x7fd0 + 4 * i, s.gpr[i]);
  m.put32(0x7fcc, s.dr[6]);
  m.put32(0x7fc8, s.dr[7]);
  for (unsigned i = 0; i < 8; i++) {
    m.put32(kSelectors32[i], s.seg[i].selector);
    save_hidden(m, i, s.seg[i]);
  }
  save_hidden(m, 8, s.gdtr);
  save_hidden(m, 9, s.idtr);
  m.put32(kHidden + 120, s.cr4);
  m.put16(0x7f02, s.halted == kHalted);
  m.put16(0x7f00, 0);
  m.put32(0x7efc, kRevision32);
  m.put32(0x7ef8, s.smbase);
}

void load32(X86State& s, Map& m) {
  s.cr0 = m.get(0x7ffc, 4) | CR0_ET;
  s.cr3 = m.get(0x7ff8, 4);
  set_eflags(s, static_cast<u32>(m.get(0x7ff4, 4)), ~u32{0});
  s.rip = m.get(0x7ff0, 4);
  for (unsigned i = 0; i < 8; i++) s.gpr[i] = m.get(0x7fd0 + 4 * i, 4);
  s.dr[6] = m.get(0x7fcc, 4);
  s.dr[7] = m.get(0x7fc8, 4);
  for (unsigned i = 0; i < 8; i++) {
    load_hidden(m, i, s.seg[i]);
    s.seg[i].selector = static_cast<u16>(m.get(kSelectors32[i], 2));
  }
  load_hidden(m, 8, s.gdtr);
  load_hidden(m, 9, s.idtr);
  s.cr4 = m.get(kHidden + 120, 4) & cr4_allowed(*s.model);
  s.halted = m.get(0x7f02, 1) & 1 ? kHalted : kRunning;
  if (m.get(0x7efc, 4) & 0x20000) s.smbase = m.get(0x7ef8, 4);
}

}  // namespace

void enter_smm(X86State& s) {
  DOPPEL_LOG(Int, "SMI: IP=%04x:%016llx SMBASE=%llx\n", s.seg[CS].selector, static_cast<unsigned long long>(s.rip),
             static_cast<unsigned long long>(s.smbase));
  s.smm = 1;
  s.platform->smi_entered(s.h.index, true);
  Map m{s, s.smbase + 0x8000};
  if (wide_map(s))
    save64(s, m);
  else
    save32(s, m);
  s.halted = kRunning;
  s.nmi_blocked |= 2;  // bit 1: by SMM, ended by RSM
  s.shadow = 0;
  s.efer = 0;
  s.cr0 &= ~u64{CR0_PE | CR0_EM | CR0_TS | u64{CR0_PG}};
  s.cr4 = 0;
  s.eflags = 0;
  s.flags = ir::eflags_to_flags(0);
  s.rip = 0x8000;
  s.dr[7] = 0x400;
  s.cpl = 0;
  constexpr u16 kData = kAttrP | kAttrS | kAttrWritable | kAttrAccessed | kAttrG;
  for (unsigned i = 0; i < 6; i++) s.seg[i] = {0, ~u32{0}, 0, kData};
  s.seg[CS].selector = static_cast<u16>(s.smbase >> 4);
  s.seg[CS].base = s.smbase;
  update_watches(s);
  paging_changed(s);
}

void leave_smm(X86State& s) {
  Map m{s, s.smbase + 0x8000};
  if (wide_map(s))
    load64(s, m);
  else
    load32(s, m);
  const bool bad = (s.cr0 & CR0_PG) && !(s.cr0 & CR0_PE);
  s.cpl = (s.cr0 & CR0_PE) ? ((s.eflags & VM) ? 3 : (s.seg[SS].attr >> 5) & 3) : 0;
  s.nmi_blocked &= 1;
  s.smm = 0;
  s.shadow = 0;
  s.platform->smi_entered(s.h.index, false);
  update_watches(s);
  paging_changed(s);
  if ((s.cr0 & CR0_PG) && (s.cr4 & CR4_PAE) && !(s.efer & EFER_LMA)) load_pdptes(s, s.cr3);
  if (bad) shutdown(s);
}

u64 helper_rsm(X86State* s) {
  if (!s->smm) raise(*s, UD);
  leave_smm(*s);
  return 0;
}

}  // namespace doppel::x86
