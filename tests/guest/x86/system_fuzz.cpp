// Random system instructions on random tables and registers: nothing may crash, hang or trip an ASSERT, and every
// delivery ends.
#include <array>
#include <random>

#include "system_fixture.h"

namespace doppel::x86::test {
namespace {

using Call = u64 (*)(X86State*, u64, u64, u64, u64);
struct Row {
  const char* name;
  unsigned nargs;
  Call call;
};

// Any helper with four arguments: those it does not take are dropped.
#define ARGS_0(f) f(s)
#define ARGS_1(f) f(s, a)
#define ARGS_2(f) f(s, a, b)
#define ARGS_3(f) f(s, a, b, c)
#define ARGS_4(f) f(s, a, b, c, d)
const Row kRows[] = {
#define HELPER(name, nargs, ret, effects)                                                  \
  {#name, nargs,                                                                           \
   [](X86State* s, [[maybe_unused]] u64 a, [[maybe_unused]] u64 b, [[maybe_unused]] u64 c, \
      [[maybe_unused]] u64 d) -> u64 { return ARGS_##nargs(helper_##name); }},
#include "guest/x86/helpers/system.def"
#undef HELPER
};

class SystemFuzz : public SystemTest {
 protected:
  std::mt19937_64 random{12345};
  u64 pick(u64 n) { return random() % n; }
  // Mostly interesting numbers: selectors, small addresses, single bits, all ones.
  u64 value() {
    switch (pick(8)) {
      case 0: return random();
      case 1: return pick(0x100);
      case 2: return u64{1} << pick(64);
      case 3: return pick(kRam);
      case 4: return pick(16);
      case 5: return ~u64{0} - pick(16);
      case 6: return 8 * pick(16) + pick(4);
      default: return static_cast<u32>(random());
    }
  }
  void scramble_memory() {
    for (unsigned i = 0; i < 32; i++) {
      const u8 types[] = {0x9b, 0x93, 0xfb, 0xf3, 0x89, 0x8b, 0x82, 0x81,
                          0x85, 0xe5, 0xec, 0xe4, 0x97, 0x9f, 0x13, 0x00};
      descriptor(kGdt, i, static_cast<u32>(pick(2) ? 0 : pick(kRam)), static_cast<u32>(pick(0x100000)), types[pick(16)],
                 static_cast<u8>(pick(16)));
    }
    for (unsigned i = 0; i < 512; i++)
      poke<u64>(kIdt + 8 * i, pick(4) ? (pick(0x100) << 40 | pick(16) << 19 | 0x5000 | u64{0x8e} << 40) : random());
    for (unsigned i = 0; i < 0x100; i++) poke<u32>(kTss + 4 * i, static_cast<u32>(value()));
    for (unsigned i = 0; i < 0x400; i++) poke<u32>(0x7000 + 4 * i, static_cast<u32>(value()));
    for (unsigned i = 0; i < 64; i++)
      poke<u64>(kTables + 8 * pick(0xa00), pick(2) ? random() : pick(1024) << 12 | pick(256));
  }
};

TEST_F(SystemFuzz, RandomHelpers) {
  constexpr int kRounds = 300, kCalls = 60;
  u64 raised = 0;
  for (int round = 0; round < kRounds; round++) {
    static constexpr const char* kCpus[] = {"max", "pentium", "qemu64", "486", "max,-lm"};
    make(kCpus[pick(5)]);
    const u64 kind = pick(4);
    if (kind == 1) protected_mode();
    if (kind >= 2 && s().model->has("lm")) long_mode_on();
    if (kind == 3 && s().model->has("lm")) user_mode();
    scramble_memory();
    flush_tlb(s());
    for (int i = 0; i < kCalls && s().halted != kShutdown; i++) {
      for (unsigned g = 0; g < 4; g++) s().gpr[pick(16)] = value();
      if (pick(4) == 0) s().gpr[RSP] = 0x7000 + pick(0x800);
      if (pick(4) == 0) s().gpr[RCX] = pick(2) ? 0xc0000080u + pick(0x110) : pick(0x500);
      const Row& row = kRows[pick(std::size(kRows))];
      const bool sizes =
          std::string_view(row.name).starts_with("port") || std::string_view(row.name).starts_with("rdrand") ||
          std::string_view(row.name).starts_with("rdseed") || std::string_view(row.name).ends_with("gsbase");
      u64 a = value(), b = value(), c = value();
      const u64 opsize = u64{2} << pick(3);
      if (sizes) a = std::string_view(row.name).starts_with("rd") ? opsize : a, b = opsize, c = opsize;
      if (std::string_view(row.name) == "wrfsgsbase" || std::string_view(row.name) == "port_out") b = value();
      if (std::string_view(row.name).starts_with("far_") || std::string_view(row.name) == "iret" ||
          std::string_view(row.name) == "pushf_image") {
        if (std::string_view(row.name) == "far_jmp" || std::string_view(row.name) == "far_call")
          a = 8 * pick(32) + pick(4), c = opsize;
        else
          a = opsize;
        if (std::string_view(row.name) == "far_ret") b = pick(0x10000);
      }
      if (std::string_view(row.name) == "popf") b = opsize;
      if (std::string_view(row.name) == "load_seg")
        a = std::array<u64, 5>{ES, SS, DS, FS, GS}[pick(5)], b = static_cast<u16>(b);
      if (std::string_view(row.name).starts_with("raise_")) a = pick(20);
      if (std::string_view(row.name).starts_with("int_n")) a = pick(256);
      raised += raises(pick(0x10000), [&] { row.call(sp, a, b, c, value()); });
      if (pick(4) == 0) cpu->nmi();
      if (pick(8) == 0) cpu->smi();
      if (pick(4) == 0) {
        cpu->set_intr(true);
        platform.vector = static_cast<int>(pick(256));
      }
      if (pick(32) == 0) cpu->init();
      if (pick(8) == 0) cpu->after_single_step();
      bool done = false;
      for (int k = 0; k < 16 && !done; k++) {
        try {
          cpu->deliver_pending();
          done = true;
        } catch (const Unwound&) {
        }
      }
      ASSERT_TRUE(done) << "delivery after " << row.name << " does not end";
      ASSERT_LE(s().cpl, 3);
      raises(0, [&] { mem::load<u32>(s().h, value()); });
      s().exc_pending = 0;
      s().delivering = -1;
      cpu->set_intr(false);
    }
    cpu->dump_registers();
  }
  EXPECT_GT(raised, 1000u);
}

}  // namespace
}  // namespace doppel::x86::test
