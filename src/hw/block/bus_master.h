// BusMaster: one channel of the bus master IDE controller (SFF-8038i, "Programming Interface for Bus Master IDE
// Controller" 1.0; PIIX3 section 2.3.9). A transfer begins when both sides are ready, the drive in its DMA phase and
// the start bit set, and runs to its end: at once, or by the drive's disk queue when it is one request for which the
// table has room.
#pragma once
#include <functional>

#include "hw/block/ide_drive.h"
#include "hw/core/dma.h"

namespace doppel::hw {

class BusMaster final {
 public:
  enum CommandBits : u8 { kStart = 1, kToMemory = 8 };
  enum StatusBits : u8 { kActive = 1, kError = 2, kInterrupt = 4, kDrive0 = 0x20, kDrive1 = 0x40 };

  BusMaster(std::function<DmaPort&()> dma, std::function<IdeDrive*()> selected)
      : dma_(std::move(dma)), selected_(std::move(selected)) {}
  u8 read(unsigned offset) const;  // offset 0..7
  void write(unsigned offset, u8 value);
  void on_intrq(bool level) {
    if (level) status_ |= kInterrupt;
  }
  void on_dma(IdeDrive& drive);
  void reset();
  void archive(StateArchive& ar);

 private:
  void run(IdeDrive& drive);
  bool gather(u32 bytes, std::vector<DmaSegment>& segments, bool& last);
  bool start(IdeDrive& drive, bool to_memory);
  std::function<DmaPort&()> dma_;
  std::function<IdeDrive*()> selected_;
  u8 command_ = 0, status_ = 0;
  u32 table_ = 0;  // physical address of the PRD table
  std::vector<u8> bounce_;
};

}  // namespace doppel::hw
