// The Malta board's monitor flash: 4 MiB that firmware starts from, seen at 0x1e000000 and at 0x1fc00000 (MD00048,
// table 3). At 0x1fc00010 the board answers with its revision instead, so that what is seen there is a copy.
//
// A little-endian CPU sees the 32-bit words of the flash's file swapped, the environment's blocks at its end excepted:
// the files are laid out for a big-endian one, as QEMU takes them. One that begins with a jump of the other byte order
// is in the CPU's own order and is taken as it is: so are Debian's u-boot-qemu/maltael images.
#pragma once
#include <memory>
#include <vector>

#include "hw/block/cfi_flash.h"
#include "machine/address_bus.h"
#include "machine/pc_drives.h"

namespace doppel::machine {

class MaltaFlash {
 public:
  static constexpr u64 kBytes = hw::CfiFlash::kBytes;
  MaltaFlash(mem::AddressSpace& memory, MemoryBus& bus, bool big_endian)
      : memory_(memory), bus_(bus), big_endian_(big_endian) {}
  // Its contents: of -drive if=pflash (`node`, which keeps what the guest writes), of -bios, or erased. Errors: the
  // user's.
  Status create(std::shared_ptr<block::Node> node, const std::string& bios_name, std::vector<u8> bios, u32 revision);
  hw::CfiFlash::Params chip();     // what the device is made of
  void map(hw::CfiFlash& device);  // and its places

 private:
  // The flash at its second place.
  class WithRevision final : public hw::MmioHandler {
   public:
    WithRevision(hw::MmioHandler& flash, const u8* copy) : flash_(flash), copy_(copy) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override { flash_.write(offset, value, size); }
    hw::AccessSizes access_sizes() const override { return flash_.access_sizes(); }

   private:
    hw::MmioHandler& flash_;
    const u8* copy_;
  };
  bool swaps(u64 offset) const;
  void put(const std::vector<u8>& file);
  void show_copy(u64 offset, u64 size);
  bool changed(u64 offset, u64 size);

  mem::AddressSpace& memory_;
  MemoryBus& bus_;
  const bool big_endian_;
  bool in_cpu_order_ = false;
  u32 revision_ = 0;
  std::shared_ptr<block::Node> node_;
  mem::RamBlock* flash_ = nullptr;
  mem::RamBlock* copy_ = nullptr;
  std::unique_ptr<WithRevision> with_revision_;
  std::vector<std::unique_ptr<hw::MappedWindow>> windows_;
};

}  // namespace doppel::machine
