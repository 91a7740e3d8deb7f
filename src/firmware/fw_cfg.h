// fw_cfg: the firmware configuration device (QEMU's specification "fw_cfg", docs/specs/fw_cfg.rst). Numbered items and
// named files that the firmware and option ROMs read through a selector and a data port, or by DMA. Selectors are
// little-endian at I/O port 0x510, data is a byte stream at 0x511, the DMA address is two big-endian dwords at 0x514.
// Traps: the selector port and the data port overlap (0x510 16 bits, 0x511 8 bits); reads past the end give zeroes.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hw/core/device.h"
#include "hw/core/dma.h"
#include "hw/core/mmio.h"

namespace doppel::firmware {

enum FwCfgKey : u16 {
  kFwSignature = 0x00,
  kFwId = 0x01,
  kFwUuid = 0x02,
  kFwRamSize = 0x03,
  kFwNoGraphic = 0x04,
  kFwNbCpus = 0x05,
  kFwMachineId = 0x06,
  kFwKernelAddr = 0x07,
  kFwKernelSize = 0x08,
  kFwInitrdAddr = 0x0a,
  kFwInitrdSize = 0x0b,
  kFwBootDevice = 0x0c,
  kFwNuma = 0x0d,
  kFwBootMenu = 0x0e,
  kFwMaxCpus = 0x0f,
  kFwKernelEntry = 0x10,
  kFwKernelData = 0x11,
  kFwInitrdData = 0x12,
  kFwCmdlineAddr = 0x13,
  kFwCmdlineSize = 0x14,
  kFwCmdlineData = 0x15,
  kFwSetupAddr = 0x16,
  kFwSetupSize = 0x17,
  kFwSetupData = 0x18,
  kFwFileDir = 0x19,
  kFwFileFirst = 0x20,
  kFwWriteFlag = 0x4000,
  kFwArchLocal = 0x8000,
  kFwX86Irq0Override = 0x8002,
  kFwX86E820 = 0x8003,
  kFwX86Hpet = 0x8004,
};

class FwCfg final : public hw::Device, public hw::MmioHandler {
 public:
  struct Params {
    hw::DmaPort& dma;
  };
  static constexpr u16 kPorts = 12;  // 0x510..0x51b
  explicit FwCfg(Params p);

  void add(u16 key, std::vector<u8> data) { items_[key] = Item{std::move(data), false}; }
  void add_u16(u16 key, u16 value);
  void add_u32(u16 key, u32 value);
  void add_u64(u16 key, u64 value);
  void add_string(u16 key, std::string_view text);  // with its zero byte
  // A named file; one of the same name is replaced. Names are at most 55 characters. `writable`: by DMA.
  void add_file(const std::string& name, std::vector<u8> data, bool writable = false);
  void add_file(const std::string& name, std::string_view text);
  const std::vector<u8>* file(std::string_view name) const;

  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  hw::AccessSizes access_sizes() const override { return {1, 8}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  struct Item {
    std::vector<u8> data;
    bool writable = false;
  };
  struct File {
    u16 key;
  };
  void select(u16 key);
  u8 next_byte();
  void run_dma();
  void rebuild_directory();

  Params p_;
  std::map<u16, Item> items_;
  std::map<std::string, File, std::less<>> files_;
  u16 next_file_ = kFwFileFirst;
  u16 selected_ = 0;
  u32 offset_ = 0;
  u64 dma_address_ = 0;
};

}  // namespace doppel::firmware
