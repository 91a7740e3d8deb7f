// -icount: time is the number of instructions executed, whatever the regions are. The same program by the JIT, the
// interpreter, without passes and with regions of one instruction meets each event at the same instruction, and its
// devices see the same count.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "guest/x86/flat_machine.h"
#include "guest/x86/simd_translate.h"

namespace doppel::x86::test {
namespace {

// Reads as the number of instructions executed; a write arms an event so many instructions later.
struct CountDevice final : mem::IoHandler {
  exec::VcpuLoop* loop = nullptr;
  std::vector<u64> seen;
  u64 event_at = ~u64{0};
  u64 io_read(u64, unsigned) override {
    seen.push_back(loop->icount());
    return seen.back();
  }
  void io_write(u64, u64 value, unsigned) override {
    seen.push_back(loop->icount());
    event_at = seen.back() + value;
    loop->kick();
  }
};

struct Outcome {
  std::map<u64, u64> events;  // instructions executed: where
  std::vector<u64> device;
  u64 total = 0, rax = 0;
  std::string memory;
  bool operator==(const Outcome&) const = default;
};

constexpr u64 kDevice = 0x20000000;

// Side exits, a repeated string, a call, stores into the code ahead, and a device.
const u8 kCode[] = {
    0x31, 0xdb,                                // xor ebx, ebx
    0xb9, 0x40, 0x00, 0x00, 0x00,              // again: mov ecx, 64
    0x48, 0x8d, 0x3d, 0xf2, 0x0f, 0x00, 0x00,  // lea rdi, [rip + ...]: the second page
    0xf3, 0xaa,                                // rep stosb
    0xb9, 0x05, 0x00, 0x00, 0x00,              // mov ecx, 5
    0x01, 0xd8,                                // loop: add eax, ebx
    0xa8, 0x03,                                // test al, 3
    0x74, 0x02,                                // jz +2
    0xff, 0xc0,                                // inc eax
    0xff, 0xc9,                                // dec ecx
    0x75, 0xf4,                                // jnz loop
    0x03, 0x14, 0x25, 0x00, 0x00, 0x00, 0x20,  // add edx, [device]
    0x88, 0x1d, 0x01, 0x00, 0x00, 0x00,        // mov [rip + 1], bl: the immediate that follows
    0x04, 0x00,                                // add al, 0
    0x89, 0x1c, 0x25, 0x00, 0x00, 0x00, 0x20,  // mov [device], ebx
    0x90, 0x90, 0x90,                          // nop
    0xff, 0xc3,                                // inc ebx
    0x83, 0xfb, 0x14,                          // cmp ebx, 20
    0x75, 0xc1,                                // jnz again
    0x0f, 0x0b,                                // ud2
};

Outcome run(const exec::Config& config, u8* page, u64 slice) {
  const CpuModel model = model_with_everything();
  std::memset(page, 0, 2 * mem::kPageSize);
  std::memcpy(page, kCode, sizeof kCode);
  FlatMachine machine(model, config);
  CountDevice device;
  device.loop = &machine.loop();
  machine.map(page, 2 * mem::kPageSize, true);
  machine.map_device(kDevice, device);
  machine.user_mode(false);
  machine.state().rip = reinterpret_cast<u64>(page);
  Outcome r;
  machine.loop().hooks.icount_slice = [&](u64 executed) {
    const u64 next = executed - executed % slice + slice;
    if (executed % slice == 0 || executed == device.event_at)
      r.events[executed] = machine.state().rip - reinterpret_cast<u64>(page);
    return static_cast<s64>((device.event_at > executed ? std::min(next, device.event_at) : next) - executed);
  };
  EXPECT_EQ(machine.run(), UD);
  r.device = device.seen;
  r.total = machine.loop().icount();
  r.rax = machine.state().gpr[RAX];
  r.memory.assign(reinterpret_cast<char*>(page), 2 * mem::kPageSize);
  return r;
}

class Icount : public testing::TestWithParam<u64> {
 protected:
  void SetUp() override {
    void* memory =
        mmap(nullptr, 2 * mem::kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    page_ = static_cast<u8*>(memory);
  }
  void TearDown() override { munmap(page_, 2 * mem::kPageSize); }
  static exec::Config config() {
    exec::Config c;
    c.icount = true;
    c.code_cache_bytes = size_t{8} << 20;
    return c;
  }
  u8* page_ = nullptr;
};

TEST_P(Icount, EventsComeAtTheSameInstruction) {
  exec::Config one = config();
  one.interpreter = true;
  one.max_insns = 1;
  const Outcome want = run(one, page_, GetParam());
  for (u64 n = GetParam(); n < want.total; n += GetParam()) EXPECT_TRUE(want.events.contains(n)) << n;
  EXPECT_EQ(want.device.size(), 40u);
  EXPECT_EQ(want.device[0], 30u);  // 5 instructions, 5 rounds of 5
  exec::Config jit = config(), plain = config(), interp = config(), short_jit = config();
  plain.opt = ir::OptFlags::none();
  interp.interpreter = true;
  short_jit.max_insns = 1;
  for (const auto& [name, c] : std::map<std::string, exec::Config>{
           {"JIT", jit}, {"no passes", plain}, {"interpreter", interp}, {"JIT, one by one", short_jit}}) {
    const Outcome got = run(c, page_, GetParam());
    EXPECT_EQ(got.device, want.device) << name;
    EXPECT_EQ(got.events, want.events) << name;
    EXPECT_EQ(got.total, want.total) << name;
    EXPECT_EQ(got, want) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Slices, Icount, testing::Values(1, 2, 7, 61, 1000));

}  // namespace
}  // namespace doppel::x86::test
