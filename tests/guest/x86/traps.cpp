// What translators got wrong before us (the list of docs/design), each by the shortest guest code that shows it, by the
// JIT and by the interpreter. Others have tests of their own: unmasked exceptions of every kind in simd_random.cpp and
// native_x87.cpp, page edges and their faults in native_sequence.cpp, self-modification in robustness.cpp.
#include <gtest/gtest.h>

#include <thread>

#include "guest/x86/kernel_machine.h"

namespace doppel::x86::test {
namespace {

using K = KernelMachine;
constexpr u64 kCode = 0x10000, kStack = 0xff00, kEnd = 0x60000, kHandlers = 0xe000;

// Identity for [0, kEnd) but for the page at `hole`; faults end in HLT at kHandlers + vector.
void prepare(K& m, u64 hole = kEnd) {
  for (u64 page = 0; page < kEnd; page += mem::kPageSize) {
    if (page != hole) m.map(0, page, page, K::P | K::W);
  }
  for (const unsigned vector : {13u, 14u, 16u, 19u}) {
    m.gate(vector, kHandlers + vector);
    m.poke(kHandlers + vector, {0xf4});
  }
  m.start(kCode, kStack);
}
// Where it ended, or the vector whose handler it reached. What was poked before is seen.
u64 run(K& m) {
  m.loop().post_invalidate(0, kEnd);
  m.run();
  const u64 at = m.state().rip - 1;
  return at >= kHandlers && at < kHandlers + 256 ? at - kHandlers : at;
}
void both(void (*test)(K& m)) {
  for (const bool interpreter : {false, true}) {
    SCOPED_TRACE(interpreter ? "interpreter" : "JIT");
    K m(interpreter);
    test(m);
  }
}

// One CPU runs a function while another changes its immediate, as kernels patch themselves: each value arrives.
TEST(Traps, CodePatchedByAnotherCpu) {
  both([](K& m) {
    constexpr u32 kRounds = 200;
    K other(m);
    prepare(m);
    m.poke(kCode, {0xe8, 0xfe, 0x1f, 0, 0,  // 0: call 0x12003
                   0x89, 0x07,              // mov [rdi], eax
                   0x39, 0xf0,              // cmp eax, esi
                   0x74, 0x05,              // je end
                   0x48, 0xff, 0xcd,        // dec rbp
                   0x75, 0xf0,              // jnz 0
                   0xf4});                  // end: hlt
    m.poke(0x11000, {0x89, 0x0e,            // 0: mov [rsi], ecx
                     0xf3, 0x90,            // 1: pause
                     0x39, 0x0f,            // cmp [rdi], ecx
                     0x74, 0x06,            // je 2
                     0x48, 0xff, 0xcd,      // dec rbp
                     0x75, 0xf5,            // jnz 1
                     0xf4,                  // hlt
                     0xff, 0xc1,            // 2: inc ecx
                     0x39, 0xd1,            // cmp ecx, edx
                     0x76, 0xec,            // jbe 0
                     0xf4});
    m.poke(0x12003, {0xb8, 0, 0, 0, 0, 0xc3});  // mov eax, imm (aligned); ret
    X86State& a = m.state();
    a.gpr[RDI] = 0x13000, a.gpr[RSI] = kRounds, a.gpr[RBP] = u64{1} << 29;
    other.start(0x11000, kStack - 0x1000);
    X86State& b = other.state();
    b.gpr[RDI] = 0x13000, b.gpr[RSI] = 0x12004, b.gpr[RCX] = 1, b.gpr[RDX] = kRounds, b.gpr[RBP] = u64{1} << 26;
    std::thread second([&] { other.run(); });
    m.run();
    second.join();
    EXPECT_EQ(a.gpr[RAX], kRounds);
    EXPECT_EQ(b.gpr[RCX], kRounds + 1);
    EXPECT_NE(a.gpr[RBP], 0u) << "the last value was not seen";
    EXPECT_NE(b.gpr[RBP], 0u) << "a value was not seen";
  });
}

// Code behind a branch overwrites the flags at once, so the comparison's are not kept: until that code is another one.
TEST(Traps, FlagsBehindABranch) {
  both([](K& m) {
    constexpr u32 kRounds = 100, kLimit = 1000;
    prepare(m);
    m.poke(kCode, {0x39, 0xf7,          // 0: cmp edi, esi
                   0x72, 0x3c,          // jb 1
                   0x01, 0xd2, 0xf4});  // add edx, edx; hlt
    m.poke(kCode + 64, {0x01, 0xd2,     // 1: add edx, edx
                        0xff, 0xc9,     // dec ecx
                        0x75, 0xba,     // jnz 0
                        0xf4});         // hlt
    X86State& s = m.state();
    s.gpr[RCX] = kRounds, s.gpr[RDI] = 0, s.gpr[RSI] = kLimit;
    ASSERT_EQ(run(m), kCode + 70);
    m.poke(kCode + 64, {0x9f,              // 1: lahf
                        0x0f, 0xb6, 0xdc,  // movzx ebx, ah
                        0x41, 0x01, 0xd8,  // add r8d, ebx
                        0xff, 0xc7,        // inc edi
                        0xff, 0xc9,        // dec ecx
                        0x75, 0xb3,        // jnz 0
                        0xf4});            // hlt
    m.loop().post_invalidate(kCode + 64, 14);
    s.gpr[RCX] = kRounds, s.gpr[R8] = 0, s.rip = kCode;
    m.run();
    EXPECT_EQ(s.rip, kCode + 64 + 14);
    u32 sum = 0;
    for (u32 x = 0; x < kRounds; x++) {
      const u32 d = x - kLimit;
      sum += SF | CF | 2 | ((x ^ kLimit ^ d) & AF) | (std::popcount(d & 0xff) % 2 ? 0 : PF);
    }
    EXPECT_EQ(s.gpr[R8], sum);
  });
}

// Dekker: each CPU stores, has a barrier, and loads what the other stores. Not both may read the old value.
void store_load(std::initializer_list<u8> store_and_barrier) {
  for (const bool interpreter : {false, true}) {
    SCOPED_TRACE(interpreter ? "interpreter" : "JIT");
    constexpr u32 kRounds = 1000;
    K m(interpreter);
    K other(m);
    prepare(m);
    m.poke(kCode, {0xf0, 0xff, 0x03,  // 0: lock inc dword [rbx]
                   0x8d, 0x04, 0x09,  // lea eax, [rcx + rcx]
                   0xf3, 0x90,        // 1: pause
                   0x39, 0x03,        // cmp [rbx], eax
                   0x72, 0xfa});      // jb 1: until both are here
    m.poke(kCode + 12, store_and_barrier);
    m.poke(kCode + 19, {0x8b, 0x16,              // mov edx, [rsi]
                        0x41, 0x89, 0x14, 0x88,  // mov [r8 + rcx * 4], edx
                        0xff, 0xc1,              // inc ecx
                        0x44, 0x39, 0xc9,        // cmp ecx, r9d
                        0x76, 0xe0,              // jbe 0
                        0xf4});
    other.start(kCode, kStack - 0x1000);
    for (K* k : {&m, &other}) {
      X86State& s = k->state();
      const u64 second = k == &other;
      s.gpr[RDI] = 0x20000 + second * 64, s.gpr[RSI] = 0x20040 - second * 64, s.gpr[RBX] = 0x20100;
      s.gpr[R8] = 0x30000 + second * 0x10000, s.gpr[RCX] = 1, s.gpr[R9] = kRounds;
    }
    std::thread second([&] { other.run(); });
    m.run();
    second.join();
    unsigned both_old = 0;
    for (u32 i = 1; i <= kRounds; i++)
      both_old += load_le<u32>(m.ram() + 0x30000 + 4 * i) < i && load_le<u32>(m.ram() + 0x40000 + 4 * i) < i;
    EXPECT_EQ(both_old, 0u);
  }
}
TEST(Traps, StoreThenLoadWithMfence) { store_load({0x89, 0x0f, 0x0f, 0xae, 0xf0, 0x90, 0x90}); }
TEST(Traps, StoreThenLoadWithXchg) { store_load({0x89, 0xca, 0x87, 0x17, 0x90, 0x90, 0x90}); }
TEST(Traps, StoreThenLoadWithLock) { store_load({0x89, 0x0f, 0xf0, 0x83, 0x0c, 0x24, 0x00}); }

// A ROM that is rewritten (flash), written to by DMA, or switched for other memory (shadow RAM): the old code is gone.
TEST(Traps, CodeInMemoryThatIsExchanged) {
  both([](K& m) {
    prepare(m);
    m.memory().on_change = [&m] { m.loop().post_flush_tlb(); };
    m.memory().on_code_write = [&m](u64 pa, u64 size) { m.loop().post_invalidate(pa, size); };
    m.poke(kCode, {0xe8, 0xfb, 0x1f, 0, 0, 0xf4});  // call 0x12000; hlt
    m.poke(0x12000, {0xb8, 1, 0, 0, 0, 0xc3});      // mov eax, 1; ret
    const auto result = [&m] {
      m.state().rip = kCode;
      m.run();  // nothing is invalidated but by what happened to the memory
      return m.state().gpr[RAX];
    };
    EXPECT_EQ(result(), 1u);
    const u32 two = 2, three = 3;
    m.memory().write(0x12001, &two, 4);
    EXPECT_EQ(result(), 2u);
    alignas(4096) static u8 rom[mem::kPageSize];
    const u8 code[] = {0xb8, 0x77, 0, 0, 0, 0xc3};
    std::memcpy(rom, code, sizeof code);
    const u32 range =
        m.memory().map_ram("rom", 0x12000, m.memory().wrap_ram("rom", rom, sizeof rom, true), 0, sizeof rom, 1, true);
    EXPECT_EQ(result(), 0x77u);
    rom[1] = 0x78;  // the device changes its contents and says so
    m.memory().set_range(range, false, 0x12000);
    m.memory().set_range(range, true, 0x12000);
    m.loop().post_invalidate(0x12000, sizeof rom);
    EXPECT_EQ(result(), 0x78u);
    m.memory().set_range(range, false, 0x12000);
    EXPECT_EQ(result(), 2u);
    m.memory().write(0x12001, &three, 4);
    EXPECT_EQ(result(), 3u);
  });
}

// FUCOMPP, FNSTSW AX, SAHF: the flags are the comparison's, whatever came between.
TEST(Traps, ComparisonReachesTheFlags) {
  both([](K& m) {
    struct Case {
      double st1, st0;
      u32 flags;
    };
    const double nan = __builtin_nan("");
    for (const Case& c : {Case{1, 2, 0}, {2, 1, CF}, {3, 3, ZF}, {nan, 1, CF | ZF | PF}, {-0.0, 0.0, ZF}}) {
      prepare(m);
      m.poke(kCode, {0xdb, 0xe3,              // fninit
                     0xdd, 0x06,              // fld qword [rsi]
                     0xdd, 0x07,              // fld qword [rdi]
                     0xda, 0xe9,              // fucompp
                     0xd9, 0xe8, 0xdd, 0xd8,  // fld1; fstp st0
                     0xdf, 0xe0,              // fnstsw ax
                     0x01, 0xc9,              // add ecx, ecx
                     0x9e,                    // sahf
                     0x9c, 0x5a,              // pushf; pop rdx
                     0xf4});
      X86State& s = m.state();
      s.gpr[RSI] = 0x20000, s.gpr[RDI] = 0x20008, s.gpr[RCX] = 0x80000000;
      std::memcpy(m.ram() + 0x20000, &c.st1, 8);
      std::memcpy(m.ram() + 0x20008, &c.st0, 8);
      run(m);
      EXPECT_EQ(s.gpr[RDX] & (CF | ZF | PF), c.flags) << c.st0 << " : " << c.st1;
    }
  });
}

TEST(Traps, MmxWritesOnesAboveTheRegister) {
  both([](K& m) {
    prepare(m);
    m.poke(kCode, {0xdb, 0xe3, 0xd9, 0xe8,  // fninit; fld1 (register 7)
                   0x0f, 0x6e, 0xf9,        // movd mm7, ecx
                   0x0f, 0xfe, 0xc7,        // paddd mm0, mm7
                   0x0f, 0xae, 0x07,        // fxsave [rdi]
                   0xf4});
    m.state().gpr[RDI] = 0x20000, m.state().gpr[RCX] = 5;
    run(m);
    for (const unsigned i : {0u, 7u}) {
      const u8* reg = m.ram() + 0x20000 + 32 + 16 * i;
      EXPECT_EQ(load_le<u64>(reg), 5u) << "mm" << i;
      EXPECT_EQ(load_le<u16>(reg + 8), 0xffffu) << "mm" << i;
    }
    EXPECT_EQ(m.ram()[0x20004], 0xff) << "all registers are valid";
  });
}

// Division by zero, unmasked: #XM with the destination as it was; #MF at the next x87 instruction.
TEST(Traps, UnmaskedExceptionsTrap) {
  both([](K& m) {
    prepare(m);
    m.poke(kCode, {0x0f, 0xae, 0x16,        // ldmxcsr [rsi]
                   0xf3, 0x0f, 0x10, 0x07,  // movss xmm0, [rdi]
                   0x0f, 0x57, 0xc9,        // xorps xmm1, xmm1
                   0xf3, 0x0f, 0x5e, 0xc1,  // divss xmm0, xmm1
                   0xf4});
    m.poke64(0x20000, 0x1d80);      // MXCSR: ZM clear
    m.poke64(0x20008, 0x3f800000);  // 1.0
    X86State& s = m.state();
    s.gpr[RSI] = 0x20000, s.gpr[RDI] = 0x20008;
    EXPECT_EQ(run(m), 19u);
    EXPECT_EQ(load_le<u64>(&s.xmm[0]), 0x3f800000u);
    prepare(m);
    m.poke(kCode, {0xdb, 0xe3, 0xd9, 0x2e,  // fninit; fldcw [rsi]
                   0xd9, 0xe8, 0xd9, 0xee,  // fld1; fldz
                   0xde, 0xf9,              // fdivp
                   0xff, 0xc2,              // inc edx
                   0x9b, 0xf4});            // fwait; hlt
    m.poke64(0x20000, 0x37b);               // ZM clear
    s.gpr[RSI] = 0x20000, s.gpr[RDX] = 0;
    EXPECT_EQ(run(m), 16u);
    EXPECT_EQ(s.gpr[RDX], 1u) << "it comes late";
  });
}

// Stores over the end of a page whose second page is not there: nothing is written.
TEST(Traps, CrossingStoresWriteNothing) {
  both([](K& m) {
    const std::initializer_list<u8> stores[] = {
        {0x48, 0x89, 0x07, 0xf4},        // mov [rdi], rax
        {0x0f, 0x11, 0x07, 0xf4},        // movups [rdi], xmm0
        {0x48, 0x87, 0x07, 0xf4},        // xchg [rdi], rax
        {0xf0, 0x48, 0x01, 0x07, 0xf4},  // lock add [rdi], rax
        {0xdb, 0x3f, 0xf4},              // fstp tbyte [rdi]
        {0x48, 0xab, 0xf4},              // stosq
        {0x8f, 0x07, 0xf4},              // pop [rdi]
    };
    for (const auto& store : stores) {
      for (const u64 before : {1u, 3u, 7u}) {
        prepare(m, 0x23000);
        m.poke(kCode, store);
        m.poke64(0x22ff8, 0x1122334455667788);
        X86State& s = m.state();
        s.gpr[RDI] = 0x23000 - before, s.gpr[RAX] = ~u64{0};
        std::memset(&s.xmm[0], 0xff, 16);
        s.fptag = 0;
        EXPECT_EQ(run(m), 14u);
        EXPECT_EQ(m.peek64(0x22ff8), 0x1122334455667788u);
        EXPECT_EQ(s.cr2, 0x23000u);
        EXPECT_EQ(s.gpr[RDI], 0x23000 - before);
      }
    }
  });
}

// A fault in the middle of a string: the counts say how far it came, to the element, either way.
TEST(Traps, StringsStopExactly) {
  both([](K& m) {
    for (const unsigned size : {1u, 2u, 4u, 8u}) {
      for (const bool down : {false, true}) {
        for (const bool source : {false, true}) {
          prepare(m, 0x23000);
          m.poke(kCode, {static_cast<u8>(down ? 0xfd : 0xfc), 0xf3});  // std, cld; rep movs
          const u8 prefix = size == 2 ? 0x66 : size == 8 ? 0x48 : 0x90;
          if (size == 2)
            m.poke(kCode, {static_cast<u8>(down ? 0xfd : 0xfc), prefix, 0xf3, 0xa5, 0xf4});
          else if (size == 8)
            m.poke(kCode, {static_cast<u8>(down ? 0xfd : 0xfc), 0xf3, prefix, 0xa5, 0xf4});
          else
            m.poke(kCode + 2, {static_cast<u8>(size == 1 ? 0xa4 : 0xa5), 0xf4});
          // Up: from 10 bytes before the hole; down: from above it, towards its last byte.
          const u64 edge = down ? 0x24000 : 0x23000, elements = 10 / size, start = down ? edge + 10 - size : edge - 10;
          const u64 free = down ? 0x40800 : 0x40000;
          X86State& s = m.state();
          s.gpr[RSI] = source ? start : free, s.gpr[RDI] = source ? free : start, s.gpr[RCX] = 100;
          std::memset(m.ram() + 0x22f00, 0x33, 0x100);
          std::memset(m.ram() + 0x24000, 0x33, 0x100);
          std::memset(m.ram() + 0x40000, 0x55, 0x1000);
          EXPECT_EQ(run(m), 14u);
          const u64 way = (down ? -u64{1} : u64{1}) * elements * size;
          EXPECT_EQ(s.gpr[RCX], 100 - elements) << size << (down ? " down" : " up");
          EXPECT_EQ(s.gpr[RSI], (source ? start : free) + way);
          EXPECT_EQ(s.gpr[RDI], (source ? free : start) + way);
          if (source) continue;
          unsigned written = 0;
          for (u64 at = down ? 0x24000 : 0x22f00; at < (down ? 0x24100u : 0x23000u); at++)
            written += m.ram()[at] == 0x55;
          EXPECT_EQ(written, elements * size) << size << (down ? " down" : " up");
        }
      }
    }
  });
}

// An instruction over the end of a page: a write to either page, or another page in place of either, and it is another.
TEST(Traps, StraddlingInstruction) {
  both([](K& m) {
    const auto fresh = [&m] {
      prepare(m);
      m.poke(0x12ffd, {0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3});  // mov eax, 0x44332211; ret
      m.poke(0x14000, {0x66, 0x77, 0xc3});                    // instead of its second part
      m.poke(0x15ffd, {0xb8, 0x88, 0x99});                    // instead of its first
      m.state().gpr[R8] = 0x12ffd;
    };
    X86State& s = m.state();
    for (const u64 at : {0x12ffe, 0x12fff, 0x13000, 0x13001}) {
      fresh();
      m.poke(kCode, {0x41, 0xff, 0xd0, 0x89, 0xc3,          // call r8; mov ebx, eax
                     0x88, 0x0f, 0x41, 0xff, 0xd0, 0xf4});  // mov [rdi], cl; call r8; hlt
      s.gpr[RDI] = at, s.gpr[RCX] = 0xee;
      run(m);
      const unsigned shift = static_cast<unsigned>(at - 0x12ffe) * 8;
      EXPECT_EQ(s.gpr[RBX], 0x44332211u);
      EXPECT_EQ(s.gpr[RAX], (0x44332211u & ~(0xffu << shift)) | 0xeeu << shift) << at;
    }
    const auto remapped = [&](u64 va, u64 to) {
      fresh();
      const u64 pte = m.pte_address(0, va);
      m.map(0, pte & mem::kPageMask, pte & mem::kPageMask, K::P | K::W);
      m.poke(kCode, {0x41, 0xff, 0xd0, 0x89, 0xc3,        // call r8; mov ebx, eax
                     0x48, 0x89, 0x0f, 0x0f, 0x01, 0x3e,  // mov [rdi], rcx; invlpg [rsi]
                     0x41, 0xff, 0xd0, 0xf4});            // call r8; hlt
      s.gpr[RDI] = pte, s.gpr[RCX] = to | K::P | K::W, s.gpr[RSI] = va;
      run(m);
      EXPECT_EQ(s.gpr[RBX], 0x44332211u);
      return s.gpr[RAX];
    };
    EXPECT_EQ(remapped(0x13000, 0x14000), 0x77662211u);
    EXPECT_EQ(remapped(0x12000, 0x15000), 0x44339988u);
  });
}

}  // namespace
}  // namespace doppel::x86::test
