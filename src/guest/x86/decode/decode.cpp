// Decoder: prefixes, opcode maps, ModRM and SIB, immediates (SDM vol. 2, chapter 2). Traps: REX counts only as the last
// prefix; RIP-relative displacements count from the end of the instruction, immediates included; the 15-byte limit
// counts before fetching.
#include "guest/x86/decode/decode.h"

#include <array>
#include <memory>

#include "base/assert.h"

namespace doppel::x86 {
namespace {

bool operand_has_modrm(Opd o) {
  switch (o) {
    case Opd::Eb:
    case Opd::Ew:
    case Opd::Ed:
    case Opd::Eq:
    case Opd::Ev:
    case Opd::Ey:
    case Opd::Ez:
    case Opd::RvMw:
    case Opd::RdMb:
    case Opd::RdMw:
    case Opd::Gb:
    case Opd::Gw:
    case Opd::Gd:
    case Opd::Gv:
    case Opd::Gy:
    case Opd::Gz:
    case Opd::M:
    case Opd::Mb:
    case Opd::Mw:
    case Opd::Md:
    case Opd::Mq:
    case Opd::Mx:
    case Opd::Mt:
    case Opd::Mv:
    case Opd::My:
    case Opd::Mp:
    case Opd::Ms:
    case Opd::Ma:
    case Opd::Rd:
    case Opd::Ry:
    case Opd::Rv:
    case Opd::Ryi:
    case Opd::Cy:
    case Opd::Dy:
    case Opd::Sw:
    case Opd::Pq:
    case Opd::Pd:
    case Opd::Qq:
    case Opd::Qd:
    case Opd::Nq:
    case Opd::Vx:
    case Opd::Wx:
    case Opd::Wq:
    case Opd::Wd:
    case Opd::Ww:
    case Opd::Ux: return true;
    default: return false;
  }
}
bool operand_needs_mem(Opd o) {
  switch (o) {
    case Opd::M:
    case Opd::Mb:
    case Opd::Mw:
    case Opd::Md:
    case Opd::Mq:
    case Opd::Mx:
    case Opd::Mt:
    case Opd::Mv:
    case Opd::My:
    case Opd::Mp:
    case Opd::Ms:
    case Opd::Ma: return true;
    default: return false;
  }
}
bool operand_needs_reg(Opd o) { return o == Opd::Rd || o == Opd::Ry || o == Opd::Rv || o == Opd::Nq || o == Opd::Ux; }

struct TableRow {
  const Row* row;
  Feature feature;
  bool needs_mem = false, needs_reg = false;
};
// Rows of each opcode, in order: a range of `rows`.
struct OpcodeEntry {
  u16 first = 0;
  u8 count = 0;
  bool modrm = false;
};
struct Tables {
  OpcodeEntry entry[static_cast<size_t>(Map::Count)][256];
  std::vector<TableRow> rows;
  Tables();
};

unsigned opcodes_of(const Row& r) {
  if (r.attrs & CC) return 16;
  for (const Opd o : r.operand)
    if (o == Opd::Zb || o == Opd::Zv || o == Opd::Zy) return 8;
  return 1;
}

Tables::Tables() {
  std::vector<const Row*> lists[static_cast<size_t>(Map::Count)][256];
  for (size_t i = 0; i < row_count(); i++) {
    const Row& r = row(i);
    for (unsigned k = 0; k < opcodes_of(r); k++) lists[static_cast<size_t>(r.map)][r.opcode + k].push_back(&r);
  }
  for (size_t m = 0; m < static_cast<size_t>(Map::Count); m++) {
    for (size_t op = 0; op < 256; op++) {
      OpcodeEntry& e = entry[m][op];
      e.first = static_cast<u16>(rows.size());
      for (const Row* r : lists[m][op]) {
        TableRow t{r, static_cast<Feature>(r->attrs >> 24)};
        bool modrm = r->ext != ExtKind::Any || (r->attrs & MODRM);
        for (const Opd o : r->operand) {
          modrm |= operand_has_modrm(o);
          t.needs_mem |= operand_needs_mem(o);
          t.needs_reg |= operand_needs_reg(o);
        }
        if (e.count != 0) ASSERT_MSG(e.modrm == modrm, "rows of one opcode disagree about ModRM");
        e.modrm = modrm;
        e.count++;
        rows.push_back(t);
      }
    }
  }
}

const Tables& tables() {
  static const Tables t;
  return t;
}

bool prefix_matches(OpPrefix p, const Insn& in) {
  switch (p) {
    case OpPrefix::xx: return true;
    case OpPrefix::NP: return !in.rep && !in.repne && !in.opsize_prefix;
    case OpPrefix::P66: return !in.rep && !in.repne && in.opsize_prefix;
    case OpPrefix::PF3: return in.rep;
    case OpPrefix::PF2: return in.repne;
  }
  return false;
}
bool ext_matches(const Row& r, u8 modrm) {
  const u8 reg = (modrm >> 3) & 7;
  const bool mem = modrm < 0xc0;
  switch (r.ext) {
    case ExtKind::Any: return true;
    case ExtKind::Reg: return reg == r.ext_value;
    case ExtKind::MemReg: return mem && reg == r.ext_value;
    case ExtKind::RegReg: return !mem && reg == r.ext_value;
    case ExtKind::Byte: return modrm == r.ext_value;
    case ExtKind::MemAny: return mem;
    case ExtKind::RegAny: return !mem;
  }
  return false;
}

// Reads the bytes of one instruction; `status` leaves Ok when they run out.
class Bytes {
 public:
  Bytes(const u8* bytes, size_t size) : bytes_(bytes), size_(size) {}
  u64 take(unsigned n) {
    if (status != DecodeStatus::Ok) return 0;
    if (pos + n > 15) {
      status = DecodeStatus::TooLong;
      return 0;
    }
    if (pos + n > size_) {
      status = DecodeStatus::NeedMore;
      return 0;
    }
    u64 v = 0;
    for (unsigned i = 0; i < n; i++) v |= static_cast<u64>(bytes_[pos + i]) << (8 * i);
    pos += n;
    return v;
  }
  u64 take_signed(unsigned n) { return sign_extend(take(n), n * 8); }
  DecodeStatus status = DecodeStatus::Ok;
  unsigned pos = 0;

 private:
  const u8* bytes_;
  size_t size_;
};

class OneInsn {
 public:
  OneInsn(const u8* bytes, size_t size, u64 mode, u64 features, Insn& out)
      : bytes_(bytes, size), cs64_(mode & kModeCs64), mode_(mode), features_(features), in_(out) {}

  DecodeStatus run() {
    prefixes();
    if (bytes_.status != DecodeStatus::Ok) return finish();
    const TableRow* t = find_row();
    if (bytes_.status != DecodeStatus::Ok) return finish();
    if (!t) {
      bytes_.status = DecodeStatus::Invalid;
      return finish();
    }
    const Row& r = *t->row;
    in_.mnemonic = r.mnemonic;
    in_.attrs = r.attrs;
    sizes(r.attrs);
    if (in_.mem_form() && !names_register_anyway(r)) memory_operand();
    for (unsigned i = 0; i < 3; i++) operand(r.operand[i], in_.op[i]);
    if (bytes_.status == DecodeStatus::Ok && in_.lock && !((r.attrs & LOCK) && in_.op[0].is_mem()))
      bytes_.status = DecodeStatus::Invalid;
    return finish();
  }

 private:
  DecodeStatus finish() {
    in_.length = static_cast<u8>(bytes_.pos);
    if (bytes_.status != DecodeStatus::Ok) return bytes_.status;
    const u64 next = in_.pc + in_.length;
    if (in_.mem.rip_rel) {
      in_.mem.disp = static_cast<s64>(next + static_cast<u64>(in_.mem.disp));
      if (in_.addrsize == 4) in_.mem.disp = static_cast<s64>(static_cast<u32>(in_.mem.disp));
    }
    if (has_rel_) {
      u64 to = next + in_.target;
      if (!cs64_) to = in_.opsize == 2 ? static_cast<u16>(to) : static_cast<u32>(to);
      in_.target = to;
    }
    return DecodeStatus::Ok;
  }

  void prefixes() {
    for (;;) {
      const u8 byte = static_cast<u8>(bytes_.take(1));
      if (bytes_.status != DecodeStatus::Ok) return;
      switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
          if (!cs64_) in_.seg = (byte >> 3) & 3;
          break;
        case 0x64: in_.seg = x86::FS; break;
        case 0x65: in_.seg = x86::GS; break;
        case 0x66: in_.opsize_prefix = true; break;
        case 0x67: in_.addrsize_prefix = true; break;
        case 0xf0: in_.lock = true; break;
        case 0xf2:
          in_.repne = true;
          in_.rep = false;
          break;
        case 0xf3:
          in_.rep = true;
          in_.repne = false;
          break;
        default:
          if (cs64_ && (byte & 0xf0) == 0x40) {
            in_.rex = byte;
            continue;
          }
          in_.opcode = byte;
          if (byte == 0x0f) escape();
          if (cs64_)
            in_.addrsize = in_.addrsize_prefix ? 4 : 8;
          else
            in_.addrsize = ((mode_ & kModeCs32) != 0) != in_.addrsize_prefix ? 4 : 2;
          return;
      }
      in_.rex = 0;  // a REX that another prefix follows is ignored
    }
  }
  void escape() {
    in_.map = Map::M2;
    in_.opcode = static_cast<u8>(bytes_.take(1));
    if (in_.opcode == 0x38) {
      in_.map = Map::M38;
      in_.opcode = static_cast<u8>(bytes_.take(1));
    } else if (in_.opcode == 0x3a) {
      in_.map = Map::M3A;
      in_.opcode = static_cast<u8>(bytes_.take(1));
    }
  }

  const TableRow* find_row() {
    const Tables& t = tables();
    const OpcodeEntry& e = t.entry[static_cast<size_t>(in_.map)][in_.opcode];
    if (e.count == 0) return nullptr;
    if (e.modrm) {
      in_.has_modrm = true;
      in_.modrm = static_cast<u8>(bytes_.take(1));
      if (bytes_.status != DecodeStatus::Ok) return nullptr;
    }
    for (unsigned i = 0; i < e.count; i++) {
      const TableRow& row = t.rows[e.first + i];
      if (matches(row)) return &row;
    }
    return nullptr;
  }
  bool matches(const TableRow& t) const {
    const u32 a = t.row->attrs;
    if (!prefix_matches(t.row->prefix, in_)) return false;
    if (in_.has_modrm && !ext_matches(*t.row, in_.modrm)) return false;
    if (t.needs_mem && in_.modrm >= 0xc0) return false;
    if (t.needs_reg && in_.modrm < 0xc0) return false;
    if (cs64_ ? (a & NO64) : (a & ONLY64)) return false;
    if ((a & PROT) && (!(mode_ & kModePe) || (mode_ & kModeVm86))) return false;
    if ((a & W0) && in_.rex_w()) return false;
    if ((a & W1) && !in_.rex_w()) return false;
    if ((a & NOREP) && (in_.rep || in_.repne)) return false;
    return t.feature == Feature::None || ((features_ >> static_cast<unsigned>(t.feature)) & 1);
  }
  static bool names_register_anyway(const Row& r) { return r.operand[0] == Opd::Ryi || r.operand[1] == Opd::Ryi; }

  void sizes(u32 attrs) {
    const bool p66 = in_.opsize_prefix && !(attrs & NO66);
    if (!cs64_)
      in_.opsize = ((mode_ & kModeCs32) != 0) != p66 ? 4 : 2;
    else if ((attrs & FORCE64) || in_.rex_w())
      in_.opsize = 8;
    else if (attrs & DEF64)
      in_.opsize = p66 ? 2 : 8;
    else
      in_.opsize = p66 ? 2 : 4;
  }
  u8 rex_b() const { return static_cast<u8>((in_.rex & 1) << 3); }
  u8 rex_x() const { return static_cast<u8>((in_.rex & 2) << 2); }
  u8 rex_r() const { return static_cast<u8>((in_.rex & 4) << 1); }
  u8 reg() const { return static_cast<u8>(in_.reg_field() | rex_r()); }
  u8 rm() const { return static_cast<u8>(in_.rm_field() | rex_b()); }

  void set_segment(bool stack) {
    u8 seg = stack ? x86::SS : x86::DS;
    if (in_.seg != kNoReg) seg = in_.seg;
    in_.mem.seg = seg;
  }
  void memory_operand() {
    if (in_.addrsize == 2)
      memory16();
    else
      memory32();
  }
  void memory16() {
    static constexpr u8 kBase[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static constexpr u8 kIndex[8] = {RSI, RDI, RSI, RDI, kNoReg, kNoReg, kNoReg, kNoReg};
    const u8 mod = in_.mod(), m = in_.rm_field();
    in_.mem.base = kBase[m];
    in_.mem.index = kIndex[m];
    if (mod == 0 && m == 6) {
      in_.mem.base = kNoReg;
      in_.mem.disp = static_cast<s64>(bytes_.take_signed(2));
    } else if (mod == 1) {
      in_.mem.disp = static_cast<s64>(bytes_.take_signed(1));
    } else if (mod == 2) {
      in_.mem.disp = static_cast<s64>(bytes_.take_signed(2));
    }
    set_segment(in_.mem.base == RBP);
  }
  void memory32() {
    const u8 mod = in_.mod(), m = in_.rm_field();
    bool disp32 = mod == 2;
    if (m == 4) {
      const u8 sib = static_cast<u8>(bytes_.take(1));
      in_.mem.scale = sib >> 6;
      const u8 index = static_cast<u8>(((sib >> 3) & 7) | rex_x());
      if (index != 4) in_.mem.index = index;
      if ((sib & 7) == 5 && mod == 0)
        disp32 = true;
      else
        in_.mem.base = static_cast<u8>((sib & 7) | rex_b());
    } else if (m == 5 && mod == 0) {
      disp32 = true;
      in_.mem.rip_rel = cs64_;
    } else {
      in_.mem.base = rm();
    }
    if (mod == 1) in_.mem.disp = static_cast<s64>(bytes_.take_signed(1));
    if (disp32) in_.mem.disp = static_cast<s64>(bytes_.take_signed(4));
    set_segment(in_.mem.base == RSP || in_.mem.base == RBP);
  }

  // --- operands
  void gpr(Operand& o, u8 number, u8 size) {
    o.kind = OpKind::Reg;
    o.reg = number;
    o.size = size;
    if (size == 1 && in_.rex == 0 && number >= 4) {
      o.kind = OpKind::RegHigh;
      o.reg = static_cast<u8>(number - 4);
    }
  }
  void set(Operand& o, OpKind kind, u8 reg, u8 size) {
    o.kind = kind;
    o.reg = reg;
    o.size = size;
  }
  void rm_operand(Operand& o, OpKind reg_kind, u8 reg_size, u8 mem_size) {
    if (in_.mem_form())
      set(o, OpKind::Mem, 0, mem_size);
    else if (reg_kind == OpKind::Reg)
      gpr(o, rm(), reg_size);
    else
      set(o, reg_kind, reg_kind == OpKind::Mmx ? in_.rm_field() : rm(), reg_size);
  }
  void imm(Operand& o, u64 value, u8 size) {
    in_.imm = value;
    set(o, OpKind::Imm, 0, size);
  }
  void rel(Operand& o, unsigned bytes) {
    in_.target = bytes_.take_signed(bytes);
    has_rel_ = true;
    set(o, OpKind::Rel, 0, in_.opsize);
  }
  void moffs(Operand& o, u8 size) {
    in_.mem.disp = static_cast<s64>(bytes_.take(in_.addrsize));
    set_segment(false);
    set(o, OpKind::Mem, 0, size);
  }
  void string(Operand& o, OpKind kind, u8 size) {
    set_segment(false);
    set(o, kind, kind == OpKind::StrSrc ? in_.mem.seg : static_cast<u8>(x86::ES), size);
  }
  void operand(Opd code, Operand& o);

  Bytes bytes_;
  const bool cs64_;
  const u64 mode_;
  const u64 features_;
  Insn& in_;
  bool has_rel_ = false;
};

void OneInsn::operand(Opd code, Operand& o) {
  const u8 v = in_.opsize, z = v == 2 ? 2 : 4, y = in_.rex_w() ? 8 : 4;
  const u8 low = static_cast<u8>((in_.opcode & 7) | rex_b());
  switch (code) {
    case Opd::NONE:
    case Opd::Count: break;
    case Opd::Eb: rm_operand(o, OpKind::Reg, 1, 1); break;
    case Opd::Ew: rm_operand(o, OpKind::Reg, 2, 2); break;
    case Opd::Ed: rm_operand(o, OpKind::Reg, 4, 4); break;
    case Opd::Eq: rm_operand(o, OpKind::Reg, 8, 8); break;
    case Opd::Ev:
    case Opd::Rv: rm_operand(o, OpKind::Reg, v, v); break;
    case Opd::Ey:
    case Opd::Ry: rm_operand(o, OpKind::Reg, y, y); break;
    case Opd::Ez: rm_operand(o, OpKind::Reg, z, z); break;
    case Opd::RvMw: rm_operand(o, OpKind::Reg, v, 2); break;
    case Opd::RdMb: rm_operand(o, OpKind::Reg, 4, 1); break;
    case Opd::RdMw: rm_operand(o, OpKind::Reg, 4, 2); break;
    case Opd::Gb: gpr(o, reg(), 1); break;
    case Opd::Gw: gpr(o, reg(), 2); break;
    case Opd::Gd: gpr(o, reg(), 4); break;
    case Opd::Gv: gpr(o, reg(), v); break;
    case Opd::Gy: gpr(o, reg(), y); break;
    case Opd::Gz: gpr(o, reg(), z); break;
    case Opd::M: set(o, OpKind::Mem, 0, 0); break;
    case Opd::Mb: set(o, OpKind::Mem, 0, 1); break;
    case Opd::Mw: set(o, OpKind::Mem, 0, 2); break;
    case Opd::Md: set(o, OpKind::Mem, 0, 4); break;
    case Opd::Mq: set(o, OpKind::Mem, 0, 8); break;
    case Opd::Mx: set(o, OpKind::Mem, 0, 16); break;
    case Opd::Mt: set(o, OpKind::Mem, 0, 10); break;
    case Opd::Mv: set(o, OpKind::Mem, 0, v); break;
    case Opd::My: set(o, OpKind::Mem, 0, y); break;
    case Opd::Mp: set(o, OpKind::Mem, 0, static_cast<u8>(v + 2)); break;
    case Opd::Ms: set(o, OpKind::Mem, 0, cs64_ ? 10 : 6); break;
    case Opd::Ma: set(o, OpKind::Mem, 0, static_cast<u8>(v * 2)); break;
    case Opd::Rd: rm_operand(o, OpKind::Reg, 4, 4); break;
    case Opd::Ryi: gpr(o, rm(), cs64_ ? 8 : 4); break;
    case Opd::Cy: set(o, OpKind::Cr, reg(), cs64_ ? 8 : 4); break;
    case Opd::Dy: set(o, OpKind::Dr, reg(), cs64_ ? 8 : 4); break;
    case Opd::Sw: set(o, OpKind::Seg, in_.reg_field(), 2); break;
    case Opd::Ib: imm(o, bytes_.take(1), 1); break;
    case Opd::Iw: imm(o, bytes_.take(2), 2); break;
    case Opd::Id: imm(o, bytes_.take(4), 4); break;
    case Opd::Iz: imm(o, bytes_.take_signed(z), v); break;
    case Opd::Iv: imm(o, v == 8 ? bytes_.take(8) : bytes_.take_signed(z), v); break;
    case Opd::sIb: imm(o, bytes_.take_signed(1), v); break;
    case Opd::Ib2:
      in_.imm2 = bytes_.take(1);
      set(o, OpKind::Imm, 1, 1);
      break;
    case Opd::Jb: rel(o, 1); break;
    case Opd::Jz: rel(o, z); break;
    case Opd::Ap:
      in_.imm = bytes_.take(z);
      in_.imm2 = bytes_.take(2);
      set(o, OpKind::Far, 0, static_cast<u8>(z + 2));
      break;
    case Opd::Ob: moffs(o, 1); break;
    case Opd::Ov: moffs(o, v); break;
    case Opd::Xb: string(o, OpKind::StrSrc, 1); break;
    case Opd::Xv: string(o, OpKind::StrSrc, v); break;
    case Opd::Xz: string(o, OpKind::StrSrc, z); break;
    case Opd::Yb: string(o, OpKind::StrDst, 1); break;
    case Opd::Yv: string(o, OpKind::StrDst, v); break;
    case Opd::Yz: string(o, OpKind::StrDst, z); break;
    case Opd::AL: set(o, OpKind::Reg, RAX, 1); break;
    case Opd::AX: set(o, OpKind::Reg, RAX, 2); break;
    case Opd::eAX: set(o, OpKind::Reg, RAX, z); break;
    case Opd::rAX: set(o, OpKind::Reg, RAX, v); break;
    case Opd::CL: set(o, OpKind::Reg, RCX, 1); break;
    case Opd::DX: set(o, OpKind::Reg, RDX, 2); break;
    case Opd::One: imm(o, 1, 1); break;
    case Opd::Zb: gpr(o, low, 1); break;
    case Opd::Zv: gpr(o, low, v); break;
    case Opd::Zy: gpr(o, low, y); break;
    case Opd::ES:
    case Opd::CS:
    case Opd::SS:
    case Opd::DS:
    case Opd::FS:
    case Opd::GS: set(o, OpKind::Seg, static_cast<u8>(static_cast<u8>(code) - static_cast<u8>(Opd::ES)), 2); break;
    case Opd::Pq: set(o, OpKind::Mmx, in_.reg_field(), 8); break;
    case Opd::Pd: set(o, OpKind::Mmx, in_.reg_field(), 4); break;
    case Opd::Qq:
    case Opd::Nq: rm_operand(o, OpKind::Mmx, 8, 8); break;
    case Opd::Qd: rm_operand(o, OpKind::Mmx, 4, 4); break;
    case Opd::Vx: set(o, OpKind::Xmm, reg(), 16); break;
    case Opd::Wx:
    case Opd::Ux: rm_operand(o, OpKind::Xmm, 16, 16); break;
    case Opd::Wq: rm_operand(o, OpKind::Xmm, 16, 8); break;
    case Opd::Wd: rm_operand(o, OpKind::Xmm, 16, 4); break;
    case Opd::Ww: rm_operand(o, OpKind::Xmm, 16, 2); break;
    case Opd::XMM0: set(o, OpKind::Xmm, 0, 16); break;
    case Opd::Hx:
    case Opd::Lx: bytes_.status = DecodeStatus::Invalid; break;  // VEX rows are not taken yet
    case Opd::ST0: set(o, OpKind::St, 0, 10); break;
    case Opd::STi: set(o, OpKind::St, in_.rm_field(), 10); break;
  }
}

}  // namespace

Decoder::Decoder(const CpuModel& model) {
  static constexpr const char* kNames[] = {"",
#define X(id, name) name,
                                           DOPPEL_X86_DECODE_FEATURES(X)
#undef X
  };
  static_assert(static_cast<size_t>(Feature::Count) <= 64);
  for (size_t i = 1; i < static_cast<size_t>(Feature::Count); i++)
    if (kNames[i][0] != 0 && model.has(kNames[i])) features_ |= u64{1} << i;
  const auto by_family = [&](Feature f, u32 family) {
    if (model.family >= family) features_ |= u64{1} << static_cast<unsigned>(f);
  };
  by_family(Feature::I486, 4);
  by_family(Feature::I586, 5);
  by_family(Feature::I686, 6);
  tables();
}

DecodeStatus Decoder::decode(const u8* bytes, size_t size, u64 pc, u64 mode, Insn& out) const {
  out = Insn{};
  out.pc = pc;
  return OneInsn(bytes, size, mode, features_, out).run();
}

}  // namespace doppel::x86
