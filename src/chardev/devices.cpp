#include "chardev/devices.h"

namespace doppel::chardev {

void FrontEndSlot::set(Chardev::FrontEnd front) {
  auto next = std::make_shared<const Chardev::FrontEnd>(std::move(front));
  std::lock_guard guard(lock_);
  front_ = std::move(next);
}

std::shared_ptr<const Chardev::FrontEnd> FrontEndSlot::get() const {
  std::lock_guard guard(lock_);
  return front_;
}

size_t FrontEndSlot::room() const {
  const auto front = get();
  return front && front->can_receive ? front->can_receive() : 0;
}

void FrontEndSlot::receive(std::span<const u8> data) const {
  const auto front = get();
  if (front && front->receive) front->receive(data);
}

void FrontEndSlot::opened() const {
  const auto front = get();
  if (front && front->opened) front->opened();
}

void FrontEndSlot::closed() const {
  const auto front = get();
  if (front && front->closed) front->closed();
}

void FrontEndSlot::send_break() const {
  const auto front = get();
  if (front && front->send_break) front->send_break();
}

void RingBuffer::write(std::span<const u8> data) {
  std::lock_guard guard(lock_);
  data_.append(data.begin(), data.end());
  if (data_.size() > size_) data_.erase(0, data_.size() - size_);
}

std::string RingBuffer::take(size_t most) {
  std::lock_guard guard(lock_);
  std::string part = data_.substr(0, most);
  data_.erase(0, part.size());
  return part;
}

void RingBuffer::type(std::string_view text) {
  {
    std::lock_guard guard(lock_);
    input_ += text;
  }
  feed();
}

void RingBuffer::feed() {
  std::lock_guard one(feed_lock_);
  for (;;) {
    const size_t room = front_.room();
    std::string part;
    {
      std::lock_guard guard(lock_);
      if (room == 0 || input_.empty()) return;
      part = input_.substr(0, room);
      input_.erase(0, part.size());
    }
    front_.receive({reinterpret_cast<const u8*>(part.data()), part.size()});  // SAFETY: chars as bytes
  }
}

StreamDevice::StreamDevice(const std::shared_ptr<IoLoop>& loop, FdStream::Options options, std::string description,
                           std::unique_ptr<Terminal> terminal)
    : description_(std::move(description)), terminal_(std::move(terminal)) {
  FdStream::Handlers handlers;
  handlers.room = [front = front_] { return front->room(); };
  handlers.input = [front = front_](std::span<const u8> data) { front->receive(data); };
  stream_ = FdStream::open(loop, options, std::move(handlers));
}

StreamDevice::~StreamDevice() {
  stream_->drain(500);
  stream_->close();
}

void StreamDevice::attach(FrontEnd front) {
  front_->set(std::move(front));
  stream_->accept_input();
}

}  // namespace doppel::chardev
