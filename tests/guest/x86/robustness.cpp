// What fuzzing found: guests that must not end or hang the emulator.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <random>

#include "guest/x86/flat_machine.h"
#include "guest/x86/simd_translate.h"
#include "guest/x86/system_fixture.h"
#include "ir/ir.h"

namespace doppel::x86::test {
namespace {

struct PageReader final : guest::CodeReader {
  u8 bytes[mem::kPageSize] = {};
  size_t fetch(u64 va, u8* out, size_t size) override {
    for (size_t i = 0; i < size; i++) out[i] = bytes[(va + i) % sizeof bytes];
    return size;
  }
};

// ENTER with 31 levels, in every mode: the longest instruction there is, many times in a region.
TEST(Robustness, RegionsOfTheLongestInstructionsFit) {
  const CpuModel model = model_with_everything();
  const auto frontend = make_frontend(model);
  PageReader page;
  for (size_t i = 0; i + 4 <= sizeof page.bytes; i += 4) {
    const u8 enter[] = {0xc8, 0x00, 0x10, 0x1f};
    std::memcpy(page.bytes + i, enter, 4);
  }
  std::mt19937_64 random{1};
  for (int i = 0; i < 2000; i++) {
    guest::TranslateRequest request;
    request.mode = random() & ((u64{1} << 31) - 1) & ~u64{kModeTf | kModeShadow | kModeIobp};
    request.code = &page;
    request.limits.max_insns = 256;
    ir::Region region;
    region.mode = request.mode;
    region.layout = &frontend->layout();
    region.helpers = &frontend->helpers();
    frontend->translate(request, region);
    ASSERT_LE(region.ops.size(), ir::kMaxOps)
        << "mode " << request.mode << ", " << region.insn_count << " instructions";
  }
}

// Locked read-modify-writes of the code that follows them: the first store unwinds out of the exclusive section.
TEST(Robustness, LockedStoreIntoCode) {
  const CpuModel model = model_with_everything();
  void* memory = mmap(nullptr, mem::kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  u8* page = static_cast<u8*>(memory);
  const u8 code[] = {
      0xf0, 0xff, 0x05, 8, 0, 0, 0,  // lock inc dword [rip + 8]: the immediate
      0xf0, 0xff, 0x05, 1, 0, 0, 0,  // lock inc dword [rip + 1]
      0xb8, 0x10, 0,    0, 0,        // mov eax, 0x10
      0x0f, 0x0b,                    // ud2
  };
  for (const bool interpreter : {false, true}) {
    std::memcpy(page, code, sizeof code);
    FlatMachine machine(model, interpreter, true);
    machine.map(page, mem::kPageSize, true);
    machine.user_mode(false);
    machine.state().rip = reinterpret_cast<u64>(page);
    EXPECT_EQ(machine.run(), UD);
    EXPECT_EQ(machine.state().gpr[RAX], 0x12u) << (interpreter ? "interpreter" : "JIT");
  }
  munmap(memory, mem::kPageSize);
}

// A guest that moves a window for ever: layouts are kept while a vCPU may look at them, and not much longer.
TEST_F(SystemTest, OldMemoryLayoutsAreFreed) {
  const u32 window =
      memory.map_ram("window", u64{1} << 32, memory.wrap_ram("window", ram, 0x1000, false), 0, 0x1000, 0);
  const auto move = [&] {
    for (u64 n = 1; n <= 5000; n++) memory.set_range(window, true, (u64{1} << 32) + n * 0x1000);
  };
  tlb->at_safe_point();
  move();
  EXPECT_GE(memory.layouts_kept(), 5000u);
  tlb->at_safe_point();
  memory.set_range(window, true, u64{2} << 32);
  EXPECT_LE(memory.layouts_kept(), 2000u);
  EXPECT_NE(memory.find(u64{2} << 32), nullptr);
}

}  // namespace
}  // namespace doppel::x86::test
