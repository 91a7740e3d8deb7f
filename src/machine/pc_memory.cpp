#include "machine/pc_memory.h"

#include <algorithm>

namespace doppel::machine {
namespace {
constexpr u64 k1MiB = u64{1} << 20, k4GiB = u64{1} << 32;
constexpr u64 kSmram = 0xa0000, kSmramSize = 0x20000, kIsaBiosMax = 0x20000;
// RAM that reaches the PCI hole is split at 3 GiB, so that the part above 4 GiB starts at a round address.
constexpr u64 kLowLimit = 0xe0000000, kSplit = 0xc0000000;
constexpr int kRamPriority = 0, kRomPriority = 1, kPamPriority = 5, kShadowPriority = 6, kSmramPriority = 20;

// The regions of the host bridge's PAM0-PAM6, as I440Fx::pam() orders them.
constexpr u64 pam_start(size_t n) { return n == 0 ? 0xf0000 : 0xc0000 + (n - 1) * 0x4000; }
constexpr u64 pam_size(size_t n) { return n == 0 ? 0x10000 : 0x4000; }
}  // namespace

u64 PcMemory::Shadow::io_read(u64 offset, unsigned size) {
  u64 value = mask_bits(size * 8);
  const u64 from_top = k1MiB - (base_ + offset);
  if (from_top <= std::min<u64>(owner_.bios_.size(), kIsaBiosMax) && from_top >= size) {
    value = 0;
    std::memcpy(&value, owner_.bios_.data() + owner_.bios_.size() - from_top, size);
  }
  return value;
}

void PcMemory::Shadow::io_write(u64 offset, u64 value, unsigned size) {
  const u64 at = base_ + offset;
  std::memcpy(owner_.ram_->host + at, &value, size);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // who translates marks the page, then reads it
  const u8 flags = owner_.ram_->flags[at >> mem::kPageBits].load(std::memory_order_relaxed);
  mem::AddressSpace& memory = owner_.memory_;
  if ((flags & mem::kPageCode) && memory.on_code_write)
    memory.on_code_write(at, size);  // for when it is readable again
}

Status PcMemory::create(u64 ram_bytes, const MemoryBackend* backend, std::vector<u8> bios,
                        const std::string& bios_name) {
  if (bios.empty() || bios.size() % 0x10000 != 0 || bios.size() > (u64{16} << 20)) {
    return Error{"the BIOS image '" + bios_name + "' is no multiple of 64 KiB up to 16 MiB",
                 "-bios takes a PC BIOS such as SeaBIOS's bios-256k.bin"};
  }
  if (ram_bytes < 2 * k1MiB) return Error{"the machine needs at least 2 MiB of RAM", "give more with -m"};
  bios_ = std::move(bios);
  const u64 size = align_up(ram_bytes, 0x2000);
  below_ = size >= kLowLimit ? kSplit : size;
  above_ = size - below_;
  auto ram = backend && !backend->path.empty()
                 ? memory_.create_ram_on_file("pc.ram", size, backend->path, backend->shared)
                 : memory_.create_ram("pc.ram", size);
  if (!ram.ok()) return ram.error();
  ram_ = *ram;
  memory_.begin();
  memory_.map_ram("ram-below-640k", 0, ram_, 0, kSmram, kRamPriority);
  memory_.map_ram("ram-below-4g", k1MiB, ram_, k1MiB, below_ - k1MiB, kRamPriority);
  if (above_) memory_.map_ram("ram-above-4g", k4GiB, ram_, below_, above_, kRamPriority);
  mem::RamBlock* rom = memory_.wrap_ram("pc.bios", bios_.data(), bios_.size(), true);
  memory_.map_ram("pc.bios", k4GiB - bios_.size(), rom, 0, bios_.size(), kRomPriority, true);
  const u64 isa = std::min<u64>(bios_.size(), kIsaBiosMax);
  memory_.map_ram("isa-bios", k1MiB - isa, rom, bios_.size() - isa, isa, kRomPriority, true);
  for (size_t n = 0; n < pam_.size(); n++) {
    Piece& p = pam_[n];
    p.start = pam_start(n);
    p.shadow = std::make_unique<Shadow>(*this, p.start);
    p.ram_id = memory_.map_ram("pam-ram", p.start, ram_, p.start, pam_size(n), kPamPriority);
    p.shadow_id = memory_.map_io("pam-shadow", p.start, pam_size(n), p.shadow.get(), kShadowPriority);
    memory_.set_range(p.ram_id, false, p.start);
    memory_.set_range(p.shadow_id, false, p.start);
  }
  smram_id_ = memory_.map_ram("smram", kSmram, ram_, kSmram, kSmramSize, kSmramPriority);
  memory_.set_range(smram_id_, false, kSmram);
  memory_.commit();
  return success();
}

void PcMemory::set_pam(const hw::PamMap& map) {
  memory_.begin();
  for (size_t n = 0; n < pam_.size(); n++) {
    memory_.set_range(pam_[n].ram_id, map[n].read_ram, pam_[n].start);
    memory_.set_read_only(pam_[n].ram_id, !map[n].write_ram);
    memory_.set_range(pam_[n].shadow_id, map[n].write_ram && !map[n].read_ram, pam_[n].start);
  }
  memory_.commit();
}

void PcMemory::set_smram(const hw::SmramState& state) {
  smram_ = state;
  show_smram();
}

void PcMemory::set_smm(bool any_cpu_in_smm) {
  in_smm_ = any_cpu_in_smm;
  show_smram();
}

// The firmware that the machine has booted stays its firmware, whatever the next build finds.
void PcMemory::archive(StateArchive& ar) {
  std::vector<u8> rom = bios_;
  ar.blob("bios", rom);
  if (ar.loading() && rom.size() == bios_.size()) std::copy(rom.begin(), rom.end(), bios_.begin());
}

// One map for all CPUs: while one is in SMM the others see SMRAM too.
void PcMemory::show_smram() { memory_.set_range(smram_id_, smram_.open || (smram_.enabled && in_smm_), kSmram); }

}  // namespace doppel::machine
