// Two Intel 8259A interrupt controllers in the PC's cascade (slave on IR2), with the edge/level control registers of
// the PIIX3. Manual: Intel 8259A data sheet (231468); ELCR: 82371SB (290550) section 2.5. Models edge and level mode,
// special mask, special fully nested, automatic EOI and rotation, poll, spurious IR7/IR15. Not modelled: 8080 mode
// (ICW4 uPM = 0), buffered mode. Windows: master() at 0x20, slave() at 0xa0 (2 ports each), elcr() at 0x4d0 (2 ports).
// Device lock held on every call.
#pragma once
#include <array>

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/window.h"

namespace doppel::hw {

// One chip; used only by the pair.
class I8259 {
 public:
  u8 read(u64 offset, bool& poll);
  void write(u64 offset, u8 value);
  void set_line(unsigned n, bool level);
  int pending() const;            // the request that would be acknowledged (0-7), or -1
  void acknowledged(unsigned n);  // moves IRR to ISR (and automatic EOI)
  void init();
  void archive(StateArchive& ar);
  std::string info() const;
  u8 vector_base() const { return icw2_; }
  u8 elcr = 0;
  bool master = false;

 private:
  unsigned priority_of(u8 bits) const;  // 0 is highest, 8: none
  void eoi(u8 value);
  u8 irr_ = 0, imr_ = 0, isr_ = 0, lines_ = 0;
  u8 lowest_ = 7;  // IR with the lowest priority
  u8 icw2_ = 0, icw_step_ = 0, icw1_ = 0;
  bool special_mask_ = false, auto_eoi_ = false, rotate_auto_ = false, fully_nested_ = false;
  bool read_isr_ = false, poll_ = false;
};

class I8259Pair final : public Device {
 public:
  struct Params {
    IrqLine intr;
  };
  explicit I8259Pair(Params p);
  IrqLine irq(unsigned n);  // 0..15; 2 is the cascade and ignored
  MmioHandler& master() { return master_window_; }
  MmioHandler& slave() { return slave_window_; }
  MmioHandler& elcr() { return elcr_window_; }
  u8 acknowledge();  // INTA cycles: the vector; a spurious IR7 if the request went away
  bool intr() const { return intr_; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  void set_irq(unsigned n, bool level);
  void update();
  u64 read_chip(unsigned which, u64 offset);
  u64 read_master(u64 offset, unsigned) { return read_chip(0, offset); }
  u64 read_slave(u64 offset, unsigned) { return read_chip(1, offset); }
  void write_master(u64 offset, u64 value, unsigned);
  void write_slave(u64 offset, u64 value, unsigned);
  u64 read_elcr(u64 offset, unsigned);
  void write_elcr(u64 offset, u64 value, unsigned);

  Params p_;
  std::array<I8259, 2> chip_;
  bool intr_ = false;
  Window<I8259Pair> master_window_{*this, &I8259Pair::read_master, &I8259Pair::write_master};
  Window<I8259Pair> slave_window_{*this, &I8259Pair::read_slave, &I8259Pair::write_slave};
  Window<I8259Pair> elcr_window_{*this, &I8259Pair::read_elcr, &I8259Pair::write_elcr};
};

}  // namespace doppel::hw
