// Random MIPS16e code for mips.c (-DMIPS16): a block of it that is called by JALX and returns by JRC. Left out: what
// changes the stack pointer, the registers that mips.c needs, and jumps.
typedef struct {
  uint32_t mask, match;
  const char* name;
  const char* form;
} Row16;
#define INSN16(mask, match, name, form, word) {mask, match, name, #form},
static const Row16 kRows16[] = {
#include "mips16.inc"
};
#undef INSN16

typedef struct {
  uint16_t* halves;
  unsigned n;
} Code16;
static void put16(Code16* c, unsigned half) { c->halves[c->n++] = (uint16_t)half; }
static unsigned extension(unsigned value) { return 0xf000 | (value & 0x7e0) | (value >> 11 & 0x1f); }

static void put_one16(Code16* c) {
  const Row16* r;
  do r = &kRows16[below(sizeof kRows16 / sizeof kRows16[0])];
  while (one_of(r->form, "SaveRestore Jal JumpRx JumpRa SpSp8 RaSp4 RxSp4") || one_of(r->name, "sdbbp") ||
         (one_of(r->form, "Break") && !chance(8)));
  unsigned w = r->match | ((unsigned)(rnd() >> 20) & ~r->mask & 0xffff);
  // $16, which is field 0, holds an address all the time.
  if (!(r->mask & 0x700) && !one_of(r->form, "Branch11") && !(w & 0x700)) w |= (1 + below(7)) << 8;
  if (one_of(r->form, "RyRx4 RyAt1 RyAt2 RyAt4 Shift RzRxRy T8RxRy RxRxRy RyRyRx RxZeroRy RxRy Movr32") && !(w & 0xe0))
    w |= (1 + below(7)) << 5;
  if (one_of(r->form, "RzRxRy") && !(w & 0x1c)) w |= (1 + below(7)) << 2;
  const int extends = chance(3);
  if (one_of(r->form, "Mov32r")) {
    while (((w >> 5 & 7) | (w & 0x18)) >= 26 || (w & 0xf8) == 0x10) w = r->match | below(256);
  } else if (one_of(r->form, "Movr32")) {
    while ((w & 31) >= 26 && (w & 31) != 30) w = (w & ~0x1fu) | below(32);
  } else if (one_of(r->form, "RyAt1 RyAt2 RyAt4")) {
    w &= ~0x700u;
    if (extends) {
      const unsigned size = r->form[4] - '0', at = (below(256) - 128) & (0u - size);
      put16(c, extension(at));
      w = (w & ~0x1fu) | (at & 0x1f);
    }
  } else if (one_of(r->form, "Branch11 BranchRx BranchT8")) {  // not far, onwards
    const unsigned at = below(5);
    w = (r->form[6] == '1' ? r->match : (w & ~0xffu)) | at;
    if (extends) put16(c, extension(at));
  } else if (one_of(r->form, "Shift")) {
    if (extends) put16(c, 0xf000 | below(32) << 6), w &= ~0x1cu;
  } else if (one_of(r->form, "RyRx4")) {
    if (extends) put16(c, 0xf000 | below(2048));
  } else if (one_of(r->form, "RxRx8 T8Rx8 RxZero8") || (one_of(r->form, "RxPc4") && r->match == 0x0800)) {
    if (extends) put16(c, 0xf000 | below(2048)), w &= ~0xe0u;
  } else if (one_of(r->name, "div divu")) {
    put16(c, 0x6800 | (w >> 5 & 7) << 8 | (1 + below(255)));  // LI: not by zero
  }
  put16(c, w);
}

static void put_block16(Code* c) {
  put(c, op(9) | (uint32_t)kBase << 21 | 16u << 16);  // ADDIU $16, $28, 0
  put(c, op(29) | ((uint32_t)(uintptr_t)&c->words[c->n + 4] & 0x0fffffff) >> 2);
  put(c, kNop);
  const unsigned over = c->n;
  put(c, op(4));
  put(c, kNop);
  Code16 block = {(uint16_t*)&c->words[c->n], 0};
  const unsigned count = chance(3) ? 1 : 1 + below(8);
  for (unsigned i = 0; i < count; i++) put_one16(&block);
  for (unsigned i = 0; i < 6; i++) put16(&block, 0x6500);  // NOP
  put16(&block, 0xe8a0);                                   // JRC ra
  if (block.n & 1) put16(&block, 0x6500);
  c->n += block.n / 2;
  c->words[over] |= c->n - over - 1;
}
