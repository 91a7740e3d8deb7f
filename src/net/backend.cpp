#include "net/backend.h"

#include <utility>

#include "net/checksum.h"

namespace doppel::net {

bool Backend::send(Packet&& packet) {
  {
    const std::lock_guard guard(lock_);
    if (from_peer_.size() >= kSendQueue) {
      refused_ = true;
      return false;
    }
    from_peer_.push_back(std::move(packet));
    if (from_peer_.size() > 1) return true;
  }
  loop_.wake();
  return true;
}

bool Backend::has_room() {
  const std::lock_guard guard(lock_);
  refused_ |= from_peer_.size() >= kSendQueue;
  return !refused_;
}

void Backend::set_peer(std::shared_ptr<Endpoint> peer) {
  has_peer_.store(peer != nullptr);
  loop_.call([&] {
    peer_ = std::move(peer);
    to_peer_.clear();
  });
}

void Backend::flush_soon() { loop_.wake(); }

void Backend::set_link(bool up) {
  if (link_.exchange(up) == up) return;
  loop_.call([&] {
    if (peer_) peer_->link_changed(up);
  });
}

void Backend::work() {
  working_ = true;
  for (;;) {
    std::deque<Packet> out;
    bool refused;
    {
      const std::lock_guard guard(lock_);
      out.swap(from_peer_);
      refused = std::exchange(refused_, false);
    }
    if (refused && peer_) peer_->room_to_send();
    if (out.empty()) break;
    for (Packet& p : out) {
      if (!link()) continue;
      sent_.count(p.data.size());
      if (takes_offload()) {
        transmit(std::move(p));
      } else if (p.offload.segmentation == Segmentation::None) {
        complete_checksum(p);
        transmit(std::move(p));
      } else {
        for (Packet& piece : segment(std::move(p))) transmit(std::move(piece));
      }
    }
  }
  working_ = false;
  flush();
}

void Backend::deliver(Packet&& packet) {
  if (!peer_ || !link()) return;
  if (!can_deliver()) {
    delivered_.dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  delivered_.count(packet.data.size());
  to_peer_.push_back(std::move(packet));
  if (!working_) loop_.wake();
}

void Backend::flush() {
  if (to_peer_.empty() || !peer_) return;
  const bool was_full = !can_deliver();
  peer_->receive(to_peer_);
  if (was_full && can_deliver()) flushed();
}

}  // namespace doppel::net
