#include "hw/char/uart_16550a.h"

#include <cstdio>

#include "base/log.h"

namespace doppel::hw {
namespace {
enum Register : unsigned { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr };
enum Ier : u8 { kErbfi = 1, kEtbei = 2, kElsi = 4, kEdssi = 8 };
enum Lcr : u8 { kBreak = 0x40, kDlab = 0x80 };
enum Mcr : u8 { kDtr = 1, kRts = 2, kOut1 = 4, kOut2 = 8, kLoop = 0x10 };
enum Lsr : u8 { kDr = 1, kOe = 2, kPe = 4, kFe = 8, kBi = 0x10, kThre = 0x20, kTemt = 0x40, kFifoError = 0x80 };
enum Msr : u8 { kDelta = 0x0f, kTeri = 4, kCts = 0x10, kDsr = 0x20, kRi = 0x40, kDcd = 0x80 };
enum Iid : u8 { kModemStatus = 0, kNone = 1, kThrEmpty = 2, kDataReady = 4, kLineStatus = 6, kTimeout = 0xc };
constexpr size_t kFifoSize = 16;
}  // namespace

// What the character device holds: it may outlive the UART. Lock order: link, then device lock.
struct Uart16550::Link {
  std::mutex lock;
  Uart16550* uart = nullptr;

  template <typename Fn>
  auto with(Fn&& fn) -> decltype(fn(*uart)) {
    std::lock_guard guard(lock);
    if (uart == nullptr) return decltype(fn(*uart))();
    std::lock_guard device(uart->p_.device_lock);
    return fn(*uart);
  }
};

Uart16550::Uart16550(Params p)
    : p_(std::move(p)),
      timeout_(p_.clock,
               [this] {
                 timeout_pending_ = !rx_.empty();
                 update_irq();
               }),
      link_(std::make_shared<Link>()) {
  reset();
  link_->uart = this;
  if (!p_.chardev) return;
  chardev::Chardev::FrontEnd front;
  front.can_receive = [link = link_] {
    return link->with([](Uart16550& u) {
      const size_t room = u.room();
      u.blocked_ = true;  // whatever it sends now, it may have more
      return room;
    });
  };
  front.receive = [link = link_](std::span<const u8> data) { link->with([&](Uart16550& u) { u.receive(data); }); };
  front.send_break = [link = link_] { link->with([](Uart16550& u) { u.receive_break(); }); };
  p_.chardev->attach(std::move(front));
}

Uart16550::~Uart16550() {
  std::lock_guard guard(link_->lock);
  link_->uart = nullptr;
}

void Uart16550::reset() {
  rx_.clear();
  ier_ = fcr_ = lcr_ = mcr_ = scr_ = 0;
  msr_ = modem_inputs_;
  divisor_ = 12;
  overrun_ = thre_pending_ = timeout_pending_ = false;
  timeout_.disarm();
  update_irq();
  if (blocked_ && p_.chardev) {
    blocked_ = false;
    p_.chardev->accept_input();
  }
}

s64 Uart16550::character_ns() const {
  const s64 divisor = divisor_ == 0 ? 65536 : divisor_;
  return 10 * kNsPerSecond * divisor / p_.base_hz;
}

size_t Uart16550::trigger() const {
  static constexpr u8 kLevels[] = {1, 4, 8, 14};
  return fifo() ? kLevels[fcr_ >> 6] : 1;
}

size_t Uart16550::room() const {
  if (mcr_ & kLoop) return 0;
  const size_t capacity = fifo() ? kFifoSize : 1;
  return rx_.size() >= capacity ? 0 : capacity - rx_.size();
}

u8 Uart16550::line_status() const {
  u8 v = kThre | kTemt;
  if (overrun_) v |= kOe;
  if (!rx_.empty()) {
    v |= kDr | rx_.front().errors;
    if (fifo()) {
      for (const Rx& r : rx_)
        if (r.errors) v |= kFifoError;
    }
  }
  return v;
}

u8 Uart16550::interrupt_id() const {
  if ((ier_ & kElsi) && (overrun_ || (!rx_.empty() && rx_.front().errors))) return kLineStatus;
  if ((ier_ & kErbfi) && rx_.size() >= trigger()) return kDataReady;
  if ((ier_ & kErbfi) && timeout_pending_) return kTimeout;
  if ((ier_ & kEtbei) && thre_pending_) return kThrEmpty;
  if ((ier_ & kEdssi) && (msr_ & kDelta)) return kModemStatus;
  return kNone;
}

// On a PC the OUT2 pin gates the interrupt; it is not done here, as programs that forget it work on most emulators and
// bridges.
void Uart16550::update_irq() { p_.irq.set(interrupt_id() != kNone); }

void Uart16550::arm_timeout() {
  if (fifo() && !rx_.empty())
    timeout_.arm_in(4 * character_ns());
  else
    timeout_.disarm();
}

void Uart16550::put_rx(u8 byte, u8 errors) {
  const size_t capacity = fifo() ? kFifoSize : 1;
  if (rx_.size() >= capacity) {
    overrun_ = true;
    if (!fifo()) rx_.back() = {byte, errors};  // the holding register is overwritten, a FIFO keeps what it has
  } else {
    rx_.push_back({byte, errors});
  }
  timeout_pending_ = false;
}

size_t Uart16550::receive(std::span<const u8> data) {
  if (mcr_ & kLoop) return 0;
  const size_t count = std::min(room(), data.size());
  for (const u8 byte : data) put_rx(byte, 0);  // what doesn't fit overruns, as on the line
  arm_timeout();
  update_irq();
  return count;
}

void Uart16550::receive_break() {
  if (mcr_ & kLoop) return;
  put_rx(0, kBi | kFe);
  arm_timeout();
  update_irq();
}

u8 Uart16550::take_rx() {
  if (rx_.empty()) return 0;
  const u8 byte = rx_.front().byte;
  rx_.pop_front();
  timeout_pending_ = false;
  arm_timeout();
  update_irq();
  if (blocked_ && p_.chardev && (rx_.empty() || rx_.size() <= kFifoSize / 2)) {
    blocked_ = false;
    p_.chardev->accept_input();
  }
  return byte;
}

void Uart16550::transmit(u8 byte) {
  if (mcr_ & kLoop) {
    put_rx(byte, 0);
    arm_timeout();
  } else if (p_.chardev) {
    p_.chardev->write({&byte, 1});
  }
  thre_pending_ = true;  // sent at once: empty again
  update_irq();
}

u64 Uart16550::read(u64 offset, unsigned) {
  switch (offset & 7) {
    case kData: return lcr_ & kDlab ? divisor_ & 0xff : take_rx();
    case kIer: return lcr_ & kDlab ? divisor_ >> 8 : ier_;
    case kIirFcr: {
      const u8 id = interrupt_id();
      if (id == kThrEmpty) {
        thre_pending_ = false;
        update_irq();
      }
      return id | (fifo() ? 0xc0u : 0u);
    }
    case kLcr: return lcr_;
    case kMcr: return mcr_;
    case kLsr: {
      const u8 v = line_status();
      if (v & (kOe | kPe | kFe | kBi)) {
        overrun_ = false;
        if (!rx_.empty()) rx_.front().errors = 0;
        update_irq();
      }
      return v;
    }
    case kMsr: {
      const u8 v = msr_;
      if (v & kDelta) {
        msr_ &= static_cast<u8>(~kDelta);
        update_irq();
      }
      return v;
    }
    default: return scr_;
  }
}

void Uart16550::write(u64 offset, u64 value, unsigned) {
  const u8 v = static_cast<u8>(value);
  switch (offset & 7) {
    case kData:
      if (lcr_ & kDlab)
        divisor_ = static_cast<u16>((divisor_ & 0xff00) | v);
      else
        transmit(v);
      break;
    case kIer:
      if (lcr_ & kDlab) {
        divisor_ = static_cast<u16>((divisor_ & 0xff) | v << 8);
      } else {
        if (~ier_ & v & kEtbei) thre_pending_ = true;  // enabling while empty asks for data at once
        ier_ = v & 0xf;
        update_irq();
      }
      break;
    case kIirFcr: write_fcr(v); break;
    case kLcr: lcr_ = v; break;
    case kMcr: write_mcr(v); break;
    case kScr: scr_ = v; break;
    default: break;  // LSR and MSR are for factory tests
  }
}

void Uart16550::write_fcr(u8 v) {
  const bool toggled = ((fcr_ ^ v) & 1) != 0;
  if (toggled || (v & 2)) {
    rx_.clear();
    timeout_pending_ = false;
    timeout_.disarm();
    if (blocked_ && p_.chardev) {
      blocked_ = false;
      p_.chardev->accept_input();
    }
  }
  if (v & 4) thre_pending_ = true;
  fcr_ = v & 1 ? v & 0xc9 : 0;
  arm_timeout();
  update_irq();
}

void Uart16550::write_mcr(u8 v) {
  const bool was_loop = (mcr_ & kLoop) != 0;
  mcr_ = v & 0x1f;
  if (mcr_ & kLoop) {
    set_msr_inputs(static_cast<u8>((v & kDtr ? kDsr : 0) | (v & kRts ? kCts : 0) | (v & kOut1 ? kRi : 0) |
                                   (v & kOut2 ? kDcd : 0)));
  } else if (was_loop) {
    set_msr_inputs(modem_inputs_);
    if (p_.chardev) p_.chardev->accept_input();
  }
}

void Uart16550::set_msr_inputs(u8 inputs) {
  const u8 changed = (msr_ ^ inputs) & 0xf0;
  u8 delta = static_cast<u8>(changed >> 4);
  if (inputs & kRi) delta &= static_cast<u8>(~kTeri);  // only the trailing edge of RI counts
  msr_ = static_cast<u8>((msr_ & kDelta) | delta | inputs);
  update_irq();
}

void Uart16550::set_modem_inputs(bool cts, bool dsr, bool ri, bool dcd) {
  modem_inputs_ = static_cast<u8>((cts ? kCts : 0) | (dsr ? kDsr : 0) | (ri ? kRi : 0) | (dcd ? kDcd : 0));
  if (!(mcr_ & kLoop)) set_msr_inputs(modem_inputs_);
}

void Uart16550::archive(StateArchive& ar) {
  std::vector<u8> fifo_bytes;
  for (const Rx& r : rx_) {
    fifo_bytes.push_back(r.byte);
    fifo_bytes.push_back(r.errors);
  }
  ar.blob("rx", fifo_bytes);
  ar.field("divisor", divisor_);
  ar.field("ier", ier_);
  ar.field("fcr", fcr_);
  ar.field("lcr", lcr_);
  ar.field("mcr", mcr_);
  ar.field("msr", msr_);
  ar.field("scr", scr_);
  ar.field("modem_inputs", modem_inputs_);
  ar.field("overrun", overrun_);
  ar.field("thre_pending", thre_pending_);
  ar.field("timeout_pending", timeout_pending_);
  s64 timeout = timeout_.deadline();
  ar.field("timeout", timeout);
  if (!ar.loading()) return;
  rx_.clear();
  for (size_t i = 0; i + 1 < fifo_bytes.size() && rx_.size() < kFifoSize; i += 2)
    rx_.push_back({fifo_bytes[i], fifo_bytes[i + 1]});
  if (timeout >= 0)
    timeout_.arm_at(timeout);
  else
    timeout_.disarm();
  update_irq();
  if (p_.chardev) p_.chardev->accept_input();
}

std::string Uart16550::info() const {
  char text[128];
  std::snprintf(text, sizeof text, "%u baud lcr=%02x mcr=%02x ier=%02x lsr=%02x msr=%02x rx=%zu\n",
                p_.base_hz / (divisor_ ? divisor_ : 65536u), lcr_, mcr_, ier_, line_status(), msr_, rx_.size());
  return text;
}

}  // namespace doppel::hw
