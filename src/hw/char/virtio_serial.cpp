#include "hw/char/virtio_serial.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {

using namespace virtio;

namespace {
constexpr u64 kMultiport = feature(1);
enum Event : u16 {
  kDeviceReady = 0,
  kDeviceAdd = 1,
  kDeviceRemove = 2,
  kPortReady = 3,
  kConsolePort = 4,
  kPortOpen = 6,
  kPortName = 7,
};
enum ConfigField : size_t { kColumns = 0, kRows = 2, kMaxPortsAt = 4, kConfigSize = 12 };
constexpr u16 kControlIn = 2, kControlOut = 3, kQueueSize = 128;
constexpr size_t kControlMessage = 8;  // port, event, value; then a text
constexpr size_t kMaxControl = 256;    // messages that wait; a driver that asks for more loses some
constexpr size_t kChunk = 4096;
constexpr u64 kMaxOut = 1 << 20;  // of one buffer: what is more is lost

std::vector<u8> control_message(u32 port, u16 event, u16 value, const std::string& text = {}) {
  std::vector<u8> message(kControlMessage);
  store_le<u32>(&message[0], port);
  store_le<u16>(&message[4], event);
  store_le<u16>(&message[6], value);
  message.insert(message.end(), text.begin(), text.end());
  return message;
}

std::vector<u16> queues_of(u32 max_ports) { return std::vector<u16>(2 * (size_t{max_ports} + 1), kQueueSize); }
}  // namespace

// What the character devices hold. Lock order: link, then device lock.
struct VirtioSerial::Link {
  std::mutex lock;
  VirtioSerial* serial = nullptr;

  template <typename Fn>
  auto with(Fn&& fn) -> decltype(fn(*serial)) {
    const std::lock_guard guard(lock);
    if (serial == nullptr) return decltype(fn(*serial))();
    const std::lock_guard device(serial->p_.device_lock);
    return fn(*serial);
  }
};

VirtioSerial::VirtioSerial(Params p)
    : VirtioDevice({.name = "virtio-serial",
                    .id = kIdConsole,
                    .features = kMultiport | (p.event_idx ? kEventIdx : 0) | (p.indirect ? kIndirectDesc : 0),
                    .queues = queues_of(p.max_ports),
                    .config_size = kConfigSize},
                   p.clock),
      p_(std::move(p)),
      link_(std::make_shared<Link>()) {
  poke(kMaxPortsAt, p_.max_ports, 4);
  link_->serial = this;
  for (VirtioPort& port : p_.ports) {
    ports_.push_back(std::make_unique<Port>(Port{.p = port, .key = next_key_++}));
    attach(*ports_.back());
  }
}

// A port may be gone, and its number another one's, when its character device calls.
void VirtioSerial::attach(const Port& of) {
  const auto& dev = of.p.chardev;
  if (!dev) return;
  const u64 key = of.key;
  chardev::Chardev::FrontEnd front;
  front.can_receive = [link = link_, key] {
    return link->with([&](VirtioSerial& s) {
      Port* port = s.find_key(key);
      return port == nullptr ? size_t{0} : s.room(*port);
    });
  };
  front.receive = [link = link_, key](std::span<const u8> data) {
    link->with([&](VirtioSerial& s) {
      if (Port* port = s.find_key(key)) s.receive(*port, data);
    });
  };
  front.opened = front.closed = [link = link_] { link->with([](VirtioSerial& s) { s.flush_control(); }); };
  dev->set_front_open(of.p.console);
  dev->attach(std::move(front));
}

void VirtioSerial::plug(VirtioPort port) {
  const u32 number = port.number;
  ports_.push_back(std::make_unique<Port>(Port{.p = std::move(port), .key = next_key_++}));
  attach(*ports_.back());
  if (driver_ready_) tell(number, kDeviceAdd, 1);
  flush_control();
}

std::vector<VirtioPort> VirtioSerial::ports() const {
  std::vector<VirtioPort> all;
  for (const auto& port : ports_) all.push_back(port->p);
  return all;
}

bool VirtioSerial::unplug(u32 number) {
  const auto it = std::find_if(ports_.begin(), ports_.end(), [&](const auto& p) { return p->p.number == number; });
  if (it == ports_.end()) return false;
  if (const auto& dev = (*it)->p.chardev) {
    dev->attach({});
    dev->set_front_open(false);
  }
  ports_.erase(it);
  if (driver_ready_) tell(number, kDeviceRemove, 1);
  flush_control();
  return true;
}

VirtioSerial::~VirtioSerial() { VirtioSerial::leave(); }

void VirtioSerial::leave() {
  const std::lock_guard guard(link_->lock);
  link_->serial = nullptr;
  for (const auto& port : ports_) {
    if (port->p.chardev) port->p.chardev->set_front_open(false);
  }
}

VirtioSerial::Port* VirtioSerial::find(u32 number) {
  for (auto& port : ports_) {
    if (port->p.number == number) return port.get();
  }
  return nullptr;
}

VirtioSerial::Port* VirtioSerial::find_key(u64 key) {
  for (auto& port : ports_) {
    if (port->key == key) return port.get();
  }
  return nullptr;
}

bool VirtioSerial::multiport() const { return has(kMultiport); }

// A driver without ports has no way to open its console.
bool VirtioSerial::open(const Port& port) const { return multiport() ? port.guest_open : port.p.number == 0; }

bool VirtioSerial::host_open(const Port& port) {
  return port.p.console || (port.p.chardev && port.p.chardev->connected());
}

void VirtioSerial::set_guest_open(Port& port, bool open) {
  if (port.guest_open == open) return;
  port.guest_open = open;
  if (port.p.chardev && !port.p.console) port.p.chardev->set_front_open(open);
  if (p_.port_changed) p_.port_changed(port.p, open);
}

// --- from the host

size_t VirtioSerial::room(Port& port) {
  port.blocked = true;  // whatever comes now, there may be more
  const u16 index = receive_queue(port.p.number);
  if (!awake_ || !open(port) || !usable(index)) return 0;
  VirtqChain chain;
  Virtqueue& q = queue(index);
  const bool any = q.pop(chain);
  if (any) q.unpop(1);
  finish(index);
  return any ? std::min<u64>(chain.writable(), 1 << 16) : 0;
}

void VirtioSerial::receive(Port& port, std::span<const u8> data) {
  const u16 index = receive_queue(port.p.number);
  if (!usable(index)) return;
  serve(index, [&](const VirtqChain& chain) {
    if (data.empty()) return Serve::Later;
    const size_t n = chain.write(0, data);
    queue(index).push(chain, static_cast<u32>(n));
    data = data.subspan(n);
    return Serve::Done;
  });
}

void VirtioSerial::unblock(Port& port) {
  if (!port.blocked || !port.p.chardev || !open(port)) return;
  port.blocked = false;
  port.p.chardev->accept_input();
}

void VirtioSerial::wake() {
  awake_ = true;
  flush_control();
  for (auto& port : ports_) unblock(*port);
}

// --- from the guest

void VirtioSerial::handle(u16 index) {
  if (index == kControlIn) {
    flush_control();
  } else if (index == kControlOut) {
    serve(index, [&](const VirtqChain& chain) {
      take_control(chain);
      queue(kControlOut).push(chain, 0);
      return Serve::Done;
    });
    flush_control();
  } else {
    const u32 number = index < 2 ? 0 : (index - 2u) / 2;
    Port* port = find(number);
    if (index % 2 == 1)
      transmit(index, port);
    else if (port != nullptr)
      unblock(*port);
  }
}

void VirtioSerial::transmit(u16 index, Port* port) {
  serve(index, [&](const VirtqChain& chain) {
    const u64 size = std::min(chain.readable(), kMaxOut);
    u8 bytes[kChunk];
    for (u64 at = 0; at < size;) {
      const size_t n = chain.read(at, {bytes, std::min<u64>(sizeof bytes, size - at)});
      if (n == 0 || chain.faulty()) break;
      if (port != nullptr && port->p.chardev) port->p.chardev->write({bytes, n});
      at += n;
    }
    queue(index).push(chain, 0);
    return Serve::Done;
  });
}

void VirtioSerial::take_control(const VirtqChain& chain) {
  u8 message[kControlMessage];
  if (chain.read(0, message) != sizeof message) return;
  const u32 number = load_le<u32>(message);
  const u16 event = load_le<u16>(message + 4), value = load_le<u16>(message + 6);
  if (event == kDeviceReady) {
    if (value != 1) return;
    driver_ready_ = true;
    for (auto& port : ports_) tell(port->p.number, kDeviceAdd, 1);
    return;
  }
  Port* port = find(number);
  if (port == nullptr) {
    DOPPEL_LOG(GuestErrors, "virtio-serial: event %u for port %u, which is not there\n", event, number);
    return;
  }
  if (event == kPortReady && value == 1) {
    port->told = true;
    port->host_told = false;  // the driver takes it for closed until it hears otherwise
    if (port->p.console) tell(number, kConsolePort, 1);
    if (!port->p.name.empty()) tell(number, kPortName, 1, port->p.name);
  } else if (event == kPortOpen) {
    set_guest_open(*port, value != 0);
    unblock(*port);
  }
}

void VirtioSerial::tell(u32 port, u16 event, u16 value, const std::string& text) {
  if (control_.size() < kMaxControl) control_.push_back(control_message(port, event, value, text));
}

// What waits, then who is there: clients that come and go while the driver does not listen take no memory.
std::optional<std::vector<u8>> VirtioSerial::next_control() {
  if (!control_.empty()) {
    std::vector<u8> message = std::move(control_.front());
    control_.pop_front();
    return message;
  }
  for (auto& port : ports_) {
    if (!port->told) continue;
    const bool now = host_open(*port);
    if (now == port->host_told) continue;
    port->host_told = now;
    return control_message(port->p.number, kPortOpen, now);
  }
  return std::nullopt;
}

void VirtioSerial::flush_control() {
  if (!awake_ || !usable(kControlIn)) return;
  serve(kControlIn, [&](const VirtqChain& chain) {
    const auto message = next_control();
    if (!message) return Serve::Later;
    const size_t n = chain.write(0, *message);
    queue(kControlIn).push(chain, static_cast<u32>(n));
    return Serve::Done;
  });
}

// --- state

void VirtioSerial::stopped() {
  control_.clear();
  driver_ready_ = false;
  for (auto& port : ports_) {
    set_guest_open(*port, false);
    port->told = port->host_told = false;
  }
}

void VirtioSerial::archive_device(StateArchive& ar) {
  for (auto& port : ports_) {
    ar.section("port" + std::to_string(port->p.number), [&] {
      bool open = port->guest_open;
      ar.field("guest_open", open);
      set_guest_open(*port, open);
      ar.field("told", port->told);
      // Earlier states do not have it: the driver had heard that somebody is there.
      if (ar.loading()) port->host_told = port->told && (port->p.chardev || port->p.console);
      ar.field("host_told", port->host_told);
    });
  }
  ar.field("driver_ready", driver_ready_);
  std::vector<u8> messages;
  for (const auto& m : control_) {
    messages.push_back(static_cast<u8>(m.size()));
    messages.insert(messages.end(), m.begin(), m.end());
  }
  ar.blob("control", messages);
  if (!ar.loading()) return;
  control_.clear();
  for (size_t at = 0; at < messages.size() && control_.size() < kMaxControl;) {
    const size_t size = std::min<size_t>(messages[at], messages.size() - at - 1);
    const auto from = messages.begin() + static_cast<std::ptrdiff_t>(at + 1);
    control_.emplace_back(from, from + static_cast<std::ptrdiff_t>(size));
    at += 1 + size;
  }
}

std::string VirtioSerial::info() const {
  std::string text = VirtioDevice::info();
  for (const auto& port : ports_) {
    text += "  port " + std::to_string(port->p.number) + (port->p.console ? ", console" : "") +
            (port->p.name.empty() ? "" : ", '" + port->p.name + "'") + (port->guest_open ? ", open\n" : ", closed\n");
  }
  return text;
}

}  // namespace doppel::hw
