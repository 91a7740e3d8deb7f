// National PC16550D UART (TL/C/8652): FIFOs, trigger levels, character timeout, loopback, modem control and status,
// break. Transmission takes no time; the baud rate only sets the character timeout. Window of 8 ports. Register calls
// with the device lock held; the character device's callbacks take it themselves (docs/design/threads.md).
#pragma once
#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "chardev/chardev.h"
#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class Uart16550 final : public Device, public MmioHandler {
 public:
  struct Params {
    IrqLine irq;
    Clock& clock;
    std::mutex& device_lock;
    std::shared_ptr<chardev::Chardev> chardev;  // null: nothing connected
    u32 base_hz = 115'200;                      // input clock / 16
  };
  explicit Uart16550(Params p);
  ~Uart16550() override;
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  // Input as from the line; returns how many bytes fit. Device lock held.
  size_t receive(std::span<const u8> data);
  void receive_break();
  size_t room() const;
  void set_modem_inputs(bool cts, bool dsr, bool ri, bool dcd);

 private:
  struct Link;  // outlives us in the character device's callbacks
  bool fifo() const { return (fcr_ & 1) != 0; }
  size_t trigger() const;
  u8 line_status() const;
  u8 interrupt_id() const;
  void put_rx(u8 byte, u8 errors);
  u8 take_rx();
  void transmit(u8 byte);
  void write_fcr(u8 value);
  void write_mcr(u8 value);
  void set_msr_inputs(u8 inputs);
  void update_irq();
  s64 character_ns() const;
  void arm_timeout();

  Params p_;
  Timer timeout_;
  std::shared_ptr<Link> link_;
  struct Rx {
    u8 byte, errors;
  };
  std::deque<Rx> rx_;
  u16 divisor_ = 12;
  u8 ier_ = 0, fcr_ = 0, lcr_ = 0, mcr_ = 0, msr_ = 0, scr_ = 0;
  u8 modem_inputs_ = 0xb0;  // CTS, DSR, DCD of the line
  bool overrun_ = false, thre_pending_ = false, timeout_pending_ = false;
  bool blocked_ = false;  // the character device was told "no room": tell it when there is
};

}  // namespace doppel::hw
