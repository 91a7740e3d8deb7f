// 8237 DMA, port 92, debug console, debug exit, pc-testdev, vmport.
#include "chardev/devices.h"
#include "device/fake_machine.h"
#include "device/pc_fixture.h"
#include "hw/misc/debug_console.h"
#include "hw/misc/debug_exit.h"
#include "hw/misc/i8237.h"
#include "hw/misc/pc_testdev.h"
#include "hw/misc/port92.h"
#include "hw/misc/vmport.h"

namespace doppel::hw::test {
namespace {

struct DmaTest : testing::Test, IsaDmaChannel::Listener {
  FakeMemory memory{1 << 20};
  I8237 dma{{.memory = memory}};
  int told = 0;
  void dma_ready() override { told++; }
  void SetUp() override {
    out8(dma.words(), 0x16, 0xc0);  // channel 4: cascade
    out8(dma.words(), 0x14, 0x00);
  }
  void program(u16 address, u16 count, u8 page, u8 mode) {
    out8(dma.bytes(), 0xa, 6);
    out8(dma.bytes(), 0xc, 0);
    out8(dma.bytes(), 4, static_cast<u8>(address));
    out8(dma.bytes(), 4, static_cast<u8>(address >> 8));
    out8(dma.bytes(), 5, static_cast<u8>(count));
    out8(dma.bytes(), 5, static_cast<u8>(count >> 8));
    out8(dma.pages(), 1, page);
    out8(dma.bytes(), 0xb, static_cast<u8>(mode | 2));
    out8(dma.bytes(), 0xa, 2);
  }
};

TEST_F(DmaTest, FloppyReadOfASector) {
  IsaDmaChannel& c = dma.channel(2);
  c.set_listener(this);
  c.set_request(true);
  EXPECT_FALSE(c.ready());
  program(0x1000, 511, 0x03, 0x44);  // single, to memory
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(c.ready());
  std::vector<u8> sector(600, 0x5a);
  IsaDmaResult r = c.transfer(sector.data(), 100, true);
  EXPECT_EQ(r.bytes, 100u);
  EXPECT_FALSE(r.terminal_count);
  r = c.transfer(sector.data(), 500, true);
  EXPECT_EQ(r.bytes, 412u);
  EXPECT_TRUE(r.terminal_count);
  EXPECT_EQ(memory.bytes[0x31000], 0x5a);
  EXPECT_EQ(memory.bytes[0x311ff], 0x5a);
  EXPECT_EQ(memory.bytes[0x31200], 0);
  EXPECT_FALSE(c.ready());               // masked at TC
  EXPECT_EQ(in8(dma.bytes(), 8), 0x44);  // TC and DREQ of channel 2
  EXPECT_EQ(in8(dma.bytes(), 8), 0x40);
  out8(dma.bytes(), 0xc, 0);
  EXPECT_EQ(in8(dma.bytes(), 5), 0xff);
}

TEST_F(DmaTest, DirectionVerifyAutoinitWrap) {
  u8 d[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  program(0xfffe, 3, 0x02, 0x58);  // autoinit, from memory
  memory.bytes[0x2fffe] = 9;
  memory.bytes[0x20000] = 7;
  EXPECT_EQ(dma.channel(2).transfer(d, 8, true).bytes, 0u);
  const IsaDmaResult r = dma.channel(2).transfer(d, 8, false);
  EXPECT_EQ(r.bytes, 4u);
  EXPECT_TRUE(r.terminal_count);
  EXPECT_EQ(d[0], 9);
  EXPECT_EQ(d[2], 7);  // the address wraps in its 64 K
  EXPECT_TRUE(dma.channel(2).ready());
  program(0x10, 1, 0, 0x40);  // verify
  EXPECT_EQ(dma.channel(2).transfer(d, 8, true).bytes, 2u);
  EXPECT_EQ(memory.bytes[0x10], 0);
}

TEST_F(DmaTest, WordsAndDecrement) {
  out8(dma.words(), 0x18, 0);
  out8(dma.words(), 4, 0x00);
  out8(dma.words(), 4, 0x08);  // channel 5: word address 0x800
  out8(dma.words(), 6, 3);
  out8(dma.words(), 6, 0);
  out8(dma.pages(), 0xb, 0x02);
  out8(dma.words(), 0x16, 0x45);
  out8(dma.words(), 0x14, 1);
  u8 d[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const IsaDmaResult r = dma.channel(5).transfer(d, 9, true);
  EXPECT_EQ(r.bytes, 8u);
  EXPECT_EQ(memory.bytes[0x21000], 1);
  EXPECT_EQ(memory.bytes[0x21007], 8);
  program(0x100, 3, 0, 0x64);
  EXPECT_EQ(dma.channel(2).transfer(d, 4, true).bytes, 4u);
  EXPECT_EQ(memory.bytes[0xfd], 4);
}

TEST(Port92, FastA20AndReset) {
  bool a20 = true;
  int resets = 0;
  Port92 p({.a20 = [&](bool on) { a20 = on; }, .a20_state = [&] { return a20; }, .reset_request = [&] { resets++; }});
  EXPECT_EQ(in8(p, 0), 2);
  out8(p, 0, 0);
  EXPECT_FALSE(a20);
  out8(p, 0, 3);
  EXPECT_TRUE(a20);
  EXPECT_EQ(resets, 1);
}

TEST(DebugPorts, ConsoleAndExit) {
  auto ring = std::make_shared<chardev::RingBuffer>(100);
  DebugConsole console({.chardev = ring});
  EXPECT_EQ(in8(console, 0), 0xe9);
  out8(console, 0, 'A');
  EXPECT_EQ(ring->take(), "A");
  int status = 0;
  DebugExit exit({.exit = [&](int s) { status = s; }});
  exit.write(0, 0x10, 4);
  EXPECT_EQ(status, 0x21);
}

TEST(PcTestdev, LatchLinesMemory) {
  LineProbe probe;
  PcTestdev dev({.irq = {probe.line()}});
  dev.latch().write(0, 0x11223344, 4);
  EXPECT_EQ(dev.latch().read(1, 2) & 0xffff, 0x2233u);
  dev.lines().write(0, 1, 1);
  EXPECT_TRUE(probe.level);
  dev.memory().write(0xfffe, 0x12345678, 4);
  EXPECT_EQ(dev.memory().read(0xfffe, 4), 0x12345678u);
}

TEST(Vmport, VersionAndPointer) {
  VmportRegisters regs;
  int woken = 0;
  Vmport port({.load_registers =
                   [&](VmportRegisters& r) {
                     r = regs;
                     return true;
                   },
               .store_registers = [&](const VmportRegisters& r) { regs = r; },
               .ram_bytes = 1 << 27,
               .uuid = {0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x00},
               .wall_ns = [] { return s64{1'700'000'000} * kNsPerSecond + 123'456'789; },
               .wake_mouse = [&] { woken++; }});
  auto call = [&](u32 command, u32 argument) {
    regs = {0x564d5868, argument, command, 0x5658, 0, 0};
    return static_cast<u32>(port.read(0, 4));
  };
  EXPECT_EQ(call(10, 0), 6u);
  EXPECT_EQ(regs.ebx, 0x564d5868u);
  EXPECT_EQ(call(20, 0), 1u << 27);
  EXPECT_EQ(call(19, 0), 0x00840e55u);
  EXPECT_EQ(regs.ebx, 0xd4419be2u);
  EXPECT_EQ(regs.ecx, 0x664416a7u);
  EXPECT_EQ(regs.edx, 0x00004455u);
  EXPECT_EQ(call(23, 0), 1'700'000'000u);
  EXPECT_EQ(regs.ebx, 123'456u);
  EXPECT_EQ(call(40, 0), 0xffff0000u);
  call(41, 0x45414552);
  EXPECT_EQ(call(40, 0), 1u);
  EXPECT_EQ(call(39, 1), 0x3442554au);
  call(41, 0x53424152);
  EXPECT_TRUE(port.pointer_active());
  port.pointer(100, 200, 1, 1);
  EXPECT_EQ(call(40, 0), 4u);
  EXPECT_EQ(call(39, 4), 0x20u);
  EXPECT_EQ(regs.ebx, 200u);
  EXPECT_EQ(regs.ecx, 400u);
  EXPECT_EQ(woken, 1);
  // More than is there: the guest has lost step, and the pointer is off.
  EXPECT_EQ(call(39, 2), 0xffffffffu);
  EXPECT_FALSE(port.pointer_active());
  EXPECT_EQ(call(40, 0), 0xffff0000u);
  port.pointer(1, 1, 0, 0);
  EXPECT_EQ(woken, 1);
  // Only a 32-bit access of the first port with the magic number is a command.
  regs = {0x564d5868, 0, 10, 0x5658, 0, 0};
  EXPECT_EQ(port.read(0, 1), 0xffu);
  EXPECT_EQ(port.read(0, 2), 0xffffu);
  EXPECT_EQ(port.read(2, 2), 0xffffu);
  EXPECT_EQ(regs.ebx, 0u);
  regs = {};
  EXPECT_EQ(port.read(0, 4), 0xffffffffu);
}

}  // namespace
}  // namespace doppel::hw::test
