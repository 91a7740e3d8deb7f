// -icount: time is the number of instructions executed, whatever the regions are. The same program by the JIT, the
// interpreter, without passes and with regions of one instruction meets each event at the same instruction, and its
// devices see the same count.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <span>

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

// Instructions that the middle of a region begins and gives up, to run them another way: a RET to elsewhere than its
// call (twice, a thunk against speculation), an addition to an empty x87 register, a division that overflows at last.
const u8 kRestarts[] = {
    0x31, 0xdb,                                // xor ebx, ebx
    0x48, 0x8d, 0x25, 0x00, 0x18, 0x00, 0x00,  // again: lea rsp, [rip + ...]: the second page
    0xe8, 0x27, 0x00, 0x00, 0x00,              // call thunk
    0xf0, 0xf7, 0x1c, 0x24,                    // back: lock neg dword [rsp]
    0xdb, 0xe3,                                // fninit
    0xd9, 0xe8,                                // fld1
    0xde, 0xc1,                                // faddp
    0xd9, 0x2d, 0x15, 0x00, 0x00, 0x00,        // fldcw [rip + ...]: mask
    0xd8, 0xc3,                                // fadd st, st(3)
    0xff, 0xc3,                                // inc ebx
    0x83, 0xfb, 0x14,                          // cmp ebx, 20
    0x75, 0xdb,                                // jnz again
    0xb8, 0x07, 0x00, 0x00, 0x00,              // mov eax, 7
    0xba, 0x18, 0x00, 0x00, 0x00,              // mov edx, 24
    0xf7, 0xf3,                                // div ebx
    0x7f, 0x03,                                // mask: the x87 control word
    0xe8, 0x04, 0x00, 0x00, 0x00,              // thunk: call inner
    0xf3, 0x90, 0xeb, 0xfc,                    // trap: pause; jmp trap
    0xb9, 0x03, 0x00, 0x00, 0x00,              // inner: mov ecx, 3
    0x48, 0x8d, 0x05, 0xc4, 0xff, 0xff, 0xff,  // lea rax, [rip - 60]: back
    0x48, 0x89, 0x04, 0x24,                    // mov [rsp], rax
    0xc3,                                      // ret
};

struct Program {
  std::span<const u8> code;
  u8 ends_by;  // vector
};

Outcome run(const Program& program, const exec::Config& config, u8* page, u64 slice) {
  const CpuModel model = model_with_everything();
  std::memset(page, 0, 2 * mem::kPageSize);
  std::memcpy(page, program.code.data(), program.code.size());
  FlatMachine machine(model, config);
  CountDevice device;
  device.loop = &machine.loop();
  machine.map(page, 2 * mem::kPageSize, true);
  machine.map_device(kDevice, device);
  machine.user_mode(false);
  machine.state().rip = reinterpret_cast<u64>(page);
  Outcome r;
  machine.loop().hooks.icount_slice = [&](u64 executed) {
    EXPECT_EQ(machine.loop().icount(), executed);
    const u64 next = executed - executed % slice + slice;
    if (executed % slice == 0 || executed == device.event_at)
      r.events[executed] = machine.state().rip - reinterpret_cast<u64>(page);
    return static_cast<s64>((device.event_at > executed ? std::min(next, device.event_at) : next) - executed);
  };
  EXPECT_EQ(machine.run(), program.ends_by);
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
  // The program in every way; what it did one by one in the interpreter.
  Outcome compare(const Program& program) {
    exec::Config one = config();
    one.interpreter = true;
    one.max_insns = 1;
    Outcome want = run(program, one, page_, GetParam());
    for (u64 n = GetParam(); n < want.total; n += GetParam()) EXPECT_TRUE(want.events.contains(n)) << n;
    exec::Config jit = config(), plain = config(), interp = config(), short_jit = config();
    plain.opt = ir::OptFlags::none();
    interp.interpreter = true;
    short_jit.max_insns = 1;
    for (const auto& [name, c] : std::map<std::string, exec::Config>{
             {"JIT", jit}, {"no passes", plain}, {"interpreter", interp}, {"JIT, one by one", short_jit}}) {
      const Outcome got = run(program, c, page_, GetParam());
      EXPECT_EQ(got.device, want.device) << name;
      EXPECT_EQ(got.events, want.events) << name;
      EXPECT_EQ(got.total, want.total) << name;
      EXPECT_EQ(got, want) << name;
    }
    return want;
  }
  u8* page_ = nullptr;
};

TEST_P(Icount, EventsComeAtTheSameInstruction) {
  const Outcome want = compare({kCode, UD});
  EXPECT_EQ(want.device.size(), 40u);
  EXPECT_EQ(want.device[0], 30u);  // 5 instructions, 5 rounds of 5
}

TEST_P(Icount, RestartsCountOnce) { EXPECT_EQ(compare({kRestarts, DE}).total, 3u + 20 * 16); }

INSTANTIATE_TEST_SUITE_P(Slices, Icount, testing::Values(1, 2, 7, 61, 1000));

}  // namespace
}  // namespace doppel::x86::test
