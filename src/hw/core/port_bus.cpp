// The x86 I/O space: an owner for each of 65536 ports, so that an access is one look-up. Accesses that a range can't
// take whole (size limits, a range's end) are split into bytes or words, little-endian, as the ISA and PCI bridges do.
#include <algorithm>

#include "base/log.h"
#include "hw/core/bus.h"

namespace doppel::hw {

struct PortBus::Range {
  std::string name;
  u32 start = 0, count = 0;
  MmioHandler* handler = nullptr;
  AccessSizes sizes;
  bool enabled = true;
};

class PortBus::Window final : public MappedWindow {
 public:
  Window(PortBus& bus, std::shared_ptr<Range> range) : bus_(bus), range_(std::move(range)) {}
  ~Window() override {
    std::erase(bus_.ranges_, range_);
    bus_.rebuild(range_->start, range_->count);
  }
  void set(bool enabled, u64 address) override {
    if (range_->enabled == enabled && range_->start == address) return;
    const u32 before = range_->start;
    range_->enabled = enabled;
    range_->start = static_cast<u32>(address & 0xffff);
    bus_.rebuild(before, range_->count);
    bus_.rebuild(range_->start, range_->count);
  }

 private:
  PortBus& bus_;
  std::shared_ptr<Range> range_;
};

PortBus::PortBus() : owner_(0x10000, nullptr) {}

std::unique_ptr<MappedWindow> PortBus::map(std::string name, u16 port, u32 count, MmioHandler& handler) {
  auto range = std::make_shared<Range>();
  range->name = std::move(name);
  range->start = port;
  range->count = count;
  range->handler = &handler;
  range->sizes = handler.access_sizes();
  ranges_.push_back(range);
  rebuild(range->start, count);
  return std::make_unique<Window>(*this, std::move(range));
}

// Of the ports [start, start + count): guests move a PCI device's ports often while they look for it.
void PortBus::rebuild(u32 start, u32 count) {
  const u32 last = std::min<u32>(start + count, 0x10000);
  if (start >= last) return;
  std::fill(owner_.begin() + start, owner_.begin() + last, nullptr);
  for (const auto& r : ranges_) {
    const u32 from = std::max(r->start, start), to = std::min(r->start + r->count, last);
    if (r->enabled && from < to) std::fill(owner_.begin() + from, owner_.begin() + to, r.get());
  }
}

u32 PortBus::read(u16 port, unsigned size) {
  const u32 ones = static_cast<u32>(mask_bits(size * 8));
  Range* r = owner_[port];
  const u32 last = port + size - 1u;
  if (r != nullptr && size <= r->sizes.max && last <= 0xffff && owner_[last] == r && last - r->start < r->count)
      [[likely]] {
    if (size >= r->sizes.min) return static_cast<u32>(r->handler->read(port - r->start, size)) & ones;
    const u32 wide = (port - r->start) & ~(r->sizes.min - 1u);  // widen: read the register that holds the byte
    const u64 v = r->handler->read(wide, r->sizes.min);
    return static_cast<u32>(v >> (8 * ((port - r->start) - wide))) & ones;
  }
  if (size == 1) {
    if (r == nullptr) DOPPEL_LOG(Ports, "ports: read of unclaimed port %#x\n", port);
    return 0xff;
  }
  const unsigned half = size / 2;
  const u32 low = read(port, half);
  return low | read(static_cast<u16>(port + half), half) << (8 * half);
}

void PortBus::write(u16 port, u32 value, unsigned size) {
  Range* r = owner_[port];
  const u32 last = port + size - 1u;
  if (r != nullptr && size <= r->sizes.max && last <= 0xffff && owner_[last] == r && last - r->start < r->count)
      [[likely]] {
    // A write narrower than the range takes goes through as it is: the device sees the size.
    r->handler->write(port - r->start, value & mask_bits(size * 8), size);
    return;
  }
  if (size == 1) {
    if (r == nullptr) DOPPEL_LOG(Ports, "ports: write of %#x to unclaimed port %#x\n", value & 0xff, port);
    return;
  }
  const unsigned half = size / 2;
  write(port, value, half);
  write(static_cast<u16>(port + half), value >> (8 * half), half);
}

std::string PortBus::describe() const {
  std::vector<const Range*> sorted;
  for (const auto& r : ranges_)
    if (r->enabled) sorted.push_back(r.get());
  std::stable_sort(sorted.begin(), sorted.end(), [](const Range* a, const Range* b) { return a->start < b->start; });
  std::string text;
  char line[128];
  for (const Range* r : sorted) {
    std::snprintf(line, sizeof line, "  %04x-%04x %s\n", r->start, r->start + r->count - 1, r->name.c_str());
    text += line;
  }
  return text;
}

}  // namespace doppel::hw
