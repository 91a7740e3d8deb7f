// Switches of address spaces, by the guest's own MOV to CR3, and what may be kept over them.
#include <gtest/gtest.h>

#include "guest/x86/kernel_machine.h"

namespace doppel::x86::test {
namespace {

using K = KernelMachine;

// A kernel whose pages are global goes on after MOV to CR3 without the vCPU loop, even if one of its instructions
// straddles two pages.
TEST(Switch, GlobalCodeIsFoundAfterASwitch) {
  KernelMachine m(false);
  for (unsigned space = 0; space < 2; space++) {
    for (u64 page = 0x10000; page < 0x14000; page += mem::kPageSize) m.map(space, page, page, K::P | K::W | K::G);
  }
  m.poke(0x10000, {0x0f, 0x22, 0xd8,          // 0: mov cr3, rax
                   0x48, 0x93,                // xchg rax, rbx
                   0xe8, 0xf3, 0x0f, 0, 0,    // call 0x10ffd
                   0x48, 0xff, 0xc9,          // dec rcx
                   0x75, 0xf1,                // jnz 0
                   0xf4});                    // hlt
  m.poke(0x10ffd, {0x90,                      // nop
                   0x81, 0xc2, 1, 0, 0, 0,    // add edx, 1: over the end of the page
                   0xe9, 0xf9, 0x0f, 0, 0});  // jmp 0x12002
  m.poke(0x12002, {0xc3});                    // ret
  m.start(0x10000, 0x13800);
  m.state().gpr[RAX] = m.cr3(1);
  m.state().gpr[RBX] = m.cr3(0);
  m.state().gpr[RCX] = 1000;
  m.state().gpr[RDX] = 0;
  m.run();
  EXPECT_EQ(m.state().gpr[RDX], 1000u);
  EXPECT_LT(m.counters().enters, 1100u) << "at most one entry a switch";
}

}  // namespace
}  // namespace doppel::x86::test
