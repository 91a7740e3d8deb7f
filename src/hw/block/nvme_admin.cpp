// Nvme: the admin command set (chapter 5).
#include <algorithm>
#include <string_view>

#include "hw/block/nvme.h"

namespace doppel::hw {

using namespace nvme;

namespace {
constexpr u32 kNoNamespace = 0, kAllNamespaces = 0xffffffff, kTheNamespace = 1;
constexpr size_t kPage = 4096;

void text(std::vector<u8>& page, size_t at, size_t length, std::string_view s) {
  for (size_t i = 0; i < length; i++) page[at + i] = i < s.size() ? static_cast<u8>(s[i]) : u8{' '};
}
}  // namespace

std::optional<u16> Nvme::admin(const Command& c, u32& result) {
  if ((c.flags & 0xc3) != 0) return kInvalidField | kDnr;  // fused, or an SGL
  switch (c.opcode) {
    case kDeleteSq: return delete_sq(c);
    case kCreateSq: return create_sq(c);
    case kGetLogPage: return get_log_page(c);
    case kDeleteCq: return delete_cq(c);
    case kCreateCq: return create_cq(c);
    case kIdentify: return identify(c);
    case kAbort: result = 1; return kSuccess;  // not aborted: what is with the disk comes back by itself
    case kSetFeatures: return set_features(c, result);
    case kGetFeatures: return get_features(c, result);
    case kAsyncEventRequest:
      if (event_requests_.size() >= kMaxAsyncRequests) return kAerLimitExceeded | kDnr;
      event_requests_.push_back(c.id);
      answer_events();
      return std::nullopt;
    default: return kInvalidOpcode | kDnr;
  }
}

u16 Nvme::create_cq(const Command& c) {
  const u32 id = c.dword10 & 0xffff, size = (c.dword10 >> 16) + 1, vector = c.dword11 >> 16;
  if (id == 0 || id >= cqs_.size() || cqs_[id].size != 0) return kInvalidQueueId | kDnr;
  if (size < 2 || size > kMaxEntries) return kInvalidQueueSize | kDnr;
  if ((c.dword11 & 1) == 0 || (control_ >> 20 & 15) != 4) return kInvalidField | kDnr;
  if (c.prp1 % page_size() != 0) return kInvalidPrpOffset | kDnr;
  if (vector != 0 && (!msix_->enabled() || vector >= msix_->vectors())) return kInvalidVector | kDnr;
  cqs_[id] = {.base = c.prp1, .size = size, .vector = static_cast<u16>(vector), .interrupts = (c.dword11 & 2) != 0};
  return kSuccess;
}

u16 Nvme::create_sq(const Command& c) {
  const u32 id = c.dword10 & 0xffff, size = (c.dword10 >> 16) + 1, cq = c.dword11 >> 16;
  if (cq == 0 || cq >= cqs_.size() || cqs_[cq].size == 0) return kInvalidCq | kDnr;
  if (id == 0 || id >= sqs_.size() || sqs_[id].size != 0) return kInvalidQueueId | kDnr;
  if (size < 2 || size > kMaxEntries) return kInvalidQueueSize | kDnr;
  if ((c.dword11 & 1) == 0 || (control_ >> 16 & 15) != 6) return kInvalidField | kDnr;
  if (c.prp1 % page_size() != 0) return kInvalidPrpOffset | kDnr;
  sqs_[id] = {.base = c.prp1, .size = size, .cq = static_cast<u16>(cq)};
  return kSuccess;
}

u16 Nvme::delete_cq(const Command& c) {
  const u32 id = c.dword10 & 0xffff;
  if (id == 0 || id >= cqs_.size() || cqs_[id].size == 0) return kInvalidQueueId | kDnr;
  const bool used = std::any_of(sqs_.begin(), sqs_.end(), [&](const auto& q) { return q.size != 0 && q.cq == id; });
  if (used) return kInvalidQueueDeletion | kDnr;
  cqs_[id] = {};
  return kSuccess;
}

u16 Nvme::delete_sq(const Command& c) {
  const u32 id = c.dword10 & 0xffff;
  if (id == 0 || id >= sqs_.size() || sqs_[id].size == 0) return kInvalidQueueId | kDnr;
  if (p_.device_lock != nullptr) queue_.drain();  // its commands end first
  sqs_[id] = {};
  return kSuccess;
}

std::array<u8, 16> Nvme::uuid() const {
  std::array<u8, 16> id{};
  u64 hash = 0xcbf29ce484222325;  // FNV-1a
  for (size_t i = 0; i < id.size(); i++) {
    for (const char ch : p_.serial) hash = (hash ^ static_cast<u8>(ch)) * 0x100000001b3;
    hash = (hash ^ i) * 0x100000001b3;
    id[i] = static_cast<u8>(hash >> 32);
  }
  id[6] = static_cast<u8>((id[6] & 0x0f) | 0x40);
  id[8] = static_cast<u8>((id[8] & 0x3f) | 0x80);
  return id;
}

// Figure 247.
std::vector<u8> Nvme::identify_controller() const {
  std::vector<u8> d(kPage);
  store_le<u16>(&d[0], config16(pci::kVendorId));
  store_le<u16>(&d[2], config16(pci::kSubsystemVendorId));
  text(d, 4, 20, p_.serial);
  text(d, 24, 40, p_.model);
  text(d, 64, 8, "1.0");
  d[72] = 6;                   // recommended arbitration burst
  d[74] = 0x54, d[75] = 0x52;  // IEEE identifier, little-endian
  d[77] = kTransferShift;
  store_le<u32>(&d[80], kVersion);
  d[111] = 1;  // an I/O controller
  d[258] = 3;  // four aborts at once
  d[259] = kMaxAsyncRequests - 1;
  d[260] = 0x03;                   // one firmware slot, read only
  d[261] = 0x04;                   // log pages by offset
  store_le<u16>(&d[266], 343);     // 70 degrees: warning
  store_le<u16>(&d[268], 373);     // 100: critical
  d[512] = 0x66;                   // 64 bytes a submission queue entry
  d[513] = 0x44;                   // 16 a completion queue entry
  store_le<u32>(&d[516], 1);       // namespaces
  store_le<u16>(&d[520], 0x000d);  // compare, dataset management, write zeroes
  d[525] = 0x07;                   // a volatile write cache; flush takes all namespaces
  const std::string name = "nqn.2024-01.io.doppel:" + p_.serial;
  std::copy_n(name.begin(), std::min<size_t>(name.size(), 223), d.begin() + 768);
  store_le<u16>(&d[2048], 0x9c4);  // power state 0: 25 W
  return d;
}

// Figure 245.
std::vector<u8> Nvme::identify_namespace() const {
  std::vector<u8> d(kPage);
  for (const size_t at : {0, 8, 16}) store_le<u64>(&d[at], blocks());  // size, capacity, use
  d[24] = 0x04;                                                        // deallocated blocks: error-free reads
  d[33] = 0x09;  // deallocated blocks read as zeroes; write zeroes may deallocate
  if (p_.node->read_only()) d[99] = 1;
  const auto id = uuid();
  std::copy(id.begin(), id.end(), d.begin() + 104);  // NGUID
  d[130] = 9;                                        // LBA format 0: 512 bytes
  return d;
}

u16 Nvme::identify(const Command& c) {
  const u32 nsid = c.namespace_id;
  switch (c.dword10 & 0xff) {
    case 0x00:
    case 0x11:
      if (nsid != kTheNamespace && nsid != kAllNamespaces) return kInvalidNamespace | kDnr;
      return send(c, identify_namespace());
    case 0x01: return send(c, identify_controller());
    case 0x02:
    case 0x10: {  // namespaces with greater numbers
      if (nsid >= 0xfffffffe) return kInvalidNamespace | kDnr;
      std::vector<u8> list(kPage);
      if (nsid < kTheNamespace) list[0] = kTheNamespace;
      return send(c, list);
    }
    case 0x03: {  // identification descriptors: a UUID
      if (nsid != kTheNamespace) return kInvalidNamespace | kDnr;
      std::vector<u8> list(kPage);
      list[0] = 3;
      list[1] = 16;
      const auto id = uuid();
      std::copy(id.begin(), id.end(), list.begin() + 4);
      return send(c, list);
    }
    default: return kInvalidField | kDnr;
  }
}

u16 Nvme::get_log_page(const Command& c) {
  const u64 size = ((c.dword10 >> 16 & 0xfff) | u64{c.dword11 & 0xffff} << 12) * 4 + 4;
  const u64 offset = c.dword12 | u64{c.dword13} << 32;
  std::vector<u8> page;
  switch (c.dword10 & 0xff) {
    case kErrorLog: page.resize(64); break;  // one entry: none
    case kSmartLog:
      if (c.namespace_id != kNoNamespace && c.namespace_id != kAllNamespaces && c.namespace_id != kTheNamespace)
        return kInvalidNamespace | kDnr;
      page.resize(512);
      store_le<u16>(&page[1], 0x143);  // 50 degrees
      page[3] = 100, page[4] = 10;     // spare, its threshold
      store_le<u64>(&page[64], reads_);
      store_le<u64>(&page[80], writes_);
      break;
    case kFirmwareLog:
      page.resize(512);
      page[0] = 1;
      std::copy_n("1.0     ", 8, page.begin() + 8);
      break;
    default: return kInvalidLogPage | kDnr;
  }
  if (offset >= page.size() || offset % 4 != 0) return kInvalidField | kDnr;
  if ((c.dword10 & 0x8000) == 0) {  // not to be kept: events of this page are told again
    const u8 type = (c.dword10 & 0xff) == kErrorLog ? kErrorEvent : 1;
    masked_events_ = static_cast<u8>(masked_events_ & ~(1 << type));
    answer_events();
  }
  const u64 n = std::min<u64>(size, page.size() - offset);
  return send(c, std::span(page).subspan(offset, n));
}

u16 Nvme::get_features(const Command& c, u32& result) {
  if ((c.dword10 >> 8 & 7) != 0) return kInvalidField | kDnr;  // only current values
  const u32 queues = p_.io_queues - 1u;
  switch (c.dword10 & 0xff) {
    case kArbitration: result = 6; break;
    case kPowerManagement:
    case kErrorRecovery:
    case kInterruptCoalescing:
    case kWriteAtomicity: result = 0; break;
    case kTemperatureThreshold:
      if ((c.dword11 >> 16 & 15) != 0) break;  // of a sensor that isn't there
      result = (c.dword11 >> 20 & 3) == 0 ? temperature_high_ : temperature_low_;
      break;
    case kVolatileWriteCache: result = write_cache_; break;
    case kNumberOfQueues: result = queues | queues << 16; break;
    case kInterruptVectorConfig:
      if ((c.dword11 & 0xffff) >= msix_->vectors()) return kInvalidField | kDnr;
      result = (c.dword11 & 0xffff) | 0x10000;
      break;
    case kAsyncEventConfig: result = event_config_; break;
    default: return kInvalidField | kDnr;
  }
  return kSuccess;
}

u16 Nvme::set_features(const Command& c, u32& result) {
  if ((c.dword10 & 0x80000000) != 0) return kNotSaveable | kDnr;
  const u32 queues = p_.io_queues - 1u;
  switch (c.dword10 & 0xff) {
    case kTemperatureThreshold:
      if ((c.dword11 >> 16 & 15) == 0)
        ((c.dword11 >> 20 & 3) == 0 ? temperature_high_ : temperature_low_) = static_cast<u16>(c.dword11);
      break;
    case kVolatileWriteCache: write_cache_ = (c.dword11 & 1) != 0; break;
    case kNumberOfQueues:
      if ((c.dword11 & 0xffff) == 0xffff || c.dword11 >> 16 == 0xffff) return kInvalidField | kDnr;
      result = queues | queues << 16;
      break;
    case kAsyncEventConfig: event_config_ = c.dword11; break;
    case kArbitration:
    case kPowerManagement:
    case kErrorRecovery:
    case kInterruptCoalescing:
    case kInterruptVectorConfig:
    case kWriteAtomicity: return kNotChangeable | kDnr;
    default: return kInvalidField | kDnr;
  }
  return kSuccess;
}

}  // namespace doppel::hw
