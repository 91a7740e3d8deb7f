// The random sequences of native_sequence.cpp in user mode: memory is the process's own (exec::Config::direct), a fault
// is the host's signal and becomes the program's. Registers, flags, memory, and of a fault its place, address and error
// code must agree with the host CPU. DOPPEL_RANDOM_TESTS, DOPPEL_SEED and DOPPEL_TEST_FULL as there.
#if defined(__x86_64__) && defined(__linux__)
#include <gtest/gtest.h>
#include <ucontext.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "exec/vcpu_loop.h"
#include "guest/x86/cpu.h"
#include "guest/x86/native_program.h"
#include "guest/x86/platform.h"

namespace doppel::x86::test {
namespace {

// The code page may be fetched from; it is written to only between runs (drop_code_soon).
class CodeOnly final : public mem::DirectMemory {
 public:
  u64 code = 0;
  bool watch_code(u64 page) override { return page == code; }
  bool code_page_written(u64) override { return false; }
};

exec::VcpuLoop* running = nullptr;

void on_fault(int signal, siginfo_t* info, void* context) {
  auto* c = static_cast<ucontext_t*>(context);
  u64 pc = static_cast<u64>(c->uc_mcontext.gregs[REG_RIP]);
  const auto access = c->uc_mcontext.gregs[REG_ERR] & 2 ? mem::Access::Write : mem::Access::Read;
  if (!running || !running->host_fault(pc, reinterpret_cast<u64>(info->si_addr), access)) {
    std::signal(signal, SIG_DFL);
    return;
  }
  c->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(pc);
}

// A program of one thread on the test's pages. Runs until the first exception.
class Process {
 public:
  Process(NativeHost& host, bool bits32, bool interpreter) {
    memory_.code = reinterpret_cast<u64>(host.code());
    exec::Config config;
    config.interpreter = interpreter;
    config.direct = &memory_;
    config.code_cache_bytes = size_t{8} << 20;
    loop_ = std::make_unique<exec::VcpuLoop>(cpu_, none_, pages_, config);
    EXPECT_TRUE(bool(loop_->create()));
    cpu_.start_program(!bits32, [this](const guest::UserEvent& e) {
      event = e;
      done_ = true;
      loop_->kick();
    });
    loop_->hooks.should_stop = [this] { return done_; };
  }
  NativeState run(const NativeState& before, u64 pc) {
    NativeState s = before;
    loop_->drop_code_soon(memory_.code, NativeHost::kPage);
    for (unsigned i = 0; i < 16; i++) cpu_.set_gpr(i, before.gpr[i]);
    cpu_.set("eflags", before.rflags);
    cpu_.set("rip", pc);
    done_ = false;
    struct sigaction act = {}, old_segv, old_bus;
    act.sa_sigaction = on_fault;
    act.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &act, &old_segv);
    sigaction(SIGBUS, &act, &old_bus);
    running = loop_.get();
    loop_->run();
    running = nullptr;
    sigaction(SIGSEGV, &old_segv, nullptr);
    sigaction(SIGBUS, &old_bus, nullptr);
    for (unsigned i = 0; i < 16; i++) s.gpr[i] = cpu_.gpr(i);
    s.rflags = cpu_.get("eflags");
    s.rip = event.number == BP ? cpu_.get("rip") - 1 : cpu_.get("rip");
    s.signal = event.number == BP ? SIGTRAP : event.number == UD ? SIGILL : SIGSEGV;
    s.error = event.error;
    s.fault_va = event.address;
    return s;
  }
  guest::UserEvent event;

 private:
  CodeOnly memory_;
  NullPlatform platform_;
  CpuModel model_ = parse_cpu("max", true).value();
  mem::AddressSpace none_;
  exec::CodePages pages_{none_};
  std::unique_ptr<guest::GuestCpu> owner_ = make_x86_cpu(model_, platform_, 0);
  X86Cpu& cpu_ = static_cast<X86Cpu&>(*owner_);
  std::unique_ptr<exec::VcpuLoop> loop_;
  bool done_ = false;
};

class DirectRandom : public ::testing::TestWithParam<std::pair<bool, bool>> {
 protected:
  static u64 number(const char* name, u64 otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  }
  void compare(const std::string& what, bool af, const NativeState& want, const NativeState& got, bool bits32) {
    ASSERT_EQ(got.signal, want.signal) << what;
    ASSERT_EQ(got.rip, want.rip) << what;
    const u64 mask = bits32 ? 0xffffffffu : ~u64{0};
    for (int i = 0; i < (bits32 ? 8 : 16); i++)
      ASSERT_EQ(got.gpr[i] & mask, want.gpr[i] & mask) << what << " register " << i;
    const u64 care = kArithFlags & ~(af ? 0u : u32{AF});
    ASSERT_EQ(got.rflags & care, want.rflags & care) << what << " flags";
    if (want.signal != SIGSEGV) return;
    ASSERT_EQ(got.fault_va, want.fault_va) << what << " address";
    ASSERT_EQ(got.error & 6, want.error & 6) << what << " error code";
  }
  NativeHost host_;
};

TEST_P(DirectRandom, AsOnTheHost) {
  const auto [bits32, interpreter] = GetParam();
  if (!host_.usable()) GTEST_SKIP() << "the host does not give the low memory that the native run needs";
  Process process(host_, bits32, interpreter);
  const u64 pc = reinterpret_cast<u64>(host_.code()) + 256;
  const char* full_text = std::getenv("DOPPEL_TEST_FULL");
  const u64 first = number("DOPPEL_SEED", 1);
  const u64 count = number("DOPPEL_RANDOM_TESTS", full_text && *full_text ? 500000 : 10000);
  u64 faults = 0;
  for (u64 seed = first; seed < first + count; seed++) {
    const Program p(seed, bits32);
    std::mt19937_64 rng(~seed);
    host_.clear_code();
    std::memcpy(host_.code() + 256, p.code().data(), p.code().size());
    for (size_t i = 0; i < kProgramData; i += 8) store_le<u64>(host_.data() + i, rng());
    const NativeState before = start_of_program(rng, reinterpret_cast<u64>(host_.data()), pc, bits32);
    const std::vector<u8> data(host_.data(), host_.data() + kProgramData);
    NativeState want = before;
    host_.run(want, pc, bits32);
    const std::vector<u8> memory(host_.data(), host_.data() + kProgramData);
    std::memcpy(host_.data(), data.data(), kProgramData);
    const NativeState got = process.run(before, pc);
    faults += want.signal == SIGSEGV;
    const std::string what = describe(p, seed, bits32);
    compare(what, p.af_defined(), want, got, bits32);
    ASSERT_EQ(std::memcmp(host_.data(), memory.data(), kProgramData), 0) << what << " memory";
    if (HasFatalFailure()) return;
  }
  if (count >= 1000) {
    EXPECT_GT(faults, count / 10);  // or the data is not where it should be
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, DirectRandom,
                         ::testing::Values(std::pair(false, false), std::pair(true, false), std::pair(false, true),
                                           std::pair(true, true)),
                         [](const auto& p) {
                           return std::string(p.param.second ? "Interpreter" : "Jit") + (p.param.first ? "32" : "64");
                         });

}  // namespace
}  // namespace doppel::x86::test
#endif
