#include "machine/address_bus.h"

#include <algorithm>

namespace doppel::machine {
namespace {

// Splits and widens what the device's handler can't take in one piece. Devices are little-endian.
class HandlerIo final : public mem::IoHandler {
 public:
  explicit HandlerIo(hw::MmioHandler& handler) : handler_(handler), sizes_(handler.access_sizes()) {}

  u64 io_read(u64 offset, unsigned size) override {
    if (size < sizes_.min) {
      const u64 wide = align_down(offset, sizes_.min);
      return (handler_.read(wide, sizes_.min) >> (8 * (offset - wide))) & mask_bits(size * 8);
    }
    u64 value = 0;
    for (unsigned done = 0; done < size;) {
      const unsigned piece = std::min<unsigned>(size - done, sizes_.max);
      value |= (handler_.read(offset + done, piece) & mask_bits(piece * 8)) << (8 * done);
      done += piece;
    }
    return value;
  }

  void io_write(u64 offset, u64 value, unsigned size) override {
    for (unsigned done = 0; done < size;) {
      const unsigned piece = std::min<unsigned>(size - done, sizes_.max);
      handler_.write(offset + done, (value >> (8 * done)) & mask_bits(piece * 8), piece);
      done += piece;
    }
  }

 private:
  hw::MmioHandler& handler_;
  hw::AccessSizes sizes_;
};

}  // namespace

class MemoryBus::SpaceWindow final : public hw::MappedWindow {
 public:
  // `io` or `block`.
  SpaceWindow(MemoryBus& bus, u32 id, std::unique_ptr<HandlerIo> io, mem::RamBlock* block = nullptr)
      : bus_(bus), id_(id), io_(std::move(io)), block_(block) {}
  ~SpaceWindow() override {
    bus_.memory_.unmap(id_);
    if (block_ != nullptr) bus_.window_gone(block_);
  }
  void set(bool enabled, u64 address) override { bus_.memory_.set_range(id_, enabled, address); }

 private:
  MemoryBus& bus_;
  u32 id_;
  std::unique_ptr<HandlerIo> io_;
  mem::RamBlock* block_;
};

std::unique_ptr<hw::MappedWindow> MemoryBus::map(std::string name, u64 address, u64 size, hw::MmioHandler& handler,
                                                 int priority) {
  auto io = std::make_unique<HandlerIo>(handler);
  const u32 id = memory_.map_io(std::move(name), address, size, io.get(), priority);
  return std::make_unique<SpaceWindow>(*this, id, std::move(io));
}

// The block that already holds [data, data + size), so that all windows on a frame buffer share one dirty log.
mem::RamBlock* MemoryBus::block_for(const std::string& name, u8* data, u64 size, bool read_only) {
  for (Block& block : blocks_) {
    const mem::RamBlock& ram = *block.ram;
    if (ram.read_only != read_only || data < ram.host || data + size > ram.host + ram.size) continue;
    block.windows++;
    return block.ram;
  }
  blocks_.push_back({memory_.wrap_ram(name, data, size, read_only), 1});
  return blocks_.back().ram;
}

void MemoryBus::window_gone(mem::RamBlock* block) {
  for (Block& b : blocks_) {
    if (b.ram == block && --b.windows != 0) return;
  }
  std::erase_if(blocks_, [&](const Block& b) { return b.ram == block; });
  memory_.release_ram(block);
}

std::unique_ptr<hw::MappedWindow> MemoryBus::map_ram(std::string name, u64 address, u64 size, u8* data, bool read_only,
                                                     int priority) {
  mem::RamBlock* block = block_for(name, data, size, read_only);
  const u64 offset = static_cast<u64>(data - block->host);
  const u32 id = memory_.map_ram(std::move(name), address, block, offset, size, priority, read_only);
  return std::make_unique<SpaceWindow>(*this, id, nullptr, block);
}

std::unique_ptr<hw::MappedWindow> MemoryBus::map_rom_device(std::string name, u64 address, mem::RamBlock& block,
                                                            hw::MmioHandler& handler, int priority) {
  auto io = std::make_unique<HandlerIo>(handler);
  const u32 id = memory_.map_rom_device(std::move(name), address, &block, block.size, io.get(), priority);
  return std::make_unique<SpaceWindow>(*this, id, std::move(io));
}

void MemoryBus::take_dirty(const u8* data, u64 size, std::vector<bool>& pages) {
  const u64 count = (size + mem::kPageSize - 1) >> mem::kPageBits;
  pages.assign(count, false);
  std::vector<bool> part;
  for (const auto& [block, windows] : blocks_) {
    const u8* first = std::max<const u8*>(data, block->host);
    const u8* last = std::min<const u8*>(data + size, block->host + block->size);
    if (first >= last) continue;
    memory_.take_dirty(*block, static_cast<u64>(first - block->host), static_cast<u64>(last - first), part);
    const u64 skip = static_cast<u64>(first - data) >> mem::kPageBits;
    for (u64 i = 0; i < part.size(); i++) {
      if (part[i]) pages[skip + i] = true;
    }
  }
}

}  // namespace doppel::machine
