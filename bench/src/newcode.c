// Translation-bound work: n pages of fresh code, each instruction executed once. Prints how many there were, so that CPU time
// tells what it costs to translate one. The mix is that of compiled code in kind: moves, loads and stores on the stack,
// arithmetic, a conditional branch about every six instructions.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loops.h"

enum { kPage = 4096 };

typedef struct {
  uint8_t* at;
  long count;
} Emitter;

static void put(Emitter* e, const void* bytes, int size) {
  memcpy(e->at, bytes, (size_t)size);
  e->at += size;
  e->count++;
}

#define INSN(e, ...)                        \
  do {                                      \
    const uint8_t b[] = {__VA_ARGS__};      \
    put(e, b, sizeof b);                    \
  } while (0)

// One page of code whose last instruction jumps to the page after it.
static long template_page(uint8_t* page) {
  Emitter e = {page, 0};
  uint32_t lcg = 7;
  while (e.at < page + kPage - 24) {
    lcg = lcg * 1664525u + 1013904223u;
    const uint8_t v = (uint8_t)(lcg >> 16), slot = (uint8_t)(v & 0x38);
    switch (lcg >> 28) {
      case 0: INSN(&e, 0x05, v, 1, 2, 3); break;             // add eax, imm32
      case 1: INSN(&e, 0x8b, 0x4c, 0x24, slot); break;       // mov ecx, [esp+slot]
      case 2: INSN(&e, 0x89, 0x44, 0x24, slot); break;       // mov [esp+slot], eax
      case 3: INSN(&e, 0x31, 0xc2); break;                   // xor edx, eax
      case 4: INSN(&e, 0x8d, 0x50, v); break;                // lea edx, [eax+v]
      case 5: INSN(&e, 0xc1, 0xe0, 3); break;                // shl eax, 3
      case 6: INSN(&e, 0x6b, 0xc9, v); break;                // imul ecx, ecx, v
      case 7: INSN(&e, 0x8b, 0x54, 0x24, slot); break;       // mov edx, [esp+slot]
      case 8: INSN(&e, 0x03, 0x44, 0x24, slot); break;       // add eax, [esp+slot]
      case 9: INSN(&e, 0x29, 0xd1); break;                   // sub ecx, edx
      case 10: INSN(&e, 0x89, 0xc8); break;                  // mov eax, ecx
      case 11: INSN(&e, 0x89, 0x54, 0x24, slot); break;      // mov [esp+slot], edx
      case 12: INSN(&e, 0x0f, 0xb6, 0xc9); break;            // movzx ecx, cl
      default:                                               // cmp or test, then a branch to the next instruction
        if (v & 1) INSN(&e, 0x3d, v, v, 0, 0);
        else INSN(&e, 0x85, 0xd2);
        INSN(&e, (uint8_t)(0x70 | (v >> 4)), 0);
    }
  }
  const uint32_t rest = (uint32_t)(page + kPage - e.at) - 5;
  INSN(&e, 0xe9, (uint8_t)rest, 0, 0, 0);                    // jmp to the page's end
  memset(e.at, 0x90, (size_t)(page + kPage - e.at));
  return e.count;
}

uint64_t newcode(long n) {
  uint8_t* code = mmap(0, (size_t)(n + 2) * kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  static uint8_t page[kPage];
  const long insns = template_page(page);
#ifdef __x86_64__
  static const uint8_t kEnter[] = {0x48, 0x83, 0xec, 0x48, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2}, kLeave[] = {0x48, 0x83, 0xc4, 0x48, 0xc3};
#else
  static const uint8_t kEnter[] = {0x83, 0xec, 0x4c, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2}, kLeave[] = {0x83, 0xc4, 0x4c, 0xc3};
#endif
  // The stack slots get known values first: eight stores of zero.
  uint8_t* at = code + kPage - sizeof kEnter - 8 * 4;
  uint8_t* const entry = at;
  memcpy(at, kEnter, sizeof kEnter);
  at += sizeof kEnter;
  for (int i = 0; i < 8; i++, at += 4) memcpy(at, (const uint8_t[]){0x89, 0x44, 0x24, (uint8_t)(i * 8)}, 4);
  for (long i = 1; i <= n; i++) memcpy(code + i * kPage, page, kPage);
  memcpy(code + (n + 1) * kPage, kLeave, sizeof kLeave);
  uint32_t (*run)(void);
  memcpy(&run, &entry, sizeof run);
  const uint32_t result = run();
  printf("insns=%ld ", insns * n);
  return result;
}
