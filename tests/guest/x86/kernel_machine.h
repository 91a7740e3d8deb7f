// A CPU without a board that runs a kernel's code: RAM at 0, long mode, CPL 0, page tables that the test fills. Runs
// until HLT with nothing due. JIT or interpreter, with the vCPU loop around them. A second CPU of the same memory is
// made from the first; each runs on a thread of its own.
#pragma once
#include <initializer_list>

#include "guest/x86/flat_machine.h"

namespace doppel::x86::test {

// Port 0x10: OUT raises INTR with the vector written.
class InterruptPlatform final : public NullPlatform {
 public:
  X86Cpu* cpu = nullptr;
  int vector = -1;
  void port_out(u16 port, u32 value, unsigned) override {
    if (port != 0x10) return;
    vector = static_cast<int>(value & 0xff);
    cpu->set_intr(true);
  }
  int acknowledge_interrupt(u32) override {
    cpu->set_intr(false);
    return vector;
  }
};

class KernelMachine {
 public:
  enum : u64 { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128, G = 256 };
  static constexpr u64 kRam = u64{8} << 20;
  // Physical memory: the tables of space n at kTables + n * kSpaceSize, the descriptor tables, code wherever the test
  // likes.
  static constexpr u64 kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kTables = 0x100000, kSpaceSize = 0x40000;
  static constexpr u16 kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x33, kData3 = 0x2b, kTssSelector = 0x40;

  explicit KernelMachine(bool interpreter, const char* model = "qemu64", const ir::OptFlags& opt = {});
  explicit KernelMachine(KernelMachine& other);  // the next CPU; `other` has the memory and must outlive it

  X86State& state() { return cpu_.state(); }
  X86Cpu& cpu() { return cpu_; }
  u8* ram() { return ram_; }
  mem::AddressSpace& memory() { return memory_->space; }
  exec::VcpuLoop& loop() { return loop_; }
  const exec::Counters& counters() { return loop_.counters(); }
  mem::SoftTlb& tlb() { return *state().h.soft_tlb; }

  u64 cr3(unsigned space) const { return kTables + space * kSpaceSize; }
  // Maps one 4 KiB page in a space; the upper levels are made as needed.
  void map(unsigned space, u64 va, u64 pa, u64 flags);
  u64 pte_address(unsigned space, u64 va);  // physical address of the last level's entry, made if need be
  void poke(u64 pa, std::initializer_list<u8> bytes) {
    for (const u8 b : bytes) ram_[pa++] = b;
  }
  u64 peek64(u64 pa) const { return load_le<u64>(ram_ + pa); }
  void poke64(u64 pa, u64 v) { store_le<u64>(ram_ + pa, v); }
  void gate(unsigned vector, u64 handler, unsigned dpl = 0);

  // Paging on with the tables of space 0, flat segments, interrupts off.
  void start(u64 rip, u64 rsp);
  void run();  // until HLT

 private:
  struct Memory {
    mem::AddressSpace space;
    exec::CodePages pages{space};
    u8* ram = nullptr;
  };
  KernelMachine(bool interpreter, const char* model, const ir::OptFlags& opt, std::shared_ptr<Memory> memory,
                u32 index);

  const bool interpreter_;
  InterruptPlatform platform_;
  std::shared_ptr<Memory> memory_;
  CpuModel model_;
  X86Cpu cpu_;
  exec::VcpuLoop loop_;
  u8* ram_ = nullptr;
  u64 next_table_[16];
  bool stopped_ = false;
};

}  // namespace doppel::x86::test
