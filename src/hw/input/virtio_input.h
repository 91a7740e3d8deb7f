// Virtio input device (virtio 1.2, 5.8): a keyboard, a mouse or a tablet that speaks Linux's input events. What the
// guest has no buffer for is lost, as with a real device. Device lock held throughout.
#pragma once
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

class VirtioInput final : public VirtioDevice {
 public:
  enum class Kind { Keyboard, Mouse, Tablet };
  struct Params {
    Clock& clock;
    Kind kind = Kind::Keyboard;
    bool event_idx = true, indirect = true;
  };
  explicit VirtioInput(Params p);
  Kind kind() const { return kind_; }
  bool active() const { return usable(kEvents); }  // a driver takes its events
  // Keys as display/input_event.h has them, buttons too; positions 0..32767.
  void key(u32 qcode, bool down);
  void move(int dx, int dy, int wheel, u32 buttons);  // mouse
  void point(int x, int y, int wheel, u32 buttons);   // tablet

 private:
  static constexpr u16 kEvents = 0, kStatus = 1;
  void handle(u16 queue) override;
  void stopped() override;
  void config_written(u64 offset, u64 value, unsigned size) override;
  void archive_device(StateArchive& ar) override;
  void select();
  std::vector<u8> properties(u8 which, u8 subselect) const;
  void event(u16 type, u16 code, u32 value);
  void wheel_and_buttons(int wheel, u32 buttons);
  void send();

  Kind kind_;
  u32 buttons_ = 0;
  std::vector<u8> pending_;  // events up to the next report
  std::vector<VirtqChain> chains_;
};

}  // namespace doppel::hw
