// The MSA module's helpers (MD00868): vector registers as lanes, and the operations by the manual's names. A value is
// the minor opcode with the operation field (bits 25..23; of 3RF 25..22) at bit 6.
#pragma once
#include <cstring>

#include "guest/mips/helpers/table.h"

namespace doppel::mips {

// A vector register; element 0 is the lowest.
struct Vector {
  u64 d[2] = {};
  template <typename T>
  T get(unsigned i) const {
    T v;
    std::memcpy(&v, reinterpret_cast<const char*>(d) + i * sizeof(T), sizeof(T));
    return v;
  }
  template <typename T>
  void set(unsigned i, T v) {
    std::memcpy(reinterpret_cast<char*>(d) + i * sizeof(T), &v, sizeof(T));
  }
};

inline Vector vector_of(const MipsState& s, unsigned n) { return {{s.fpr[n], s.msa_high[n]}}; }
inline void set_vector(MipsState& s, unsigned n, const Vector& v) {
  s.fpr[n] = v.d[0];
  s.msa_high[n] = v.d[1];
}

// Fields of the word.
constexpr unsigned msa_wd(u64 word) { return word >> 6 & 31; }
constexpr unsigned msa_ws(u64 word) { return word >> 11 & 31; }
constexpr unsigned msa_wt(u64 word) { return word >> 16 & 31; }
constexpr u64 msa_op(u64 word) { return (word & 63) | (word >> 23 & 7) << 6; }
constexpr u64 msa_op_fp(u64 word) { return (word & 63) | (word >> 22 & 15) << 6; }
constexpr unsigned msa_format(u64 word) { return word >> 21 & 3; }  // B H W D, where bits 22..21 have it

// Formats whose place depends on them: of BIT an m of bits 22..16, of ELM an n of bits 21..16. `at` is what is left.
struct MsaElement {
  unsigned format, at;
};
constexpr MsaElement msa_bit(u64 word) {
  const unsigned m = word >> 16 & 0x7f;
  if (!(m & 0x40)) return {3, m & 63};
  if (!(m & 0x20)) return {2, m & 31};
  if (!(m & 0x10)) return {1, m & 15};
  return {0, m & 7};
}
constexpr MsaElement msa_element(u64 word) {
  const unsigned n = word >> 16 & 0x3f;
  if (!(n & 0x20)) return {0, n & 15};
  if (!(n & 0x10)) return {1, n & 7};
  if (!(n & 0x08)) return {2, n & 3};
  return {3, n & 1};
}

enum MsaOp : u64 {
  SHF_B = 0x02,
  SHF_H = 0x42,
  SHF_W = 0x82,
  ADDVI = 0x06,
  SUBVI = 0x46,
  MAXI_S = 0x86,
  MAXI_U = 0xc6,
  MINI_S = 0x106,
  MINI_U = 0x146,
  CEQI = 0x07,
  CLTI_S = 0x87,
  CLTI_U = 0xc7,
  CLEI_S = 0x107,
  CLEI_U = 0x147,
  LDI = 0x187,
  SLLI = 0x09,
  SRAI = 0x49,
  SRLI = 0x89,
  BCLRI = 0xc9,
  BSETI = 0x109,
  BNEGI = 0x149,
  BINSLI = 0x189,
  BINSRI = 0x1c9,
  SAT_S = 0x0a,
  SAT_U = 0x4a,
  SRARI = 0x8a,
  SRLRI = 0xca,
  SLL = 0x0d,
  SRA = 0x4d,
  SRL = 0x8d,
  BCLR = 0xcd,
  BSET = 0x10d,
  BNEG = 0x14d,
  BINSL = 0x18d,
  BINSR = 0x1cd,
  ADDV = 0x0e,
  SUBV = 0x4e,
  MAX_S = 0x8e,
  MAX_U = 0xce,
  MIN_S = 0x10e,
  MIN_U = 0x14e,
  MAX_A = 0x18e,
  MIN_A = 0x1ce,
  CEQ = 0x0f,
  CLT_S = 0x8f,
  CLT_U = 0xcf,
  CLE_S = 0x10f,
  CLE_U = 0x14f,
  ADD_A = 0x10,
  ADDS_A = 0x50,
  ADDS_S = 0x90,
  ADDS_U = 0xd0,
  AVE_S = 0x110,
  AVE_U = 0x150,
  AVER_S = 0x190,
  AVER_U = 0x1d0,
  SUBS_S = 0x11,
  SUBS_U = 0x51,
  SUBSUS_U = 0x91,
  SUBSUU_S = 0xd1,
  ASUB_S = 0x111,
  ASUB_U = 0x151,
  MULV = 0x12,
  MADDV = 0x52,
  MSUBV = 0x92,
  DIV_S = 0x112,
  DIV_U = 0x152,
  MOD_S = 0x192,
  MOD_U = 0x1d2,
  DOTP_S = 0x13,
  DOTP_U = 0x53,
  DPADD_S = 0x93,
  DPADD_U = 0xd3,
  DPSUB_S = 0x113,
  DPSUB_U = 0x153,
  SLD = 0x14,
  SPLAT = 0x54,
  PCKEV = 0x94,
  PCKOD = 0xd4,
  ILVL = 0x114,
  ILVR = 0x154,
  ILVEV = 0x194,
  ILVOD = 0x1d4,
  VSHF = 0x15,
  SRAR = 0x55,
  SRLR = 0x95,
  HADD_S = 0x115,
  HADD_U = 0x155,
  HSUB_S = 0x195,
  HSUB_U = 0x1d5,
};
// By bits 25..22 of ELM.
enum MsaElm : unsigned { SLDI, SPLATI, COPY_S, COPY_U, INSERT, INSVE };
// 3RF, the format at bit 21.
enum MsaOp3Rf : u64 {
  FADD = 0x1b,
  FSUB = 0x5b,
  FMUL = 0x9b,
  FDIV = 0xdb,
  FMADD = 0x11b,
  FMSUB = 0x15b,
  FEXP2 = 0x1db,
  FEXDO = 0x21b,
  FTQ = 0x29b,
  FMIN = 0x31b,
  FMIN_A = 0x35b,
  FMAX = 0x39b,
  FMAX_A = 0x3db,
  MUL_Q = 0x11c,
  MADD_Q = 0x15c,
  MSUB_Q = 0x19c,
  MULR_Q = 0x31c,
  MADDR_Q = 0x35c,
  MSUBR_Q = 0x39c,
};
// 2RF, bits 20..17, the format at bit 16.
enum MsaOp2Rf : unsigned {
  FCLASS,
  FTRUNC_S,
  FTRUNC_U,
  FSQRT,
  FRSQRT,
  FRCP,
  FRINT,
  FLOG2,
  FEXUPL,
  FEXUPR,
  FFQL,
  FFQR,
  FTINT_S,
  FTINT_U,
  FFINT_S,
  FFINT_U
};

}  // namespace doppel::mips
