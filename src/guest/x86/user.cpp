// X86Cpu as a UserCpu: privilege level 3 for good, flat segments as Linux gives them to programs, exceptions and system
// calls to the sink instead of through the IDT (SDM vol. 3, chapter 6; vol. 2, SYSCALL, FXSAVE). Trap: registers are
// looked at at instruction boundaries only.
#include <cstring>

#include "guest/x86/cpu.h"
#include "guest/x86/system/system.h"
#include "mem/direct_memory.h"

namespace doppel::x86 {
namespace {

// Selectors of Linux: a 32-bit program's code and data, a 64-bit one's.
constexpr u16 kCode32 = 0x73, kData32 = 0x7b, kCode64 = 0x33, kData64 = 0x2b;
constexpr u16 kUserAttr = kAttrP | 3 << 5 | kAttrS | kAttrAccessed | kAttrG;
constexpr u32 kUserFlags = CF | PF | AF | ZF | SF | TF | DF | OF | NT | AC | ID;
constexpr size_t kFxsaveBytes = 512;
constexpr const char* kSegNames[6] = {"es", "cs", "ss", "ds", "fs", "gs"};

Segment code_segment(bool wide) {
  return {0, ~u32{0}, wide ? kCode64 : kCode32,
          static_cast<u16>(kUserAttr | kAttrCode | kAttrReadable | (wide ? u32{kAttrL} : u32{kAttrDB}))};
}
Segment data_segment(u16 selector) {
  return {0, ~u32{0}, selector, static_cast<u16>(kUserAttr | kAttrWritable | kAttrDB)};
}

int segment_number(std::string_view name) {
  for (int i = 0; i < 6; i++)
    if (name == kSegNames[i]) return i;
  return -1;
}

// MOV to a data segment register, but what is not valid is not loaded.
bool load_segment(X86State& s, unsigned reg, u16 selector) {
  if ((selector & 0xfffc) == 0) {
    load_null_segment(s, reg, selector);
    update_mode(s);
    return true;
  }
  u64 address;
  if (!descriptor_address(s, selector, 8, address)) return false;
  Descriptor d;
  if (!read_descriptor(s, selector, d) || d.system() || !d.present() || d.dpl() != 3) return false;
  if (reg == CS ? !d.code() : !d.readable()) return false;
  s.seg[reg] = d.segment(selector);
  s.seg[reg].attr |= kAttrAccessed;
  update_mode(s);
  return true;
}

void put_x87(const X86State& s, u8* out) {
  store_le<u16>(out, s.fcw);
  store_le<u16>(out + 2, static_cast<u16>((s.fsw & 0xc7ff) | (s.top & 7) << 11));
  out[4] = static_cast<u8>(~s.fptag);  // a bit: the register is not empty
  store_le<u16>(out + 6, s.fop);
  store_le<u64>(out + 8, s.fip);
  store_le<u64>(out + 16, s.fdp);
  for (unsigned i = 0; i < 8; i++) {
    const X87Reg& r = s.st[(s.top + i) & 7];
    store_le<u64>(out + 32 + 16 * i, r.significand);
    store_le<u16>(out + 40 + 16 * i, r.sign_exponent);
  }
}

void get_x87(X86State& s, const u8* in) {
  s.fcw = static_cast<u16>((load_le<u16>(in) & 0x1f7f) | 0x40);
  const u16 fsw = load_le<u16>(in + 2);
  s.top = (fsw >> 11) & 7;
  s.fsw = fsw & 0xc7ff;
  s.fptag = static_cast<u8>(~in[4]);
  s.fop = load_le<u16>(in + 6);
  s.fip = load_le<u64>(in + 8);
  s.fdp = load_le<u64>(in + 16);
  for (unsigned i = 0; i < 8; i++) {
    X87Reg& r = s.st[(s.top + i) & 7];
    r.significand = load_le<u64>(in + 32 + 16 * i);
    r.sign_exponent = load_le<u16>(in + 40 + 16 * i);
  }
}

}  // namespace

void X86Cpu::start_program(bool wide, std::function<void(const guest::UserEvent&)> sink) {
  X86State& s = *s_;
  reset_state(s);
  sink_ = std::move(sink);
  s.program = 1;
  s.gpr[RDX] = 0;
  s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
  s.cr4 = CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
  if (model_.has("xsave")) s.cr4 |= CR4_OSXSAVE;
  if (wide && model_.has("fsgsbase")) s.cr4 |= CR4_FSGSBASE;
  s.xcr0 = 3;
  s.efer = EFER_NXE | (wide ? u32{EFER_SCE} | EFER_LME | EFER_LMA : 0u);
  s.cpl = 3;
  s.halted = kRunning;
  s.eflags = IF;
  s.seg[CS] = code_segment(wide);
  const Segment data = data_segment(wide ? kData64 : kData32);
  s.seg[SS] = data;
  if (!wide) s.seg[DS] = s.seg[ES] = data;
  for (const unsigned reg : {DS, ES, FS, GS})
    if (wide || reg >= FS) load_null_segment(s, reg, 0);
  s.seg[TR].limit = 0;  // no I/O permission map: IN and OUT fault
  s.gdtr.limit = s.idtr.limit = 0;
  s.fcw = 0x37f;
  s.fptag = 0xff;
  s.rip = 0;
  set_mxcsr(s, 0x1f80);
  update_mode(s);
}

void X86Cpu::set_descriptor_table(u64 address, u32 bytes) {
  s_->gdtr.base = address;
  s_->gdtr.limit = bytes ? bytes - 1 : 0;
}

// What the program was left for: pc as the kernel would find it.
void X86Cpu::deliver_to_program() {
  X86State& s = *s_;
  guest::UserEvent e;
  if (s.exc_pending) {
    s.exc_pending = 0;
    e.number = s.exc_vector;
    e.error = s.exc_has_error ? s.exc_error : 0;
    if (s.exc_soft == kProgramSyscall) {
      e.kind = guest::UserEvent::Syscall;
    } else if (s.exc_soft) {
      const bool gate = s.exc_vector == BP || s.exc_vector == OF_ || (s.exc_vector == 0x80);
      if (gate) {
        s.rip = code64(s) ? s.rip + s.exc_next_len : static_cast<u32>(s.rip + s.exc_next_len);
        if (s.exc_vector == 0x80) e.kind = guest::UserEvent::Syscall;
      } else {  // a gate that is the kernel's own (SDM vol. 3, 6.12.1.2)
        e.error = s.exc_vector * 8u + 2;
        e.number = GP;
      }
    }
    if (e.number == PF_) {
      e.address = s.exc_cr2;
      e.write = e.error & 2;
      e.fetch = e.error & 16;
    }
    s.exc_soft = 0;
  } else if (s.trap_dr6) {
    s.trap_dr6 = 0;
    e.number = DB;
  } else {
    s.events.store(0);
    return;
  }
  s.delivering = -1;
  sink_(e);
}

bool X86Cpu::translate_for_program(u64 va, mem::Access access) {
  fault_.canonical = !long_mode(*s_) || canonical(va);
  fault_.error = 4 | (access == mem::Access::Write ? 2 : 0) | (access == mem::Access::Exec ? 16 : 0);
  return access == mem::Access::Exec && fault_.canonical && s_->h.direct->watch_code(va & mem::kPageMask);
}

// SYSCALL (SDM vol. 2): the kernel's side of it is the sink's.
void program_syscall(X86State& s, u64 next_pc) {
  if (!code64(s)) raise(s, UD);
  s.gpr[RCX] = next_pc;
  s.gpr[R11] = get_eflags(s) & ~u32{RF};
  s.rip = next_pc;
  s.exc_pending = 1;
  s.exc_vector = 0;
  s.exc_has_error = 0;
  s.exc_soft = kProgramSyscall;
}

// --- registers

u64 X86Cpu::gpr(unsigned number) const { return s_->gpr[number & 15]; }

void X86Cpu::set_gpr(unsigned number, u64 value) {
  s_->gpr[number & 15] = long_mode(*s_) ? value : static_cast<u32>(value);
}

bool X86Cpu::set(std::string_view name, u64 value) {
  X86State& s = *s_;
  const bool wide = long_mode(s);
  if (const int reg = segment_number(name); reg >= 0)
    return load_segment(s, static_cast<unsigned>(reg), static_cast<u16>(value));
  if (name == "tls") name = wide ? "fs_base" : "gs_base";
  if (name == "fs_base" || name == "gs_base") {
    s.seg[name[0] == 'f' ? FS : GS].base = value;
    return true;
  }
  if (name == "eflags") {
    set_eflags(s, static_cast<u32>(value), kUserFlags);
    return true;
  }
  if (name == "rip" || name == "eip" || name == "pc") {
    s.rip = wide ? value : static_cast<u32>(value);
    return true;
  }
  for (size_t n = 0; n < gdb_registers_.size(); n++) {
    if (gdb_registers_[n].name != name) continue;
    u8 bytes[16] = {};
    store_le<u64>(bytes, value);
    gdb_write(n, bytes);
    return true;
  }
  return false;
}

u64 X86Cpu::get(std::string_view name) const {
  const X86State& s = *s_;
  if (name == "tls") name = long_mode(s) ? "fs_base" : "gs_base";
  if (name == "fs_base") return s.seg[FS].base;
  if (name == "gs_base") return s.seg[GS].base;
  if (name == "pc") return s.rip;
  for (size_t n = 0; n < gdb_registers_.size(); n++) {
    if (gdb_registers_[n].name != name) continue;
    u8 bytes[16] = {};
    gdb_read(n, bytes);
    return load_le<u64>(bytes);
  }
  return 0;
}

// --- floating point: FXSAVE's image (SDM vol. 1, table 10-2)

size_t X86Cpu::float_bytes() const { return kFxsaveBytes; }

void X86Cpu::save_float(std::span<u8> out) const {
  X86State& s = *s_;
  sync_mxcsr(s);
  std::memset(out.data(), 0, kFxsaveBytes);
  put_x87(s, out.data());
  store_le<u32>(out.data() + 24, s.mxcsr);
  store_le<u32>(out.data() + 28, 0xffff);  // MXCSR_MASK
  for (unsigned i = 0; i < (long_mode(s) ? 16u : 8u); i++) std::memcpy(out.data() + 160 + 16 * i, s.xmm[i].b, 16);
}

void X86Cpu::load_float(std::span<const u8> in) {
  X86State& s = *s_;
  get_x87(s, in.data());
  for (unsigned i = 0; i < (long_mode(s) ? 16u : 8u); i++) std::memcpy(s.xmm[i].b, in.data() + 160 + 16 * i, 16);
  set_mxcsr(s, load_le<u32>(in.data() + 24) & 0xffff);
  update_mode(s);
}

void X86Cpu::copy_from(const guest::UserCpu& from) {
  const X86State& other = *static_cast<const X86Cpu&>(from).s_;
  X86State& s = *s_;
  std::memcpy(s.gpr, other.gpr, sizeof s.gpr);
  s.rip = other.rip;
  s.flags = other.flags;
  s.eflags = other.eflags;
  std::memcpy(s.seg, other.seg, sizeof s.seg);
  s.gdtr = other.gdtr;
  u8 image[kFxsaveBytes];
  from.save_float(image);
  load_float(image);
  update_mode(s);
}

}  // namespace doppel::x86
