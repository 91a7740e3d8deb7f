// Intel 8042 keyboard controller as in the PC/AT and PS/2 (IBM PS/2 Technical Reference, "Keyboard and Auxiliary Device
// Controller"): command byte with translation, output port with A20 and reset, test commands, two device ports.
// Windows: data() at 0x60, command() at 0x64 (1 port each). Device lock held.
#pragma once
#include <array>
#include <deque>
#include <functional>
#include <optional>

#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/window.h"
#include "hw/input/ps2.h"

namespace doppel::hw {

class I8042 final : public Device {
 public:
  struct Params {
    IrqLine keyboard_irq, mouse_irq;
    std::function<void(bool on)> a20;
    std::function<bool()> a20_state;  // optional: what the A20 gate is now (port 92 moves it too)
    std::function<void()> reset_request;
    Ps2Keyboard* keyboard = nullptr;  // null: nothing plugged in
    Ps2Mouse* mouse = nullptr;
    Clock* clock = nullptr;  // given: bytes of the devices come kByteNs after the last was read
  };
  explicit I8042(Params p);
  MmioHandler& data() { return data_window_; }
  MmioHandler& command() { return command_window_; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  // Serial links take about a millisecond a byte. Programs that read port 0x60 twice for one key rely on a gap.
  static constexpr s64 kByteNs = 200'000;
  enum Source : u8 { kNone, kController, kControllerAux, kKeyboard, kMouse };
  u64 read_data(u64, unsigned);
  void write_data(u64, u64 value, unsigned);
  u64 read_status(u64, unsigned);
  void write_command(u64, u64 value, unsigned);
  void fill();  // moves the next byte into the output buffer
  void fill_one();
  void reply(u8 value, Source source);
  void put(u8 value, Source source);
  void update_irqs();
  void write_output_port(u8 value);
  u8 output_port() const;
  std::optional<u8> translate(u8 code);  // none: a break prefix
  void controller_command(u8 command);
  void controller_parameter(u8 command, u8 value);
  void write_command_byte(u8 value);
  void send_keyboard(u8 value);
  void send_mouse(u8 value);

  Params p_;
  u8 status_ = 0, command_byte_ = 0, output_ = 0, output_port_ = 0;
  Source source_ = kNone;
  u8 pending_command_ = 0;  // waits for a byte at port 0x60
  bool filling_ = false;
  bool break_prefix_ = false;  // f0 seen, while translating
  std::array<u8, 32> ram_{};
  std::optional<Timer> gap_;                   // armed: no byte of a device yet
  std::deque<std::pair<u8, Source>> replies_;  // controller's answers that wait
  Window<I8042> data_window_{*this, &I8042::read_data, &I8042::write_data};
  Window<I8042> command_window_{*this, &I8042::read_status, &I8042::write_command};
};

}  // namespace doppel::hw
