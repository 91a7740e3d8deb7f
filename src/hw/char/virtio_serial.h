// Virtio console device with ports (virtio 1.2, 5.3): consoles (`virtconsole`: hvc0 and on in Linux) and named byte
// streams (`virtserialport`: /dev/vport0p1, /dev/virtio-ports/NAME), each to a character device. Ports are told to the
// driver over the control queues; a driver that does not know them gets the console of port 0.
//
// What the host sends waits in the character device until the guest has opened the port and given buffers. The driver
// hears whether somebody is at a stream's other end whenever that has changed since it last heard (a console always
// has somebody); what it writes while nobody is there is lost. Queues: 0 and 1 are port 0's, 2 and 3 the control
// queues, 4 and on the other ports'.
//
// Register calls with the device lock held; the character devices' callbacks take it themselves.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "chardev/chardev.h"
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

struct VirtioPort {
  std::string id = {};  // the board's
  u32 number = 0;
  bool console = false;
  std::string name;                           // of a stream; may be empty
  std::shared_ptr<chardev::Chardev> chardev;  // null: nothing connected
};

class VirtioSerial final : public VirtioDevice {
 public:
  static constexpr u32 kMaxPorts = 31;  // one queue pair each, of 64 queues with the control queues
  struct Params {
    Clock& clock;
    std::mutex& device_lock;
    std::vector<VirtioPort> ports;  // numbers below max_ports, each once
    u32 max_ports = kMaxPorts;
    bool event_idx = true, indirect = true;
    // The guest has opened or closed a port. Called with the device lock held, as often as a guest likes.
    std::function<void(const VirtioPort& port, bool open)> port_changed = {};
  };
  explicit VirtioSerial(Params p);
  ~VirtioSerial() override;
  void leave() override;
  void sleep() override { awake_ = false; }  // and tells the driver nothing
  void wake() override;
  std::string info() const override;
  // Ports come and go; the driver is told. The number of one that comes is free and below max_ports; the character
  // device of one that goes is free. False: there is no such port.
  void plug(VirtioPort port);
  bool unplug(u32 number);
  u32 max_ports() const { return p_.max_ports; }
  std::vector<VirtioPort> ports() const;

 private:
  struct Link;  // outlives us in the character devices' callbacks
  struct Port {
    VirtioPort p;
    bool guest_open = false, told = false;  // told: the driver knows of it
    bool host_told = false;                 // what the driver heard last: whether somebody is at the other end
    bool blocked = false;                   // the character device was told "no room"
    u64 key = 0;                            // of all ports there ever were
  };
  void handle(u16 queue) override;
  void stopped() override;
  void archive_device(StateArchive& ar) override;

  Port* find(u32 number);
  Port* find_key(u64 key);
  void attach(const Port& of);
  static u16 receive_queue(u32 number) { return static_cast<u16>(number == 0 ? 0 : 2 + 2 * number); }
  bool multiport() const;
  bool open(const Port& port) const;
  static bool host_open(const Port& port);
  void set_guest_open(Port& port, bool open);
  size_t room(Port& port);
  void receive(Port& port, std::span<const u8> data);
  void unblock(Port& port);
  void transmit(u16 queue, Port* port);
  void take_control(const VirtqChain& chain);
  void tell(u32 port, u16 event, u16 value, const std::string& text = {});
  std::optional<std::vector<u8>> next_control();
  void flush_control();

  Params p_;
  std::shared_ptr<Link> link_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::deque<std::vector<u8>> control_;       // messages for the driver
  bool awake_ = true, driver_ready_ = false;  // driver_ready_: it wants to hear of ports
  u64 next_key_ = 1;
};

}  // namespace doppel::hw
