// Repeated string instructions (SDM vol. 2, REP). Work goes by runs: as many elements as lie on one page of source and
// destination and do not wrap the address size; a run on plain RAM is a host loop, anything else goes element by
// element through the slow path. The registers (and the flags of the last comparison) are exact after each run, so a
// fault or an interrupt leaves the instruction restartable. Traps: overlapping moves must behave as element-wise
// copies; the same page may be mapped at both addresses, so host pointers are compared.
#include <algorithm>

#include "guest/x86/helpers/string_info.h"
#include "guest/x86/helpers/table.h"
#include "mem/guest_access.h"

namespace doppel::x86 {
namespace {

class StringOp {
 public:
  StringOp(X86State& s, u64 packed) : s_(s), in_(StringInfo::unpack(packed)) {
    mask_ = in_.addrsize == 8 ? ~u64{0} : in_.addrsize == 4 ? 0xffffffffu : 0xffffu;
    backward_ = s.eflags & DF;
  }
  const StringInfo& info() const { return in_; }
  X86State& state() { return s_; }
  bool backward() const { return backward_; }
  u64 count() const { return in_.repeat ? s_.gpr[RCX] & mask_ : 1; }
  // To be gone on with later? With -icount the instruction counts when it ends, whatever interrupts it.
  bool pauses() {
    if (!in_.one && s_.h.exit_request.load(std::memory_order_relaxed) == 0) return false;
    s_.h.icount_left++;
    return true;
  }

  u64 offset(unsigned reg) const { return s_.gpr[reg] & mask_; }
  void set_offset(unsigned reg, u64 v) {
    if (in_.addrsize == 2)
      s_.gpr[reg] = (s_.gpr[reg] & ~u64{0xffff}) | (v & 0xffff);
    else
      s_.gpr[reg] = v & mask_;
  }
  // After n elements: the index registers in use and the count.
  void advance(u64 n, bool source, bool destination) {
    const u64 bytes = n * in_.size, delta = backward_ ? u64{0} - bytes : bytes;
    if (source) set_offset(RSI, offset(RSI) + delta);
    if (destination) set_offset(RDI, offset(RDI) + delta);
    if (in_.repeat) set_offset(RCX, count() - n);
  }
  u64 linear(unsigned seg, u64 off) const {
    if (in_.code64) return seg == FS || seg == GS ? s_.seg[seg].base + off : off;
    return static_cast<u32>(s_.seg[seg].base + off);
  }
  // Elements from this offset that stay on the page of the first and within the address size; 0: the first one
  // straddles.
  u64 run(unsigned seg, u64 off) const {
    const u64 va = linear(seg, off);
    const u64 in_page = va & (mem::kPageSize - 1);
    u64 n;
    if (!backward_) {
      n = (mem::kPageSize - in_page) / in_.size;
      const u64 to_wrap = (mask_ - off) / in_.size + ((mask_ - off) % in_.size == in_.size - 1u ? 1 : 0);
      if (to_wrap < n) n = to_wrap;
    } else {
      if (in_page + in_.size > mem::kPageSize) return 0;
      n = in_page / in_.size + 1;
      const u64 to_wrap = off / in_.size + 1;
      if (to_wrap < n) n = to_wrap;
      if (off + (in_.size - 1) > mask_) return 0;
    }
    return n;
  }
  // Lowest linear address of a run of n elements.
  u64 low(u64 va, u64 n) const { return backward_ ? va - (n - 1) * in_.size : va; }
  // The segment allows the n elements; false: go one by one, with the checks that raise.
  bool segment_allows(unsigned seg, u64 off, u64 n, bool write) const {
    if (in_.code64) return true;
    const Segment& g = s_.seg[seg];
    const u64 first = backward_ ? off - (n - 1) * in_.size : off;
    const u64 last = first + n * in_.size - 1;
    if (last > g.limit) return false;
    if (!(s_.cr0 & CR0_PE) || (s_.eflags & VM)) return true;
    if (!(g.attr & kAttrP) || !(g.attr & kAttrS)) return false;
    if (g.attr & kAttrCode) return !write && (g.attr & kAttrReadable);
    if (g.attr & kAttrExpandDown) return false;
    return !write || (g.attr & kAttrWritable);
  }
  void check_element(unsigned seg, u64 off, bool write) const {
    if (!in_.code64) helper_seg_check(&s_, seg, off, in_.size, write);
  }

  u64 load_element(u64 va) const {
    switch (in_.size) {
      case 1: return mem::load<u8>(s_.h, va);
      case 2: return mem::load<u16>(s_.h, va);
      case 4: return mem::load<u32>(s_.h, va);
      default: return mem::load<u64>(s_.h, va);
    }
  }
  void store_element(u64 va, u64 v) const {
    switch (in_.size) {
      case 1: return mem::store<u8>(s_.h, va, static_cast<u8>(v));
      case 2: return mem::store<u16>(s_.h, va, static_cast<u16>(v));
      case 4: return mem::store<u32>(s_.h, va, static_cast<u32>(v));
      default: return mem::store<u64>(s_.h, va, v);
    }
  }
  u8* host(u64 va, u64 bytes, mem::Access access) const {
    return mem::host_pointer(s_.h, va, bytes, access, s_.h.mmu_mode);
  }

 private:
  X86State& s_;
  StringInfo in_;
  u64 mask_;
  bool backward_;
};

// Calls `body(n)` for runs of at most n elements until the count is used up; body does up to n and returns how many (at
// least 1), and sets `stop` to end early. Result: the helper's.
template <typename Body>
u64 repeat(StringOp& op, Body body) {
  u64 left = op.count();
  while (left > 0) {
    bool stop = false;
    body(left, stop);
    if (stop || !op.info().repeat) return 0;
    left = op.count();
    if (left > 0 && op.pauses()) return 1;
  }
  return 0;
}

u64 limit(const StringOp& op, u64 n) { return op.info().one ? 1 : n; }

template <typename T>
void copy_elements(u8* dst, const u8* src, u64 n, bool backward) {
  if (backward) {
    // dst and src point at the lowest element; the highest moves first.
    for (u64 i = n; i-- > 0;) store_le<T>(dst + i * sizeof(T), load_le<T>(src + i * sizeof(T)));
  } else {
    for (u64 i = 0; i < n; i++) store_le<T>(dst + i * sizeof(T), load_le<T>(src + i * sizeof(T)));
  }
}
void copy_run(u8* dst, const u8* src, u64 n, unsigned size, bool backward) {
  const u64 bytes = n * size;
  if (dst + bytes <= src || src + bytes <= dst) {
    std::memcpy(dst, src, bytes);
    return;
  }
  switch (size) {
    case 1: return copy_elements<u8>(dst, src, n, backward);
    case 2: return copy_elements<u16>(dst, src, n, backward);
    case 4: return copy_elements<u32>(dst, src, n, backward);
    default: return copy_elements<u64>(dst, src, n, backward);
  }
}

void move_one(StringOp& op, u64 src_off, u64 dst_off) {
  const StringInfo& in = op.info();
  op.check_element(in.segment, src_off, false);
  const u64 v = op.load_element(op.linear(in.segment, src_off));
  op.check_element(ES, dst_off, true);
  op.store_element(op.linear(ES, dst_off), v);
  op.advance(1, true, true);
}

template <typename T>
void fill_elements(u8* p, u64 n, u64 v) {
  for (u64 i = 0; i < n; i++) store_le<T>(p + i * sizeof(T), static_cast<T>(v));
}

// Flags of a - b in FLAGS form.
u16 compare_flags(u64 a, u64 b, unsigned size) {
  const unsigned bits = size * 8;
  const u64 m = mask_bits(bits), r = (a - b) & m;
  a &= m;
  b &= m;
  u32 e = 0;
  if (a < b) e |= CF;
  if (r == 0) e |= ZF;
  if (r >> (bits - 1)) e |= SF;
  if (!(std::popcount(r & 0xff) & 1)) e |= PF;
  if ((a ^ b ^ r) & 0x10) e |= AF;
  if (((a ^ b) & (a ^ r)) >> (bits - 1)) e |= OF;
  return ir::eflags_to_flags(e);
}

u64 element(const u8* p, unsigned size) {
  switch (size) {
    case 1: return *p;
    case 2: return load_le<u16>(p);
    case 4: return load_le<u32>(p);
    default: return load_le<u64>(p);
  }
}

}  // namespace

u64 helper_rep_movs(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  return repeat(op, [&](u64 left, bool&) {
    const StringInfo& in = op.info();
    const u64 so = op.offset(RSI), dof = op.offset(RDI);
    u64 n = limit(op, std::min({left, op.run(in.segment, so), op.run(ES, dof)}));
    if (n == 0 || !op.segment_allows(in.segment, so, n, false) || !op.segment_allows(ES, dof, n, true))
      return move_one(op, so, dof);
    const u64 bytes = n * in.size;
    const u8* src = op.host(op.low(op.linear(in.segment, so), n), bytes, mem::Access::Read);
    u8* dst = src ? op.host(op.low(op.linear(ES, dof), n), bytes, mem::Access::Write) : nullptr;
    if (!dst) return move_one(op, so, dof);
    copy_run(dst, src, n, in.size, op.backward());
    op.advance(n, true, true);
  });
}

u64 helper_rep_stos(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  const u64 v = s->gpr[RAX];
  return repeat(op, [&](u64 left, bool&) {
    const StringInfo& in = op.info();
    const u64 off = op.offset(RDI);
    const u64 n = limit(op, std::min(left, op.run(ES, off)));
    u8* p = n > 0 && op.segment_allows(ES, off, n, true)
                ? op.host(op.low(op.linear(ES, off), n), n * in.size, mem::Access::Write)
                : nullptr;
    if (!p) {
      op.check_element(ES, off, true);
      op.store_element(op.linear(ES, off), v);
      return op.advance(1, false, true);
    }
    switch (in.size) {
      case 1: std::memset(p, static_cast<int>(v & 0xff), n); break;
      case 2: fill_elements<u16>(p, n, v); break;
      case 4: fill_elements<u32>(p, n, v); break;
      default: fill_elements<u64>(p, n, v); break;
    }
    op.advance(n, false, true);
  });
}

u64 helper_rep_lods(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  return repeat(op, [&](u64 left, bool&) {
    const StringInfo& in = op.info();
    const u64 off = op.offset(RSI);
    u64 n = limit(op, std::min(left, op.run(in.segment, off)));
    if (n == 0 || !op.segment_allows(in.segment, off, n, false)) n = 1;
    // Only the last element stays; those before it may matter when they are devices.
    const u64 va = op.linear(in.segment, off);
    const u8* p = n > 1 ? op.host(op.low(va, n), n * in.size, mem::Access::Read) : nullptr;
    u64 v;
    if (p) {
      v = element(op.backward() ? p : p + (n - 1) * in.size, in.size);
    } else {
      n = 1;
      op.check_element(in.segment, off, false);
      v = op.load_element(va);
    }
    const u64 keep = in.size == 1 ? ~u64{0xff} : in.size == 2 ? ~u64{0xffff} : 0;
    s->gpr[RAX] = (s->gpr[RAX] & keep) | (v & ~keep);
    op.advance(n, true, false);
  });
}

u64 helper_rep_scas(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  const unsigned size = op.info().size;
  const u64 m = mask_bits(size * 8), want = s->gpr[RAX] & m;
  u64 last = 0;
  return repeat(op, [&](u64 left, bool& stop) {
    const u64 off = op.offset(RDI);
    const u64 n = limit(op, std::min(left, op.run(ES, off)));
    const u64 va = op.linear(ES, off);
    const u8* p =
        n > 1 && op.segment_allows(ES, off, n, false) ? op.host(op.low(va, n), n * size, mem::Access::Read) : nullptr;
    if (!p) {
      op.check_element(ES, off, false);
      last = op.load_element(va);
      stop = (last == want) == op.info().until_equal;
      s->flags = compare_flags(want, last, size);
      return op.advance(1, false, true);
    }
    u64 i = 0;
    if (size == 1 && !op.backward() && op.info().until_equal) {
      const void* at = std::memchr(p, static_cast<int>(want), n);
      i = at ? static_cast<u64>(static_cast<const u8*>(at) - p) : n - 1;
      last = p[i];
      stop = at != nullptr;
      i++;
    } else {
      while (i < n && !stop) {
        last = element(op.backward() ? p + (n - 1 - i) * size : p + i * size, size);
        stop = (last == want) == op.info().until_equal;
        i++;
      }
    }
    s->flags = compare_flags(want, last, size);
    op.advance(i, false, true);
  });
}

u64 helper_rep_cmps(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  const unsigned size = op.info().size, seg = op.info().segment;
  u64 a = 0, b = 0;
  return repeat(op, [&](u64 left, bool& stop) {
    const u64 so = op.offset(RSI), dof = op.offset(RDI);
    const u64 n = limit(op, std::min({left, op.run(seg, so), op.run(ES, dof)}));
    const u64 sva = op.linear(seg, so), dva = op.linear(ES, dof);
    const u8 *p = nullptr, *q = nullptr;
    if (n > 1 && op.segment_allows(seg, so, n, false) && op.segment_allows(ES, dof, n, false)) {
      p = op.host(op.low(sva, n), n * size, mem::Access::Read);
      if (p) q = op.host(op.low(dva, n), n * size, mem::Access::Read);
    }
    if (!p || !q) {
      op.check_element(seg, so, false);
      a = op.load_element(sva);
      op.check_element(ES, dof, false);
      b = op.load_element(dva);
      stop = (a == b) == op.info().until_equal;
      s->flags = compare_flags(a, b, size);
      return op.advance(1, true, true);
    }
    u64 i = 0;
    while (i < n && !stop) {
      const u64 at = (op.backward() ? n - 1 - i : i) * size;
      a = element(p + at, size);
      b = element(q + at, size);
      stop = (a == b) == op.info().until_equal;
      i++;
    }
    s->flags = compare_flags(a, b, size);
    op.advance(i, true, true);
  });
}

u64 helper_string_in(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  const unsigned size = op.info().size;
  return repeat(op, [&](u64, bool&) {
    const u64 off = op.offset(RDI), port = s->gpr[RDX] & 0xffff;
    helper_port_check(s, port, size);
    op.check_element(ES, off, true);
    const u64 va = op.linear(ES, off);
    mem::probe(s->h, va, size, mem::Access::Write, s->h.mmu_mode);  // before the device is read
    op.store_element(va, helper_port_in(s, port, size));
    op.advance(1, false, true);
  });
}

u64 helper_string_out(X86State* s, u64 packed) {
  StringOp op(*s, packed);
  const unsigned size = op.info().size, seg = op.info().segment;
  return repeat(op, [&](u64, bool&) {
    const u64 off = op.offset(RSI), port = s->gpr[RDX] & 0xffff;
    helper_port_check(s, port, size);
    op.check_element(seg, off, false);
    const u64 v = op.load_element(op.linear(seg, off));
    op.advance(1, true, false);
    helper_port_out(s, port, v, size);
  });
}

}  // namespace doppel::x86
