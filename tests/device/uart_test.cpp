#include "chardev/devices.h"
#include "device/pc_fixture.h"
#include "hw/char/uart_16550a.h"

namespace doppel::hw::test {
namespace {

struct UartTest : testing::Test {
  SteppedClock clock;
  std::mutex lock;
  LineProbe irq;
  std::shared_ptr<chardev::RingBuffer> ring = std::make_shared<chardev::RingBuffer>(4096);
  Uart16550 uart{{.irq = irq.line(), .clock = clock, .device_lock = lock, .chardev = ring}};
  u8 in(unsigned r) { return in8(uart, r); }
  void out(unsigned r, u8 v) { out8(uart, r, v); }
};

TEST_F(UartTest, TransmitAndThrInterrupt) {
  out(0, 'h');
  out(0, 'i');
  EXPECT_EQ(ring->take(), "hi");
  EXPECT_EQ(in(5), 0x60);
  EXPECT_EQ(in(2), 0x01);
  out(1, 2);  // enabling asks at once
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(in(2), 0x02);
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(in(2), 0x01);
  out(0, '!');
  EXPECT_TRUE(irq.level);
}

TEST_F(UartTest, ReceiveWithoutFifo) {
  out(1, 1);
  ring->type("ab");
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(in(2), 0x04);
  EXPECT_EQ(in(5), 0x61);
  EXPECT_EQ(in(0), 'a');
  EXPECT_FALSE(irq.level);
  ring->type("");
  EXPECT_EQ(in(0), 'b');
}

TEST_F(UartTest, FifoTriggerAndTimeout) {
  out(2, 0x87);  // enable, clear, trigger 8
  out(1, 1);
  ring->type("abcd");
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(in(5) & 1, 1);
  clock.advance(10'000'000);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(in(2), 0xcc);
  EXPECT_EQ(in(0), 'a');
  EXPECT_FALSE(irq.level);
  ring->type("efghijklmnopqrstuvw");
  EXPECT_EQ(in(2), 0xc4);
  std::string got;
  while (in(5) & 1) got += static_cast<char>(in(0));
  EXPECT_EQ(got, "bcdefghijklmnopq");  // 16 at a time
  EXPECT_FALSE(irq.level);
}

TEST_F(UartTest, OverrunAndBreak) {
  out(1, 4);
  {
    std::lock_guard guard(lock);
    const u8 d[] = {'x', 'y'};
    uart.receive(d);
  }
  EXPECT_EQ(in(2), 0x06);
  EXPECT_EQ(in(5), 0x63);
  EXPECT_EQ(in(5), 0x61);
  EXPECT_EQ(in(0), 'y');
  {
    std::lock_guard guard(lock);
    uart.receive_break();
  }
  EXPECT_EQ(in(5), 0x79);
  EXPECT_EQ(in(0), 0);
}

TEST_F(UartTest, LoopbackAndModemStatus) {
  EXPECT_EQ(in(6), 0xb0);
  out(4, 0x10 | 0x0a);  // RTS, OUT2
  EXPECT_EQ(in(6) & 0xf0, 0x90);
  out(0, 'L');
  EXPECT_EQ(in(0), 'L');
  EXPECT_EQ(ring->take(), "");
  out(4, 0x10 | 0x0f);
  EXPECT_EQ(in(6) & 0xf0, 0xf0);
  out(4, 0);
  in(6);
  out(1, 8);
  uart.set_modem_inputs(false, true, false, true);
  EXPECT_EQ(in(2), 0x00);
  EXPECT_EQ(in(6), 0xa1);
  EXPECT_FALSE(irq.level);
}

TEST_F(UartTest, DivisorScratchAndDetection) {
  out(3, 0x83);
  out(0, 0x01);
  out(1, 0x02);
  EXPECT_EQ(in(0), 0x01);
  EXPECT_EQ(in(1), 0x02);
  out(3, 0x03);
  EXPECT_EQ(in(1), 0x00);
  out(7, 0x5a);
  EXPECT_EQ(in(7), 0x5a);
  out(2, 1);
  EXPECT_EQ(in(2) & 0xc0, 0xc0);  // a 16550A
  out(2, 0);
  EXPECT_EQ(in(2) & 0xc0, 0);
  out(1, 0xff);
  EXPECT_EQ(in(1), 0x0f);
}

}  // namespace
}  // namespace doppel::hw::test
