#include "hw/block/virtio_blk.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/log.h"
#include "block/sync.h"
#include "hw/block/disk_memory.h"

namespace doppel::hw {

using namespace virtio;

namespace {
constexpr u64 kSector = 512;
constexpr u64 kRequestCost = 4096;  // bytes that a request counts for besides its data: a driver may ask without end
constexpr u32 kMaxRangeSectors = 1 << 22, kMaxRanges = 64;  // of one discard: 2 GiB each
enum Feature : unsigned {
  kSegMax = 2,
  kGeometry = 4,
  kReadOnly = 5,
  kBlkSize = 6,
  kFlush = 9,
  kTopology = 10,
  kConfigWce = 11,
  kMq = 12,
  kDiscard = 13,
  kWriteZeroes = 14,
};
enum ConfigField : size_t {
  kCapacity = 0,
  kSegMaxAt = 12,
  kCylinders = 16,
  kHeads = 18,
  kSectors = 19,
  kBlockSize = 20,
  kWriteback = 32,
  kNumQueues = 34,
  kMaxDiscardSectors = 36,
  kMaxDiscardSegments = 40,
  kDiscardAlignment = 44,
  kMaxWriteZeroesSectors = 48,
  kMaxWriteZeroesSegments = 52,
  kWriteZeroesMayUnmap = 56,
  kConfigSize = 60,
};
enum Type : u32 { kIn = 0, kOut = 1, kFlushType = 4, kGetId = 8, kDiscardType = 11, kWriteZeroesType = 13 };
enum RequestStatus : u8 { kOk = 0, kIoError = 1, kUnsupported = 2 };
constexpr size_t kHeader = 16, kIdLength = 20, kRange = 16;
constexpr u32 kUnmap = 1;

u64 features_of(const VirtioBlk::Params& p) {
  u64 f = feature(kSegMax) | feature(kGeometry) | feature(kBlkSize) | feature(kTopology) | feature(kFlush);
  if (p.read_only) f |= feature(kReadOnly);
  if (p.config_wce) f |= feature(kConfigWce);
  if (p.queues > 1) f |= feature(kMq);
  if (p.discard && !p.read_only) f |= feature(kDiscard);
  if (p.write_zeroes && !p.read_only) f |= feature(kWriteZeroes);
  if (p.event_idx) f |= kEventIdx;
  if (p.indirect) f |= kIndirectDesc;
  return f;
}
}  // namespace

struct VirtioBlk::Request {
  VirtqChain chain;
  u16 queue = 0;
  u32 type = 0;
  u64 offset = 0, size = 0;  // bytes
  u64 counted = 0;           // in flight
  std::unique_ptr<DiskMemory> memory;
  struct Range {
    u64 offset, length;
    bool unmap;
  };
  std::vector<Range> ranges;
  bool flush_after = false;
  u8 status = kOk;
};

VirtioBlk::VirtioBlk(Params p)
    : VirtioDevice({.name = "virtio-blk",
                    .id = kIdBlock,
                    .features = features_of(p),
                    .queues = std::vector<u16>(p.queues, p.queue_size),
                    .config_size = kConfigSize},
                   p.clock),
      p_(std::move(p)),
      touched_(p_.queues),
      queue_({.device_lock = p_.synchronous ? nullptr : &p_.device_lock, .batch_done = [this] { batch_done(); }}) {
  const u64 sectors = p_.node->size() / kSector;
  poke(kCapacity, sectors, 8);
  poke(kSegMaxAt, std::min<u64>(p_.queue_size, Virtqueue::kMaxSegments) - 2, 4);
  poke(kCylinders, std::min<u64>(sectors / (16 * 63), 16383), 2);
  poke(kHeads, 16, 1);
  poke(kSectors, 63, 1);
  poke(kBlockSize, kSector, 4);
  write_cache_ = p_.write_cache;
  poke(kWriteback, write_cache_, 1);
  poke(kNumQueues, p_.queues, 2);
  poke(kMaxDiscardSectors, kMaxRangeSectors, 4);
  poke(kMaxDiscardSegments, kMaxRanges, 4);
  poke(kDiscardAlignment, 1, 4);
  poke(kMaxWriteZeroesSectors, kMaxRangeSectors, 4);
  poke(kMaxWriteZeroesSegments, kMaxRanges, 4);
  poke(kWriteZeroesMayUnmap, 1, 1);
}

bool VirtioBlk::has_flush() const { return has(feature(kFlush)); }

void VirtioBlk::handle(u16 queue) {
  serve(queue, [&](const VirtqChain& chain) { return start(queue, chain); });
}

VirtioBlk::Serve VirtioBlk::start(u16 queue, const VirtqChain& chain) {
  u8 header[kHeader];
  if (chain.read(0, header) != kHeader || chain.writable() == 0) {
    needs_reset("a request without header or status");
    return Serve::Later;
  }
  const auto r = std::make_shared<Request>();
  r->queue = queue;
  r->type = load_le<u32>(header);
  const u64 sector = load_le<u64>(header + 8);
  r->offset = sector > ~u64{0} / kSector ? ~u64{0} : sector * kSector;
  if (r->type == kIn) r->size = chain.writable() - 1;
  if (r->type == kOut) r->size = chain.readable() - kHeader;
  const u64 cost = r->size + kRequestCost;
  if (r->size <= kMaxTransfer && in_flight_ != 0 && in_flight_ + cost > kMaxInFlight) {
    waiting_ = true;
    return Serve::Later;
  }
  r->chain = chain;
  if (!prepare(*r)) {
    complete(*r);
    return Serve::Done;
  }
  in_flight_ += r->counted = cost;
  queue_.submit([this, r] { return run(*r); },
                [this, r](int error) {
                  if (error != 0) r->status = kIoError;
                  complete(*r);
                },
                {.policy = p_.policy, .is_read = r->type == kIn, .bytes = r->size});
  return Serve::Done;
}

// Checks a request and fetches what it brings.
bool VirtioBlk::prepare(Request& r) {
  const bool changes = r.type == kOut || r.type == kDiscardType || r.type == kWriteZeroesType;
  r.status = kIoError;
  if (changes && p_.read_only) return false;
  switch (r.type) {
    case kIn:
    case kOut: {
      const u64 end = p_.node->size() / kSector * kSector;
      if (r.size > kMaxTransfer || r.size % kSector != 0 || r.offset > end || r.size > end - r.offset) {
        DOPPEL_LOG(GuestErrors, "virtio-blk: a transfer of 0x%llx bytes at 0x%llx\n",
                   static_cast<unsigned long long>(r.size), static_cast<unsigned long long>(r.offset));
        r.size = 0;
        return false;
      }
      const bool reads = r.type == kIn;
      r.memory = std::make_unique<DiskMemory>(
          r.chain.dma(), reads ? r.chain.writable_at(0, r.size) : r.chain.readable_at(kHeader, r.size),
          reads ? DiskMemory::Direction::ToGuest : DiskMemory::Direction::FromGuest);
      if (!r.memory->good()) r.chain.set_faulty();
      break;
    }
    case kFlushType: break;
    case kGetId: {
      u8 id[kIdLength] = {};
      std::copy_n(p_.serial.begin(), std::min(p_.serial.size(), kIdLength), id);
      r.chain.write(0, {id, std::min<u64>(kIdLength, r.chain.writable() - 1)});
      r.status = kOk;
      return false;
    }
    case kDiscardType:
    case kWriteZeroesType: prepare_ranges(r); break;
    default: r.status = kUnsupported; return false;
  }
  if (r.type == kDiscardType || r.type == kWriteZeroesType) {
    if (r.ranges.empty()) return false;
  }
  r.flush_after = changes && write_through();
  r.status = kOk;
  return true;
}

// Empty: refused.
void VirtioBlk::prepare_ranges(Request& r) {
  const u64 bytes = r.chain.readable() - kHeader, end = p_.node->size() / kSector * kSector;
  if (bytes == 0 || bytes % kRange != 0 || bytes / kRange > kMaxRanges) return;
  for (u64 at = 0; at < bytes; at += kRange) {
    u8 raw[kRange];
    r.chain.read(kHeader + at, raw);
    const u64 sector = load_le<u64>(raw), length = load_le<u32>(raw + 8) * kSector;
    const u32 flags = load_le<u32>(raw + 12);
    const bool good = sector <= end / kSector && length <= end - sector * kSector &&
                      length <= kMaxRangeSectors * kSector && (flags & ~kUnmap) == 0 &&
                      (r.type == kWriteZeroesType || flags == 0);
    if (!good) {
      r.ranges.clear();
      return;
    }
    r.ranges.push_back({sector * kSector, length, (flags & kUnmap) != 0});
  }
}

int VirtioBlk::run(Request& r) const {
  block::Node& node = *p_.node;
  int error = 0;
  switch (r.type) {
    case kIn: error = block::read_sync(node, r.offset, r.memory->pieces()); break;
    case kOut: error = block::write_sync(node, r.offset, r.memory->pieces()); break;
    case kFlushType: error = block::flush_sync(node); break;
    default:
      for (const Request::Range& range : r.ranges) {
        if (error != 0) break;
        error = r.type == kDiscardType ? block::discard_sync(node, range.offset, range.length)
                                       : block::write_zeroes_sync(node, range.offset, range.length);
      }
  }
  if (error != 0 && r.type == kIn) r.memory->clear();  // it may be passed over
  return error == 0 && r.flush_after ? block::flush_sync(node) : error;
}

// The status is the last byte that the driver gave room for.
void VirtioBlk::complete(Request& r) {
  u32 written = 1;
  if (r.type == kIn && r.status == kOk) {
    if (!r.memory->deliver()) r.chain.set_faulty();
    written += static_cast<u32>(r.size);
  }
  r.chain.write(r.chain.writable() - 1, {&r.status, 1});
  queue(r.queue).push(r.chain, written);
  touched_[r.queue] = true;
  (r.type == kIn ? reads_ : writes_)++;
  if (r.status != kOk) errors_++;
  in_flight_ -= r.counted;
}

void VirtioBlk::batch_done() {
  for (u16 i = 0; i < touched_.size(); i++) {
    if (touched_[i]) finish(i);
    touched_[i] = false;
  }
  if (!waiting_) return;
  waiting_ = false;
  kick_all();
}

void VirtioBlk::stopped() {
  queue_.cancel();
  std::fill(touched_.begin(), touched_.end(), false);
  in_flight_ = 0;
  waiting_ = false;
  write_cache_ = p_.write_cache;
  poke(kWriteback, write_cache_, 1);
}

void VirtioBlk::config_written(u64 offset, u64 value, unsigned) {
  if (offset != kWriteback || !has(feature(kConfigWce))) return;
  write_cache_ = (value & 1) != 0;
  poke(kWriteback, write_cache_, 1);
}

void VirtioBlk::archive_device(StateArchive& ar) {
  ar.field("write_cache", write_cache_);
  if (ar.loading()) poke(kWriteback, write_cache_, 1);
}

std::string VirtioBlk::info() const {
  char text[120];
  std::snprintf(text, sizeof text, "%s, write cache %s, reads %llu, others %llu, errors %llu\n",
                p_.node->filename().c_str(), write_through() ? "off" : "on", static_cast<unsigned long long>(reads_),
                static_cast<unsigned long long>(writes_), static_cast<unsigned long long>(errors_));
  return VirtioDevice::info() + text;
}

}  // namespace doppel::hw
