// What a device test needs around a device: guest memory as a DmaPort, an AddressBus that records windows, a probe for
// an interrupt line.
#pragma once
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "hw/core/bus.h"
#include "hw/core/dma.h"
#include "hw/core/irq.h"

namespace doppel::hw::test {

class FakeMemory final : public DmaPort {
 public:
  explicit FakeMemory(u64 size) : bytes(size) {}
  bool read(u64 pa, void* out, u64 size) override {
    if (size == 0) return pa <= bytes.size();
    std::memset(out, 0xff, size);
    if (pa >= bytes.size() || size > bytes.size() - pa) return false;
    std::memcpy(out, &bytes[pa], size);
    return true;
  }
  bool write(u64 pa, const void* data, u64 size) override {
    if (size == 0) return pa <= bytes.size();
    if (pa >= bytes.size() || size > bytes.size() - pa) return false;
    std::memcpy(&bytes[pa], data, size);
    return true;
  }
  // Plain RAM, but for the addresses where a page's number is a multiple of four: both ways of disks are taken.
  u8* map(u64 pa, u64 size, bool) override {
    const bool there = pa < bytes.size() && size <= bytes.size() - pa && pa / 4096 % 4 != 0;
    return there && !without_map ? &bytes[pa] : nullptr;
  }
  void wrote(const u8* host, u64 pa, u64 size) override {
    if (host != &bytes[pa]) wrong_tells++;
    told += size;
  }
  std::vector<u8> bytes;
  bool without_map = false;
  u64 told = 0, wrong_tells = 0;
};

class FakeAddressBus final : public AddressBus {
 public:
  struct Mapping {
    std::string name;
    u64 address = 0, size = 0;
    MmioHandler* handler = nullptr;
    u8* data = nullptr;
    bool read_only = false, enabled = true;
  };
  std::unique_ptr<MappedWindow> map(std::string name, u64 address, u64 size, MmioHandler& handler, int) override {
    return add({std::move(name), address, size, &handler, nullptr, false, true});
  }
  std::unique_ptr<MappedWindow> map_ram(std::string name, u64 address, u64 size, u8* data, bool read_only,
                                        int) override {
    return add({std::move(name), address, size, nullptr, data, read_only, true});
  }
  void take_dirty(const u8*, u64 size, std::vector<bool>& pages) override { pages.assign(size >> 12, false); }
  Mapping* at(u64 address) {
    for (auto& m : mappings) {
      if (m->enabled && address >= m->address && address - m->address < m->size) return m.get();
    }
    return nullptr;
  }
  std::vector<std::shared_ptr<Mapping>> mappings;

 private:
  class Window final : public MappedWindow {
   public:
    explicit Window(std::shared_ptr<Mapping> m) : m_(std::move(m)) {}
    ~Window() override { m_->enabled = false; }
    void set(bool enabled, u64 address) override {
      m_->enabled = enabled;
      m_->address = address;
    }

   private:
    std::shared_ptr<Mapping> m_;
  };
  std::unique_ptr<MappedWindow> add(Mapping m) {
    mappings.push_back(std::make_shared<Mapping>(std::move(m)));
    return std::make_unique<Window>(mappings.back());
  }
};

struct IrqProbe {
  bool level = false;
  unsigned rises = 0;
  IrqLine line() {
    return IrqLine([this](bool l) {
      if (l && !level) rises++;
      level = l;
    });
  }
};

}  // namespace doppel::hw::test
