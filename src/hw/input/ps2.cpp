#include "hw/input/ps2.h"

namespace doppel::hw {

u8 Ps2Device::next() {
  if (queue_.empty()) return 0;
  const u8 byte = queue_.front();
  queue_.pop_front();
  if (queue_.empty()) drained();
  return byte;
}

bool Ps2Device::put(std::initializer_list<u8> bytes, size_t limit) {
  if (queue_.size() + bytes.size() > limit) return false;
  queue_.insert(queue_.end(), bytes);
  if (output_changed) output_changed();
  return true;
}

void Ps2Device::reply(u8 byte) {
  if (queue_.size() >= 256) queue_.pop_front();  // a host that sends commands and never reads
  queue_.push_back(byte);
  if (output_changed) output_changed();
}

void Ps2Device::archive_queue(StateArchive& ar) {
  std::vector<u8> bytes(queue_.begin(), queue_.end());
  ar.blob("queue", bytes);
  if (ar.loading()) queue_.assign(bytes.begin(), bytes.end());
}

}  // namespace doppel::hw
