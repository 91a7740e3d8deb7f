// What a board maps devices with: memory windows and x86 I/O ports. AddressBus is implemented over mem::AddressSpace by
// the machine; PortBus here. Maps may change while the machine runs (PCI BARs): device lock held.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "hw/core/mmio.h"

namespace doppel::hw {

// A window that is mapped; enable, move or drop it through this handle.
class MappedWindow {
 public:
  virtual ~MappedWindow() = default;
  virtual void set(bool enabled, u64 address) = 0;
};

class AddressBus {
 public:
  virtual ~AddressBus() = default;
  // A device window; higher priority wins where windows overlap. RAM has priority 0.
  virtual std::unique_ptr<MappedWindow> map(std::string name, u64 address, u64 size, MmioHandler& handler,
                                            int priority = 1) = 0;
  // Host memory as RAM or ROM (`data` is `size` bytes, kept by the device): VGA frame buffer, option ROMs, BIOS.
  // `dirty_pages`: record writes for take_dirty.
  virtual std::unique_ptr<MappedWindow> map_ram(std::string name, u64 address, u64 size, u8* data, bool read_only,
                                                int priority = 1) = 0;
  // For a frame buffer: calls nothing, returns a bitmap of 4 KiB pages written since the last call (one bool a page).
  virtual void take_dirty(const u8* data, u64 size, std::vector<bool>& pages) = 0;
};

class PortBus final {
 public:
  PortBus();
  // A range of ports; an overlapping later registration wins. The handle moves or drops it (PCI I/O BARs).
  std::unique_ptr<MappedWindow> map(std::string name, u16 port, u32 count, MmioHandler& handler);
  u32 read(u16 port, unsigned size);  // size 1, 2, 4; unclaimed: all ones
  void write(u16 port, u32 value, unsigned size);
  std::string describe() const;  // for info mtree

 private:
  struct Range;
  class Window;
  void rebuild(u32 start, u32 count);
  std::vector<std::shared_ptr<Range>> ranges_;
  std::vector<Range*> owner_;  // 65536 entries
};

}  // namespace doppel::hw
