// Threads of the program are threads of the host, its processes are processes of the host. A thread leaves its loop by
// longjmp to where it was started (exit_thread): between there and the system call nothing owns a resource.
#include "user/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <semaphore>

#include "user/code_cache.h"
#include "user/debugger.h"
#include "user/host_calls_linux.h"
#include "user/linux/syscalls.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

// System calls and exceptions of the CPU, at an instruction boundary.
void on_event(Thread& t, const guest::UserEvent& event) {
  if (event.kind == guest::UserEvent::Syscall) {
    if (t.abi().takes_syscall(t, event.number)) do_syscall(t);
    t.debug.somewhere_else = true;
  } else {
    take_exception(t, event);
  }
  deliver_signals(t);
  if (t.process.map.has_watchpoints) t.process.map.restore_watches();
  if (Debugger* d = debugger_of(t)) d->step_done(t);
}

// What the loop was kicked for.
void at_boundary(Thread& t) {
  if (Debugger* d = debugger_of(t)) d->checkpoint(t);
  if (const int mode = t.wanted_float_mode.exchange(-1); mode >= 0) t.user().set("fr", static_cast<u64>(mode));
  deliver_signals(t);
  if (t.process.map.has_watchpoints) t.process.map.restore_watches();
  if (Debugger* d = debugger_of(t)) d->step_done(t);
}

// A CPU and a loop for a thread.
Status give_cpu(Thread& t) {
  Process& p = t.process;
  u32 index;
  {
    std::lock_guard lock(p.lock);
    for (index = 0; std::any_of(p.threads.begin(), p.threads.end(), [&](Thread* o) { return o->index == index; });)
      index++;
    t.index = index;
    p.threads.push_back(&t);
  }
  t.cpu = p.make_cpu(index);
  exec::Config config = p.options.exec;
  config.direct = &p.map;
  config.store = p.store.get();
  t.loop = std::make_unique<exec::VcpuLoop>(*t.cpu, p.no_memory, *p.pages, config);
  t.loop->hooks.run_work = [&t] { at_boundary(t); };
  t.loop->hooks.debug_stop = [&t](u64 watch) {
    if (Debugger* d = debugger_of(t)) d->on_debug_stop(t, watch);
  };
  t.loop->hooks.wait_halted = [] { sched_yield(); };
  if (Status s = t.loop->create(); !s) return s;
  t.user().start_program(p.abi->word == 8, [&t](const guest::UserEvent& e) { on_event(t, e); });
  return success();
}

void forget(Thread& t) {
  if (t.descriptor_table) t.process.map.unmap(t.descriptor_table, t.abi().page_size);
  t.descriptor_table = 0;
  std::lock_guard lock(t.process.lock);
  std::erase(t.process.threads, &t);
}

// Runs until exit_thread; gives the status.
int run_until_exit(Thread& t) {
  t.make_current();
  if (setjmp(t.exit_jump) == 0) t.loop->run();
  return t.exit_status;
}

// --- robust futexes (set_robust_list(2); Linux Documentation/locking/robust-futexes.rst)

constexpr u32 kFutexWaiters = 0x80000000, kFutexOwnerDied = 0x40000000, kFutexTid = 0x3fffffff;

u32 swap_if(const Abi& abi, u32 v) { return abi.big_endian ? __builtin_bswap32(v) : v; }

// The owner of the futex has died: one who waits is told so.
void release_futex(Thread& t, u64 va, bool pending_entry) {
  u32 word;
  if ((va & 3) || !t.read(va, &word, 4)) return;
  t.process.map.prepare_write(va, 4);
  // SAFETY: it was read just now; the program unmapping it meanwhile is its own fault, and its signal.
  auto* at = static_cast<u32*>(t.process.map.host(va));
  for (;;) {
    const u32 value = swap_if(t.abi(), word);
    if (pending_entry && value == 0) break;
    if ((value & kFutexTid) != static_cast<u32>(t.tid)) return;
    const u32 dead = swap_if(t.abi(), (value & kFutexWaiters) | kFutexOwnerDied);
    if (__atomic_compare_exchange_n(at, &word, dead, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      if (!(value & kFutexWaiters)) return;
      break;
    }
  }
  raw_call(SYS_futex, reinterpret_cast<u64>(at), 1 /* FUTEX_WAKE, of any process */, 1);
}

void walk_robust_list(Thread& t) {
  const u64 head = t.robust_list, word = t.abi().word;
  u64 entry = 0, offset = 0, pending = 0;
  if (!head || !t.read_word(head, entry) || !t.read_word(head + word, offset) || !t.read_word(head + 2 * word, pending))
    return;
  if (word == 4) offset = sign_extend(offset, 32);
  const auto futex = [&](u64 e) {
    return word == 4 ? static_cast<u32>((e & ~u64{1}) + offset) : (e & ~u64{1}) + offset;
  };
  for (int limit = 0; (entry & ~u64{1}) != head && limit < 2048; limit++) {
    u64 next = 0;
    const bool more = t.read_word(entry & ~u64{1}, next);
    if (entry != pending) release_futex(t, futex(entry), false);
    if (!more) break;
    entry = next;
  }
  if (pending) release_futex(t, futex(pending), true);
}

// What the kernel does when a thread lets go of the program's memory.
void leave_memory(Thread& t) {
  walk_robust_list(t);
  if (t.clear_child_tid) {
    const u32 none = 0;
    if (t.write(t.clear_child_tid, &none, 4))
      raw_call(SYS_futex, reinterpret_cast<u64>(t.process.map.host(t.clear_child_tid)), 1 /* FUTEX_WAKE */, 1);
  }
}

bool write_tid(Thread& t, u64 va, int tid) {
  const u32 value = swap_if(t.abi(), static_cast<u32>(tid));
  return va == 0 || t.write(va, &value, 4);
}

// --- new threads

struct NewThread {
  Thread* thread;
  u64 flags, parent_tid, child_tid;
  int tid = 0;
  std::binary_semaphore started{0};  // the last that the new thread touches of this
};

void* thread_main(void* argument) {
  auto* start = static_cast<NewThread*>(argument);
  Thread* t = start->thread;
  t->tid = start->tid = static_cast<int>(raw_call(SYS_gettid));
  if (start->flags & CLONE_PARENT_SETTID) write_tid(*t, start->parent_tid, t->tid);
  if (start->flags & CLONE_CHILD_SETTID) write_tid(*t, start->child_tid, t->tid);
  start->started.release();
  give_signal_stack();
  t->make_current();
  if (t->process.debugger) t->process.debugger->thread_started(*t);
  kernel_set_mask(host_mask(*t, t->signal_mask));
  run_until_exit(*t);
  kernel_set_mask(~u64{0});
  forget(*t);
  delete t;
  drop_signal_stack();
  return nullptr;
}

// A thread like `t`, not started.
std::unique_ptr<Thread> make_child(Thread& t, u64 flags, u64 stack, u64 child_tid, u64 tls, s64& error) {
  auto child = std::make_unique<Thread>(t.process);
  error = -EAGAIN;
  const Status made = give_cpu(*child);
  const auto give_up = [&] {
    forget(*child);
    return nullptr;
  };
  if (!made) return give_up();
  child->user().copy_from(t.user());
  child->signal_mask = t.signal_mask;
  error = -ENOMEM;
  if (!t.abi().prepare_thread(*child, &t)) return give_up();
  if (stack) t.abi().set_stack_pointer(child->user(), stack);
  if (flags & CLONE_SETTLS) {
    error = t.abi().set_tls(*child, tls);
    if (error < 0) return give_up();
  }
  if (flags & CLONE_CHILD_CLEARTID) child->clear_child_tid = child_tid;
  t.abi().set_syscall_result(*child, 0);
  error = 0;
  return child;
}

s64 start_thread(Thread& t, u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls) {
  s64 error = 0;
  std::unique_ptr<Thread> child = make_child(t, flags, stack, child_tid, tls, error);
  if (!child) return error;
  NewThread start{child.get(), flags, parent_tid, child_tid, 0};
  const BlockSignals blocked;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, size_t{2} << 20);
  pthread_t handle;
  const int failed = pthread_create(&handle, &attributes, thread_main, &start);
  pthread_attr_destroy(&attributes);
  if (failed) {
    forget(*child);
    return -failed;
  }
  child.release();  // the thread's own
  start.started.acquire();
  return start.tid;
}

// --- new processes

// Of a child of fork: it has one thread, this one.
void become_child(Thread& t) {
  t.tid = static_cast<int>(raw_call(SYS_gettid));
  t.process.threads = {&t};
  t.loop->alone_after_fork();
  t.host_signal.arrived = 0;
  t.host_signal.late_faults = 0;
  t.held.clear();
  t.robust_list = 0;
}

s64 start_process(Thread& t, u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls) {
  const u64 own = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_SETTLS | CLONE_VFORK;
  const u64 special = flags & ~own;
  pid_t pid;
  {
    const BlockSignals blocked;
    // No other thread holds what the child needs.
    std::unique_lock<std::mutex> debugger;
    if (Debugger* d = debugger_of(t)) debugger = std::unique_lock(d->lock());
    std::unique_lock exclusive(t.process.pages->exclusive_lock), map(t.process.map.lock()), all(t.process.lock);
    t.process.pages->lock_for_fork();
    if (t.process.store) t.process.store->lock_for_fork();
    if (special == SIGCHLD) {
      pid = fork();
      if (pid < 0) pid = -errno;
    } else if (t.process.threads.size() == 1) {
      pid = static_cast<pid_t>(raw_call(SYS_clone, special));  // other namespaces, another signal at the end
    } else {
      pid = -EINVAL;
    }
    if (t.process.store) t.process.store->unlock_after_fork(pid == 0);
    t.process.pages->unlock_after_fork();
    if (pid == 0) become_child(t);
  }
  if (pid != 0) {
    if (pid > 0 && (flags & CLONE_PARENT_SETTID)) write_tid(t, parent_tid, pid);
    return pid;
  }
  if (Debugger* d = debugger_of(t)) d->abandon_in_child(t);
  t.clear_child_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
  if (flags & CLONE_CHILD_SETTID) write_tid(t, child_tid, t.tid);
  if (stack) t.abi().set_stack_pointer(t.user(), stack);
  if (flags & CLONE_SETTLS) t.abi().set_tls(t, tls);
  return 0;
}

// vfork(2) and posix_spawn(3): the child has the same memory and this thread waits until it is another program or gone.
// It gets a CPU of its own; what it changes of the signals' actions is its own.
struct Vfork {
  Thread* child;
  u64 flags, child_tid;
};

int vfork_main(void* argument) {
  auto* start = static_cast<Vfork*>(argument);
  Thread& t = *start->child;
  t.tid = static_cast<int>(raw_call(SYS_gettid));
  t.make_current();
  if (start->flags & CLONE_CHILD_SETTID) write_tid(t, start->child_tid, t.tid);
  kernel_set_mask(host_mask(t, t.signal_mask));
  const int status = run_until_exit(t);
  for (;;) raw_call(SYS_exit_group, static_cast<u64>(status));
}

s64 start_vfork(Thread& t, u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls) {
  constexpr size_t kStack = size_t{1} << 20;
  s64 error = 0;
  std::unique_ptr<Thread> child = make_child(t, flags, stack, child_tid, tls, error);
  if (!child) return error;
  void* host_stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  s64 pid = -ENOMEM;
  if (host_stack != MAP_FAILED) {
    const BlockSignals blocked;
    const auto actions = t.process.actions;
    Vfork start{child.get(), flags, child_tid};
    pid = clone(vfork_main, static_cast<u8*>(host_stack) + kStack,
                static_cast<int>(CLONE_VM | CLONE_VFORK | (flags & 0xff)), &start);
    if (pid < 0) pid = -errno;
    t.make_current();
    std::lock_guard lock(t.process.lock);
    t.process.actions = actions;
  }
  if (host_stack != MAP_FAILED) munmap(host_stack, kStack);
  forget(*child);
  if (pid > 0 && (flags & CLONE_PARENT_SETTID)) write_tid(t, parent_tid, static_cast<int>(pid));
  return pid;
}

}  // namespace

s64 start_clone(Thread& t, u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls) {
  if (t.host_signal.arrived) return kRestartAlways;
  constexpr u64 kThread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
  flags &= ~u64{CLONE_DETACHED};
  if ((flags & kThread) == kThread) return start_thread(t, flags, stack, parent_tid, child_tid, tls);
  if (flags & (CLONE_SIGHAND | CLONE_THREAD)) return -EINVAL;
  if (!(flags & CLONE_VM)) return start_process(t, flags, stack, parent_tid, child_tid, tls);
  if (flags & CLONE_VFORK) return start_vfork(t, flags, stack, parent_tid, child_tid, tls);
  return -EINVAL;  // processes that go on in the same memory, with signals of their own: not built
}

void exit_thread(Thread& t, int status) {
  if (Debugger* d = debugger_of(t)) {
    if (d->only(t)) exit_process(t, status);  // the server's thread would keep the process
    d->thread_ends(t);
  }
  leave_memory(t);
  t.exit_status = status;
  {
    std::unique_lock lock(t.process.lock);
    const bool last = t.process.threads.size() == 1;
    lock.unlock();
    if (last) keep_code(t.process);
  }
  if (t.tid == getpid()) {  // the C library would end the process with its first thread
    for (;;) raw_call(SYS_exit, static_cast<u64>(status));
  }
  std::longjmp(t.exit_jump, 1);
}

void abandon_futexes(Process& p) {
  if (p.abi->id == AbiId::X86_64) return;  // the kernel does know them (set_robust_list)
  std::lock_guard lock(p.lock);
  for (Thread* t : p.threads) walk_robust_list(*t);
}

void exit_process(Thread& t, int status) {
  if (Debugger* d = debugger_of(t)) d->exited(t, status);
  abandon_futexes(t.process);
  keep_code(t.process);
  for (;;) raw_call(SYS_exit_group, static_cast<u64>(status));
}

Error run_program(Process& p, Program& program) {
  if (!p.options.gdb.empty()) {
    auto debugger = Debugger::make(p, p.options.gdb);
    if (!debugger) return debugger.error();
    p.debugger = *debugger;
  }
  if (!p.debugger) p.store = open_code_store(p, program);  // breakpoints are in translations
  p.map.create(p.abi->address_end, p.abi->mmap_top, p.abi->exec_needs_x);
  p.map.on_code_gone = [&p](u64 va, u64 size) {
    std::lock_guard lock(p.lock);
    for (Thread* t : p.threads)
      if (t->loop) t->loop->drop_code_soon(va, size);
  };
  p.pages = std::make_unique<exec::CodePages>(p.no_memory);
  auto loaded = load_program(p, program);
  if (!loaded) return loaded.error();
  if (const std::vector<u8> code = p.abi->signal_code(); !code.empty()) {
    const s64 page = p.map.map(0, code.size(), PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page < 0) return Error{"no memory for the program's signals", ""};
    p.signal_page = static_cast<u64>(page);
    std::copy(code.begin(), code.end(), static_cast<u8*>(p.map.host(p.signal_page)));
    p.map.protect(p.signal_page, code.size(), PROT_READ | PROT_EXEC);
  }
  Thread t(p);
  t.tid = static_cast<int>(raw_call(SYS_gettid));
  give_signal_stack();
  start_signals(p);
  if (Status s = give_cpu(t); !s) return s.error();
  if (!p.abi->prepare_thread(t, nullptr)) return Error{"no memory for the CPU's descriptors", ""};
  p.abi->start_thread(t.user(), loaded->entry, loaded->sp);
  if (Status s = p.abi->set_modes(t.user(), program.elf, loaded->interpreter ? &*loaded->interpreter : nullptr); !s)
    return Error{"'" + program.name + "': " + s.error().cause, s.error().fix, 126};
  t.make_current();
  prctl(PR_SET_NAME, program.name.substr(program.name.find_last_of('/') + 1).c_str());
  // The mask comes from who started the emulator, as over any execve.
  const u64 host = kernel_set_mask(~u64{0});
  for (int n = 1; n <= 64; n++)
    if (host & signal_bit(n))
      if (const int guest = p.abi->signal_to_guest(n); guest >= 1 && guest <= 64) t.signal_mask |= signal_bit(guest);
  if (p.debugger) p.debugger->begin(t);
  kernel_set_mask(host_mask(t, t.signal_mask));
  exit_process(t, run_until_exit(t));
}

}  // namespace doppel::user
