// MemoryBus and MemoryDma: hw's views of mem::AddressSpace: windows for devices, and bus mastering.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "hw/core/bus.h"
#include "hw/core/dma.h"
#include "mem/address_space.h"

namespace doppel::machine {

// Device lock held on every call. The address space's own io_lock takes it for accesses from CPUs.
class MemoryBus final : public hw::AddressBus {
 public:
  struct Block {
    mem::RamBlock* ram;
    unsigned windows;  // that show it; without any it is forgotten
  };
  explicit MemoryBus(mem::AddressSpace& memory) : memory_(memory) {}
  std::unique_ptr<hw::MappedWindow> map(std::string name, u64 address, u64 size, hw::MmioHandler& handler,
                                        int priority) override;
  std::unique_ptr<hw::MappedWindow> map_ram(std::string name, u64 address, u64 size, u8* data, bool read_only,
                                            int priority) override;
  void take_dirty(const u8* data, u64 size, std::vector<bool>& pages) override;
  // Flash: code is executed from `block`, data is read and written through the device.
  std::unique_ptr<hw::MappedWindow> map_rom_device(std::string name, u64 address, mem::RamBlock& block,
                                                   hw::MmioHandler& handler, int priority);

 private:
  class SpaceWindow;
  mem::RamBlock* block_for(const std::string& name, u8* data, u64 size, bool read_only);
  void window_gone(mem::RamBlock* block);
  mem::AddressSpace& memory_;
  std::vector<Block> blocks_;  // device memory that is known to the address space
};

class MemoryDma final : public hw::DmaPort {
 public:
  explicit MemoryDma(mem::AddressSpace& memory) : memory_(memory) {}
  bool read(u64 pa, void* out, u64 size) override { return memory_.read(pa, out, size); }
  bool write(u64 pa, const void* data, u64 size) override { return memory_.write(pa, data, size); }
  u8* map(u64 pa, u64 size, bool write) override { return memory_.lasting_ram(pa, size, write); }
  void wrote(const u8* host, u64 pa, u64 size) override { memory_.wrote(host, pa, size); }

 private:
  mem::AddressSpace& memory_;
};

}  // namespace doppel::machine
