// Nvme: controller registers (section 3.1), reset and shutdown (7.3, 7.6.2), state.
#include "hw/block/nvme.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "block/sync.h"

namespace doppel::hw {

using namespace nvme;

namespace {
constexpr u32 kMsixBar = 4;
constexpr u64 kRegisters = 0x4000;
constexpr u32 kWritableControl = 0x00fffff1;
}  // namespace

Nvme::Nvme(Params p)
    : PciDevice("nvme", {.vendor = 0x1b36, .device = 0x0010, .revision = 2, .class_code = 0x010802, .pin = 1}),
      p_(std::move(p)),
      sqs_(p_.io_queues + size_t{1}),
      cqs_(p_.io_queues + size_t{1}),
      queue_({.device_lock = p_.device_lock, .batch_done = [this] {
                if (std::exchange(waiting_, false)) run_queues();
                publish();
              }}) {
  add_mmio_bar(0, kRegisters, *this, false, true);
  msix_ = std::make_unique<PciMsix>(*this, kMsixBar, p_.io_queues + 1u);
}

Nvme::~Nvme() = default;

u64 Nvme::capabilities() const {
  constexpr u64 kContiguous = 1 << 16, kTimeout = u64{0xf} << 24, kNvmCommands = u64{1} << 37,
                kPagesTo64k = u64{4} << 52;
  return (kMaxEntries - 1) | kContiguous | kTimeout | kNvmCommands | kPagesTo64k;
}

u64 Nvme::read(u64 offset, unsigned) {
  switch (offset) {
    case kCap: return capabilities() & 0xffffffff;
    case kCap + 4: return capabilities() >> 32;
    case kVs: return kVersion;
    case kIntms:
    case kIntmc: return interrupt_mask_;
    case kCc: return control_;
    case kCsts: return status_;
    case kAqa: return admin_sizes_;
    case kAsq: return admin_sq_ & 0xffffffff;
    case kAsq + 4: return admin_sq_ >> 32;
    case kAcq: return admin_cq_ & 0xffffffff;
    case kAcq + 4: return admin_cq_ >> 32;
    default: return 0;
  }
}

void Nvme::write(u64 offset, u64 value, unsigned) {
  const u32 v = static_cast<u32>(value);
  const auto low = [v](u64& reg) { reg = (reg & ~u64{0xffffffff}) | (v & ~u32{0xfff}); };
  const auto high = [v](u64& reg) { reg = (reg & 0xffffffff) | u64{v} << 32; };
  if (offset >= kDoorbells) return doorbell(offset - kDoorbells, v);
  switch (offset) {
    case kIntms:
    case kIntmc:
      interrupt_mask_ = offset == kIntms ? interrupt_mask_ | v : interrupt_mask_ & ~v;
      publish();
      break;
    case kCc: write_control(v); break;
    case kAqa: admin_sizes_ = v & 0x0fff0fff; break;
    case kAsq: low(admin_sq_); break;
    case kAsq + 4: high(admin_sq_); break;
    case kAcq: low(admin_cq_); break;
    case kAcq + 4: high(admin_cq_); break;
    default: break;
  }
}

void Nvme::write_control(u32 value) {
  const u32 before = control_;
  control_ = value & kWritableControl;
  if ((value & kCcEnable) != 0 && (before & kCcEnable) == 0) enable();
  if ((value & kCcEnable) == 0 && (before & kCcEnable) != 0) disable();
  const u32 notification = value >> 14 & 3;
  if (notification != 0 && (before >> 14 & 3) == 0) shut_down();
  if (notification == 0) status_ &= ~(kCstsShutdownBusy | kCstsShutdownDone);
}

void Nvme::enable() {
  const u32 page_shift = control_ >> 7 & 15, command_set = control_ >> 4 & 7, arbitration = control_ >> 11 & 7;
  if (page_shift > 4 || command_set != 0 || arbitration != 0) return fatal("it can't be configured like that");
  const u64 inside = page_size() - 1;
  if (((admin_sq_ | admin_cq_) & inside) != 0) return fatal("an admin queue is not at the start of a page");
  sqs_[0] = {.base = admin_sq_, .size = (admin_sizes_ & 0xfff) + 1};
  cqs_[0] = {.base = admin_cq_, .size = (admin_sizes_ >> 16 & 0xfff) + 1, .interrupts = true};
  if (sqs_[0].size < 2 || cqs_[0].size < 2) return fatal("an admin queue has one entry");
  status_ |= kCstsReady;
}

// A controller reset: queues and what they hold are gone, the admin queue's registers stay.
void Nvme::disable() {
  queue_.cancel();
  std::fill(sqs_.begin(), sqs_.end(), SubmissionQueue{});
  std::fill(cqs_.begin(), cqs_.end(), CompletionQueue{});
  event_requests_.clear();
  events_.clear();
  masked_events_ = 0;
  in_flight_ = outstanding_ = 0;
  waiting_ = false;
  write_cache_ = true;
  temperature_high_ = 0x157;
  temperature_low_ = 0;
  event_config_ = 0;
  interrupt_mask_ = 0;
  status_ = 0;
  set_intx(false);
}

void Nvme::shut_down() {
  status_ = (status_ & ~kCstsShutdownDone) | kCstsShutdownBusy;
  queue_.submit([node = p_.node] { return node->read_only() ? 0 : block::flush_sync(*node); },
                [this](int) { status_ = (status_ & ~kCstsShutdownBusy) | kCstsShutdownDone; });
}

void Nvme::fatal(const char* why) {
  DOPPEL_LOG(GuestErrors, "nvme: fatal: %s\n", why);
  status_ |= kCstsFatal;
}

void Nvme::doorbell(u64 offset, u32 value) {
  const size_t id = offset / 8;
  const bool is_cq = (offset & 4) != 0;
  if (!ready() || (offset & 3) != 0) return;
  if (id >= sqs_.size() || (is_cq ? cqs_[id].size : sqs_[id].size) == 0)
    return async_event(kErrorEvent, kInvalidDoorbell, kErrorLog);
  if (!is_cq) {
    if (value >= sqs_[id].size) return async_event(kErrorEvent, kInvalidDoorbellValue, kErrorLog);
    sqs_[id].tail = value;
    run_queue(static_cast<u16>(id));
    return publish();
  }
  CompletionQueue& q = cqs_[id];
  if (value >= q.size) return async_event(kErrorEvent, kInvalidDoorbellValue, kErrorLog);
  q.head = value;
  bool any = false;
  while (!q.waiting.empty() && post(q, q.waiting.front())) {
    q.waiting.pop_front();
    any = true;
  }
  if (any) run_queues();
  publish();
}

void Nvme::config_written(u8 offset, unsigned size) { msix_->config_written(offset, size); }

void Nvme::reset() {
  disable();
  control_ = admin_sizes_ = 0;
  admin_sq_ = admin_cq_ = 0;
  msix_->reset();
  PciDevice::reset();
}

void Nvme::archive(StateArchive& ar) {
  if (ar.loading()) disable();
  PciDevice::archive(ar);
  msix_->archive(ar);
  ar.field("control", control_);
  ar.field("status", status_);
  ar.field("interrupt_mask", interrupt_mask_);
  ar.field("admin_sizes", admin_sizes_);
  ar.field("admin_sq", admin_sq_);
  ar.field("admin_cq", admin_cq_);
  for (size_t i = 0; i < sqs_.size(); i++) {
    SubmissionQueue& q = sqs_[i];
    ar.section("sq" + std::to_string(i), [&] {
      ar.field("base", q.base);
      ar.field("size", q.size);
      ar.field("head", q.head);
      ar.field("tail", q.tail);
      ar.field("cq", q.cq);
    });
    if (ar.loading() &&
        (q.size > 65536 || (q.size != 0 && (q.head >= q.size || q.tail >= q.size || q.cq >= cqs_.size()))))
      q = {};
  }
  for (size_t i = 0; i < cqs_.size(); i++) {
    CompletionQueue& q = cqs_[i];
    ar.section("cq" + std::to_string(i), [&] {
      ar.field("base", q.base);
      ar.field("size", q.size);
      ar.field("head", q.head);
      ar.field("tail", q.tail);
      ar.field("vector", q.vector);
      ar.field("phase", q.phase);
      ar.field("interrupts", q.interrupts);
      archive_waiting(ar, q);
    });
    if (ar.loading() && (q.size > 65536 || (q.size != 0 && (q.head >= q.size || q.tail >= q.size)))) q = {};
  }
  archive_events(ar);
  ar.field("write_cache", write_cache_);
  ar.field("temperature_high", temperature_high_);
  ar.field("temperature_low", temperature_low_);
  ar.field("event_config", event_config_);
  if (!ar.loading()) return;
  if ((status_ & kCstsReady) != 0 && (sqs_[0].size < 2 || cqs_[0].size < 2)) status_ = kCstsFatal;
  control_ &= kWritableControl;
  if ((control_ >> 7 & 15) > 4) control_ &= ~u32{0x780};
  waiting_ = false;
}

std::string Nvme::info() const {
  char text[160];
  unsigned queues = 0;
  for (size_t i = 1; i < sqs_.size(); i++) queues += sqs_[i].size != 0;
  std::snprintf(text, sizeof text, "      %s, %s, %u I/O queues, reads %llu, others %llu, errors %llu\n",
                p_.node->filename().c_str(), ready() ? "ready" : "not ready", queues,
                static_cast<unsigned long long>(reads_), static_cast<unsigned long long>(writes_),
                static_cast<unsigned long long>(errors_));
  return PciDevice::info() + text;
}

}  // namespace doppel::hw
