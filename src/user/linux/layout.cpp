// See layout.h.
#include "user/linux/layout.h"

#include <array>
#include <bit>
#include <cstring>

namespace doppel::user {

namespace {

unsigned guest_size(const Abi& abi, char type) {
  switch (type) {
    case 'b':
    case 'B':
    case 'r': return 1;
    case 'h':
    case 'H': return 2;
    case 'i':
    case 'U': return 4;
    case 'q':
    case 'n':
    case 'Q': return 8;
    default: return abi.word;
  }
}

unsigned alignment(const Abi& abi, unsigned size) { return size == 8 && abi.id == AbiId::I386 ? 4 : size; }

bool is_signed(char type) { return type == 'b' || type == 'h' || type == 'i' || type == 'q' || type == 'l'; }

u64 load_host(const u8* at, unsigned size, bool sign) {
  u64 v = 0;
  std::memcpy(&v, at, size);
  return sign ? sign_extend(v, size * 8) : v;
}

// Calls visit(member, guest offset, size) for each; returns the size of all.
template <typename F>
size_t walk(const Abi& abi, Members members, bool packed, F visit) {
  size_t at = 0;
  unsigned widest = 1;
  for (const Member& m : members) {
    unsigned size = guest_size(abi, m.type), align = packed ? 1 : alignment(abi, size);
    widest = std::max(widest, align);
    at = align_up(at, align);
    visit(m, at, size);
    at += size_t{size} * m.count;
  }
  return align_up(at, widest);
}

}  // namespace

void put_value(const Abi& abi, u8* at, u64 value, unsigned bytes) {
  if (abi.big_endian) value = __builtin_bswap64(value) >> (64 - bytes * 8);
  std::memcpy(at, &value, bytes);
}

u64 get_value(const Abi& abi, const u8* at, unsigned bytes) {
  u64 v = 0;
  std::memcpy(&v, at, bytes);
  return abi.big_endian ? __builtin_bswap64(v) >> (64 - bytes * 8) : v;
}

bool write_value(Thread& t, u64 va, u64 value, unsigned bytes) {
  u8 raw[8];
  put_value(t.abi(), raw, value, bytes);
  return t.write(va, raw, bytes);
}

bool read_value(Thread& t, u64 va, u64& value, unsigned bytes) {
  u8 raw[8];
  if (!t.read(va, raw, bytes)) return false;
  value = get_value(t.abi(), raw, bytes);
  return true;
}

size_t layout_size(const Abi& abi, Members members, bool packed) {
  return walk(abi, members, packed, [](const Member&, size_t, unsigned) {});
}

void to_guest(const Abi& abi, Members members, const void* host, u8* guest, bool packed) {
  std::memset(guest, 0, layout_size(abi, members, packed));
  walk(abi, members, packed, [&](const Member& m, size_t at, unsigned size) {
    const u8* from = static_cast<const u8*>(host) + m.host;
    if (m.type == 'r' && m.host_size)
      std::memcpy(guest + at, from, m.count);
    else if (m.host_size)
      put_value(abi, guest + at, load_host(from, m.host_size, is_signed(m.type)), size);
  });
}

void to_host(const Abi& abi, Members members, const u8* guest, void* host, bool packed) {
  walk(abi, members, packed, [&](const Member& m, size_t at, unsigned size) {
    u8* to = static_cast<u8*>(host) + m.host;
    if (m.type == 'r' && m.host_size) {
      std::memcpy(to, guest + at, m.count);
    } else if (m.host_size) {
      u64 v = get_value(abi, guest + at, size);
      if (is_signed(m.type)) v = sign_extend(v, size * 8);
      if (m.type == 'n' && abi.word == 4) v &= 0xffffffff;
      std::memcpy(to, &v, m.host_size);
    }
  });
}

bool put(Thread& t, u64 va, Members members, const void* host) {
  std::array<u8, 1024> buffer;
  size_t size = layout_size(t.abi(), members);
  if (size > buffer.size()) return false;
  to_guest(t.abi(), members, host, buffer.data());
  return t.write(va, buffer.data(), size);
}

bool fetch(Thread& t, u64 va, Members members, void* host) {
  std::array<u8, 1024> buffer;
  size_t size = layout_size(t.abi(), members);
  if (size > buffer.size() || !t.read(va, buffer.data(), size)) return false;
  to_host(t.abi(), members, buffer.data(), host);
  return true;
}

bool same_layout(const Abi& abi, Members members, size_t host_size) {
  if (same_as_host(abi)) return true;
  if (abi.big_endian) return false;
  bool same = true;
  size_t size = walk(abi, members, false, [&](const Member& m, size_t at, unsigned bytes) {
    if (m.host_size && (m.host != at || (m.type != 'r' && m.host_size != bytes))) same = false;
  });
  return same && size == host_size;
}

}  // namespace doppel::user
