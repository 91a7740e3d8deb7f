// Guest memory that is the process's own, as single programs have it: accesses without checks, faults by the host's
// signals, exact state at each, code that changes itself; JIT and interpreter.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <xbyak/xbyak.h>

#include <csignal>

#include "exec/vcpu_loop.h"
#include "guest/x86/cpu.h"
#include "guest/x86/platform.h"

namespace doppel::x86 {
namespace {

using namespace Xbyak::util;

constexpr size_t kPage = mem::kPageSize;

// Two pages of code that may be written to, two of data, one that may only be read, one that is not there.
class Memory final : public mem::DirectMemory {
 public:
  Memory() {
    // SAFETY: memory of the test's own.
    start = static_cast<u8*>(mmap(nullptr, 8 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(start, 4 * kPage, PROT_READ | PROT_WRITE);
    mprotect(start + 4 * kPage, kPage, PROT_READ);
  }
  ~Memory() override { munmap(start, 8 * kPage); }
  bool watch_code(u64 page) override {
    const u64 n = (page - reinterpret_cast<u64>(start)) / kPage;
    if (n >= 2) return false;
    mprotect(start + n * kPage, kPage, PROT_READ);
    watched[n] = true;
    return true;
  }
  bool code_page_written(u64 va) override {
    const u64 n = (va - reinterpret_cast<u64>(start)) / kPage;
    if (n >= 2 || !watched[n]) return false;
    watched[n] = false;
    mprotect(start + n * kPage, kPage, PROT_READ | PROT_WRITE);
    hits++;
    return true;
  }
  u8* data() { return start + 2 * kPage; }
  u8* read_only() { return start + 4 * kPage; }
  u8* missing() { return start + 5 * kPage; }
  u8* start;
  bool watched[2] = {};
  int hits = 0;
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

class DirectMemory : public ::testing::TestWithParam<bool> {
 protected:
  DirectMemory() {
    struct sigaction act = {};
    act.sa_sigaction = on_fault;
    act.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &act, &old_segv_);
    sigaction(SIGBUS, &act, &old_bus_);
    exec::Config config;
    config.interpreter = GetParam();
    config.direct = &memory;
    config.code_cache_bytes = size_t{4} << 20;
    loop = std::make_unique<exec::VcpuLoop>(cpu, none, pages, config);
    EXPECT_TRUE(loop->create());
    cpu.start_program(true, [this](const guest::UserEvent& e) {
      event = e;
      done = true;
      loop->kick();
    });
    loop->hooks.should_stop = [this] { return done; };
  }
  ~DirectMemory() override {
    sigaction(SIGSEGV, &old_segv_, nullptr);
    sigaction(SIGBUS, &old_bus_, nullptr);
  }
  template <typename Fn>
  void run(Fn code) {
    if (memory.code_page_written(at(memory.start))) loop->drop_code_soon(at(memory.start), kPage);
    Xbyak::CodeGenerator g(kPage, memory.start + kPage / 2);
    code(g);
    cpu.set("rip", reinterpret_cast<u64>(memory.start + kPage / 2));
    done = false;
    running = loop.get();
    loop->run();
    running = nullptr;
  }
  u64 at(const u8* p) const { return reinterpret_cast<u64>(p); }

  Memory memory;
  NullPlatform platform;
  CpuModel model = parse_cpu("max", true).value();
  mem::AddressSpace none;
  exec::CodePages pages{none};
  std::unique_ptr<guest::GuestCpu> owner = make_x86_cpu(model, platform, 0);
  X86Cpu& cpu = static_cast<X86Cpu&>(*owner);
  std::unique_ptr<exec::VcpuLoop> loop;
  guest::UserEvent event;
  bool done = false;

 private:
  struct sigaction old_segv_, old_bus_;
};

TEST_P(DirectMemory, LoadsStoresAndSystemCalls) {
  store_le<u64>(memory.data(), 37);
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rdi, at(memory.data()));
    g.mov(rcx, 3);
    g.mov(rax, ptr[rdi]);
    g.add(rax, 5);
    g.mov(ptr[rdi + rcx * 8 + 8], rax);
    g.lock();
    g.xadd(ptr[rdi + 32], rax);
    g.movups(xmm1, ptr[rdi + 24]);
    g.movups(ptr[rdi + 101], xmm1);
    g.mov(r8, 7);
    g.syscall();
  });
  EXPECT_EQ(event.kind, guest::UserEvent::Syscall);
  EXPECT_EQ(cpu.gpr(RAX), 42u);
  EXPECT_EQ(load_le<u64>(memory.data() + 32), 84u);
  EXPECT_EQ(load_le<u64>(memory.data() + 109), 84u);
  EXPECT_EQ(cpu.gpr(R8), 7u);
  EXPECT_EQ(cpu.gpr(RCX), cpu.pc());
}

TEST_P(DirectMemory, FaultsAreExact) {
  size_t where = 0;
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rbx, at(memory.missing()));
    g.mov(r9, 1);
    g.mov(r15, 2);
    g.cmp(r9, r15);  // CF
    where = g.getSize();
    g.mov(rbx, ptr[rbx + 16]);
    g.mov(r9, 5);
    g.syscall();
  });
  EXPECT_EQ(event.kind, guest::UserEvent::Exception);
  EXPECT_EQ(event.number, u32{PF_});
  EXPECT_EQ(event.address, at(memory.missing()) + 16);
  EXPECT_FALSE(event.write);
  EXPECT_EQ(cpu.pc(), at(memory.start + kPage / 2) + where);
  EXPECT_EQ(cpu.gpr(R9), 1u);
  EXPECT_EQ(cpu.gpr(RBX), at(memory.missing()));
  EXPECT_TRUE(cpu.get("eflags") & CF);
  EXPECT_FALSE(cpu.get("eflags") & ZF);
}

TEST_P(DirectMemory, StoresToReadOnlyPagesFault) {
  size_t where = 0;
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rsi, at(memory.read_only()));
    g.mov(rax, ptr[rsi]);
    where = g.getSize();
    g.add(dword[rsi + 4], 1);
    g.syscall();
  });
  EXPECT_EQ(event.number, u32{PF_});
  EXPECT_EQ(event.address, at(memory.read_only()) + 4);
  EXPECT_TRUE(event.write);
  EXPECT_EQ(cpu.pc(), at(memory.start + kPage / 2) + where);
}

TEST_P(DirectMemory, AtomicsAndStringsFault) {
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rsi, at(memory.read_only()));
    g.mov(rax, 0);
    g.mov(rcx, 1);
    g.lock();
    g.cmpxchg(ptr[rsi + 8], rcx);
    g.syscall();
  });
  EXPECT_EQ(event.number, u32{PF_});
  EXPECT_TRUE(event.write);
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rsi, at(memory.data()));
    g.mov(rdi, at(memory.read_only()) - 16);
    g.mov(rcx, 100);
    g.rep();
    g.movsb();
    g.syscall();
  });
  EXPECT_EQ(event.number, u32{PF_});
  EXPECT_EQ(event.address, at(memory.read_only()));
  EXPECT_EQ(cpu.gpr(RCX), 84u);
}

TEST_P(DirectMemory, AlignmentAndCanonicalAddresses) {
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rsi, at(memory.data()) + 8);
    g.movaps(xmm0, ptr[rsi]);
    g.syscall();
  });
  EXPECT_EQ(event.number, u32{GP});
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rsi, u64{0x8000} << 44);
    g.mov(eax, ptr[rsi]);
    g.syscall();
  });
  EXPECT_EQ(event.number, u32{GP});
}

TEST_P(DirectMemory, FlagsLiveOverAccesses) {
  store_le<u64>(memory.data(), 9);
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rsi, at(memory.data()));
    g.mov(rax, 1);
    g.cmp(rax, 2);
    g.mov(rdx, ptr[rsi]);
    g.mov(ptr[rsi + 8], rdx);
    g.adc(rax, 0);
    g.setc(cl);
    g.syscall();
  });
  EXPECT_EQ(cpu.gpr(RAX), 2u);
  EXPECT_EQ(cpu.gpr(RDX), 9u);
}

// The instruction after the store is what the store changes.
TEST_P(DirectMemory, CodeThatChangesItself) {
  run([&](Xbyak::CodeGenerator& g) {
    Xbyak::Label target;
    g.mov(r10, 3);
    g.xor_(eax, eax);
    Xbyak::Label again;
    g.L(again);
    g.lea(rdi, ptr[rip + target]);
    g.mov(ecx, r10d);
    g.mov(byte[rdi + 1], cl);  // the immediate
    g.L(target);
    g.db(0xb1);  // MOV CL, 0
    g.db(0);
    g.movzx(ecx, cl);
    g.add(eax, ecx);
    g.dec(r10);
    g.jnz(again, Xbyak::CodeGenerator::T_NEAR);
    g.mov(r8d, eax);
    g.syscall();
  });
  EXPECT_EQ(event.kind, guest::UserEvent::Syscall);
  EXPECT_EQ(cpu.gpr(R8), 6u);
  EXPECT_GE(memory.hits, 3);
}

TEST_P(DirectMemory, FetchFaults) {
  run([&](Xbyak::CodeGenerator& g) {
    g.mov(rax, at(memory.data()));
    g.jmp(rax);
  });
  EXPECT_EQ(event.number, u32{PF_});
  EXPECT_TRUE(event.fetch);
  EXPECT_EQ(event.address, at(memory.data()));
  EXPECT_EQ(cpu.pc(), at(memory.data()));
}

INSTANTIATE_TEST_SUITE_P(Backends, DirectMemory, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "interpreter" : "jit"; });

}  // namespace
}  // namespace doppel::x86
