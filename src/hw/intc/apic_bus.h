// ApicBus: what connects local APICs, I/O APICs and message signalled interrupts (Intel SDM volume 3, chapter "APIC").
// Threads: deliver() may be called from any thread, with or without the device lock; it only touches atomics of the
// target APICs and the CPU's lock-free event bits.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "base/bits.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class LocalApic;
class I8259Pair;
class IoApic82093;

enum class ApicDelivery : u8 {
  Fixed = 0,
  LowestPriority = 1,
  Smi = 2,
  RemoteRead = 3,
  Nmi = 4,
  Init = 5,
  Sipi = 6,
  ExtInt = 7
};
enum class ApicShorthand : u8 { None = 0, Self = 1, All = 2, AllButSelf = 3 };

struct ApicMessage {
  u8 vector = 0;
  ApicDelivery mode = ApicDelivery::Fixed;
  bool logical = false;
  bool level = false;     // trigger mode: sets TMR in the target
  bool deassert = false;  // INIT level de-assert: no effect on these CPUs
  u32 destination = 0;    // 8 bits from xAPIC, I/O APIC and MSI (0xff: everyone); 32 bits from x2APIC (~0: everyone)
  bool x2apic = false;    // destination is 32 bits wide
};

class ApicBus final : public MmioHandler {
 public:
  struct Params {
    std::mutex& device_lock;           // taken for an acknowledge at the 8259s, and for EOI broadcasts from MSR writes
    std::function<int()> current_cpu;  // index of the vCPU whose thread is calling; -1: none. For the register window
    std::function<u8()> pic_acknowledge;  // INTA cycles at the 8259 pair (device lock held)
  };
  explicit ApicBus(Params p) : p_(std::move(p)) {}

  // The board's wiring, before the machine starts. Index in order of attachment = CPU index.
  void attach(LocalApic& apic) { apics_.push_back(&apic); }
  void attach(IoApic82093& io_apic) { io_apics_.push_back(&io_apic); }

  // Returns how many APICs accepted. `source`: for shorthands; null from I/O APICs.
  int deliver(const ApicMessage& message, LocalApic* source = nullptr, ApicShorthand shorthand = ApicShorthand::None);
  // A write of `data` to 0xfeexxxxx by a bus master.
  int deliver_msi(u64 address, u32 data);
  void broadcast_eoi(u8 vector, bool lock_held);
  // The 8259s' INTR: drives LINT0 of every CPU. Device lock held.
  void set_intr(bool level);

  LocalApic* apic(unsigned index) { return index < apics_.size() ? apics_[index] : nullptr; }
  size_t size() const { return apics_.size(); }

  // The register window at 0xfee00000 (4 KiB), the calling CPU's own APIC; device lock held.
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;

 private:
  friend class LocalApic;
  Params p_;
  std::vector<LocalApic*> apics_;
  std::vector<IoApic82093*> io_apics_;
  std::atomic<u32> rotor_{0};  // breaks ties of lowest priority
};

}  // namespace doppel::hw
