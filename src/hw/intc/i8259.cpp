#include "hw/intc/i8259.h"

#include <bit>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {
namespace {
enum Ocw2 : u8 {
  kRotateAutoOff = 0,
  kEoi = 1,
  kNop = 2,
  kSpecificEoi = 3,
  kRotateAutoOn = 4,
  kRotateEoi = 5,
  kSetPriority = 6,
  kRotateSpecific = 7
};
}

void I8259::init() {
  irr_ = lines_ & elcr;  // edges are forgotten, levels are still there
  imr_ = isr_ = 0;
  lowest_ = 7;
  special_mask_ = auto_eoi_ = rotate_auto_ = fully_nested_ = read_isr_ = poll_ = false;
}

unsigned I8259::priority_of(u8 bits) const {
  if (bits == 0) return 8;
  return static_cast<unsigned>(std::countr_zero(std::rotr(bits, (lowest_ + 1) & 7)));
}

int I8259::pending() const {
  const unsigned request = priority_of(irr_ & static_cast<u8>(~imr_));
  if (request == 8) return -1;
  u8 in_service = isr_;
  if (special_mask_) in_service &= static_cast<u8>(~imr_);
  // The master in special fully nested mode lets the slave interrupt its own level.
  if (fully_nested_ && master) in_service &= static_cast<u8>(~4);
  if (request >= priority_of(in_service)) return -1;
  return static_cast<int>((request + lowest_ + 1) & 7);
}

void I8259::acknowledged(unsigned n) {
  const u8 bit = static_cast<u8>(1u << n);
  if (auto_eoi_) {
    if (rotate_auto_) lowest_ = static_cast<u8>(n);
  } else {
    isr_ |= bit;
  }
  if ((elcr & bit) == 0) irr_ &= static_cast<u8>(~bit);  // a level stays requested until its line falls
}

void I8259::set_line(unsigned n, bool level) {
  const u8 bit = static_cast<u8>(1u << n);
  if (elcr & bit) {
    irr_ = level ? irr_ | bit : irr_ & ~bit;
  } else if (level) {
    if ((lines_ & bit) == 0) irr_ |= bit;
  } else {
    irr_ &= static_cast<u8>(~bit);  // a request that goes away before INTA is lost (spurious)
  }
  lines_ = level ? lines_ | bit : lines_ & ~bit;
}

void I8259::eoi(u8 value) {
  const unsigned level = value & 7;
  auto end_highest = [&]() -> int {
    const unsigned p = priority_of(isr_);
    if (p == 8) return -1;
    const unsigned n = (p + lowest_ + 1) & 7;
    isr_ &= static_cast<u8>(~(1u << n));
    return static_cast<int>(n);
  };
  switch (value >> 5) {
    case kRotateAutoOff: rotate_auto_ = false; break;
    case kRotateAutoOn: rotate_auto_ = true; break;
    case kEoi: end_highest(); break;
    case kRotateEoi:
      if (const int n = end_highest(); n >= 0) lowest_ = static_cast<u8>(n);
      break;
    case kSpecificEoi: isr_ &= static_cast<u8>(~(1u << level)); break;
    case kRotateSpecific:
      isr_ &= static_cast<u8>(~(1u << level));
      lowest_ = static_cast<u8>(level);
      break;
    case kSetPriority: lowest_ = static_cast<u8>(level); break;
    default: break;
  }
}

void I8259::write(u64 offset, u8 value) {
  if (offset == 0) {
    if (value & 0x10) {  // ICW1
      init();
      icw1_ = value;
      icw_step_ = 2;
      if (value & 8) DOPPEL_LOG(Unimp, "i8259: level triggered mode of ICW1 is ignored, ELCR decides\n");
    } else if (value & 8) {  // OCW3
      if (value & 4) poll_ = true;
      if (value & 2) read_isr_ = (value & 1) != 0;
      if (value & 0x40) special_mask_ = (value & 0x20) != 0;
    } else {
      eoi(value);  // OCW2
    }
    return;
  }
  switch (icw_step_) {
    case 2:
      icw2_ = value & 0xf8;
      icw_step_ = (icw1_ & 2) ? ((icw1_ & 1) ? 4 : 0) : 3;
      break;
    case 3: icw_step_ = (icw1_ & 1) ? 4 : 0; break;  // the cascade is wired on IR2
    case 4:
      fully_nested_ = (value & 0x10) != 0;
      auto_eoi_ = (value & 2) != 0;
      icw_step_ = 0;
      break;
    default: imr_ = value; break;  // OCW1
  }
}

u8 I8259::read(u64 offset, bool& poll) {
  poll = poll_;
  if (poll_) {
    poll_ = false;
    const int n = pending();
    if (n < 0) return 0;
    acknowledged(static_cast<unsigned>(n));
    return static_cast<u8>(0x80 | n);
  }
  if (offset == 1) return imr_;
  return read_isr_ ? isr_ : irr_;
}

void I8259::archive(StateArchive& ar) {
  ar.field("irr", irr_);
  ar.field("imr", imr_);
  ar.field("isr", isr_);
  ar.field("lines", lines_);
  ar.field("lowest", lowest_);
  ar.field("icw1", icw1_);
  ar.field("icw2", icw2_);
  ar.field("icw_step", icw_step_);
  ar.field("special_mask", special_mask_);
  ar.field("auto_eoi", auto_eoi_);
  ar.field("rotate_auto", rotate_auto_);
  ar.field("fully_nested", fully_nested_);
  ar.field("read_isr", read_isr_);
  ar.field("poll", poll_);
  ar.field("elcr", elcr);
  if (ar.loading()) {
    lowest_ &= 7;
    if (icw_step_ > 4) icw_step_ = 0;
  }
}

std::string I8259::info() const {
  char line[128];
  std::snprintf(line, sizeof line, "irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d elcr=%02x fnm=%d\n",
                irr_, imr_, isr_, (lowest_ + 1) & 7, icw2_, read_isr_, elcr, fully_nested_);
  return line;
}

I8259Pair::I8259Pair(Params p) : p_(std::move(p)) {
  chip_[0].master = true;
  reset();
}

void I8259Pair::reset() {
  for (I8259& chip : chip_) {
    chip.elcr = 0;
    chip.write(0, 0x10);  // as ICW1 alone leaves it
    chip.write(1, 0);
    chip.write(1, 0);
    chip.init();
  }
  update();
}

IrqLine I8259Pair::irq(unsigned n) {
  return IrqLine([this, n](bool level) { set_irq(n, level); });
}

void I8259Pair::set_irq(unsigned n, bool level) {
  if (n == 2 || n > 15) return;
  chip_[n >> 3].set_line(n & 7, level);
  update();
}

void I8259Pair::update() {
  chip_[0].set_line(2, chip_[1].pending() >= 0);
  const bool intr = chip_[0].pending() >= 0;
  if (intr != intr_) {
    intr_ = intr;
    p_.intr.set(intr);
  }
}

u8 I8259Pair::acknowledge() {
  u8 vector;
  if (const int n = chip_[0].pending(); n < 0) {
    vector = static_cast<u8>(chip_[0].vector_base() + 7);
  } else {
    chip_[0].acknowledged(static_cast<unsigned>(n));
    vector = static_cast<u8>(chip_[0].vector_base() + n);
    if (n == 2) {
      const int s = chip_[1].pending();
      if (s >= 0) {
        chip_[1].acknowledged(static_cast<unsigned>(s));
        // INTA lets the slave's INT fall: another request makes a new edge at the master.
        chip_[0].set_line(2, false);
      }
      vector = static_cast<u8>(chip_[1].vector_base() + (s < 0 ? 7 : s));
    }
  }
  update();
  return vector;
}

u64 I8259Pair::read_chip(unsigned which, u64 offset) {
  bool poll = false;
  const u8 v = chip_[which].read(offset & 1, poll);
  if (poll) {
    // A poll of the slave acknowledges at the slave only; the master's request falls with the slave's INT.
    if (which == 1) chip_[0].set_line(2, false);
    update();
  }
  return v;
}

void I8259Pair::write_master(u64 offset, u64 value, unsigned) {
  chip_[0].write(offset & 1, static_cast<u8>(value));
  // ICW1 clears the edge sense: the slave's request has to make its edge again.
  if ((offset & 1) == 0 && (value & 0x10)) chip_[0].set_line(2, false);
  update();
}

void I8259Pair::write_slave(u64 offset, u64 value, unsigned) {
  chip_[1].write(offset & 1, static_cast<u8>(value));
  update();
}

u64 I8259Pair::read_elcr(u64 offset, unsigned) { return chip_[offset & 1].elcr; }

void I8259Pair::write_elcr(u64 offset, u64 value, unsigned) {
  // IRQ 0, 1, 2, 8 and 13 are always edges.
  chip_[offset & 1].elcr = static_cast<u8>(value & ((offset & 1) ? 0xde : 0xf8));
  update();
}

void I8259Pair::archive(StateArchive& ar) {
  ar.section("master", [&] { chip_[0].archive(ar); });
  ar.section("slave", [&] { chip_[1].archive(ar); });
  ar.field("intr", intr_);
  if (ar.loading()) p_.intr.set(intr_);
}

std::string I8259Pair::info() const { return "pic0: " + chip_[0].info() + "pic1: " + chip_[1].info(); }

}  // namespace doppel::hw
