#include "hw/block/fdc.h"

#include <gtest/gtest.h>

#include <random>

#include "block/memory_node.h"
#include "device/fake_machine.h"

namespace doppel::hw {
namespace {

using namespace test;

class FakeDma final : public IsaDmaChannel {
 public:
  void set_request(bool asserted) override { request = asserted; }
  bool ready() const override { return armed && at < end; }
  IsaDmaResult transfer(u8* data, u32 size, bool to_memory_now) override {
    if (to_memory_now != to_memory) return {};
    const u32 n = std::min(size, end - at);
    if (to_memory)
      std::copy_n(data, n, memory.begin() + at);
    else
      std::copy_n(memory.begin() + at, n, data);
    at += n;
    return {n, at == end};
  }
  void set_listener(Listener* l) override { listener = l; }
  void program(u32 bytes, bool to_mem) {
    at = 0;
    end = bytes;
    to_memory = to_mem;
    memory.resize(std::max<size_t>(memory.size(), bytes));
    armed = true;
  }
  std::vector<u8> memory;
  u32 at = 0, end = 0;
  bool to_memory = true, request = false, armed = false;
  Listener* listener = nullptr;
};

class FdcTest : public ::testing::Test {
 protected:
  FdcTest() {
    for (size_t i = 0; i < disk->data.size(); i++) disk->data[i] = static_cast<u8>(i / 512 * 3 + i);
    fdc = std::make_unique<Fdc>(Fdc::Params{.clock = clock, .irq = irq.line(), .dma = &dma, .media = {disk, nullptr}});
    windows.push_back(ports.map("fdc", 0x3f0, 6, fdc->registers()));
    windows.push_back(ports.map("fdc dir", 0x3f7, 1, fdc->dir_ccr()));
  }
  void out(u16 port, u32 v) { ports.write(port, v, 1); }
  u32 in(u16 port) { return ports.read(port, 1); }
  void wait() { clock.advance(2'000'000); }
  void command(std::initializer_list<u8> bytes) {
    for (const u8 b : bytes) {
      EXPECT_EQ(in(0x3f4) & 0xc0, 0x80u);
      out(0x3f5, b);
    }
  }
  std::vector<u8> result() {
    std::vector<u8> v;
    while ((in(0x3f4) & 0xd0) == 0xd0) v.push_back(static_cast<u8>(in(0x3f5)));
    return v;
  }
  void enable() {
    out(0x3f2, 0x00);
    out(0x3f2, 0x1c);
    EXPECT_EQ(in(0x3f4), 0u);
    wait();
    EXPECT_TRUE(irq.level);
    for (u8 i = 0; i < 4; i++) {
      command({0x08});
      EXPECT_EQ(result(), (std::vector<u8>{static_cast<u8>(0xc0 | i), 0}));
    }
    EXPECT_FALSE(irq.level);
    out(0x3f7, 0);  // 500 kbit/s
  }
  void seek(u8 track) {
    command({0x0f, 0x00, track});
    EXPECT_EQ(in(0x3f4) & 1, 1u);
    wait();
    EXPECT_TRUE(irq.level);
    command({0x08});
    EXPECT_EQ(result(), (std::vector<u8>{0x20, track}));
  }
  std::vector<u8> slice(size_t from, size_t n) {
    return {disk->data.begin() + static_cast<long>(from), disk->data.begin() + static_cast<long>(from + n)};
  }
  SteppedClock clock;
  IrqProbe irq;
  FakeDma dma;
  PortBus ports;
  std::shared_ptr<block::MemoryNode> disk = std::make_shared<block::MemoryNode>(u64{1474560});
  std::unique_ptr<Fdc> fdc;
  std::vector<std::unique_ptr<MappedWindow>> windows;
};

TEST_F(FdcTest, ResetAndIdentification) {
  enable();
  command({0x08});
  EXPECT_EQ(result(), std::vector<u8>{0x80});
  command({0x10});
  EXPECT_EQ(result(), std::vector<u8>{0x90});
  command({0x03, 0xdf, 0x02});
  command({0x13, 0x00, 0x57, 0x12});
  command({0x94});
  EXPECT_EQ(result(), std::vector<u8>{0x10});
  out(0x3f4, 0x80);  // reset by DSR: LOCK keeps CONFIGURE's values
  wait();
  command({0x0e});
  const auto dump = result();
  ASSERT_EQ(dump.size(), 10u);
  EXPECT_EQ(dump[4], 0xdf);
  EXPECT_EQ(dump[8], 0x57);
  EXPECT_EQ(dump[9], 0x12);
  command({0x1f});
  EXPECT_EQ(result(), std::vector<u8>{0x80});
}

TEST_F(FdcTest, ReadAcrossHeads) {
  enable();
  seek(3);
  dma.program(512 * 20, true);
  command({0xe6, 0x00, 3, 0, 17, 2, 18, 0x1b, 0xff});
  wait();
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(result(), (std::vector<u8>{0x04, 0, 0, 4, 0, 1, 2}));  // ended exactly at the end of head 1
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(dma.memory, slice((3 * 36 + 16) * 512, 20 * 512));
}

TEST_F(FdcTest, WriteFormatAndProtect) {
  enable();
  dma.program(512, false);
  std::fill(dma.memory.begin(), dma.memory.end(), u8{0x77});
  command({0x45, 0x04, 0, 1, 5, 2, 18, 0x1b, 0xff});
  wait();
  EXPECT_EQ(result(), (std::vector<u8>{0x04, 0, 0, 0, 1, 6, 2}));
  EXPECT_EQ(slice((18 + 4) * 512, 512), std::vector<u8>(512, 0x77));
  dma.program(18 * 4, false);
  for (u8 i = 0; i < 18; i++) {
    const u8 id[4] = {0, 0, static_cast<u8>(i + 1), 2};
    std::copy_n(id, 4, dma.memory.begin() + i * 4);
  }
  command({0x4d, 0x00, 2, 18, 0x54, 0xf6});
  wait();
  EXPECT_EQ(result()[0], 0u);
  EXPECT_EQ(slice(0, 18 * 512), std::vector<u8>(18 * 512, 0xf6));
  fdc->change_medium(0, std::make_shared<block::MemoryNode>(u64{1474560}, true));
  dma.program(512, false);
  command({0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff});
  wait();
  const auto r = result();
  EXPECT_EQ(r[0], 0x40);
  EXPECT_EQ(r[1], 0x02);
}

TEST_F(FdcTest, Errors) {
  enable();
  const auto read = [&](std::initializer_list<u8> bytes) {
    dma.program(512 * 36, true);
    command(bytes);
    wait();
    auto r = result();
    r.resize(7);
    return r[0] << 16 | r[1] << 8 | r[2];
  };
  EXPECT_EQ(read({0x46, 0x00, 0, 0, 19, 2, 19, 0x1b, 0xff}), 0x400400);  // no such sector
  EXPECT_EQ(read({0x46, 0x00, 5, 0, 1, 2, 18, 0x1b, 0xff}), 0x400410);   // head stands elsewhere
  EXPECT_EQ(read({0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff}), 0x408000);   // end of cylinder before terminal count
  EXPECT_EQ(read({0x46, 0x01, 0, 0, 1, 2, 18, 0x1b, 0xff}), 0x410100);   // no drive
  out(0x3f7, 2);
  EXPECT_EQ(read({0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff}), 0x400100);  // wrong data rate
  out(0x3f7, 0);
  command({0x13, 0x00, 0x40, 0x00});  // implied seek
  EXPECT_EQ(read({0x46, 0x00, 9, 0, 1, 2, 18, 0x1b, 0xff}), 0x608000);
  EXPECT_EQ(fdc->drive(0).track(), 9u);
  command({0x07, 0x01});
  wait();
  command({0x08});
  EXPECT_EQ(result()[0], 0x71);  // equipment check
}

TEST_F(FdcTest, WaitsForAMaskedChannel) {
  enable();
  dma.program(512, true);
  dma.armed = false;
  command({0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff});
  wait();
  EXPECT_FALSE(irq.level);
  EXPECT_TRUE(dma.request);
  EXPECT_EQ(in(0x3f4), 0x10u);
  dma.armed = true;
  dma.listener->dma_ready();
  EXPECT_TRUE(irq.level);
  EXPECT_FALSE(dma.request);
  EXPECT_EQ(dma.memory, slice(0, 512));
}

TEST_F(FdcTest, ProgrammedIo) {
  enable();
  command({0x03, 0xdf, 0x03});  // ND
  command({0x46, 0x00, 0, 0, 2, 2, 3, 0x1b, 0xff});
  wait();
  std::vector<u8> data;
  while (in(0x3f4) == 0xf0) data.push_back(static_cast<u8>(in(0x3f5)));
  EXPECT_EQ(data, slice(512, 1024));
  EXPECT_EQ(result()[1], 0x80);
}

TEST_F(FdcTest, ChangeLineAndGeometry) {
  enable();
  EXPECT_EQ(in(0x3f7), 0x80u);
  seek(1);
  EXPECT_EQ(in(0x3f7), 0u);
  fdc->change_medium(0, std::make_shared<block::MemoryNode>(u64{737280}));
  EXPECT_EQ(in(0x3f7), 0x80u);
  EXPECT_EQ(fdc->drive(0).format().sectors, 9u);
  fdc->change_medium(0, nullptr);
  seek(5);
  EXPECT_EQ(in(0x3f7), 0x80u);  // nothing in it
  command({0x04, 0x00});
  EXPECT_EQ(result(), std::vector<u8>{0x68});
  EXPECT_EQ(floppy_format_for(368640)->tracks, 40u);
  EXPECT_EQ(floppy_format_for(512)->sectors, 18u);
  EXPECT_EQ(floppy_format_for(4 << 20), nullptr);
}

TEST_F(FdcTest, ReadIdAndVerifyAndScan) {
  enable();
  seek(2);
  command({0x4a, 0x04});
  wait();
  const auto id = result();
  ASSERT_EQ(id.size(), 7u);
  EXPECT_EQ(id[0], 4);
  EXPECT_EQ(id[3], 2);
  EXPECT_GE(id[5], 1);
  EXPECT_LE(id[5], 18);
  command({0x56, 0x00, 2, 0, 1, 2, 18, 0x1b, 0xff});
  wait();
  EXPECT_EQ(result()[0], 0);
  dma.program(512, false);
  dma.memory = slice(2 * 36 * 512, 512);
  command({0x51, 0x00, 2, 0, 1, 2, 18, 0x1b, 0x01});
  wait();
  EXPECT_EQ(result()[2], 0x08);
}

TEST_F(FdcTest, StateInTheMiddle) {
  enable();
  command({0x0f, 0x00, 7});
  StateArchive save(StateArchive::Mode::Save);
  fdc->archive(save);
  fdc->reset();
  StateArchive load(StateArchive::Mode::Load);
  ASSERT_TRUE(load.deserialize(save.serialize()));
  fdc->archive(load);
  wait();
  command({0x08});
  EXPECT_EQ(result(), (std::vector<u8>{0x20, 7}));
}

TEST_F(FdcTest, RandomAccessesAreHarmless) {
  std::mt19937 random(5);
  for (int i = 0; i < 200000; i++) {
    const u16 port = static_cast<u16>(0x3f0 + random() % 8);
    u32 v = random() & 0xff;
    if (port == 0x3f2 && random() % 16 != 0) v |= 0x0c;
    if (port == 0x3f4 && random() % 16 != 0) v &= 0x7f;
    if (random() % 3 != 0)
      out(port, v);
    else
      in(port);
    if (random() % 8 == 0) clock.advance(random() % 200'000);
    if (random() % 32 == 0) dma.program(random() % 20000 + 1, random() % 2 == 0);
    if (random() % 64 == 0) fdc->change_medium(random() % 2, random() % 3 == 0 ? nullptr : disk);
    if (random() % 64 == 0 && dma.listener != nullptr) dma.listener->dma_ready();
  }
}

}  // namespace
}  // namespace doppel::hw
