// A MIPS CPU without a board: 1 MiB of RAM at 0, kernel mode, code in kseg0, Status.BEV off. Runs until WAIT: by the
// JIT or the interpreter, in either byte order.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>

#include "exec/vcpu_loop.h"
#include "guest/mips/cpu.h"
#include "guest/mips/translate/frontend.h"

namespace doppel::mips::test {

class StillPlatform final : public Platform {
 public:
  u64 ns = 0, armed = 0;
  u64 now_ns() override { return ns; }
  u64 count_hz() override { return 1'000'000'000; }
  void arm_compare(u32, u64 in) override { armed = in; }
};

struct Kind {
  bool interpreter, big_endian;
  const char* cpu;
};

class BareMachine {
 public:
  static constexpr u32 kCode = 0x80001000, kData = 0x80008000, kWait = 0x42000020;
  explicit BareMachine(const Kind& kind)
      : model(parse_cpu(kind.cpu, true, kind.big_endian).value()),
        pages_(memory_),
        cpu(model, platform, 0, make_frontend(model)),
        loop_(cpu, memory_, pages_, config(kind)) {
    ram_ = memory_.create_ram("ram", kRam).value();
    memory_.map_ram("ram", 0, ram_, 0, kRam, 0);
    loop_.hooks.should_stop = [this] { return stopped_; };
    loop_.hooks.wait_halted = [this] {
      stopped_ = true;
      cpu.header().exit_request.store(1);
    };
    EXPECT_TRUE(bool(loop_.create()));
    cpu.state().status = ST_CU1 * (model.fpu ? 1u : 0u) | ST_KX * (model.is_64bit ? 1u : 0u);
    update_mode(cpu.state());
    for (const u32 vector : {0x80000000u, 0x80000180u}) code(vector, {kWait});
  }
  void code(u32 address, std::initializer_list<u32> words) {
    for (const u32 word : words) {
      put32(address, word);
      address += 4;
    }
  }
  void put32(u32 address, u32 value) {
    if (model.big_endian) value = __builtin_bswap32(value);
    std::memcpy(ram_->host + (address & 0x1fffffff), &value, 4);
  }
  u32 get32(u32 address) const {
    u32 value;
    std::memcpy(&value, ram_->host + (address & 0x1fffffff), 4);
    return model.big_endian ? __builtin_bswap32(value) : value;
  }
  u8& byte(u32 address) { return ram_->host[address & 0x1fffffff]; }
  // The words at kCode, then WAIT.
  void run(std::initializer_list<u32> words) {
    code(kCode, words);
    put32(kCode + static_cast<u32>(words.size()) * 4, kWait);
    MipsState& s = cpu.state();
    s.pc = canonical32(s, kCode);
    s.waiting = s.in_slot = 0;
    stopped_ = false;
    loop_.post_invalidate(0, kRam);
    loop_.run();
  }
  u32 reg(unsigned n) { return static_cast<u32>(cpu.state().gpr[n]); }

  const CpuModel model;
  StillPlatform platform;

 private:
  static constexpr u64 kRam = u64{1} << 20;
  static exec::Config config(const Kind& kind) {
    exec::Config c;
    c.interpreter = kind.interpreter;
    c.code_cache_bytes = size_t{4} << 20;
    return c;
  }
  mem::AddressSpace memory_;
  exec::CodePages pages_;
  mem::RamBlock* ram_ = nullptr;
  bool stopped_ = false;

 public:
  MipsCpu cpu;

 private:
  exec::VcpuLoop loop_;
};

// --- words
constexpr u32 imm(u32 op, u32 rs, u32 rt, u32 value) { return op << 26 | rs << 21 | rt << 16 | (value & 0xffff); }
constexpr u32 spc(u32 funct, u32 rs, u32 rt, u32 rd, u32 sa = 0) {
  return rs << 21 | rt << 16 | rd << 11 | sa << 6 | funct;
}
constexpr u32 lui(u32 rt, u32 value) { return imm(15, 0, rt, value); }
constexpr u32 ori(u32 rt, u32 rs, u32 value) { return imm(13, rs, rt, value); }
constexpr u32 addiu(u32 rt, u32 rs, u32 value) { return imm(9, rs, rt, value); }
constexpr u32 mtc0(u32 rt, u32 rd, u32 sel = 0) { return 0x40800000 | rt << 16 | rd << 11 | sel; }
constexpr u32 mfc0(u32 rt, u32 rd, u32 sel = 0) { return 0x40000000 | rt << 16 | rd << 11 | sel; }
constexpr u32 fp(u32 funct, u32 fmt, u32 fs, u32 ft, u32 fd) {
  return 17u << 26 | fmt << 21 | ft << 16 | fs << 11 | fd << 6 | funct;
}

}  // namespace doppel::mips::test
