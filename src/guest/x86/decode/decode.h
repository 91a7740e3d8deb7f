// Decoder of x86 instructions (SDM vol. 2, chapter 2 and appendix A): bytes to an Insn, by tables whose rows look like
// the opcode maps. Tables: one_byte.inc, two_byte.inc, three_byte.inc (integer and system), sse.inc, x87.inc.
//
// A row: OP(map, prefix, opcode, ext, MNEMONIC, operand1, operand2, operand3, attrs)
//   map      M1 (one byte), M2 (0F xx), M38 (0F 38 xx), M3A (0F 3A xx); V2 V38 V3A are the places of VEX rows
//   prefix   xx ignores 66/F2/F3 as part of the opcode; NP needs none of them; P66 needs 66 and neither F2 nor F3; PF3;
//   PF2.
//            (With both, F2/F3 choose and 66 still is an operand-size prefix.)
//   ext      ANY | R(n) reg field n | MEM(n) reg field n with a memory operand | REG(n) reg field n with mod = 3 |
//            BYTE(b) the whole ModRM byte | MEMANY | REGANY (mod != 3, mod = 3)
//   operands see Opd; NONE when there is none
//   attrs    an or of Attr values and one FEATURE(name); 0 when there is none
// Of the rows of an opcode the first whose prefix, ext, mode and feature match is taken: LZCNT stands before BSR.
// Opcodes that hold a register in their low three bits have one row, at the first of eight, with a Z operand; those
// that hold a condition in the low four bits have one row with the attribute CC.
#pragma once
#include "guest/x86/cpu_models.h"
#include "guest/x86/state.h"

namespace doppel::x86 {

enum class Map : u8 { M1, M2, M38, M3A, V2, V38, V3A, Count };
enum class OpPrefix : u8 { xx, NP, P66, PF3, PF2 };

enum class Mnemonic : u16 {
  INVALID,
#define M(name, handler) name,
#include "guest/x86/decode/mnemonics_int.inc"
#include "guest/x86/decode/mnemonics_sse.inc"
#include "guest/x86/decode/mnemonics_x87.inc"
#undef M
  Count
};
const char* mnemonic_name(Mnemonic m);

// Operand codes (SDM appendix A.2). Second letter: b 1, w 2, d 4, q 8, v 2/4/8 by operand size, z 2/4, y 4/8 by REX.W,
// x 16 bytes, t 10 bytes.
enum class Opd : u8 {
  NONE,
  Eb,
  Ew,
  Ed,
  Eq,
  Ev,
  Ey,
  Ez,  // ModRM.rm: register or memory
  RvMw,
  RdMb,
  RdMw,  // register of one size or memory of another (SLDT, PEXTRB, PINSRW)
  Gb,
  Gw,
  Gd,
  Gv,
  Gy,
  Gz,  // ModRM.reg
  M,
  Mb,
  Mw,
  Md,
  Mq,
  Mx,
  Mt,
  Mv,
  My,
  Mp /* far pointer */,
  Ms /* GDTR image */,
  Ma /* BOUND pair */,  // memory only
  Rd,
  Ry,
  Rv,   // ModRM.rm, register only
  Ryi,  // as Ry whatever mod says (MOV CR, MOV DR)
  Cy,
  Dy,
  Sw,  // ModRM.reg: control, debug, segment register
  Ib,
  Iw,
  Id,
  Iz,
  Iv,
  sIb /* sign-extended to the operand size */,
  Ib2 /* second immediate, in imm2 */,
  Jb,
  Jz,  // branch displacement: Insn::target
  Ap,  // far pointer: offset in imm, selector in imm2
  Ob,
  Ov,  // memory at an immediate offset
  Xb,
  Xv,
  Xz,
  Yb,
  Yv,
  Yz,  // DS:rSI, ES:rDI of string instructions
  AL,
  AX,
  eAX /* 2/4 */,
  rAX /* 2/4/8 */,
  CL,
  DX,
  One,
  Zb,
  Zv,
  Zy /* 4/8: BSWAP */,  // register in the opcode's low bits
  ES,
  CS,
  SS,
  DS,
  FS,
  GS,
  Pq,
  Pd,
  Qq,
  Qd,
  Nq,  // MMX: reg; rm register or memory (8, 4); rm register only
  Vx,
  Wx,
  Wq,
  Wd,
  Ww,
  Ux,  // XMM: reg; rm register or memory (16, 8, 4, 2); rm register only
  XMM0,
  Hx /* VEX.vvvv */,
  Lx /* VEX imm[7:4] */,
  ST0,
  STi,  // x87
  Count
};

// Features that gate rows: FEATURE(name). Second column: the name in features.h.
#define DOPPEL_X86_DECODE_FEATURES(X)                                                                                 \
  X(FPU, "fpu")                                                                                                       \
  X(TSC, "tsc")                                                                                                       \
  X(MSR, "msr")                                                                                                       \
  X(CX8, "cx8") X(SEP, "sep") X(CMOV, "cmov") X(CLFLUSH, "clflush") X(MMX, "mmx") X(FXSR, "fxsr") X(SSE, "sse")       \
      X(SSE2, "sse2") X(SSE3, "pni") X(MONITOR, "monitor") X(SSSE3, "ssse3") X(CX16, "cx16") X(SSE41, "sse4.1")       \
          X(SSE42, "sse4.2") X(MOVBE, "movbe") X(POPCNT, "popcnt") X(AES, "aes") X(PCLMUL, "pclmulqdq")               \
              X(XSAVE, "xsave") X(RDRAND, "rdrand") X(FSGSBASE, "fsgsbase") X(INVPCID, "invpcid") X(RDSEED, "rdseed") \
                  X(SMAP, "smap") X(ADX, "adx") X(SYSCALL, "syscall") X(RDTSCP, "rdtscp") X(LM, "lm")                 \
                      X(LAHF64, "lahf-lm") X(LZCNT, "abm") X(BMI1, "bmi1") X(SSE4A, "sse4a") X(XSAVEOPT, "xsaveopt")  \
                          X(XSAVEC, "xsavec") X(XSAVES, "xsaves") X(SHA, "sha-ni") X(CLFLUSHOPT, "clflushopt")        \
                              X(CLWB, "clwb") X(RDPID, "rdpid")                                                       \
                                  X(PREFETCHW, "3dnowprefetch") /* models with no CPUID bit for them: by family */    \
      X(I486, "") X(I586, "") X(I686, "")
enum class Feature : u8 {
  None,
#define X(id, name) id,
  DOPPEL_X86_DECODE_FEATURES(X)
#undef X
      Count
};

enum Attr : u32 {
  LOCK = 1,      // LOCK allowed when operand 1 is memory
  NO64 = 2,      // #UD in 64-bit mode
  ONLY64 = 4,    // #UD elsewhere
  DEF64 = 8,     // operand size 64 by default in 64-bit mode; 66 gives 16
  FORCE64 = 16,  // operand size 64 in 64-bit mode always (near branches)
  MODRM = 32,    // has a ModRM byte though no operand names it
  PROT = 64,     // #UD in real and virtual-8086 mode
  W0 = 128,
  W1 = 256,     // the row needs this REX.W
  NOREP = 512,  // #UD with F2 or F3
  NO66 = 1024,  // 66 does not change the operand size
  CC = 2048,    // the row stands for sixteen opcodes: a condition in the low four bits
};
#define FEATURE(name) (static_cast<u32>(Feature::name) << 24)

enum class OpKind : u8 {
  None,
  Reg,
  RegHigh /* AH CH DH BH: reg 0..3 */,
  Mem,
  Imm,
  Rel,
  Far,
  Seg,
  Cr,
  Dr,
  StrSrc,
  StrDst,
  Mmx,
  Xmm,
  St
};
struct Operand {
  OpKind kind = OpKind::None;
  u8 reg = 0;
  u8 size = 0;  // bytes; memory operands of M without a size: 0
  bool is_mem() const { return kind == OpKind::Mem; }
  bool is_reg() const { return kind == OpKind::Reg || kind == OpKind::RegHigh; }
};

constexpr u8 kNoReg = 0xff;
struct MemOperand {
  u8 seg = 3;        // SegReg, overrides applied
  u8 base = kNoReg;  // Gpr or kNoReg
  u8 index = kNoReg;
  u8 scale = 0;          // log2
  bool rip_rel = false;  // disp is already the absolute target (next pc added)
  s64 disp = 0;
};

struct Insn {
  Mnemonic mnemonic = Mnemonic::INVALID;
  // Prefixes. `rep` is F3, `repne` F2; of both the last one is kept. `seg` is the override or kNoReg.
  bool lock = false, rep = false, repne = false, opsize_prefix = false, addrsize_prefix = false;
  u8 seg = kNoReg;
  u8 rex = 0;       // the REX byte, 0 if none
  u8 opsize = 4;    // effective operand size in bytes: 2, 4, 8 (attrs applied)
  u8 addrsize = 4;  // 2, 4, 8
  Map map = Map::M1;
  u8 opcode = 0;
  bool has_modrm = false;
  u8 modrm = 0;
  u8 length = 0;
  u32 attrs = 0;
  Operand op[4];
  MemOperand mem;  // of the only memory operand
  u64 imm = 0;     // sign-extended to 64 bits where the instruction does so, else zero-extended
  u64 imm2 = 0;
  u64 target = 0;  // J operands: the target pc, wrapped to the operand size
  u64 pc = 0;
  u8 mod() const { return modrm >> 6; }
  u8 reg_field() const { return (modrm >> 3) & 7; }  // without REX.R
  u8 rm_field() const { return modrm & 7; }
  bool rex_w() const { return rex & 8; }
  bool mem_form() const { return has_modrm && modrm < 0xc0; }
};

enum class DecodeStatus : u8 {
  Ok,
  Invalid,   // #UD
  TooLong,   // over 15 bytes: #GP(0)
  NeedMore,  // ran out of bytes
};

class Decoder {
 public:
  explicit Decoder(const CpuModel& model);
  // `mode` is the mode word (ModeBits). On Invalid, out.length counts the bytes looked at.
  DecodeStatus decode(const u8* bytes, size_t size, u64 pc, u64 mode, Insn& out) const;
  bool has(Feature f) const { return f == Feature::None || ((features_ >> static_cast<unsigned>(f)) & 1); }

 private:
  u64 features_ = 0;
};

// The rows, for the table tests and the fuzzers.
enum class ExtKind : u8 { Any, Reg, MemReg, RegReg, Byte, MemAny, RegAny };
struct Row {
  Map map;
  OpPrefix prefix;
  u8 opcode;
  ExtKind ext;
  u8 ext_value;
  Mnemonic mnemonic;
  Opd operand[3];
  u32 attrs;
};
size_t row_count();
const Row& row(size_t index);

}  // namespace doppel::x86
