// Two Intel 8237A DMA controllers in the PC/AT cascade (231466) and their page registers (74LS612): channels 0-3 move
// bytes, 5-7 words, 4 cascades. Devices see one IsaDmaChannel each. Transfers take no time. Not modelled: memory to
// memory (the PC never wired it), compressed timing, rotating priority (accepted, without effect as transfers are
// instantaneous). Windows: bytes() at 0x00 (16 ports), words() at 0xc0 (32 ports), pages() at 0x80 (16 ports; the spare
// ones are scratch, 0x80 is the POST code), high_pages() at 0x480 (16 ports, address bits 31..24). Device lock held.
#pragma once
#include <array>

#include "hw/core/device.h"
#include "hw/core/dma.h"
#include "hw/core/isa_dma.h"
#include "hw/core/window.h"

namespace doppel::hw {

class I8237 final : public Device {
 public:
  struct Params {
    DmaPort& memory;
  };
  explicit I8237(Params p);
  IsaDmaChannel& channel(unsigned n) { return channel_[n & 7]; }
  MmioHandler& bytes() { return bytes_window_; }
  MmioHandler& words() { return words_window_; }
  MmioHandler& pages() { return pages_window_; }
  MmioHandler& high_pages() { return high_window_; }
  u8 post_code() const { return page_[0]; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  class Channel final : public IsaDmaChannel {
   public:
    void set_request(bool asserted) override;
    bool ready() const override;
    IsaDmaResult transfer(u8* data, u32 size, bool to_memory) override;
    void set_listener(Listener* listener) override { listener_ = listener; }
    void tell_if_ready();
    I8237* owner_ = nullptr;
    Listener* listener_ = nullptr;
    unsigned number_ = 0;
    u16 base_address_ = 0, base_count_ = 0, address_ = 0, count_ = 0;
    u8 mode_ = 0;
    bool request_ = false, transferring_ = false;
  };
  struct Chip {
    u8 command = 0, mask = 0xf, request = 0, terminal_count = 0;
    bool flip_flop = false;
  };
  u64 read_chip(unsigned chip, unsigned reg);
  void write_chip(unsigned chip, unsigned reg, u8 value);
  void master_clear(unsigned chip);
  void tell_all(unsigned chip);
  u64 address_of(const Channel& c) const;
  void step(Channel& c, u32 units);
  bool finish(Channel& c);
  u64 read_bytes(u64 offset, unsigned) { return read_chip(0, static_cast<unsigned>(offset)); }
  void write_bytes(u64 offset, u64 v, unsigned) { write_chip(0, static_cast<unsigned>(offset), static_cast<u8>(v)); }
  u64 read_words(u64 offset, unsigned) { return read_chip(1, static_cast<unsigned>(offset >> 1)); }
  void write_words(u64 offset, u64 v, unsigned) {
    write_chip(1, static_cast<unsigned>(offset >> 1), static_cast<u8>(v));
  }
  u64 read_pages(u64 offset, unsigned) { return page_[offset & 15]; }
  void write_pages(u64 offset, u64 v, unsigned);
  u64 read_high(u64 offset, unsigned) { return high_page_[offset & 15]; }
  void write_high(u64 offset, u64 v, unsigned) { high_page_[offset & 15] = static_cast<u8>(v); }

  Params p_;
  std::array<Channel, 8> channel_;
  std::array<Chip, 2> chip_{};
  std::array<u8, 16> page_{};
  std::array<u8, 16> high_page_{};
  Window<I8237> bytes_window_{*this, &I8237::read_bytes, &I8237::write_bytes};
  Window<I8237> words_window_{*this, &I8237::read_words, &I8237::write_words};
  Window<I8237> pages_window_{*this, &I8237::read_pages, &I8237::write_pages};
  Window<I8237> high_window_{*this, &I8237::read_high, &I8237::write_high};
};

}  // namespace doppel::hw
