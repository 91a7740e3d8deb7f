// x87 control: control and status word, FNINIT, FNCLEX, FLDENV, FNSTENV, FRSTOR, FNSAVE (SDM vol. 1, 8.1.10, figures
// 8-9 to 8-12).
#include "guest/x86/helpers/table.h"
#include "guest/x86/helpers/x87.h"
#include "guest/x86/helpers/x87_host.h"
#include "guest/x86/platform.h"

namespace doppel::x86 {

using namespace x87;

namespace {

u16 status_word(const X86State& s) { return static_cast<u16>((s.fsw & ~0x3800) | s.top << 11); }

// ES and B follow from the flags and masks.
void update_summary(X86State& s) {
  if (unmasked(s, s.fsw & 0x3f))
    s.fsw |= ES_ | B;
  else
    s.fsw = static_cast<u16>(s.fsw & ~(ES_ | B));
  s.platform->ferr(s.h.index, (s.fsw & ES_) && !(s.cr0 & CR0_NE));
}

u16 tag_word(const X86State& s) {
  u16 tags = 0;
  for (unsigned i = 0; i < 8; i++) {
    const X87Reg& v = s.st[i];
    const unsigned e = v.sign_exponent & 0x7fff;
    unsigned tag = 0;  // valid
    if ((s.fptag >> i) & 1)
      tag = 3;  // empty
    else if (e == 0 && v.significand == 0)
      tag = 1;  // zero
    else if (e == 0 || e == 0x7fff || !(v.significand >> 63))
      tag = 2;
    tags = static_cast<u16>(tags | tag << (2 * i));
  }
  return tags;
}

void reset_x87(X86State& s) {
  s.fcw = 0x37f;
  s.fsw = 0;
  s.top = 0;
  s.fptag = 0xff;
  s.fip = s.fdp = 0;
  s.fop = s.fcs = s.fds = 0;
  host_clear_flags();
}

}  // namespace

u64 helper_x87_get_cw(X86State* s) { return s->fcw; }
u64 helper_x87_get_sw(X86State* s) { return status_word(*s); }

u64 helper_x87_set_cw(X86State* s, u64 value) {
  check_pending(*s);
  s->fcw = static_cast<u16>((value & 0x1f3f) | 0x40);
  update_summary(*s);
  return 0;
}

u64 helper_x87_clex(X86State* s) {
  s->fsw &= kConditions;
  host_clear_flags();
  s->platform->ferr(s->h.index, false);
  return 0;
}

u64 helper_x87_init(X86State* s) {
  reset_x87(*s);
  s->platform->ferr(s->h.index, false);
  return 0;
}

u64 helper_x87_store_env(X86State* sp, u64 address, u64 shape) {
  X86State& s = *sp;
  const bool big = shape & 1, prot = shape & 2, all = shape & 4;
  const unsigned env_bytes = big ? 28 : 14;
  mem::probe(s.h, address, env_bytes + (all ? 80 : 0), mem::Access::Write, s.h.mmu_mode);
  const u32 ip = static_cast<u32>(s.fip), dp = static_cast<u32>(s.fdp);
  u32 words[7];
  words[0] = s.fcw | 0xffff0000u;
  words[1] = status_word(s) | 0xffff0000u;
  words[2] = tag_word(s) | 0xffff0000u;
  if (prot) {
    words[3] = ip;
    words[4] = s.fcs | static_cast<u32>(s.fop & 0x7ff) << 16;
    words[5] = dp;
    words[6] = s.fds | 0xffff0000u;
  } else {
    const u32 ilin = ip + (static_cast<u32>(s.fcs) << 4), dlin = dp + (static_cast<u32>(s.fds) << 4);
    words[3] = (ilin & 0xffff) | 0xffff0000u;
    words[4] = (s.fop & 0x7ffu) | (big ? (ilin >> 16) << 12 : (ilin >> 4) & 0xf000);
    words[5] = (dlin & 0xffff) | 0xffff0000u;
    words[6] = big ? (dlin >> 16) << 12 : (dlin >> 4) & 0xf000;
  }
  for (unsigned i = 0; i < 7; i++) {
    if (big)
      mem::store<u32>(s.h, address + 4 * i, words[i]);
    else
      mem::store<u16>(s.h, address + 2 * i, static_cast<u16>(words[i]));
  }
  if (all) {
    for (unsigned i = 0; i < 8; i++) {
      const X87Reg& v = st(s, i);
      mem::store<u64>(s.h, address + env_bytes + 10 * i, v.significand);
      mem::store<u16>(s.h, address + env_bytes + 10 * i + 8, v.sign_exponent);
    }
    reset_x87(s);
  } else {
    s.fcw |= 0x3f;  // FNSTENV masks all exceptions
  }
  update_summary(s);
  return 0;
}

u64 helper_x87_load_env(X86State* sp, u64 address, u64 shape) {
  X86State& s = *sp;
  const bool big = shape & 1, prot = shape & 2, all = shape & 4;
  const unsigned env_bytes = big ? 28 : 14;
  check_pending(s);
  mem::probe(s.h, address, env_bytes + (all ? 80 : 0), mem::Access::Read, s.h.mmu_mode);
  u32 words[7];
  for (unsigned i = 0; i < 7; i++)
    words[i] = big ? mem::load<u32>(s.h, address + 4 * i) : mem::load<u16>(s.h, address + 2 * i);
  s.fcw = static_cast<u16>((words[0] & 0x1f3f) | 0x40);
  s.fsw = static_cast<u16>(words[1] & ~0x3800u);
  host_clear_flags();
  s.top = (words[1] >> 11) & 7;
  s.fptag = 0;
  for (unsigned i = 0; i < 8; i++) {
    if (((words[2] >> (2 * i)) & 3) == 3) s.fptag = static_cast<u8>(s.fptag | 1u << i);
  }
  if (prot) {
    s.fip = words[3];
    s.fcs = static_cast<u16>(words[4]);
    s.fop = big ? (words[4] >> 16) & 0x7ff : 0;
    s.fdp = words[5];
    s.fds = static_cast<u16>(words[6]);
  } else {
    s.fip = (words[3] & 0xffff) | (big ? (words[4] >> 12) << 16 : (words[4] & 0xf000) << 4);
    s.fop = words[4] & 0x7ff;
    s.fdp = (words[5] & 0xffff) | (big ? (words[6] >> 12) << 16 : (words[6] & 0xf000) << 4);
    s.fcs = s.fds = 0;
  }
  if (all) {
    for (unsigned i = 0; i < 8; i++) {
      X87Reg& v = st(s, i);
      v.significand = mem::load<u64>(s.h, address + env_bytes + 10 * i);
      v.sign_exponent = mem::load<u16>(s.h, address + env_bytes + 10 * i + 8);
    }
  }
  update_summary(s);
  return 0;
}

}  // namespace doppel::x86
