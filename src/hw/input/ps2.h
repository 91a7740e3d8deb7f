// PS/2 devices: keyboard (scan code sets 1, 2, 3) and mouse (standard, IntelliMouse wheel, IntelliMouse Explorer).
// IBM PS/2 Hardware Interface Technical Reference, "Keyboard" and "Mouse"; Microsoft's IntelliMouse identification
// sequences. No typematic repeat: the UI's host repeats. Device lock held on every call.
#pragma once
#include <array>
#include <deque>
#include <functional>

#include "base/bits.h"
#include "hw/core/device.h"

namespace doppel::hw {

// The link's device end. `output_changed` tells the controller that bytes wait; it takes them with next().
class Ps2Device : public Device {
 public:
  virtual void send(u8 byte) = 0;  // host to device
  bool has_output() const { return !queue_.empty(); }
  u8 next();
  size_t output_size() const { return queue_.size(); }
  std::function<void()> output_changed;  // set by the controller

 protected:
  bool put(std::initializer_list<u8> bytes, size_t limit);  // all or none; false: no room
  void reply(u8 byte);                                      // answers of commands always fit
  void clear_output() { queue_.clear(); }
  virtual void drained() {}  // the controller took the last byte
  void archive_queue(StateArchive& ar);

 private:
  std::deque<u8> queue_;
};

class Ps2Keyboard final : public Ps2Device {
 public:
  struct Params {
    std::function<void(u8 leds)> leds;
  };  // bit 0 scroll, 1 num, 2 caps; optional
  explicit Ps2Keyboard(Params p);
  void key(u32 qcode, bool down);  // display/input_event.h codes
  void release_all();              // focus lost
  void send(u8 byte) override;
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  u8 leds() const { return leds_; }

 private:
  void defaults();
  void parameter(u8 byte);
  void put_code(u16 set1, bool down);
  void put_print(bool down);
  void put_pause(bool down);
  void put_set3(u8 code, bool down);
  bool held(u32 qcode) const { return (down_[qcode / 8 % 32] >> (qcode & 7) & 1) != 0; }
  size_t limit(bool down) const { return down ? 64 : 128; }  // a release is lost later than a press: no stuck keys
  Params p_;
  u8 command_ = 0;  // waits for its parameter
  u8 set_ = 2, leds_ = 0, typematic_ = 0x2b, last_ = 0;
  bool scanning_ = true;
  std::array<u8, 32> down_{};    // bitmap of keys that are down, by key code
  std::array<u8, 32> breaks_{};  // set 3: keys that send break codes, by scan code
};

class Ps2Mouse final : public Ps2Device {
 public:
  Ps2Mouse();
  // dy grows downwards; wheel > 0: away from the user; buttons as display's PointerButton.
  void move(int dx, int dy, int wheel, u32 buttons);
  void nudge();  // a packet although nothing moved: another device has something for the mouse's driver
  void send(u8 byte) override;
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  bool enabled() const { return reporting_; }

 private:
  void drained() override { flush_motion(); }
  void defaults();
  void parameter(u8 byte);
  void put_packet(bool answer);
  void flush_motion();
  u8 status() const;
  u8 command_ = 0, id_ = 0, rate_ = 100, resolution_ = 2, last_ = 0;
  bool reporting_ = false, remote_ = false, wrap_ = false, scale21_ = false;
  std::array<u8, 3> rates_{};  // the last three sample rates: identification knocks
  s32 dx_ = 0, dy_ = 0, wheel_ = 0;
  u32 buttons_ = 0, sent_buttons_ = 0;
};

}  // namespace doppel::hw
