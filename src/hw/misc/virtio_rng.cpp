#include "hw/misc/virtio_rng.h"

#include <algorithm>
#include <array>
#include <random>

namespace doppel::hw {

using namespace virtio;

VirtioRng::VirtioRng(Params p)
    : VirtioDevice({.name = "virtio-rng",
                    .id = kIdEntropy,
                    .features = (p.event_idx ? kEventIdx : 0) | (p.indirect ? kIndirectDesc : 0),
                    .queues = {8},
                    .config_size = 0},
                   p.clock),
      p_(p),
      left_(p.max_bytes),
      refill_(p.clock, [this] {
        left_ = p_.max_bytes;
        notify(0);
      }) {}

// splitmix64 (public domain, S. Vigna): good enough for a guest whose run must repeat.
void VirtioRng::fill(std::span<u8> out) {
  static thread_local std::random_device host;
  for (size_t at = 0; at < out.size(); at += 4) {
    u32 word;
    if (p_.repeatable) {
      u64 z = sequence_ += 0x9e3779b97f4a7c15;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      word = static_cast<u32>(z ^ (z >> 31));
    } else {
      word = host();
    }
    for (size_t i = 0; i < 4 && at + i < out.size(); i++) out[at + i] = static_cast<u8>(word >> (8 * i));
  }
}

void VirtioRng::handle(u16 queue) {
  serve(queue, [&](const VirtqChain& chain) {
    const u64 n = std::min({u64{kAtOnce}, chain.writable(), left_});
    if (left_ == 0) {
      if (!refill_.armed()) refill_.arm_in(s64{p_.period_ms} * 1'000'000);
      return Serve::Later;
    }
    std::array<u8, kAtOnce> bytes;
    fill({bytes.data(), n});
    chain.write(0, {bytes.data(), n});
    this->queue(queue).push(chain, static_cast<u32>(n));
    if (p_.max_bytes != ~u64{0}) left_ -= n;
    return Serve::Done;
  });
}

void VirtioRng::stopped() {
  refill_.disarm();
  left_ = p_.max_bytes;
  sequence_ = 0;
}

void VirtioRng::archive_device(StateArchive& ar) {
  ar.field("left", left_);
  ar.field("sequence", sequence_);
  if (!ar.loading()) return;
  left_ = std::min(left_, p_.max_bytes);
  if (left_ == 0) refill_.arm_in(s64{p_.period_ms} * 1'000'000);
}

}  // namespace doppel::hw
