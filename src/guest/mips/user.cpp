// MipsCpu as a UserCpu: user mode for good, exceptions to the sink (vol. III, chapters 3 and 6).
#include <cstring>

#include "guest/mips/cpu.h"
#include "mem/direct_memory.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {
constexpr u32 kUserHwrena = 0x2000000f;  // CPUNum, SYNCI_Step, CC, CCRes, UserLocal
constexpr size_t kFprBytes = 32 * 8;

// The six bits of MIPS16's BREAK, which is the instruction at the pc or in its delay slot.
u32 break_code16(const MipsState& s) {
  const auto half = [&](u64 at) {
    u16 v;
    // SAFETY: as in deliver_to_program.
    std::memcpy(&v, reinterpret_cast<const void*>((at & ~u64{1}) + s.h.direct->base), 2);
    return s.model->big_endian ? __builtin_bswap16(v) : v;
  };
  const u16 first = half(s.pc);
  return (s.in_slot ? half(s.pc + (first >> 11 == 3 ? 4 : 2)) : first) >> 5 & 63;
}
}  // namespace

void MipsCpu::start_program(bool wide, std::function<void(const guest::UserEvent&)> sink) {
  MipsState& s = *s_;
  boot_.reset();
  reset();
  sink_ = std::move(sink);
  s.program = 1;
  s.event_pending = 0;
  s.status = 2u << kKsuShift | ST_IE | (model_.fpu ? u32{ST_CU1} : 0u) | (model_.dsp ? u32{ST_MX} : 0u);
  if (model_.msa) s.config5 |= C5_MSAEN;
  if (wide) s.status |= ST_UX | ST_PX | ST_FR;
  s.hwrena = kUserHwrena;
  s.cause = 0;
  s.pc = 0;
  s.in_slot = 0;
  set_fcsr(s, 0);
  update_mode(s);
  build_gdb_registers();
}

void MipsCpu::deliver_to_program() {
  MipsState& s = *s_;
  s.event_pending = 0;
  guest::UserEvent e;
  e.number = s.event_code;
  const u64 at = s.in_slot ? s.pc + 4 : s.pc;
  switch (s.event_code) {
    case EXC_SYS: e.kind = guest::UserEvent::Syscall; [[fallthrough]];
    case EXC_BP:
    case EXC_TR: {
      if (model_.mips16 && (s.pc & 1)) {
        e.error = break_code16(s);
        break;
      }
      u32 word;
      // SAFETY: code that was just translated; a single program's memory is the process's own.
      std::memcpy(&word, reinterpret_cast<const void*>(at + s.h.direct->base), 4);
      if (model_.big_endian) word = __builtin_bswap32(word);
      // TEQI and its like have an immediate where the others have their code.
      e.error = s.event_code != EXC_TR ? (word >> 6) & 0xfffff : word >> 26 == 0 ? (word >> 6) & 0x3ff : 0;
      if (s.event_code != EXC_SYS) break;
      e.number = e.error;
      e.error = 0;
      s.pc = has_64bit(s) ? s.pc + 4 : static_cast<u32>(s.pc + 4);
      s.in_slot = 0;
      break;
    }
    case EXC_TLBL:
    case EXC_TLBS:
    case EXC_MOD:
    case EXC_ADEL:
    case EXC_ADES:
      e.address = s.bad_vaddr;
      e.write = s.event_code == EXC_TLBS || s.event_code == EXC_MOD || s.event_code == EXC_ADES;
      e.fetch = s.event_fetch;
      break;
    default: break;
  }
  s.event_fetch = 0;
  s.in_slot = 0;  // the branch starts over
  sink_(e);
}

// --- registers

void MipsCpu::set_gpr(unsigned number, u64 value) {
  if ((number & 31) == 0) return;
  s_->gpr[number & 31] = has_64bit(*s_) ? value : static_cast<u32>(value);
}

namespace {
// "hi1" to "lo3"; null: another name.
u64* accumulator(MipsState& s, std::string_view name) {
  if (name.size() != 3 || name[2] < '1' || name[2] > '3' || s.model->dsp == 0) return nullptr;
  const unsigned n = static_cast<unsigned>(name[2] - '1');
  return name.starts_with("hi") ? &s.acc_hi[n] : name.starts_with("lo") ? &s.acc_lo[n] : nullptr;
}
}  // namespace

bool MipsCpu::set_fr(bool on) {
  MipsState& s = *s_;
  if (on && !model_.fpu64) return false;
  s.status = on ? s.status | ST_FR : s.status & ~u32{ST_FR};
  update_mode(s);
  return true;
}

bool MipsCpu::set(std::string_view name, u64 value) {
  MipsState& s = *s_;
  if (!has_64bit(s)) value = static_cast<u32>(value);
  if (name == "tls")
    s.user_local = value;
  else if (name == "pc")
    set_pc(value);
  else if (name == "hi")
    s.hi = value;
  else if (name == "lo")
    s.lo = value;
  else if (name == "fcsr")
    set_fcsr(s, static_cast<u32>(value));
  else if (name == "fr")
    return set_fr(value != 0);
  else if (name == "dspcontrol")
    s.dsp_control = static_cast<u32>(value);
  else if (u64* r = accumulator(s, name))
    *r = value;
  else
    return false;
  return true;
}

u64 MipsCpu::get(std::string_view name) const {
  const MipsState& s = *s_;
  if (name == "tls") return s.user_local;
  if (name == "pc") return s.pc;
  if (name == "hi") return s.hi;
  if (name == "lo") return s.lo;
  if (name == "fcsr") {
    sync_fcsr(*s_);
    return s.fcr31;
  }
  if (name == "dspcontrol") return s.dsp_control;
  if (const u64* r = accumulator(*s_, name)) return *r;
  if (name == "msacsr") return s.msacsr;
  if (name == "cause") return u64{s.event_code} << 2;
  if (name == "badvaddr") return s.bad_vaddr;
  return name == "status" ? s.status : 0;
}

size_t MipsCpu::float_bytes() const { return (kFprBytes + 4) * (model_.msa ? 2 : 1); }

void MipsCpu::save_float(std::span<u8> out) const {
  std::memcpy(out.data(), s_->fpr, kFprBytes);
  sync_fcsr(*s_);
  std::memcpy(out.data() + kFprBytes, &s_->fcr31, 4);
  if (!model_.msa) return;
  std::memcpy(out.data() + kFprBytes + 4, s_->msa_high, kFprBytes);
  std::memcpy(out.data() + 2 * kFprBytes + 4, &s_->msacsr, 4);
}

void MipsCpu::load_float(std::span<const u8> in) {
  std::memcpy(s_->fpr, in.data(), kFprBytes);
  u32 fcsr;
  std::memcpy(&fcsr, in.data() + kFprBytes, 4);
  set_fcsr(*s_, fcsr);
  if (!model_.msa) return;
  u32 msacsr;
  std::memcpy(s_->msa_high, in.data() + kFprBytes + 4, kFprBytes);
  std::memcpy(&msacsr, in.data() + 2 * kFprBytes + 4, 4);
  set_msacsr(*s_, msacsr);
}

void MipsCpu::copy_from(const guest::UserCpu& from) {
  const MipsState& other = *static_cast<const MipsCpu&>(from).s_;
  MipsState& s = *s_;
  std::memcpy(s.gpr, other.gpr, sizeof s.gpr);
  s.pc = other.pc;
  s.in_slot = other.in_slot;
  s.hi = other.hi;
  s.lo = other.lo;
  s.user_local = other.user_local;
  std::memcpy(s.fpr, other.fpr, sizeof s.fpr);
  std::memcpy(s.msa_high, other.msa_high, sizeof s.msa_high);
  std::memcpy(s.acc_hi, other.acc_hi, sizeof s.acc_hi);
  std::memcpy(s.acc_lo, other.acc_lo, sizeof s.acc_lo);
  s.dsp_control = other.dsp_control;
  s.status = (s.status & ~u32{ST_FR}) | (other.status & ST_FR);
  set_msacsr(s, other.msacsr);
  sync_fcsr(*static_cast<const MipsCpu&>(from).s_);
  set_fcsr(s, other.fcr31);
}

}  // namespace doppel::mips
