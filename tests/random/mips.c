// Random MIPS instructions with random registers: `mips SEED COUNT [show]`. Runs COUNT cases from SEED on and prints,
// for each, its number and a hash of what is there afterwards: registers, HI, LO, FCSR, memory, the signal that ended
// it and the frame that the handler saw. `show` prints the instructions and all of that in words. The same program with
// the same seeds must print the same under every emulator (run.py). The table of instructions is the translator's own
// (decode/*.inc).
//
// Left out: what the architecture calls UNPREDICTABLE (see prepare_operands), unaligned words (kernels mend them, some
// emulators do not), registers that differ between models (CP0, FIR, RDHWR), MIPS-3D; and where QEMU 7.2 is no
// reference: ABS, NEG, NMADD and NMSUB of NaNs, causes after CVT.S.PU and CVT.S.PL, codes of traps and breaks, the lowest bits of a fault's address.
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/cachectl.h>
#include <sys/mman.h>
#include <ucontext.h>

#if _MIPS_SIM == _ABI64
typedef uint64_t Reg;
enum { k64 = 1 };
#else
typedef uint32_t Reg;
enum { k64 = 0 };
#endif
#ifdef FR0
enum { kFr = 0 };
#else
enum { kFr = 1 };
#endif
#ifdef DSP
enum { kDsp = 1 };
#else
enum { kDsp = 0 };
#endif
#ifdef MSA
enum { kMsa = 1 };
#else
enum { kMsa = 0 };
#endif

typedef struct {
  Reg gpr[32], hi, lo, sp, pc;
  uint32_t fcsr, pad;
  uint64_t fpr[32];
  uint32_t dsp, msacsr, acc[6];  // -DDSP; -DMSA
  uint64_t w[32][2];
} Context;
void enter(Context* context);
extern char resume[];

#ifdef MIPS16
enum { kMips16 = 1 };
#else
enum { kMips16 = 0 };
#endif

// --- the table
typedef enum { R1, R2, M64, M64R2, Fp, FpR2, Fp64, Ps, M3d, Dsp, DspR2, Mips16, Msa } Isa;
typedef enum { Plain, Branch, BranchLikely } Kind;
typedef struct {
  uint32_t mask, match;
  const char* name;
  Isa isa;
  Kind kind;
} Row;
#define op(code) ((uint32_t)(code) << 26)
#define kOp 0xfc000000u
#define kFunct 0x3fu
#define kRs (31u << 21)
#define kRt (31u << 16)
#define kRd (31u << 11)
#define kSa (31u << 6)
#define INSN(mask, match, name, isa, kind, translate) {mask, match, name, isa, kind},
static const Row kRows[] = {
#include "cop1.inc"
#ifdef DSP
#include "dsp.inc"
#endif
#include "main.inc"
#ifdef MSA
#include "msa.inc"
#endif
#include "paired.inc"
#include "special.inc"
};
#undef INSN
enum { kRowCount = sizeof kRows / sizeof kRows[0] };

static int one_of(const char* name, const char* list) {
  const size_t n = strlen(name);
  for (const char* p = list; (p = strstr(p, name)); p += n)
    if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) return 1;
  return 0;
}
static const char kLeftOut[] =
    "abs.s abs.d abs.ps neg.s neg.d neg.ps nmadd.s nmadd.d nmadd.ps nmsub.s nmsub.d nmsub.ps cvt.s.pu cvt.s.pl lwx lhx lbux ctc1 ctcmsa rdhwr cache sdbbp syscall ll lld sc scd cop2 lwc2 ldc2 swc2 sdc2 prefx luxc1 suxc1 lwxc1 ldxc1 swxc1 sdxc1";
static int usable(const Row* r) {
  if (!k64 && (r->isa == M64 || r->isa == M64R2)) return 0;
  if (!kFr && r->isa == Fp64) return 0;
  if (r->isa == M3d || r->isa == Mips16 || (r->isa == Ps && !k64) || ((r->isa == Dsp || r->isa == DspR2) && !kDsp)) return 0;
  if (!kMsa && r->isa == Msa) return 0;
  return !one_of(r->name, kLeftOut);
}

// --- random numbers
static uint64_t g_rng;
static uint64_t rnd(void) {
  g_rng ^= g_rng >> 12;
  g_rng ^= g_rng << 25;
  g_rng ^= g_rng >> 27;
  return g_rng * 0x2545f4914f6cdd1dull;
}
static unsigned below(unsigned n) { return (unsigned)((rnd() >> 20) % n); }
static int chance(unsigned n) { return below(n) == 0; }

static Reg random_gpr(void) {
  static const uint32_t kSpecial[] = {0, 1, 2, 0x7fffffff, 0x80000000u, 0xffffffffu, 0x8000, 0xffff8000u, 31, 32};
  uint64_t v = rnd();
  switch (below(6)) {
    case 0: v = (uint64_t)(int64_t)(int32_t)kSpecial[below(10)]; break;
    case 1: v = (uint64_t)(int64_t)(int32_t)v; break;
    case 2: v >>= below(64); break;
    case 3: v = (uint64_t)((int64_t)v >> below(64)); break;
    case 4: v = (uint64_t)1 << below(64); break;
    default: break;
  }
  return (Reg)v;
}
static uint64_t random_float(void) {
  static const uint32_t kSingle[] = {
      0, 0x80000000u, 0x3f800000, 0xbf800000u, 0x7f800000, 0xff800000u, 0x7fbfffff, 0x7fc00000, 0x7f800001, 0xffc12345u,
      1, 0x807fffffu, 0x00800000, 0x7f7fffff,  0x4f000000, 0xcf000000u, 0x5f000000, 0x3f000000, 0x34000000, 0x4b800000};
  static const uint64_t kDouble[] = {0,
                                     1ull << 63,
                                     0x3ffull << 52,
                                     0xbffull << 52,
                                     0x7ffull << 52,
                                     0xfffull << 52,
                                     0x7ff7ffffffffffffull,
                                     0x7ff8000000000000ull,
                                     0x7ff0000000000001ull,
                                     1,
                                     0x800fffffffffffffull,
                                     1ull << 52,
                                     0x7fefffffffffffffull,
                                     0x41dfffffffc00000ull,
                                     0xc1e0000000000000ull,
                                     0x43e0000000000000ull,
                                     0xc3e0000000000000ull,
                                     0x3fe0000000000000ull,
                                     0x36a0000000000000ull,
                                     0x47efffffe0000000ull,
                                     0x380fffffffffffffull};
  const uint64_t r = rnd();
  switch (below(8)) {
    case 0: return kDouble[below(21)];
    case 1: return (uint64_t)kSingle[below(20)] << 32 | kSingle[below(20)];
    case 2:
      return (r & 0x800fffffffffffffull) | (uint64_t)(1023 - 40 + below(80)) << 52;  // of a size that meets others
    case 3: return (r & 0x807fffff807fffffull) | (uint64_t)(127 - 20 + below(40)) << 55 | (127 - 20 + below(40)) << 23;
    case 4: return (uint64_t)(int64_t)(int32_t)r;  // integers of either width
    case 5: return (r & 0x800fffffffffffffull) | (uint64_t)(below(2) ? 2046 - below(40) : below(60)) << 52;
    case 6:
      return (r & 0x807fffff807fffffull) | (uint64_t)(below(2) ? 254 - below(20) : below(30)) * 0x80000000800000ull;
    default: return r;
  }
}

// --- code
enum { kSlotWords = 160, kSlots = 32, kNop = 0, kBase = 28, kHalf = 0x20000000, kDataBytes = 2 * 65536 };
static uint32_t g_code[kSlots][kSlotWords] __attribute__((aligned(65536)));
static uint8_t* const kData = (uint8_t*)kHalf;

typedef struct {
  uint32_t* words;
  unsigned n;
  struct Pending {
    unsigned at, items;
    int form;  // 0: 16-bit branch, 1: 26-bit jump, 2: an immediate added to $31 that holds the address of `at`
  } pending[64];
  unsigned pendings;
} Code;

static void put(Code* c, uint32_t word) { c->words[c->n++] = word; }
static unsigned reg_any(void) {  // a register that may be read or written
  static const uint8_t kRegs[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
                                  14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 30};
  return chance(3) ? 1 + below(4) : kRegs[below(27)];  // often the same few, so that results meet
}
static unsigned freg(int wide) {
  const unsigned r = chance(2) ? below(6) : below(32);
  return !kFr && wide ? r & ~1u : r;
}
static uint32_t field(const Row* r, uint32_t mask, unsigned shift, unsigned value) {
  return r->mask & mask ? 0 : value << shift;
}

static unsigned access_bytes(const Row* r) {  // of loads and stores; 0: none
  if (one_of(r->name, "lb lbu sb lwl lwr swl swr ldl ldr sdl sdr")) return 1;
  if (one_of(r->name, "lh lhu sh")) return 2;
  if (one_of(r->name, "lw lwu sw lwc1 swc1")) return 4;
  if (one_of(r->name, "ld sd ldc1 sdc1")) return 8;
  return 0;
}

// 32-bit arithmetic of a MIPS64 wants sign-extended operands; divisors must not be zero. Returns how many words it put.
static void prepare_operands(Code* c, const Row* r, uint32_t word) {
  static const char kWord[] =
      "add addu sub subu addi addiu srl sra rotr srlv srav rotrv mult multu div divu mul madd maddu msub msubu clz clo "
      "ext ins wsbh seb seh";
  const unsigned rs = word >> 21 & 31, rt = word >> 16 & 31;
  if (k64 && one_of(r->name, kWord)) {
    if (!(r->mask & kRs) && rs) put(c, rs << 16 | rs << 11);  // SLL rs, rs, 0
    if (!(r->mask & kRt) && rt) put(c, rt << 16 | rt << 11);
    if (one_of(r->name, "madd maddu msub msubu")) {  // HI and LO, too
      put(c, op(0) | 1u << 11 | 16), put(c, 1u << 16 | 1u << 11), put(c, op(0) | 1u << 21 | 17);
      put(c, op(0) | 1u << 11 | 18), put(c, 1u << 16 | 1u << 11), put(c, op(0) | 1u << 21 | 19);
    }
  }
  if (one_of(r->name, "alnv.ps") && rs) put(c, op(12) | rs << 21 | rs << 16 | 4);  // by 0 or 4 bytes
  if (one_of(r->name, "div divu ddiv ddivu")) {
    put(c, op(13) | rt << 21 | rt << 16 | 1);  // ORI rt, rt, 1
  }
}
static int needs_operands(const Row* r, uint32_t word) {
  uint32_t words[16];
  Code c = {.words = words, .n = 0};
  prepare_operands(&c, r, word);
  return c.n != 0;
}

// Bit fields whose size and position fit.
static uint32_t bit_field(const Row* r) {
  if (one_of(r->name, "ext")) {
    const unsigned lsb = below(32);
    return below(32 - lsb) << 11 | lsb << 6;
  }
  if (one_of(r->name, "ins")) {
    const unsigned lsb = below(32);
    return (lsb + below(32 - lsb)) << 11 | lsb << 6;
  }
  if (one_of(r->name, "dext")) {
    const unsigned lsb = below(32);
    return below(32) << 11 | lsb << 6;
  }
  if (one_of(r->name, "dextm")) {
    const unsigned lsb = below(32);
    return below(32 - lsb) << 11 | lsb << 6;
  }
  if (one_of(r->name, "dextu")) {
    const unsigned lsb = below(32);
    return below(32 - lsb) << 11 | lsb << 6;
  }
  if (one_of(r->name, "dins")) {
    const unsigned lsb = below(32);
    return (lsb + below(32 - lsb)) << 11 | lsb << 6;
  }
  if (one_of(r->name, "dinsm")) return below(32) << 11 | below(32) << 6;
  const unsigned lsb = below(32);  // dinsu
  return (lsb + below(32 - lsb)) << 11 | lsb << 6;
}

static uint32_t fp_fields(const Row* r) {
  const unsigned fmt = r->match >> 21 & 31;
  const int wide = fmt == 17 || fmt == 21 || strstr(r->name, ".d") != NULL || strstr(r->name, "dmt") ||
                   strstr(r->name, "mthc1") || strstr(r->name, "mfhc1");
  if (one_of(r->name, "alnv.ps")) return reg_any() << 21 | freg(1) << 16 | freg(1) << 11 | freg(1) << 6;
  if (r->match >> 26 == 19)  // multiply-add: fr, ft, fs, fd
    return freg(wide) << 21 | freg(wide) << 16 | freg(wide) << 11 | freg(wide) << 6;
  if (one_of(r->name, "cfc1")) {
    static const uint8_t kControls[] = {25, 26, 28, 31};
    return reg_any() << 16 | (uint32_t)kControls[below(4)] << 11;
  }
  if (fmt < 8) return reg_any() << 16 | freg(wide || one_of(r->name, "dmfc1 dmtc1 mfhc1 mthc1")) << 11;
  if (fmt == 22 && r->name[0] == 'c' && r->name[1] == '.') return freg(1) << 16 | freg(1) << 11 | below(4) << 9;
  uint32_t ft = freg(wide);
  if (one_of(r->name, "movcf.ps")) ft = below(4) << 3 | below(2);
  if (one_of(r->name, "movz.ps movn.ps")) ft = reg_any();
  if (one_of(r->name, "movcf.s movcf.d")) ft = below(8) << 2 | below(2);
  if (one_of(r->name, "movz.s movz.d movn.s movn.d")) ft = reg_any();
  const uint32_t fd = r->name[0] == 'c' && r->name[1] == '.' ? below(8) << 2 : freg(wide);
  return field(r, kRt, 16, ft) | freg(wide) << 11 | fd << 6;
}

// Some of the DSP module's fields are narrower than a register's.
static uint32_t dsp_word(const Row* r) {
  const unsigned rt = 1 + below(25), rd = 1 + below(25);  // QEMU sets no flags for results that go to $0
  uint32_t w = r->match | field(r, kRs, 21, reg_any()) | field(r, kRt, 16, rt) | field(r, kRd, 11, rd);
  if (r->mask >> 13 & 7 && (r->mask & kRd) != kRd) w |= below(4) << 11;  // an accumulator
  if (r->mask >> 23 & 7 && (r->mask & kRs) != kRs) w |= below(4) << 21;
  if (one_of(r->name, "shilo")) w |= below(2) << 20;
  if (one_of(r->name, "rddsp wrdsp repl.ph repl.qb")) w |= below(32) << (r->name[0] == 'w' ? 11 : 16);
  return w;
}

// Vector registers at random; general registers and addresses as they may be.
static uint32_t msa_word(const Row* r) {
  const uint32_t w = r->match | ((uint32_t)(rnd() >> 13) & ~r->mask);
  const unsigned minor = w & 63;
  if (one_of(r->name, "lsa")) return r->match | reg_any() << 21 | reg_any() << 16 | reg_any() << 11 | below(4) << 6;
  if (minor >= 0x20) {  // LD, ST
    unsigned bytes = below(256) - 128;
    if (minor >= 0x24) bytes &= ~15u;  // QEMU writes the first part of what then fails
    const unsigned at = (unsigned)((int)bytes >> (minor & 3)) & 0x3ff;
    return r->match | at << 16 | (uint32_t)kBase << 11 | below(32) << 6;
  }
  if (one_of(r->name, "cfcmsa")) return r->match | 1u << 11 | reg_any() << 6;
  if (strstr(r->name, "copy_")) return (w & ~kSa) | reg_any() << 6;
  if (strstr(r->name, "insert.") || strstr(r->name, "fill.")) return (w & ~kRd) | reg_any() << 11;
  if (one_of(r->name, "sld splat")) return (w & ~kRt) | reg_any() << 16;
  return chance(2) ? w : (w & ~(0x001ce700u & ~r->mask));  // often the same few registers, so that results meet
}

// The word of a row that is neither branch nor left out.
static uint32_t random_word(const Row* r) {
  const unsigned bytes = access_bytes(r), opcode = r->match >> 26;
  if (bytes) {
    const int fp = opcode == 49 || opcode == 53 || opcode == 57 || opcode == 61;
    const unsigned rt = fp ? freg(bytes == 8) : reg_any();
    return r->match | (uint32_t)kBase << 21 | rt << 16 | ((uint32_t)(int)(below(256) - 128) & (0u - bytes) & 0xffff);
  }
  if (r->isa == Dsp || r->isa == DspR2) return dsp_word(r);
  if (r->isa == Msa) return msa_word(r);
  if (opcode == 17 || opcode == 19) return r->match | fp_fields(r);
  if (one_of(r->name, "synci pref"))
    return r->match | (uint32_t)kBase << 21 | field(r, kRt, 16, below(32)) | (below(256) & 0xfffc);
  if (one_of(r->name, "movci")) return r->match | reg_any() << 21 | below(8) << 18 | below(2) << 16 | reg_any() << 11;
  if (one_of(r->name, "break")) {
    static const uint8_t kCodes[] = {0, 99, 100, 200};
    return r->match | (uint32_t)kCodes[below(4)] << 16;
  }
  if (one_of(r->name, "tge tgeu tlt tltu teq tne"))
    return r->match | reg_any() << 21 | reg_any() << 16;  // with codes QEMU 7.2 differs from Linux
  if (one_of(r->name, "ext ins dext dextm dextu dins dinsm dinsu"))
    return r->match | reg_any() << 21 | reg_any() << 16 | bit_field(r);
  if (one_of(r->name, "sync")) return r->match;
  if (one_of(r->name, "mfhi mflo")) return r->match | reg_any() << 11;
  if (one_of(r->name, "mthi mtlo")) return r->match | reg_any() << 21;
  uint32_t w = r->match | field(r, kRs, 21, reg_any()) | field(r, kRt, 16, reg_any());
  if (opcode != 0 && opcode != 28 && opcode != 31) return w | (uint32_t)(rnd() >> 33 & 0xffff);  // an immediate
  if (one_of(r->name, "clz clo dclz dclo")) {  // rt and rd name the result both
    const unsigned rd = reg_any();
    return (w & ~kRt) | rd << 16 | rd << 11;
  }
  return w | field(r, kRd, 11, reg_any()) | field(r, kSa, 6, below(32));
}

static const Row* random_row(int want_branch) {
  for (;;) {
    const Row* r = &kRows[below(kRowCount)];
    if (usable(r) && (r->kind != Plain) == want_branch) {
      if ((kMsa || kDsp) && r->isa < Dsp && !want_branch && !chance(4)) continue;  // mostly what the kind is for
      if (one_of(r->name, "break tge tgeu tlt tltu teq tne tgei tgeiu tlti tltiu teqi tnei") && !chance(6)) continue;
      return r;
    }
  }
}

static void put_plain(Code* c, int in_slot) {
  for (;;) {
    const Row* r = random_row(0);
    const uint32_t word = random_word(r);
    if (in_slot && needs_operands(r, word)) continue;
    prepare_operands(c, r, word);
    put(c, word);
    return;
  }
}

static void await(Code* c, unsigned at, int form) {
  c->pending[c->pendings++] = (struct Pending){at, 1 + below(3), form};
}
static void land(Code* c, int all) {
  for (unsigned i = 0; i < c->pendings;) {
    struct Pending* p = &c->pending[i];
    if (!all && --p->items) {
      i++;
      continue;
    }
    if (p->form == 0) c->words[p->at] |= (c->n - p->at - 1) & 0xffff;
    if (p->form == 1) c->words[p->at] |= ((uint32_t)(uintptr_t)&c->words[c->n] & 0x0fffffff) >> 2;
    if (p->form == 2) c->words[p->at] |= (c->n - p->at) * 4;
    *p = c->pending[--c->pendings];
  }
}

static void put_branch(Code* c) {
  const Row* r = random_row(1);
  const unsigned opcode = r->match >> 26;
  if (one_of(r->name, "jr jalr")) {
    const unsigned target = 1 + below(20), link = 21 + below(4);
    put(c, op(1) | 17u << 16 | 1);  // BGEZAL $0: $31 = the address of what follows the slot
    put(c, kNop);
    await(c, c->n, 2);
    put(c, op(k64 ? 25 : 9) | 31u << 21 | target << 16);  // the target, patched
    put(c, r->match | target << 21 | (r->name[1] == 'a' ? link << 11 : 0) | (chance(4) ? 16u << 6 : 0));
  } else if (opcode == 2 || opcode == 3) {
    await(c, c->n, 1);
    put(c, r->match);
  } else {
    await(c, c->n, 0);
    const uint32_t cc = opcode == 17 ? below(8) << 18 : 0;
    unsigned rs = reg_any(), rt = reg_any();
    while (rs == 0 || rs == rt) rs = 1 + below(25);  // to QEMU one that is never taken is no branch: it has no slot
    put(c, r->match | field(r, kRs, 21, rs) | (opcode == 17 ? cc : field(r, kRt, 16, rt)));
  }
  put_plain(c, 1);
}

// LL, something between, SC of the same word.
static void put_atomic(Code* c) {
  const int wide = k64 && chance(2);
  const uint32_t at = (uint32_t)kBase << 21 | (below(16) * 8);
  const unsigned r = 1 + below(20);
  put(c, op(wide ? 52 : 48) | r << 16 | at);
  put(c, op(9) | r << 21 | r << 16 | below(100));
  put(c, op(wide ? 60 : 56) | r << 16 | at);
}
// A floating-point load or store with an index register.
static void put_indexed(Code* c) {
  static const uint8_t kLoads[] = {0, 1}, kStores[] = {8, 9};
  const unsigned index = 1 + below(20);
  put(c, op(12) | index << 21 | index << 16 | 0x78);
  const uint32_t at = op(19) | (uint32_t)kBase << 21 | index << 16;
  if (chance(2))
    put(c, at | freg(1) << 6 | kLoads[below(2)]);
  else
    put(c, at | freg(1) << 11 | kStores[below(2)]);
}

#ifdef MIPS16
#include "mips16.h"
#endif

static void make_code(Code* c) {
  const unsigned items = chance(2) ? 1 : 2 + below(kMips16 ? 4 : 11);
  for (unsigned i = 0; i < items; i++) {
#ifdef MIPS16
    if (items == 1 || chance(2)) {
      put_block16(c);
      continue;
    }
#endif
    switch (below(24)) {
      case 0:
      case 1:
      case 2:
      case 3: put_branch(c); break;
      case 4: put_atomic(c); break;
      case 5: put_indexed(c); break;
      default: put_plain(c, 0); break;
    }
    land(c, 0);
  }
  land(c, 1);
  put(c, op(2) | ((uint32_t)(uintptr_t)resume & 0x0fffffff) >> 2);
  put(c, kNop);
}

// --- running
typedef struct {
  int signal;
  unsigned pc;       // within the code
  uint64_t address;  // of a SIGSEGV
  uint64_t frame;    // hash of the registers in the handler's frame
} Ending;
static Ending g_ending;
static const uint32_t* g_begin;

static uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3ull ^ hash >> 29; }

static void on_signal(int number, siginfo_t* info, void* context) {
  mcontext_t* m = &((ucontext_t*)context)->uc_mcontext;
  g_ending.signal = number;
  g_ending.pc = (unsigned)((uintptr_t)m->pc - (uintptr_t)g_begin);
  g_ending.address = number == SIGSEGV ? (uint64_t)(uintptr_t)info->si_addr & ~7ull : 0;
  uint64_t h = 1;
  for (int i = 1; i < 32; i++)
    if (i != 26 && i != 27 && i != 29) h = mix(h, (Reg)m->gregs[i]);
  g_ending.frame = mix(mix(h, (Reg)m->mdhi), (Reg)m->mdlo);
  if (g_ending.pc >= kSlotWords * 4) _Exit(3);  // not in the tested code
  m->pc = (uintptr_t)resume;
}

typedef struct {
  Context before, after;
  Ending ending;
  uint64_t memory;
} Case;

static void start_registers(Context* c) {
  for (int i = 0; i < 32; i++) c->gpr[i] = random_gpr();
  c->hi = random_gpr(), c->lo = random_gpr();
  uintptr_t base = (uintptr_t)kData + kDataBytes / 2;
  if (chance(12))
    base = (uintptr_t)kData + below(16) * (kMsa ? 16 : 8);
  else if (chance(12))
    base = (uintptr_t)kData + kDataBytes - below(16) * (kMsa ? 16 : 8);
  c->gpr[kBase] = base;
  for (int i = 0; i < 32; i++) c->fpr[i] = random_float();
  c->fcsr = below(4) | (uint32_t)below(32) << 2;           // rounding mode, flags
  c->fcsr |= below(2) << 23 | (uint32_t)below(128) << 25;  // conditions
  if (kMsa) c->fcsr |= 3u << 18;  // NAN2008 and ABS2008, which can't be written
  if (kDsp) {
    c->dsp = (uint32_t)rnd() & 0x0fff7fff & ~0x40u;
    for (int i = 0; i < 6; i++) c->acc[i] = (uint32_t)random_gpr();
  }
  if (kMsa) {
    for (int i = 0; i < 32; i++) c->w[i][0] = c->fpr[i] = random_float(), c->w[i][1] = random_float();
    c->msacsr = below(4) | (uint32_t)below(32) << 2;
  }
}

static void run_case(Case* k, const uint32_t* code) {
  uint64_t* data = (uint64_t*)kData;
  const size_t first = 0, middle = (kDataBytes / 2 - 256) / 8, last = (kDataBytes - 512) / 8;
  for (int i = 0; i < 64; i++) data[first + i] = rnd(), data[middle + i] = rnd(), data[last + i] = rnd();
  k->after = k->before;
  k->after.pc = (Reg)(uintptr_t)code;
  memset(&g_ending, 0, sizeof g_ending);
  g_begin = code;
  enter(&k->after);
  k->ending = g_ending;
  uint64_t h = 0;
  for (int i = 0; i < 64; i++) h = mix(mix(mix(h, data[first + i]), data[middle + i]), data[last + i]);
  k->memory = h;
}

static uint64_t hash_case(const Case* k) {
  uint64_t h = 0;
  for (int i = 1; i < 32; i++)
    if (i != 26 && i != 27 && i != 29) h = mix(h, k->after.gpr[i]);
  h = mix(mix(mix(h, k->after.hi), k->after.lo), k->after.fcsr);
  for (int i = 0; i < 32; i += kFr ? 1 : 2) h = mix(h, k->after.fpr[i]);
  if (kDsp) {
    h = mix(h, k->after.dsp);
    for (int i = 0; i < 6; i++) h = mix(h, k->after.acc[i]);
  }
  if (kMsa) {
    h = mix(h, k->after.msacsr);
    for (int i = 0; i < 32; i++) h = mix(mix(h, k->after.w[i][0]), k->after.w[i][1]);
  }
  return mix(mix(mix(mix(mix(h, (uint64_t)k->ending.signal), k->ending.pc), k->ending.address), k->ending.frame),
             k->memory);
}

// --- in words
static const char* name_of(uint32_t word) {
  for (int i = 0; i < kRowCount; i++)
    if ((word & kRows[i].mask) == kRows[i].match && (k64 || (kRows[i].isa != M64 && kRows[i].isa != M64R2)))
      return kRows[i].name;
  return "?";
}
static void show_case(const Case* k, const Code* c) {
  for (unsigned i = 0; i < c->n; i++) printf("  +%02x %08x %s\n", i * 4, c->words[i], name_of(c->words[i]));
  printf("  signal %d at +%x address %llx frame %016llx memory %016llx\n", k->ending.signal, k->ending.pc,
         (unsigned long long)k->ending.address, (unsigned long long)k->ending.frame, (unsigned long long)k->memory);
  for (int i = 1; i < 32; i++)
    if (i != 26 && i != 27 && i != 29)
      printf("  $%d %llx -> %llx\n", i, (unsigned long long)k->before.gpr[i], (unsigned long long)k->after.gpr[i]);
  printf("  hi %llx -> %llx\n  lo %llx -> %llx\n  fcsr %08x -> %08x\n", (unsigned long long)k->before.hi,
         (unsigned long long)k->after.hi, (unsigned long long)k->before.lo, (unsigned long long)k->after.lo,
         k->before.fcsr, k->after.fcsr);
  for (int i = 0; i < 32; i += kFr ? 1 : 2)
    printf("  f%d %016llx -> %016llx\n", i, (unsigned long long)k->before.fpr[i], (unsigned long long)k->after.fpr[i]);
  for (int i = 0; kDsp && i < 6; i++)
    printf("  %s%d %08x -> %08x\n", i & 1 ? "lo" : "hi", i / 2 + 1, k->before.acc[i], k->after.acc[i]);
  if (kDsp) printf("  dspcontrol %08x -> %08x\n", k->before.dsp, k->after.dsp);
  for (int i = 0; kMsa && i < 32; i++)
    printf("  w%d %016llx %016llx -> %016llx %016llx\n", i, (unsigned long long)k->before.w[i][1],
           (unsigned long long)k->before.w[i][0], (unsigned long long)k->after.w[i][1],
           (unsigned long long)k->after.w[i][0]);
  if (kMsa) printf("  msacsr %08x -> %08x\n", k->before.msacsr, k->after.msacsr);
}

static void prepare(void) {
  if (mprotect(g_code, sizeof g_code, PROT_READ | PROT_WRITE | PROT_EXEC)) {
    perror("mprotect");
    exit(2);
  }
  uint8_t* p = mmap(kData - 65536, kDataBytes + 2 * 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (p == MAP_FAILED || mprotect(kData, kDataBytes, PROT_READ | PROT_WRITE)) {
    perror("mmap");
    exit(2);
  }
  struct sigaction a = {0};
  a.sa_sigaction = on_signal;
  a.sa_flags = SA_SIGINFO | SA_NODEFER;
  static const int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGILL};
  for (unsigned i = 0; i < sizeof kSignals / sizeof kSignals[0]; i++) sigaction(kSignals[i], &a, NULL);
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: mips SEED COUNT [show]\n");
    return 2;
  }
  const uint64_t first = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
  prepare();
  static Code codes[kSlots];
  static Case cases[kSlots];
  for (uint64_t at = 0; at < count; at += kSlots) {
    const unsigned n = count - at < kSlots ? (unsigned)(count - at) : kSlots;
    for (unsigned i = 0; i < n; i++) {  // all code first: the page is written once, then run
      g_rng = (first + at + i + 1) * 0x9e3779b97f4a7c15ull;
      rnd();
      codes[i] = (Code){.words = g_code[i]};
      make_code(&codes[i]);
      start_registers(&cases[i].before);
      cases[i].after.fcsr = 0;
    }
    cacheflush(g_code, sizeof g_code, BCACHE);
    for (unsigned i = 0; i < n; i++) {
      g_rng = (first + at + i + 1) * 0xd1342543de82ef95ull;
      rnd();
      run_case(&cases[i], g_code[i]);
      printf("%llu %016llx\n", (unsigned long long)(first + at + i), (unsigned long long)hash_case(&cases[i]));
      if (argc > 3) show_case(&cases[i], &codes[i]);
    }
  }
  return 0;
}
