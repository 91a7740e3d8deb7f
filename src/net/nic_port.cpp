#include "net/nic_port.h"

#include <cstdio>
#include <utility>

#include "net/checksum.h"
#include "net/coalesce.h"

namespace doppel::net {

std::string mac_text(const MacAddress& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

void NicPort::connect(NicClient& card, std::mutex& device_lock) {
  const std::lock_guard own(lock_);
  device_lock_ = &device_lock;
  card_ = &card;
}

void NicPort::disconnect() {
  const std::lock_guard own(lock_);
  if (device_lock_ == nullptr) return;
  const std::lock_guard device(*device_lock_);
  card_ = nullptr;
  device_lock_ = nullptr;
}

void NicPort::plug(std::shared_ptr<Backend> backend) {
  backend_ = std::move(backend);
  if (backend_) backend_->set_peer(shared_from_this());
}

template <typename F>
void NicPort::change(F body) {
  const std::lock_guard own(lock_);
  if (device_lock_ == nullptr) return body();
  const std::lock_guard device(*device_lock_);
  body();
}

void NicPort::unplug() {
  if (!backend_) return;
  backend_->set_peer(nullptr);
  std::shared_ptr<Backend> gone;
  change([&] {
    gone = std::move(backend_);
    backend_.reset();
    if (card_) card_->link_changed(link());
  });
}

void NicPort::add_tap(const std::string& id, Tap tap) {
  change([&] { taps_.emplace_back(id, std::move(tap)); });
}

void NicPort::remove_tap(const std::string& id) {
  change([&] { std::erase_if(taps_, [&](const auto& t) { return t.first == id; }); });
}

bool NicPort::send(Packet&& packet) {
  if (!link()) return true;
  if (!taps_.empty()) {
    if (backend_ && !backend_->has_room()) return false;  // it would be seen twice
    for (const auto& [id, tap] : taps_) tap(packet.data, true);
  }
  return backend_ == nullptr || backend_->send(std::move(packet));
}

void NicPort::room_to_receive() {
  if (!std::exchange(starved_, false)) return;  // cards call often; only then is the network thread to be woken
  if (backend_) backend_->flush_soon();
}

void NicPort::wake() {
  awake_ = true;
  if (backend_) backend_->flush_soon();
}

void NicPort::receive(std::deque<Packet>& frames) {
  const std::lock_guard own(lock_);
  if (device_lock_ == nullptr || !link()) {
    frames.clear();
    return;
  }
  const std::lock_guard device(*device_lock_);
  while (!frames.empty() && awake_) {
    // A dump shows frames as they are on the wire: then none are joined.
    if (taps_.empty() && card_->receives_offload()) coalesce_front(frames);
    Packet& p = frames.front();
    if (!card_->receives_offload()) {
      complete_checksum(p);
      if (p.offload.segmentation != Segmentation::None) {
        auto pieces = segment(std::move(p));
        frames.pop_front();
        frames.insert(frames.begin(), std::make_move_iterator(pieces.begin()), std::make_move_iterator(pieces.end()));
        continue;
      }
    }
    if (card_->receive(p) == NicClient::Took::Nothing) {
      starved_ = true;
      break;
    }
    for (const auto& [id, tap] : taps_) tap(p.data, false);
    frames.pop_front();
  }
  card_->received();
}

void NicPort::room_to_send() {
  const std::lock_guard own(lock_);
  if (device_lock_ == nullptr) return;
  const std::lock_guard device(*device_lock_);
  if (awake_) card_->room_to_send();
}

void NicPort::link_changed(bool) {
  const std::lock_guard own(lock_);
  if (device_lock_ == nullptr) return;
  const std::lock_guard device(*device_lock_);
  card_->link_changed(link());
}

void NicPort::set_link(bool up) {
  if (link_.exchange(up) != up) link_changed(up);
}

}  // namespace doppel::net
