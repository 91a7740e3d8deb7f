// UserCpu: a guest CPU that runs one program of an operating system instead of the system. What an operating system
// would do to the CPU is done through it; what the CPU would enter the system for comes to its sink.
#pragma once
#include <functional>
#include <span>
#include <string_view>

#include "base/bits.h"

namespace doppel::guest {

// Why the program left its own code. The pc is the instruction's own for a fault, the next one's for a system call or a
// trap, as the CPU's manual says.
struct UserEvent {
  enum Kind : u8 { Syscall, Exception } kind = Exception;
  u32 number = 0;                     // Syscall: x86: 0x80 (INT 0x80), 0 (SYSCALL), 1 (SYSENTER); MIPS: the code field.
                                      // Exception: x86: the vector; MIPS: Cause.ExcCode
  u32 error = 0;                      // x86: the error code; MIPS: the code field of BREAK, TRAP; else 0
  u64 address = 0;                    // of the access that failed: page faults, address errors
  bool write = false, fetch = false;  // which kind of access
};

// All calls on the CPU's thread, outside of generated code.
class UserCpu {
 public:
  virtual ~UserCpu() = default;
  // From now on the program is all there is: the least privileged mode, addresses as the program sees them (`wide`: 64
  // bits of code and addresses), floating point on, registers zero. `sink` is called at an instruction boundary, from
  // GuestCpu::deliver_pending; it may change registers and memory.
  virtual void start_program(bool wide, std::function<void(const UserEvent&)> sink) = 0;
  // x86, 32-bit programs: `address` of a page in guest memory with the descriptors that MOV to a segment register
  // loads, `bytes` of them. Others: nothing.
  virtual void set_descriptor_table(u64 address, u32 bytes) = 0;
  // Registers by the names of GuestCpu::gdb_registers and, besides, "tls": what the thread pointer is found by: FS base
  // (x86-64), UserLocal (MIPS, read by RDHWR 29); MIPS: "fr" (Status.FR), "dspcontrol", "hi1" to "lo3"; x86: "cs" to
  // "gs" load the segment as MOV would (no fault: what is not valid is not loaded, returns false), "fs_base" and
  // "gs_base". Values of up to 64 bits.
  virtual bool set(std::string_view name, u64 value) = 0;
  virtual u64 get(std::string_view name) const = 0;  // 0: no such register
  // General registers by their number in the instruction set: quick.
  virtual u64 gpr(unsigned number) const = 0;
  virtual void set_gpr(unsigned number, u64 value) = 0;
  // Floating-point and vector state as the CPU's own instruction lays it out: x86: FXSAVE64's or (32-bit) FXSAVE's 512
  // bytes; MIPS: f0..f31 of 8 bytes each, then FCSR (4 bytes); with MSA then
  // the upper halves of the vector registers and MSACSR in the same way. Values of guest byte order: host's.
  virtual size_t float_bytes() const = 0;
  virtual void save_float(std::span<u8> out) const = 0;
  virtual void load_float(std::span<const u8> in) = 0;
  // Everything a new thread starts with: registers of `from`, a CPU of the same model.
  virtual void copy_from(const UserCpu& from) = 0;
};

}  // namespace doppel::guest
