// Nvme: submission and completion queues (section 4.1), PRP lists (4.3), asynchronous events (5.2), interrupts (7.5).
#include <algorithm>

#include "base/log.h"
#include "hw/block/nvme.h"

namespace doppel::hw {

using namespace nvme;

namespace {
constexpr u64 kMaxInFlight = 64 << 20, kMaxOutstanding = 1024;
}

bool Nvme::room() const { return in_flight_ < kMaxInFlight && outstanding_ < kMaxOutstanding; }

// Takes what is new in a queue. One call ends: the tail only moves by the doorbell.
void Nvme::run_queue(u16 id) {
  while (ready() && sqs_[id].size != 0 && sqs_[id].head != sqs_[id].tail) {
    SubmissionQueue& q = sqs_[id];
    if (!cqs_[q.cq].waiting.empty()) return;  // until there is room for completions
    if (id != 0 && !room()) {
      waiting_ = true;
      return;
    }
    Command c;
    if (!dma().read(q.base + u64{q.head} * kSqEntry, &c, sizeof c)) return fatal("a submission queue is not in memory");
    q.head = (q.head + 1) % q.size;
    if (id != 0) {
      io(id, c);
      continue;
    }
    u32 result = 0;
    if (const std::optional<u16> status = admin(c, result)) complete(0, c.id, *status, result);
  }
}

void Nvme::run_queues() {
  for (size_t i = 0; i < sqs_.size(); i++) {
    if (sqs_[i].size != 0) run_queue(static_cast<u16>(i));
  }
}

void Nvme::complete(u16 sq, u16 command, u16 status, u32 result) {
  const SubmissionQueue& q = sqs_[sq];
  if (q.size == 0) return;
  if (status != kSuccess) errors_++;
  CompletionQueue& cq = cqs_[q.cq];
  const Completion c{result, sq, static_cast<u16>(q.head), command, status};
  if (!cq.waiting.empty() || !post(cq, c)) cq.waiting.push_back(c);
}

bool Nvme::post(CompletionQueue& q, const Completion& c) {
  if (q.size == 0) return true;  // deleted: nobody will look
  const u32 next = (q.tail + 1) % q.size;
  if (next == q.head) return false;
  u8 entry[kCqEntry];
  store_le<u32>(entry, c.result);
  store_le<u32>(entry + 4, 0);
  store_le<u16>(entry + 8, c.head);
  store_le<u16>(entry + 10, c.sq);
  store_le<u16>(entry + 12, c.id);
  store_le<u16>(entry + 14, static_cast<u16>(c.status << 1 | (q.phase ? 1 : 0)));
  if (!dma().write(q.base + u64{q.tail} * kCqEntry, entry, sizeof entry)) {
    fatal("a completion queue is not in memory");
    return true;
  }
  q.tail = next;
  if (next == 0) q.phase = !q.phase;
  q.posted = true;
  return true;
}

// Interrupts for what was posted: a message each queue, or one level for all of them.
void Nvme::publish() {
  bool level = false;
  const bool messages = msix_->enabled();
  for (CompletionQueue& q : cqs_) {
    const bool posted = std::exchange(q.posted, false);
    if (q.size == 0 || !q.interrupts) continue;
    if (messages) {
      if (posted) msix_->notify(q.vector);
    } else {
      level |= q.head != q.tail && (q.vector > 31 || (interrupt_mask_ >> q.vector & 1) == 0);
    }
  }
  set_intx(level);
}

// A transfer's buffer: PRP1, then PRP2 as the second page or as a list of pages whose last entry leads to the next
// list.
u16 Nvme::map_prp(u64 prp1, u64 prp2, u64 length, std::vector<DmaSegment>& out) {
  const u64 page = page_size();
  const auto add = [&out](u64 address, u64 n) {
    if (!out.empty() && out.back().address + out.back().length == address) {
      out.back().length += n;
    } else {
      out.push_back({address, n});
    }
  };
  if (length == 0 || length > kMaxTransfer) return kInvalidField | kDnr;
  if ((prp1 & 3) != 0) return kInvalidPrpOffset | kDnr;
  u64 n = std::min(length, page - prp1 % page);
  add(prp1, n);
  length -= n;
  if (length == 0) return kSuccess;
  if (length <= page) {
    if (prp2 % page != 0) return kInvalidPrpOffset | kDnr;
    add(prp2, length);
    return kSuccess;
  }
  if ((prp2 & 7) != 0) return kInvalidPrpOffset | kDnr;
  u64 list = prp2;
  std::vector<u8> entries;
  while (length != 0) {
    const u64 here = (page - list % page) / 8, needed = (length + page - 1) / page;
    const u64 count = std::min(here, needed);
    entries.resize(count * 8);
    if (!dma().read(list, entries.data(), entries.size())) return kDataTransferError;
    const bool chained = needed > here;
    if (chained && count < 2) return kInvalidPrpOffset | kDnr;  // a list of nothing but the way to the next one
    for (u64 i = 0; i < count - (chained ? 1 : 0); i++) {
      const u64 address = load_le<u64>(&entries[i * 8]);
      if (address % page != 0) return kInvalidPrpOffset | kDnr;
      n = std::min(length, page);
      add(address, n);
      length -= n;
    }
    if (!chained) break;
    list = load_le<u64>(&entries[(count - 1) * 8]);
    if (list % page != 0) return kInvalidPrpOffset | kDnr;
  }
  return kSuccess;
}

u16 Nvme::send(const Command& c, std::span<const u8> data) {
  if (data.empty()) return kSuccess;
  std::vector<DmaSegment> segments;
  if (const u16 status = map_prp(c.prp1, c.prp2, data.size(), segments)) return status;
  for (const DmaSegment& s : segments) {
    if (!dma().write(s.address, data.data(), s.length)) return kDataTransferError;
    data = data.subspan(s.length);
  }
  return kSuccess;
}

// An event of a type is told once; the next one waits until the guest has read the log page.
void Nvme::async_event(u8 type, u8 information, u8 log) {
  DOPPEL_LOG(GuestErrors, "nvme: event type %u, information %u\n", type, information);
  const u32 event = type | u32{information} << 8 | u32{log} << 16;
  if ((masked_events_ >> type & 1) != 0 || events_.size() >= 8) return;
  if (std::find(events_.begin(), events_.end(), event) != events_.end()) return;
  events_.push_back(event);
  answer_events();
  publish();
}

void Nvme::answer_events() {
  for (size_t i = 0; i < events_.size() && !event_requests_.empty();) {
    const u32 type = events_[i] & 7;
    if ((masked_events_ >> type & 1) != 0) {
      i++;
      continue;
    }
    masked_events_ = static_cast<u8>(masked_events_ | 1 << type);
    const u16 id = event_requests_.front();
    event_requests_.erase(event_requests_.begin());
    complete(0, id, kSuccess, events_[i]);
    events_.erase(events_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// --- state

void Nvme::archive_waiting(StateArchive& ar, CompletionQueue& q) {
  std::vector<u8> raw;
  for (const Completion& c : q.waiting) {
    u8 row[12];
    store_le<u32>(row, c.result);
    store_le<u16>(row + 4, c.sq);
    store_le<u16>(row + 6, c.head);
    store_le<u16>(row + 8, c.id);
    store_le<u16>(row + 10, c.status);
    raw.insert(raw.end(), row, row + sizeof row);
  }
  ar.blob("waiting", raw);
  if (!ar.loading()) return;
  q.waiting.clear();
  for (size_t at = 0; at + 12 <= raw.size() && q.waiting.size() < 65536; at += 12) {
    q.waiting.push_back({load_le<u32>(&raw[at]), load_le<u16>(&raw[at + 4]), load_le<u16>(&raw[at + 6]),
                         load_le<u16>(&raw[at + 8]), load_le<u16>(&raw[at + 10])});
  }
}

void Nvme::archive_events(StateArchive& ar) {
  std::vector<u8> raw;
  for (const u16 id : event_requests_) raw.insert(raw.end(), {static_cast<u8>(id), static_cast<u8>(id >> 8)});
  ar.blob("event_requests", raw);
  std::vector<u8> events;
  for (const u32 e : events_)
    events.insert(events.end(), {static_cast<u8>(e & 7), static_cast<u8>(e >> 8), static_cast<u8>(e >> 16), 0});
  ar.blob("events", events);
  ar.field("masked_events", masked_events_);
  if (!ar.loading()) return;
  event_requests_.clear();
  events_.clear();
  for (size_t at = 0; at + 2 <= raw.size() && event_requests_.size() < kMaxAsyncRequests; at += 2)
    event_requests_.push_back(load_le<u16>(&raw[at]));
  for (size_t at = 0; at + 4 <= events.size() && events_.size() < 8; at += 4)
    events_.push_back(load_le<u32>(&events[at]) & 0xffff07);
}

}  // namespace doppel::hw
