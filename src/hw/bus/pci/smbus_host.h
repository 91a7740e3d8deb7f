// The SMBus host controller of PIIX4 (document 290562, section 11.3): quick, byte, byte data, word data and block
// commands, polled or by SMI/IRQ9. Transfers complete at once. Slaves are SmbusSlave objects; without one at an address
// the transaction ends with DEV_ERR.
#pragma once
#include <array>
#include <vector>

#include "hw/core/mmio.h"
#include "state/archive.h"

namespace doppel::hw {

class SmbusSlave {
 public:
  virtual ~SmbusSlave() = default;
  virtual bool quick(bool read) {
    (void)read;
    return true;
  }
  virtual int read_byte(u8 command) = 0;  // below 0: no acknowledge
  virtual bool write_byte(u8 command, u8 value) = 0;
};

class SmbusHost final : public MmioHandler {
 public:
  void connect(u8 address, SmbusSlave& slave) { slaves_[address & 0x7f] = &slave; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset();
  void archive(StateArchive& ar);

 private:
  void start();
  u8 run(u8 protocol, bool is_read, SmbusSlave& slave);  // returns status bits
  std::array<SmbusSlave*, 128> slaves_{};
  u8 status_ = 0, control_ = 0, command_ = 0, address_ = 0, data0_ = 0, data1_ = 0;
  std::array<u8, 32> block_{};
  u8 block_at_ = 0;
};

}  // namespace doppel::hw
