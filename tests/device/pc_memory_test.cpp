// The PC's memory map: shadow RAM that is written while the ROM in front of it is read.
#include "machine/pc_memory.h"

#include <gtest/gtest.h>

namespace doppel::machine::test {
namespace {

hw::PamMap all(bool read_ram, bool write_ram) {
  hw::PamMap map;
  for (hw::PamRegion& part : map) {
    part.read_ram = read_ram;
    part.write_ram = write_ram;
  }
  return map;
}

// Code in shadow RAM that was translated before the ROM came back is told of writes to it: it may be readable again.
TEST(PcMemory, WritesBehindTheRomReachTranslatedCode) {
  mem::AddressSpace space;
  PcMemory memory(space);
  ASSERT_TRUE(memory.create(u64{8} << 20, nullptr, std::vector<u8>(0x20000, 0xf4), "test"));
  std::vector<std::pair<u64, u64>> told;
  space.on_code_write = [&](u64 pa, u64 size) { told.emplace_back(pa, size); };
  const auto write = [&](u64 pa, u64 value) {
    const mem::AddressSpace::Flat* f = space.find(pa);
    ASSERT_TRUE(f && f->io);
    space.io_write(*f, pa, value, 4);
  };
  memory.set_pam(all(true, true));
  const mem::AddressSpace::Flat* ram = space.find(0xf1000);
  ASSERT_TRUE(ram && ram->ram);
  space.page_flags(*ram, 0xf1000) = mem::kPageCode;
  memory.set_pam(all(false, true));
  write(0xf2000, 1);
  EXPECT_TRUE(told.empty()) << "no code there";
  write(0xf1010, 0x11223344);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0], std::make_pair(u64{0xf1010}, u64{4}));
  u32 seen = 0;
  space.read(0xf1010, &seen, 4);
  memory.set_pam(all(true, false));
  space.read(0xf1010, &seen, 4);
  EXPECT_EQ(seen, 0x11223344u);
}

}  // namespace
}  // namespace doppel::machine::test
