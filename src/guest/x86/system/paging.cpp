// Page tables: 32-bit (with 4 MiB pages and PSE-36), PAE, four levels (2 MiB and 1 GiB pages). SDM vol. 3, chapter 4.
// Traps:
// - accessed and dirty bits are set by compare-and-swap against what was read: another CPU may change the entry; then
// walk again;
// - accessed bits of upper levels are set even if a lower level faults only when the walk got past them with rights
// good; we set all
//   of them after the rights check, which real CPUs may do too;
// - CR0.WP, SMEP, SMAP are tested against the combined U/S and R/W of all levels;
// - RSVD faults come before rights.
#include "guest/x86/system/paging.h"

#include <atomic>

#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

enum : u64 { P = 1, RW = 2, US = 4, A = 32, D = 64, PS = 128, G = 256 };
constexpr u64 NX = u64{1} << 63;
enum : u32 { kErrP = 1, kErrW = 2, kErrU = 4, kErrRsvd = 8, kErrI = 16 };

struct Level {
  u8* host;  // of the entry; null: not in RAM
  u64 entry;
};

struct Walker {
  X86State& s;
  u64 va;
  WalkKind kind;
  u32 mmu_mode;
  WalkResult r{};
  Level levels[4];
  unsigned count = 0;
  bool wide;             // 8-byte entries
  u64 rights = RW | US;  // ANDed over the levels
  bool nx = false;

  Walker(X86State& state, u64 address, WalkKind k, u32 mode)
      : s(state), va(address), kind(k), mmu_mode(mode), wide(state.cr4 & CR4_PAE) {}

  bool user() const { return mmu_mode == kMmuUser; }
  u64 a20(u64 pa) const { return s.a20 ? pa : pa & ~(u64{1} << 20); }
  u64 address_mask() const { return mask_bits(s.model->phys_bits) & ~u64{0xfff}; }

  WalkResult fault(u32 error) {
    if (kind == WalkKind::Write) error |= kErrW;
    if (user()) error |= kErrU;
    if (kind == WalkKind::Exec && (((s.efer & EFER_NXE) && wide) || (s.cr4 & CR4_SMEP))) error |= kErrI;
    r.ok = false;
    r.error = error;
    return r;
  }

  // Reads an entry and remembers where it was; false when it is not present.
  bool read(u64 table, u64 index, u64& entry) {
    const u64 at = a20(table + index * (wide ? 8 : 4));
    u8* host = mem::phys_pointer(s.h, at, wide ? 8 : 4);
    if (host)
      entry = wide ? load_le<u64>(host) : load_le<u32>(host);
    else
      entry = wide ? mem::phys_load64(s.h, at) : mem::phys_load32(s.h, at);
    levels[count++] = {host, entry};
    return entry & P;
  }
  bool reserved_high(u64 entry) const {
    u64 bad = mask_bits(52) & ~mask_bits(s.model->phys_bits);
    if (!(s.efer & EFER_NXE)) bad |= NX;
    return entry & bad;
  }
  void combine(u64 entry) {
    rights &= entry;
    if (wide && (entry & NX)) nx = true;
  }

  WalkResult finish(u64 page, u64 size);
  bool set_bits(bool dirty);
  void report_tables();
  WalkResult walk32();
  WalkResult walk_wide();
};

// Rights, then accessed and dirty bits. `page` is the frame of a page of `size` bytes.
WalkResult Walker::finish(u64 page, u64 size) {
  const u64 last = levels[count - 1].entry;
  r.phys = (page | (va & (size - 1))) & mem::kPageMask;
  r.page_size = size;
  r.global = (last & G) && (s.cr4 & CR4_PGE);
  r.user = rights & US;
  r.dirty = last & D;
  const bool rw = rights & RW;
  if (user()) {
    r.writable = rw;
    r.executable = !nx;
  } else {
    r.writable = rw || !(s.cr0 & CR0_WP);
    r.executable = !nx && !(r.user && (s.cr4 & CR4_SMEP));
  }
  if (kind == WalkKind::Debug) {
    r.ok = true;
    return r;
  }
  if (user() && !r.user) return fault(kErrP);
  if (mmu_mode == kMmuSupervisorSmap && r.user && kind != WalkKind::Exec) return fault(kErrP);
  if (kind == WalkKind::Write && !r.writable) return fault(kErrP);
  if (kind == WalkKind::Exec && !r.executable) return fault(kErrP);
  r.ok = true;
  return r;
}

// False: an entry changed under us.
bool Walker::set_bits(bool dirty) {
  for (unsigned i = 0; i < count; i++) {
    Level& l = levels[i];
    const u64 want = l.entry | A | (dirty && i + 1 == count ? u64{D} : u64{0});
    if (want == l.entry) continue;
    if (!l.host) continue;  // tables in ROM or a device: the bits can't be set
    // SAFETY: page-table entries are aligned to their size.
    if (wide) {
      if (!std::atomic_ref<u64>(*reinterpret_cast<u64*>(l.host)).compare_exchange_strong(l.entry, want)) return false;
    } else {
      u32 old = static_cast<u32>(l.entry);
      if (!std::atomic_ref<u32>(*reinterpret_cast<u32*>(l.host)).compare_exchange_strong(old, static_cast<u32>(want)))
        return false;
    }
    l.entry = want;
  }
  if (dirty) r.dirty = true;
  return true;
}

// What the TLB may compare later. A dirty bit that comes takes nothing back.
void Walker::report_tables() {
  r.table_count = 0;
  if (wide && !(s.efer & EFER_LMA)) {
    const unsigned i = (va >> 30) & 3;
    r.tables[r.table_count++] = {reinterpret_cast<const u8*>(&s.pdpte[i]), s.pdpte[i], 0, 8};
  }
  for (unsigned i = 0; i < count; i++) {
    if (!levels[i].host) {
      r.table_count = 0;
      return;
    }
    const u32 free_bits = i + 1 == count && !(levels[i].entry & D) ? u32{D} : 0;
    r.tables[r.table_count++] = {levels[i].host, levels[i].entry, free_bits, wide ? 8u : 4u};
  }
}

WalkResult Walker::walk32() {
  u64 pde, pte;
  if (!read(s.cr3 & 0xfffff000u, (va >> 22) & 0x3ff, pde)) return fault(0);
  combine(pde);
  if ((pde & PS) && (s.cr4 & CR4_PSE)) {
    const bool pse36 = s.model->has(FeatureWord::L1Edx, 17);
    const u64 high = pse36 ? bit_field(pde, 13, 8) << 32 : 0;
    const u64 reserved = pse36 ? u64{1} << 21 : u64{0x3fe000};
    if ((pde & reserved) || (high & ~mask_bits(s.model->phys_bits))) return fault(kErrP | kErrRsvd);
    return finish((pde & 0xffc00000u) | high, u64{1} << 22);
  }
  if (!read(pde & 0xfffff000u, (va >> 12) & 0x3ff, pte)) return fault(0);
  combine(pte);
  return finish(pte & 0xfffff000u, mem::kPageSize);
}

WalkResult Walker::walk_wide() {
  u64 table;
  u64 entry;
  if (s.efer & EFER_LMA) {
    if (!read(s.cr3 & address_mask(), (va >> 39) & 0x1ff, entry)) return fault(0);
    if (reserved_high(entry) || (entry & PS)) return fault(kErrP | kErrRsvd);
    combine(entry);
    if (!read(entry & address_mask(), (va >> 30) & 0x1ff, entry)) return fault(0);
    const bool huge = entry & PS;
    const bool bad_huge = huge && (!s.model->has(FeatureWord::E1Edx, 26) || (entry & 0x3fffe000u));
    if (reserved_high(entry) || bad_huge) return fault(kErrP | kErrRsvd);
    combine(entry);
    if (huge) return finish(entry & address_mask() & ~mask_bits(30), u64{1} << 30);
    table = entry & address_mask();
  } else {
    entry = s.pdpte[(va >> 30) & 3];  // no rights, no accessed bit
    if (!(entry & P)) return fault(0);
    table = entry & address_mask();
  }
  if (!read(table, (va >> 21) & 0x1ff, entry)) return fault(0);
  if (reserved_high(entry) || ((entry & PS) && (entry & 0x1fe000))) return fault(kErrP | kErrRsvd);
  // PAE outside long mode: bits 62 to 52 are reserved too.
  const u64 pae_reserved = (s.efer & EFER_LMA) ? 0 : mask_bits(63) & ~mask_bits(52);
  if (entry & pae_reserved) return fault(kErrP | kErrRsvd);
  combine(entry);
  if (entry & PS) return finish(entry & address_mask() & ~mask_bits(21), u64{1} << 21);
  if (!read(entry & address_mask(), (va >> 12) & 0x1ff, entry)) return fault(0);
  if (reserved_high(entry) || (entry & pae_reserved)) return fault(kErrP | kErrRsvd);
  combine(entry);
  return finish(entry & address_mask(), mem::kPageSize);
}

}  // namespace

WalkResult walk(X86State& s, u64 va, WalkKind kind, u32 mmu_mode) {
  if (!(s.cr0 & CR0_PG)) {
    WalkResult r;
    r.ok = r.writable = r.executable = r.dirty = r.user = true;
    r.phys = va & mem::kPageMask;
    return r;
  }
  for (;;) {
    Walker w(s, va, kind, mmu_mode);
    WalkResult r = w.wide ? w.walk_wide() : w.walk32();
    if (!r.ok || kind == WalkKind::Debug) return r;
    if (!w.set_bits(kind == WalkKind::Write)) continue;
    w.report_tables();
    return w.r;
  }
}

bool load_pdptes(X86State& s, u64 cr3) {
  u64 e[4];
  const u64 table = cr3 & 0xffffffe0u;
  const u64 reserved = ((~mask_bits(s.model->phys_bits)) | 0x1e6);
  for (unsigned i = 0; i < 4; i++) {
    e[i] = mem::phys_load64(s.h, table + 8 * i);
    if ((e[i] & P) && (e[i] & reserved)) return false;
  }
  for (unsigned i = 0; i < 4; i++) s.pdpte[i] = e[i];
  s.pdpt_version++;
  return true;
}

}  // namespace doppel::x86
