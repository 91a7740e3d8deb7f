// NOR flash of Intel's command set (document 297859, "Scalable Command Set"; the query table is the Common Flash
// Interface, JESD68): a 28F320S3 (document 290598), 64 blocks of 64 KiB, on a bus of 32 bits that it answers as a part
// of 32 bits would: what it says stands in the low byte of each doubleword, a write's low byte is a command, and data
// is programmed in whatever size it is written. Erasing and programming take no time; suspending them does nothing.
//
// The bytes lie in memory of the board's, which the CPU fetches code from, whatever the chip answers to reads of data.
// Values are in the CPU's byte order. Device lock held.
#pragma once
#include <array>
#include <functional>
#include <span>
#include <string>

#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class CfiFlash final : public Device, public MmioHandler {
 public:
  static constexpr u64 kBytes = 4 << 20, kBlockBytes = 64 << 10, kBlocks = kBytes / kBlockBytes;
  struct Params {
    std::span<u8> array;  // kBytes; outlives the device
    bool big_endian = false;
    bool read_only = false;
    // Bytes have changed. False: they could not be kept, and the guest is told so.
    std::function<bool(u64 offset, u64 size)> on_change;
  };
  explicit CfiFlash(Params p) : p_(std::move(p)) {}
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  enum class Mode : u8 { Array, Id, Query, Status, ExtendedStatus };
  enum class Next : u8 { Command, Program, BufferCount, BufferData, BufferConfirm, Erase, EraseAll, Lock, Configure };
  static constexpr unsigned kBufferWrites = 32;
  void command(u8 value);
  void start(Mode mode, Next next) { mode_ = mode, next_ = next; }
  void fail(u8 bits);  // the sequence ends
  u8 answer(u64 offset) const;
  bool& lock(u64 offset) { return locks_[offset / kBlockBytes]; }
  bool changed(u64 offset, u64 size) { return !p_.on_change || p_.on_change(offset, size); }
  void program(u64 offset, u32 value, unsigned size);
  void buffer_write(u64 offset, u32 value, unsigned size);
  void program_buffer();
  void erase(u64 block);
  void erase_all();
  void change_lock(u64 offset, u8 value);
  u32 ordered(u64 value, unsigned size) const;

  Params p_;
  Mode mode_ = Mode::Array;
  Next next_ = Next::Command;
  u8 status_ = 0;
  u32 buffer_block_ = 0;
  u8 buffer_count_ = 0, buffer_filled_ = 0;
  std::array<u32, kBufferWrites> buffer_offset_{}, buffer_value_{};
  std::array<u8, kBufferWrites> buffer_size_{};
  std::array<bool, kBlocks> locks_{};
};

}  // namespace doppel::hw
