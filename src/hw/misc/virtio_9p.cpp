#include "hw/misc/virtio_9p.h"

#include <algorithm>

namespace doppel::hw {

using namespace virtio;

namespace {
constexpr unsigned kMountTag = 0;  // feature: there is a tag
}

Virtio9p::Virtio9p(Params p)
    : VirtioDevice({.name = "virtio-9p",
                    .id = kId9p,
                    .features = feature(kMountTag) | (p.event_idx ? kEventIdx : 0) | (p.indirect ? kIndirectDesc : 0),
                    .queues = {128},
                    .config_size = 2 + p.tag.size()},
                   p.clock),
      tag_(std::move(p.tag)),
      server_(std::move(p.folder)) {
  poke(0, tag_.size(), 2);
  for (size_t i = 0; i < tag_.size(); i++) poke(2 + i, static_cast<u8>(tag_[i]), 1);
}

void Virtio9p::handle(u16 index) {
  serve(index, [&](const VirtqChain& chain) {
    const u64 size = chain.readable();
    if (size < share::kHeader || size > share::Server::kMaxMessage || chain.writable() < share::kHeader + 4) {
      needs_reset("a 9P message without header or answer");
      return Serve::Later;
    }
    message_.resize(size);
    chain.read(0, message_);
    // The message may be shorter than its buffers, never longer.
    const u32 said = load_le<u32>(message_.data());
    if (said < share::kHeader || said > size) {
      needs_reset("a 9P message of a wrong size");
      return Serve::Later;
    }
    const std::vector<u8> answer = server_.handle(std::span(message_).first(said), chain.writable());
    chain.write(0, answer);
    queue(index).push(chain, static_cast<u32>(answer.size()));
    return Serve::Done;
  });
}

std::string Virtio9p::info() const {
  return VirtioDevice::info() + "mount tag " + tag_ + ", " + std::to_string(server_.names()) + " names in use\n";
}

}  // namespace doppel::hw
