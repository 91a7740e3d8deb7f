#include "hw/misc/virtio_balloon.h"

#include <algorithm>
#include <cstdio>

namespace doppel::hw {

using namespace virtio;

namespace {
constexpr u64 kStatsVq = feature(1), kDeflateOnOom = feature(2), kReporting = feature(5);
enum ConfigField : size_t { kNumPages = 0, kActual = 4, kConfigSize = 16 };
constexpr u16 kInflate = 0, kDeflate = 1;
constexpr size_t kStatSize = 10;          // tag and value
constexpr u64 kMaxFrames = 1 << 16;       // of one buffer; Linux sends 256
constexpr u64 kMaxReport = u64{1} << 30;  // bytes of one report
}  // namespace

VirtioBalloon::VirtioBalloon(Params p)
    : VirtioDevice(
          {.name = "virtio-balloon",
           .id = kIdBalloon,
           .features = kStatsVq | (p.deflate_on_oom ? kDeflateOnOom : 0) | (p.free_page_reporting ? kReporting : 0) |
                       (p.event_idx ? kEventIdx : 0) | (p.indirect ? kIndirectDesc : 0),
           .queues = std::vector<u16>(p.free_page_reporting ? 4 : 3, 128),
           .config_size = kConfigSize},
          p.clock),
      p_(std::move(p)) {
  stats_.fill(~u64{0});
}

void VirtioBalloon::set_target(u64 bytes) {
  const u64 keep = std::min(bytes, p_.ram_bytes);
  poke(kNumPages, std::min<u64>((p_.ram_bytes - keep) / kPageSize, ~u32{0}), 4);
  config_changed();
}

u64 VirtioBalloon::actual() const { return p_.ram_bytes - std::min(pages(kActual) * kPageSize, p_.ram_bytes); }

// The driver says how many pages it has given.
void VirtioBalloon::config_written(u64 offset, u64 value, unsigned size) {
  if (offset >= kActual && offset + size <= kActual + 4) poke(offset, value, size);
}

// Queues that the driver did not ask for have no number (5.5.2): the last is the third then.
void VirtioBalloon::handle(u16 index) {
  reporting_queue_ = has(kStatsVq) ? 3 : 2;
  if (index == kInflate || index == kDeflate) {
    serve(index, [&](const VirtqChain& chain) {
      if (index == kInflate) inflate(chain);
      queue(index).push(chain, 0);
      return Serve::Done;
    });
  } else if (index == reporting_queue_ && has(kReporting)) {
    serve(index, [&](const VirtqChain& chain) {
      u64 left = kMaxReport;
      chain.each_writable([&](u64 pa, u64 size) {
        const u64 first = align_up(pa, kPageSize), end = align_down(pa + std::min(size, left), kPageSize);
        left -= std::min(size, left);
        if (pa <= first && first < end && p_.release) p_.release(first, end - first);
      });
      queue(index).push(chain, 0);
      return Serve::Done;
    });
  } else if (has(kStatsVq)) {
    // The driver sends new numbers when it gets its buffer back: that is for the one who asks, so the last stays.
    VirtqChain chain;
    Virtqueue& q = queue(index);
    if (q.pop(chain)) {
      read_stats(chain);
      q.unpop(1);
    }
    finish(index);
  }
}

// Frame numbers of 32 bits; runs of neighbours, up or down, are given back at once.
void VirtioBalloon::inflate(const VirtqChain& chain) {
  const u64 count = std::min(chain.readable() / 4, kMaxFrames);
  u64 first = 0, pages = 0;
  const auto flush = [&] {
    if (pages != 0 && p_.release) p_.release(first * kPageSize, pages * kPageSize);
    pages = 0;
  };
  for (u64 i = 0; i < count; i++) {
    u8 raw[4];
    if (chain.read(4 * i, raw) != sizeof raw || chain.faulty()) break;
    const u64 frame = load_le<u32>(raw);
    if (pages != 0 && frame == first + pages) {
      pages++;
    } else if (pages != 0 && frame + 1 == first) {
      first--;
      pages++;
    } else {
      flush();
      first = frame;
      pages = 1;
    }
  }
  flush();
}

void VirtioBalloon::read_stats(const VirtqChain& chain) {
  const u64 count = std::min<u64>(chain.readable() / kStatSize, 64);
  for (u64 i = 0; i < count; i++) {
    u8 raw[kStatSize];
    chain.read(kStatSize * i, raw);
    const u16 tag = load_le<u16>(raw);
    if (tag < stats_.size()) stats_[tag] = load_le<u64>(raw + 2);
  }
}

void VirtioBalloon::refresh_stats() {
  const u16 index = stats_queue_;
  if (!has(kStatsVq) || !usable(index)) return;
  VirtqChain chain;
  if (queue(index).pop(chain)) queue(index).push(chain, 0);
  finish(index);
}

void VirtioBalloon::stopped() {
  stats_.fill(~u64{0});
  poke(kActual, 0, 4);
}

void VirtioBalloon::archive_device(StateArchive& ar) { ar.field("stats", stats_); }

std::string VirtioBalloon::info() const {
  char text[160];
  std::snprintf(text, sizeof text, "guest has %llu MiB of %llu, asked for %llu\n",
                static_cast<unsigned long long>(actual() >> 20), static_cast<unsigned long long>(p_.ram_bytes >> 20),
                static_cast<unsigned long long>((p_.ram_bytes - pages(kNumPages) * kPageSize) >> 20));
  return VirtioDevice::info() + text;
}

}  // namespace doppel::hw
