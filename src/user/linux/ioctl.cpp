// ioctl: the requests of ioctls.def, their numbers and structures by the ABI. Programs of the host's own kind may make
// any request.
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

enum class Form : u8 { none, byte, word, quad, ulong, oflags, termios, winsize, ifconf, if_word, if_half, if_address };

struct Row {
  u32 host, mips;
  Form form;
};
constexpr Form form_of(std::string_view name) {
  constexpr std::string_view kNames[] = {"none",    "byte",    "word",   "quad",    "ulong",   "oflags",
                                         "termios", "winsize", "ifconf", "if_word", "if_half", "if_address"};
  for (u8 i = 0; i < std::size(kNames); i++)
    if (kNames[i] == name) return static_cast<Form>(i);
  throw "no such form";  // a row's mistake, at compile time
}
constexpr Row kRows[] = {
#define I(name, mips, form) {static_cast<u32>(name), mips, form_of(#form)},
#include "user/linux/ioctls.def"
#undef I
};

// _IOR and the like carry the size of a long, which the host's and the program's differ in: by direction, kind and
// number only. MIPS has 13 bits of size and another code of directions.
u32 direction_to_host(u32 mips) { return mips >> 29 == 2 ? 2u : mips >> 29 == 4 ? 1u : mips >> 29 == 6 ? 3u : 0u; }

const Row* find_request(const Abi& abi, u32 request) {
  for (const Row& r : kRows) {
    const u32 number = is_mips(abi) ? r.mips : r.host;
    if (number && number == request) return &r;
  }
  for (const Row& r : kRows) {  // of a long
    if (!(r.host >> 30) || (r.host >> 16 & 0x3fff) != 8 || (is_mips(abi) && r.mips)) continue;
    const u32 direction = is_mips(abi) ? direction_to_host(request) : request >> 30;
    const u32 size = is_mips(abi) ? request >> 16 & 0x1fff : request >> 16 & 0x3fff;
    if (direction == r.host >> 30 && (request & 0xffff) == (r.host & 0xffff) && (size == abi.word || size == 8))
      return &r;
  }
  return nullptr;
}

// An integer in and out.
s64 integer_call(Thread& t, const SyscallArgs& a, u32 request, unsigned guest_bytes) {
  u64 value = 0;
  if (!read_value(t, a[2], value, guest_bytes)) return -EFAULT;
  const u64 before = value;
  s64 r = host_call(SYS_ioctl, a[0], request, ptr(&value));
  if (r < 0 || value == before) return r;
  return write_value(t, a[2], value, guest_bytes) ? r : -EFAULT;
}

using Termios = struct ::termios;
// Places of control characters: of the host's c_cc in MIPS's.
constexpr u8 kMipsPlace[] = {0, 1, 2, 3, 16, 5, 4, 7, 8, 9, 10, 17, 12, 13, 14, 15, 6};
constexpr size_t kMipsPlaces = 23;
constexpr Member kX86Termios[] = {MEMBER('U', Termios, c_iflag), MEMBER('U', Termios, c_oflag),
                                  MEMBER('U', Termios, c_cflag), MEMBER('U', Termios, c_lflag),
                                  MEMBER('B', Termios, c_line),  RAW(Termios, c_cc, NCCS)};
constexpr u32 kTostop = 0x100, kExtproc = 0x10000, kMipsTostop = 0x8000, kMipsIexten = 0x100, kIexten = 0x8000;
constexpr Member kFlags[] = {{'U', 4, 0},  {'U', 4, 4},  {'U', 4, 8},
                             {'U', 4, 12}, {'B', 1, 16}, {'r', 1, 17, kMipsPlaces}};
struct MipsTermios {
  u32 flags[4];
  u8 line, places[kMipsPlaces];
};

// Local flags with other bits on MIPS: host's, MIPS's. All other flags of Linux have the same bits on both.
constexpr u32 kLocal[][2] = {{0x1, 0x1},          {0x2, 0x2},       {0x4, 0x4},
                             {0x8, 0x8},          {0x10, 0x10},     {0x20, 0x20},
                             {0x40, 0x40},        {0x80, 0x80},     {kTostop, kMipsTostop},
                             {0x200, 0x200},      {0x400, 0x400},   {0x800, 0x800},
                             {0x1000, 0x2000},    {0x4000, 0x4000}, {kIexten, kMipsIexten},
                             {kExtproc, kExtproc}};

u32 local_flags(u32 in, bool to_mips) {
  u32 out = 0;
  for (const auto& pair : kLocal)
    if (in & pair[to_mips ? 0 : 1]) out |= pair[to_mips ? 1 : 0];
  return out;
}

bool read_termios(Thread& t, u64 va, Termios& out) {
  out = {};
  if (!is_mips(t.abi())) return fetch(t, va, kX86Termios, &out);
  MipsTermios in{};
  if (!fetch(t, va, kFlags, &in)) return false;
  out.c_iflag = in.flags[0];
  out.c_oflag = in.flags[1];
  out.c_cflag = in.flags[2];
  out.c_lflag = local_flags(in.flags[3], false);
  out.c_line = in.line;
  for (size_t i = 0; i < std::size(kMipsPlace); i++) out.c_cc[i] = in.places[kMipsPlace[i]];
  return true;
}

bool write_termios(Thread& t, u64 va, const Termios& in) {
  if (!is_mips(t.abi())) return put(t, va, kX86Termios, &in);
  MipsTermios out{{in.c_iflag, in.c_oflag, in.c_cflag, local_flags(in.c_lflag, true)}, in.c_line, {}};
  for (size_t i = 0; i < std::size(kMipsPlace); i++) out.places[kMipsPlace[i]] = in.c_cc[i];
  return put(t, va, kFlags, &out);
}

s64 termios_call(Thread& t, const SyscallArgs& a, u32 request) {
  Termios value;
  if (request != TCGETS && !read_termios(t, a[2], value)) return -EFAULT;
  s64 r = t.blocking_call(SYS_ioctl, a[0], request, ptr(&value));
  return r == 0 && request == TCGETS && !write_termios(t, a[2], value) ? -EFAULT : r;
}

s64 winsize_call(Thread& t, const SyscallArgs& a, u32 request) {
  static constexpr Member kLayout[] = {{'H', 2, 0}, {'H', 2, 2}, {'H', 2, 4}, {'H', 2, 6}};
  u16 size[4] = {};
  if (request == TIOCSWINSZ && !fetch(t, a[2], kLayout, size)) return -EFAULT;
  s64 r = host_call(SYS_ioctl, a[0], request, ptr(size));
  return r == 0 && request == TIOCGWINSZ && !put(t, a[2], kLayout, size) ? -EFAULT : r;
}

// struct ifreq: the name, then a union that 32-bit programs have less room for.
size_t ifreq_size(const Abi& abi) { return is_wide(abi) ? sizeof(ifreq) : 32; }

void swap_member(const Abi& abi, u8* at, unsigned bytes) {
  if (abi.big_endian) put_value(abi, at, load_le<u32>(at) & mask_bits(bytes * 8), bytes);
}

s64 interface_call(Thread& t, const SyscallArgs& a, u32 request, Form form) {
  const Abi& abi = t.abi();
  alignas(ifreq) u8 raw[sizeof(ifreq)] = {};
  // What of the union is in the program's byte order: an int, a short (flags; the address's family).
  const unsigned bytes = form == Form::if_word ? 4 : 2;
  if (!t.read(a[2], raw, ifreq_size(abi))) return -EFAULT;
  swap_member(abi, raw + IFNAMSIZ, bytes);
  s64 r = host_call(SYS_ioctl, a[0], request, ptr(raw));
  if (r < 0) return r;
  swap_member(abi, raw + IFNAMSIZ, bytes);
  return t.write(a[2], raw, ifreq_size(abi)) ? r : -EFAULT;
}

s64 interface_list(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  struct List {
    s32 size;
    u64 at;
  } list{};
  static constexpr Member kLayout[] = {MEMBER('i', List, size), MEMBER('L', List, at)};
  if (!fetch(t, a[2], kLayout, &list)) return -EFAULT;
  const size_t each = ifreq_size(abi);
  std::vector<ifreq> entries(list.at ? std::min<size_t>(static_cast<size_t>(std::max(0, list.size)) / each, 1024) : 0);
  ifconf host_list{};
  host_list.ifc_len = static_cast<int>(entries.size() * sizeof(ifreq));
  host_list.ifc_req = list.at ? entries.data() : nullptr;
  s64 r = host_call(SYS_ioctl, a[0], SIOCGIFCONF, ptr(&host_list));
  if (r < 0) return r;
  const size_t count = static_cast<size_t>(host_list.ifc_len) / sizeof(ifreq);
  for (size_t i = 0; list.at && i < count; i++) {
    u8 raw[sizeof(ifreq)];
    std::memcpy(raw, &entries[i], sizeof raw);
    swap_member(abi, raw + IFNAMSIZ, 2);
    if (!t.write(list.at + i * each, raw, each)) return -EFAULT;
  }
  list.size = static_cast<s32>(count * each);
  return put(t, a[2], kLayout, &list) ? r : -EFAULT;
}

}  // namespace

s64 ioctl(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  const u32 request = static_cast<u32>(a[1]);
  if (same_as_host(abi)) {
    const u64 size = request >> 31 ? request >> 16 & 0x3fff : 256;  // of old requests unknown
    t.process.map.prepare_write(a[2], size);
    return t.blocking_call(SYS_ioctl, a[0], request, a[2]);
  }
  const Row* row = find_request(abi, request);
  if (!row) return -ENOTTY;
  switch (row->form) {
    case Form::none: return t.blocking_call(SYS_ioctl, a[0], row->host, a[2]);
    case Form::oflags: return host_call(SYS_ioctl, a[0], row->host, flags_to_host(abi, ArgKind::oflags, a[2]));
    case Form::byte: return integer_call(t, a, row->host, 1);
    case Form::word: return integer_call(t, a, row->host, 4);
    case Form::quad: return integer_call(t, a, row->host, 8);
    case Form::ulong: return integer_call(t, a, row->host, abi.word);
    case Form::termios: return termios_call(t, a, row->host);
    case Form::winsize: return winsize_call(t, a, row->host);
    case Form::ifconf: return interface_list(t, a);
    default: return interface_call(t, a, row->host, row->form);
  }
}

}  // namespace doppel::user::calls
