#include "user/thread.h"

#include <algorithm>
#include <cstring>

#include "user/host_calls_linux.h"

namespace doppel::user {
namespace {

thread_local Thread* g_current = nullptr;  // read by the signal handler

// Values of the program's byte order.
u64 get_word(const Abi& abi, const u8* bytes) {
  u64 v = 0;
  for (unsigned i = 0; i < abi.word; i++) v |= u64{bytes[abi.big_endian ? abi.word - 1 - i : i]} << (8 * i);
  return v;
}

}  // namespace

Thread* Thread::current() { return g_current; }
void Thread::make_current() { g_current = this; }

bool Thread::read(u64 va, void* out, size_t size) {
  if (size == 0) return true;
  if (va >= process.map.end() || size > process.map.end() - va) return false;
  return copy_checked(out, process.map.host(va), size);
}

bool Thread::write(u64 va, const void* data, size_t size) {
  if (size == 0) return true;
  if (va >= process.map.end() || size > process.map.end() - va) return false;
  process.map.prepare_write(va, size);
  return copy_checked(process.map.host(va), data, size);
}

bool Thread::read_string(u64 va, std::string& out, size_t limit) {
  out.clear();
  char part[256];
  while (out.size() <= limit) {
    const size_t room = std::min<size_t>(sizeof part, mem::kPageSize - (va & (mem::kPageSize - 1)));
    if (!read(va, part, room)) return false;
    const size_t length = strnlen(part, room);
    out.append(part, length);
    if (length < room) return out.size() <= limit;
    va += room;
  }
  return false;
}

bool Thread::read_word(u64 va, u64& out) {
  u8 bytes[8];
  if (!read(va, bytes, abi().word)) return false;
  out = get_word(abi(), bytes);
  return true;
}

bool Thread::write_word(u64 va, u64 value) {
  u8 bytes[8];
  for (unsigned i = 0; i < abi().word; i++)
    bytes[abi().big_endian ? abi().word - 1 - i : i] = static_cast<u8>(value >> (8 * i));
  return write(va, bytes, abi().word);
}

s64 Thread::blocking_call(long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  return call_unless_arrived(&host_signal.arrived, number, a, b, c, d, e, f);
}

}  // namespace doppel::user
