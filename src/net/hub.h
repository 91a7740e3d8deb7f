// Hub: as on the desk, a frame that comes in at one port goes out at all others. A port is a Backend for a card, and an
// Endpoint for a back end, so that any of them can be plugged in. Frames are handed on by the network thread.
#pragma once
#include <map>

#include "net/backend.h"

namespace doppel::net {

class Hub;

class HubPort final : public Backend, public Endpoint {
 public:
  HubPort(std::string id, Loop& loop, std::shared_ptr<Hub> hub);
  ~HubPort() override;
  std::string info() const override;
  // A back end in place of a card.
  void plug(std::shared_ptr<Backend> backend) { inner_ = std::move(backend); }
  const std::shared_ptr<Backend>& inner() const { return inner_; }
  void out(const Packet& packet) {  // from another port
    if (inner_)
      inner_->send(Packet(packet));
    else
      deliver(Packet(packet));
  }
  void receive(std::deque<Packet>& frames) override;  // from inner_
  void room_to_send() override {}

 protected:
  void transmit(Packet&& packet) override;  // from the card

 private:
  std::shared_ptr<Hub> hub_;
  std::shared_ptr<Backend> inner_;
};

class Hub {
 public:
  explicit Hub(int number) : number_(number) {}
  int number() const { return number_; }
  void forward(const HubPort& from, const Packet& packet) {
    for (HubPort* p : ports_) {
      if (p != &from) p->out(packet);
    }
  }
  const std::vector<HubPort*>& ports() const { return ports_; }

 private:
  friend class HubPort;
  int number_;
  std::vector<HubPort*> ports_;  // changed on the network thread
};

}  // namespace doppel::net
