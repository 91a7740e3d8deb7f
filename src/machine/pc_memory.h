// The PC's memory: RAM below and above 4 GiB, the BIOS ROM at the top of 4 GiB and under 1 MiB, and what the host
// bridge's PAM and SMRAM registers put there. Device lock held, but for create().
#pragma once
#include <array>
#include <vector>

#include "hw/bus/pci/i440fx.h"
#include "machine/machine.h"
#include "mem/address_space.h"

namespace doppel::machine {

class PcMemory {
 public:
  explicit PcMemory(mem::AddressSpace& memory) : memory_(memory) {}
  // Errors: more RAM than the host has, a BIOS image of a wrong size.
  // `backend` may be null: memory of its own.
  Status create(u64 ram_bytes, const MemoryBackend* backend, std::vector<u8> bios, const std::string& bios_name);
  void set_pam(const hw::PamMap& map);
  void set_smram(const hw::SmramState& state);
  void set_smm(bool any_cpu_in_smm);
  mem::RamBlock* ram() const { return ram_; }
  void archive(StateArchive& ar);  // the ROM as it was read
  u64 ram_below_4g() const { return below_; }
  u64 ram_above_4g() const { return above_; }

 private:
  // Reads come from ROM, writes go to RAM: how firmware copies itself.
  class Shadow final : public mem::IoHandler {
   public:
    Shadow(PcMemory& owner, u64 base) : owner_(owner), base_(base) {}
    u64 io_read(u64 offset, unsigned size) override;
    void io_write(u64 offset, u64 value, unsigned size) override;

   private:
    PcMemory& owner_;
    u64 base_;
  };
  struct Piece {
    u32 ram_id, shadow_id;
    u64 start;
    std::unique_ptr<Shadow> shadow;
  };
  void show_smram();

  mem::AddressSpace& memory_;
  mem::RamBlock* ram_ = nullptr;
  std::vector<u8> bios_;
  u64 below_ = 0, above_ = 0;
  std::array<Piece, 13> pam_{};
  u32 smram_id_ = 0;
  hw::SmramState smram_;
  bool in_smm_ = false;
};

}  // namespace doppel::machine
