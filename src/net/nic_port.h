// NicPort: the socket in a network card that the cable is plugged into. It outlives the card, as back ends hold it from
// another thread. Between them it turns the back end's deliveries into calls with the device lock held, and keeps the
// link's state (monitor: set_link) and the dumps.
//
// Threads: what a card calls, it calls with the device lock held; receive() and room_to_send() come on the network
// thread; the rest from any thread without locks.
#pragma once
#include <array>
#include <functional>
#include <mutex>
#include <vector>

#include "net/backend.h"

namespace doppel::net {

using MacAddress = std::array<u8, 6>;
std::string mac_text(const MacAddress& mac);  // 52:54:00:12:34:56

// What a card offers; the device lock is held.
class NicClient {
 public:
  virtual ~NicClient() = default;
  enum class Took { Frame, Nothing };  // Nothing: no buffer now; the card calls room_to_receive() when it has one
  virtual Took receive(const Packet& packet) = 0;
  virtual void room_to_send() {}
  virtual void link_changed(bool up) = 0;
  virtual void received() {}  // the frames of one delivery are in: the time for an interrupt
  // Frames the card takes whole and without checksum (virtio's guest features): neighbours are then joined to such.
  virtual bool receives_offload() const { return false; }
};

class NicPort final : public Endpoint, public std::enable_shared_from_this<NicPort> {
 public:
  NicPort(std::string name, std::string model, MacAddress mac)
      : name_(std::move(name)), model_(std::move(model)), mac_(mac) {}
  const std::string& name() const { return name_; }
  const std::string& model() const { return model_; }
  const MacAddress& mac() const { return mac_; }
  void set_mac(const MacAddress& mac) { mac_ = mac; }

  // The card's side.
  void connect(NicClient& card, std::mutex& device_lock);
  void disconnect();  // the card goes away; device lock not held, it is taken
  // False: no room now, room_to_send() follows. A port without a cable or with its link down swallows frames.
  bool send(Packet&& packet);
  bool send(std::span<const u8> frame) { return send(Packet(frame)); }
  void room_to_receive();
  bool offload() const { return backend_ != nullptr && backend_->takes_offload(); }
  bool link() const { return link_.load() && (backend_ == nullptr || backend_->link()); }
  // A sleeping machine's card must not change: frames wait.
  void sleep() { awake_ = false; }
  void wake();

  // The other side.
  void plug(std::shared_ptr<Backend> backend);  // before the card is there
  void unplug();                                // the back end goes: the card has no cable then

  const std::shared_ptr<Backend>& backend() const { return backend_; }
  void set_link(bool up);
  // Sees every frame, `out`: from the card. Called on either thread; leaf locks only.
  using Tap = std::function<void(std::span<const u8> frame, bool out)>;
  void add_tap(const std::string& id, Tap tap);
  void remove_tap(const std::string& id);
  void receive(std::deque<Packet>& frames) override;
  void room_to_send() override;
  void link_changed(bool up) override;

 private:
  std::string name_, model_;
  MacAddress mac_;
  std::shared_ptr<Backend> backend_;
  std::vector<std::pair<std::string, Tap>> taps_;
  std::atomic<bool> link_{true};
  // Runs `change` when no frame passes.
  template <typename F>
  void change(F body);
  std::mutex lock_;  // guards device_lock_ against the card's end
  std::mutex* device_lock_ = nullptr;
  NicClient* card_ = nullptr;  // under the device lock
  bool awake_ = true;          // under the device lock
  bool starved_ = false;       // under the device lock: frames wait for the card
};

}  // namespace doppel::net
