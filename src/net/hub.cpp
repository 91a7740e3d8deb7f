#include "net/hub.h"

#include "net/checksum.h"

namespace doppel::net {

HubPort::HubPort(std::string id, Loop& loop, std::shared_ptr<Hub> hub)
    : Backend(std::move(id), loop), hub_(std::move(hub)) {
  loop.call([this] { hub_->ports_.push_back(this); });
  loop.add(*this);
}

HubPort::~HubPort() {
  loop().remove(*this);
  if (inner_) inner_->set_peer(nullptr);
  loop().call([this] { std::erase(hub_->ports_, this); });
}

std::string HubPort::info() const { return "type=hubport,hubid=" + std::to_string(hub_->number()); }

void HubPort::transmit(Packet&& packet) { hub_->forward(*this, packet); }

void HubPort::receive(std::deque<Packet>& frames) {
  for (Packet& p : frames) {
    for (Packet& piece : segment(std::move(p))) hub_->forward(*this, piece);
  }
  frames.clear();
}

}  // namespace doppel::net
