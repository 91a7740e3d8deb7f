// Abi: how a Linux program of one instruction set meets its kernel: calling convention, numbers, layouts of structures
// and frames. One file an instruction set in abi/; one object an ABI (x86_64, i386, mips o32 in both orders, mips n64).
#pragma once
#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"
#include "guest/user_cpu.h"

namespace doppel::user {

class Thread;
struct SyscallRow;  // linux/syscalls.h
struct PendingSignal;
struct ElfFile;

enum class AbiId : u8 { X86_64, I386, MipsO32, MipsN64 };

class Abi {
 public:
  virtual ~Abi() = default;
  AbiId id = AbiId::X86_64;
  std::string name;   // the guest's name as in qemu-<name>: x86_64, i386, mips, mipsel, mips64el
  unsigned word = 8;  // bytes of a pointer and a long
  bool big_endian = false;
  u64 page_size = 4096;
  u64 address_end = 0;  // first address past what the program may map (i386: 0xffffe000, o32: 0x7fff8000...)
  u64 stack_top = 0, mmap_top = 0;  // where the stack ends, and below which mmap looks for room
  u64 program_base = 0;             // of programs that may be anywhere
  bool exec_needs_x = true;         // pages without PROT_EXEC can't be executed
  u16 elf_machine = 0;
  bool watch_before = false;  // watchpoints tell before the access is made, not after
  std::string uname_machine;  // x86_64, i686, mips, mips64

  // System calls. Numbers by a table: row of `number`, null: not one (ENOSYS).
  virtual const SyscallRow* row(u64 number) const = 0;
  // From the CPU's registers; o32's fifth and later ones are read from the stack. i386's 64-bit arguments are two
  // words, o32's an aligned pair: the row's own handler joins them (linux/args.h).
  virtual u64 syscall_number(Thread& t) const = 0;
  virtual std::array<u64, 8> syscall_args(Thread& t) const = 0;
  // `result`: a value, or -errno in the host's numbers (mapped to the guest's here).
  virtual void set_syscall_result(Thread& t, s64 result) const = 0;
  // The pc goes back to the system call's instruction, its number and arguments as they were (restart).
  virtual void rewind_syscall(Thread& t, u64 number) const = 0;

  // Host <-> guest numbers. Linux's for x86 are the host's own on x86-64; MIPS differs in errno, signals, flags.
  virtual int errno_to_guest(int host) const { return host; }
  virtual int signal_to_guest(int host) const { return host; }
  virtual int signal_to_host(int guest) const { return guest; }
  virtual unsigned signal_count() const { return 64; }

  // False: it is not one of this ABI's ways into the kernel; what is to be done is done (x86-64: INT 0x80, ENOSYS).
  virtual bool takes_syscall(Thread& t, u32 way) const {
    static_cast<void>(t), static_cast<void>(way);
    return true;
  }
  // Processor start: registers at the program's entry.
  virtual void start_thread(guest::UserCpu& cpu, u64 entry, u64 sp) const = 0;
  virtual void set_stack_pointer(guest::UserCpu& cpu, u64 sp) const = 0;
  // The frame of a signal's handler on the stack (or the alternate one) and registers for its first instruction; exact
  // as the kernel's, restorer included. False: the stack is not there (the program dies of SIGSEGV).
  // The frame keeps frame_mask(t) (signals.h).
  virtual bool push_signal_frame(Thread& t, const PendingSignal& signal) const = 0;
  // A page of code that the frames return to where the program gives no restorer.
  virtual std::vector<u8> signal_code() const { return {}; }
  // sigreturn (`rt`: rt_sigreturn): registers and mask from the frame. False: a bad frame.
  virtual bool pop_signal_frame(Thread& t, bool rt) const = 0;
  // An exception of the CPU as the signal that the kernel makes of it.
  virtual PendingSignal signal_of(const guest::UserEvent& event, Thread& t) const = 0;
  // Modes that a program's file and its interpreter's (or null) ask for, once the CPU has started. Error: they don't go
  // together, or not with this CPU.
  virtual Status set_modes(guest::UserCpu& cpu, const ElfFile& program, const ElfFile* interpreter) const {
    static_cast<void>(cpu), static_cast<void>(program), static_cast<void>(interpreter);
    return success();
  }
  // What a thread's CPU needs besides its registers (x86, 32 bits: segment descriptors): new, or those of `from`.
  // False: no memory.
  virtual bool prepare_thread(Thread& t, Thread* from) const {
    static_cast<void>(t), static_cast<void>(from);
    return true;
  }
  // clone's CLONE_SETTLS, set_thread_area: 0 or -errno. i386: the address of a struct user_desc.
  virtual s64 set_tls(Thread& t, u64 value) const = 0;
  virtual s64 get_tls(Thread& t, u64 description) const {  // get_thread_area
    return static_cast<void>(t), static_cast<void>(description), -38 /* ENOSYS */;
  }
};

// Null with the names that there are in `known` if there is none of that name.
const Abi* find_abi(const std::string& name);
std::vector<std::string> abi_names();

}  // namespace doppel::user
