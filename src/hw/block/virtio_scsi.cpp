#include "hw/block/virtio_scsi.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {

using namespace virtio;

namespace {
constexpr u16 kControlQueue = 0, kEventQueue = 1, kFirstRequestQueue = 2;
constexpr u64 kHotplugFeature = feature(1), kChangeFeature = feature(2);
enum ConfigField : size_t {
  kNumQueues = 0,
  kSegMax = 4,
  kMaxSectors = 8,
  kCmdPerLun = 12,
  kEventInfoSize = 16,
  kSenseSize = 20,
  kCdbSize = 24,
  kMaxChannel = 28,
  kMaxTarget = 30,
  kMaxLun = 32,
  kConfigSize = 36,
};
constexpr u64 kRequestCost = 4096;  // bytes that a request counts for besides its data: a driver may ask without end
constexpr size_t kRequestHeader = 19, kResponseHeader = 12, kEventSize = 16;
constexpr u32 kMaxSense = 252, kMaxCdb = 260;
enum Response : u8 {
  kOk = 0,
  kOverrun = 1,
  kBadTarget = 3,
  kFailure = 9,
  kFunctionSucceeded = 10,
  kFunctionRejected = 11,
  kIncorrectLun = 12,
};
enum ControlType : u32 { kTaskManagement = 0, kQueryEvents = 1, kSubscribeEvents = 2 };
enum TaskFunction : u32 {
  kAbortTask = 0,
  kAbortTaskSet = 1,
  kClearTaskSet = 3,
  kNexusReset = 4,
  kUnitReset = 5,
  kQueryTask = 6,
  kQueryTaskSet = 7,
};
// Events (5.6.6.3) and their reasons.
constexpr u32 kNoEvent = 0, kTransportReset = 1, kParameterChange = 3, kEventsMissed = 0x80000000;
constexpr u32 kRescan = 1, kRemoved = 2, kMediumMayHaveChanged = 0x28;

std::vector<u16> queue_sizes(const VirtioScsi::Params& p) {
  return std::vector<u16>(p.queues + size_t{kFirstRequestQueue}, p.queue_size);
}

u64 features_of(const VirtioScsi::Params& p) {
  return kHotplugFeature | kChangeFeature | (p.event_idx ? kEventIdx : 0) | (p.indirect ? kIndirectDesc : 0);
}

// 5.6.6.1: byte 0 is 1, byte 1 the target, bytes 2 and 3 a single level LUN.
bool parse_lun(std::span<const u8> lun, u8& target, u16& unit) {
  target = lun[1];
  unit = static_cast<u16>((lun[2] & 0x3f) << 8 | lun[3]);
  return lun[0] == 1 && (lun[2] & 0x80) == 0;
}
}  // namespace

struct VirtioScsi::Request {
  VirtqChain chain;
  u16 queue = 0;
  u32 generation = 0, sense_size = 0;
  u64 counted = 0;  // bytes in flight
};

VirtioScsi::VirtioScsi(Params p)
    : VirtioDevice({.name = "virtio-scsi",
                    .id = kIdScsi,
                    .features = features_of(p),
                    .queues = queue_sizes(p),
                    .config_size = kConfigSize},
                   p.clock),
      touched_(p.queues + size_t{kFirstRequestQueue}),
      bus_(std::move(p.units), queue_),
      queue_({.device_lock = p.device_lock, .batch_done = [this] { batch_done(); }}) {
  poke(kNumQueues, p.queues, 4);
  poke(kSegMax, std::min<u64>(p.queue_size, Virtqueue::kMaxSegments) - 2, 4);
  poke(kMaxSectors, p.max_sectors, 4);
  poke(kCmdPerLun, p.commands_per_lun, 4);
  poke(kEventInfoSize, kEventSize, 4);
  poke(kSenseSize, sense_size_, 4);
  poke(kCdbSize, cdb_size_, 4);
  poke(kMaxTarget, ScsiBus::kTargets - 1, 2);
  poke(kMaxLun, 16383, 4);
}

void VirtioScsi::handle(u16 queue) {
  if (queue == kEventQueue) {  // buffers for events to come
    if (events_missed_) send_event(kNoEvent, 0, 0, 0);
    return;
  }
  serve(queue, [&](const VirtqChain& chain) { return queue == kControlQueue ? control(chain) : start(queue, chain); });
}

VirtioScsi::Serve VirtioScsi::start(u16 queue, const VirtqChain& chain) {
  const u64 header = kRequestHeader + cdb_size_, response = kResponseHeader + sense_size_;
  std::vector<u8> raw(header);
  if (chain.read(0, raw) != header || chain.writable() < response) {
    needs_reset("a request without header or response");
    return Serve::Later;
  }
  const u64 out = chain.readable() - header, in = chain.writable() - response;
  const u64 cost = out + in + kRequestCost;
  if (out + in <= kMaxTransfer && in_flight_ != 0 && in_flight_ + cost > kMaxInFlight) {
    waiting_ = true;
    return Serve::Later;
  }
  const auto task = std::make_shared<ScsiTask>();
  const auto r = std::make_shared<Request>();
  r->chain = chain;
  r->queue = queue;
  r->generation = generation_;
  r->sense_size = sense_size_;
  u8 target;
  u16 lun;
  if (out + in > kMaxTransfer) {
    complete(*r, *task, kFailure);
  } else if (!parse_lun(raw, target, lun) || !bus_.has_target(target)) {
    complete(*r, *task, kBadTarget);
  } else {
    std::copy_n(raw.begin() + kRequestHeader, std::min<size_t>(cdb_size_, task->cdb.size()), task->cdb.begin());
    task->out.resize(out);
    if (out != 0) chain.read(header, task->out);
    r->counted = cost;
    in_flight_ += r->counted;
    task->done = [this, r](ScsiTask& t) {
      if (r->generation == generation_) complete(*r, t, kOk);
    };
    bus_.execute(target, lun, task);
  }
  return Serve::Done;
}

void VirtioScsi::complete(Request& r, const ScsiTask& task, u8 response) {
  commands_++;
  if (response != kOk || task.status != scsi::kGood) errors_++;
  const u64 at = kResponseHeader + r.sense_size, room = r.chain.writable() - at;
  const u64 moved = std::min<u64>(task.in.size(), room);
  if (task.in.size() > room) response = kOverrun;
  std::vector<u8> head(at);
  if (task.status == scsi::kCheckCondition) {
    const auto sense = scsi::fixed_sense(task.sense);
    const size_t n = std::min<size_t>(sense.size(), r.sense_size);
    store_le<u32>(&head[0], static_cast<u32>(n));
    std::copy_n(sense.begin(), n, head.begin() + kResponseHeader);
  }
  store_le<u32>(&head[4], static_cast<u32>(room - moved));
  head[10] = task.status;
  head[11] = response;
  r.chain.write(0, head);
  if (moved != 0) r.chain.write(at, std::span<const u8>(task.in).first(moved));
  queue(r.queue).push(r.chain, static_cast<u32>(at + moved));
  in_flight_ -= r.counted;
  touched_[r.queue] = true;
}

void VirtioScsi::batch_done() {
  for (u16 i = 0; i < touched_.size(); i++) {
    if (touched_[i]) finish(i);
    touched_[i] = false;
  }
  if (!waiting_) return;
  waiting_ = false;
  for (u16 i = kFirstRequestQueue; i < queue_count(); i++) notify(i);
}

// --- control and events

VirtioScsi::Serve VirtioScsi::control(const VirtqChain& chain) {
  u8 raw[24] = {};
  const size_t n = chain.read(0, raw);
  const u32 type = load_le<u32>(raw);
  if (type == kTaskManagement && n == 24 && chain.writable() >= 1) {
    const u8 response = manage_tasks(raw);
    chain.write(0, {&response, 1});
    queue(kControlQueue).push(chain, 1);
  } else if ((type == kQueryEvents || type == kSubscribeEvents) && n >= 16 && chain.writable() >= 5) {
    const u8 none[5] = {};  // no asynchronous notifications
    chain.write(0, none);
    queue(kControlQueue).push(chain, sizeof none);
  } else {
    needs_reset("a control request that is none");
    return Serve::Later;
  }
  return Serve::Done;
}

// What is in flight ends before the function does: nothing is left to abort.
u8 VirtioScsi::manage_tasks(std::span<const u8> request) {
  u8 target;
  u16 lun;
  if (!parse_lun(request.subspan(8), target, lun) || !bus_.has_target(target)) return kBadTarget;
  ScsiDevice* unit = bus_.find(target, lun);
  switch (load_le<u32>(&request[4])) {
    case kAbortTask:
    case kAbortTaskSet:
    case kClearTaskSet:
      if (unit == nullptr) return kIncorrectLun;
      queue_.drain();
      return kOk;
    case kNexusReset:
      queue_.drain();
      for (const ScsiBus::Unit& u : bus_.units()) {
        if (u.target == target) u.device->reset();
      }
      return kOk;
    case kUnitReset:
      if (unit == nullptr) return kIncorrectLun;
      queue_.drain();
      unit->reset();
      return kOk;
    case kQueryTask:
    case kQueryTaskSet: return unit == nullptr ? kIncorrectLun : kOk;  // it is not there any more
    default: return kFunctionRejected;
  }
}

// Without a buffer it is lost, which the next event says: the driver looks at everything then.
void VirtioScsi::send_event(u32 type, u8 target, u16 lun, u32 reason) {
  if (!usable(kEventQueue)) return;
  VirtqChain chain;
  if (queue(kEventQueue).pop(chain)) {
    u8 event[kEventSize] = {};
    store_le<u32>(event, type | (std::exchange(events_missed_, false) ? kEventsMissed : 0));
    if (type != kNoEvent) event[4] = 1, event[5] = target;
    event[6] = static_cast<u8>(lun < 256 ? 0 : 0x40 | lun >> 8), event[7] = static_cast<u8>(lun);
    store_le<u32>(event + 12, reason);
    queue(kEventQueue).push(chain, static_cast<u32>(chain.write(0, event)));
  } else {
    events_missed_ = true;
  }
  finish(kEventQueue);
}

void VirtioScsi::plug(ScsiBus::Unit unit) {
  const u8 target = unit.target;
  const u16 lun = unit.lun;
  bus_.add(std::move(unit));
  if (has(kHotplugFeature)) send_event(kTransportReset, target, lun, kRescan);
}

std::unique_ptr<ScsiDevice> VirtioScsi::unplug(u8 target, u16 lun) {
  queue_.drain();
  std::unique_ptr<ScsiDevice> unit = bus_.remove(target, lun);
  if (unit && has(kHotplugFeature)) send_event(kTransportReset, target, lun, kRemoved);
  return unit;
}

void VirtioScsi::medium_changed(u8 target, u16 lun) {
  if (has(kChangeFeature)) send_event(kParameterChange, target, lun, kMediumMayHaveChanged);
}

void VirtioScsi::config_written(u64 offset, u64 value, unsigned size) {
  if (size != 4) return;
  const u32 v = static_cast<u32>(value);
  if (offset == kSenseSize && v <= kMaxSense) {
    poke(kSenseSize, sense_size_ = v, 4);
  } else if (offset == kCdbSize && v >= 16 && v <= kMaxCdb) {
    poke(kCdbSize, cdb_size_ = v, 4);
  }
}

void VirtioScsi::stopped() {
  generation_++;
  queue_.cancel();
  bus_.reset();
  std::fill(touched_.begin(), touched_.end(), false);
  in_flight_ = 0;
  waiting_ = events_missed_ = false;
  poke(kSenseSize, sense_size_ = 96, 4);
  poke(kCdbSize, cdb_size_ = 32, 4);
}

void VirtioScsi::archive_device(StateArchive& ar) {
  ar.field("sense_size", sense_size_);
  ar.field("cdb_size", cdb_size_);
  ar.field("events_missed", events_missed_);
  bus_.archive(ar);
  if (!ar.loading()) return;
  if (sense_size_ > kMaxSense) sense_size_ = 96;
  if (cdb_size_ < 16 || cdb_size_ > kMaxCdb) cdb_size_ = 32;
  poke(kSenseSize, sense_size_, 4);
  poke(kCdbSize, cdb_size_, 4);
}

std::string VirtioScsi::info() const {
  std::string out = VirtioDevice::info();
  for (const ScsiBus::Unit& u : bus_.units())
    out +=
        "  target " + std::to_string(u.target) + " unit " + std::to_string(u.lun) + ": " + u.device->describe() + "\n";
  return out + "  commands " + std::to_string(commands_) + ", errors " + std::to_string(errors_) + "\n";
}

}  // namespace doppel::hw
