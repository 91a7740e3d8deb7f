// The frontend: guest words to a region. A region is a trace: it follows direct jumps on its own page and the
// fall-through of up to three conditional branches. A branch and its delay slot are one unit: the slot's ops come
// before the exits, and the comparison after them, of values read before.
#include "guest/mips/translate/frontend.h"

#include <cstdio>

#include "guest/mips/decode/mips16.h"
#include "guest/mips/disasm.h"
#include "guest/mips/translate/mips16.h"
#include "guest/mips/translate/translator.h"

namespace doppel::mips {
namespace {

constexpr u32 kMaxBranches = 3, kMaxTrace = 512;

class RegionMaker {
 public:
  RegionMaker(const guest::TranslateRequest& rq, const Decoder& decoder, const CpuModel& model, ir::Region& out)
      : rq_(rq), decoder_(decoder), region_(out), t_(rq, model, out), pc_(rq.pc) {
    max_ = rq.limits.single_step ? 1 : std::min(rq.limits.max_insns, kMaxTrace);
  }

  void run() {
    while (t_.is_mips16(pc_) ? unit16() : unit()) {
    }
    region_.insn_count = count_;
  }

 private:
  bool end_direct(u64 pc) {
    t_.b.exit_direct(pc, t_.same_page(pc));
    t_.ended = true;
    return false;
  }

  bool fetch16(u64 pc, u32& half) {
    u8 bytes[2];
    if (rq_.code->fetch(pc & ~u64{1}, bytes, 2) != 2) return false;
    half = t_.model.big_endian ? u32{bytes[0]} << 8 | bytes[1] : u32{bytes[1]} << 8 | bytes[0];
    return true;
  }

  bool fetch(u64 pc, u32& word) {
    u8 bytes[4];
    if ((pc & 3) || rq_.code->fetch(pc, bytes, 4) != 4) return false;
    word = load_le<u32>(bytes);
    if (t_.model.big_endian) word = __builtin_bswap32(word);
    return true;
  }

  void fetch_fault(u64 pc) {
    t_.call(Helper::fetch_fault, {t_.k64(pc)});
    t_.b.set_reg(kRegPc, t_.k64(t_.unit_pc));
    t_.b.exit_loop();
    t_.ended = true;
  }

  void one(const Insn& in) {
    if (!in.row)
      t_.raise(EXC_RI);
    else
      in.row->translate(t_, in);
  }

  // 0 bytes: the region is not kept, for the fault may not happen the next time.
  void begin(u32 bytes) {
    seen_[count_++] = pc_;
    t_.unit_pc = pc_;
    t_.in_slot = t_.must_leave = false;
    t_.first_unit = count_ == 1;
    t_.b.insn(pc_, bytes);
  }

  // One instruction, or a branch with its slot. False: the region is complete.
  bool unit() {
    if (count_ > 0 && (count_ >= max_ || !t_.same_page(pc_) || t_.b.full())) return end_direct(pc_);
    Insn in{pc_, 0, nullptr};
    const bool fetched = fetch(pc_, in.word);
    in.row = fetched ? decoder_.find(in.word) : nullptr;
    const bool is_branch = in.row && in.row->kind != Kind::Plain;
    u32 slot_word = 0;
    const bool complete = fetched && (!is_branch || fetch(t_.wrap_pc(pc_ + 4), slot_word));
    if (!complete && count_ > 0) return end_direct(pc_);
    begin(!complete ? 0 : is_branch ? 8 : 4);
    if (!fetched) {
      fetch_fault(pc_);
      return false;
    }
    if (is_branch) return branch(in, complete, slot_word);
    one(in);
    if (t_.ended) return false;
    pc_ = t_.wrap_pc(pc_ + 4);
    if (t_.must_leave) return leave(t_.k64(pc_));
    return true;
  }

  bool leave(Value pc) {
    t_.b.set_reg(kRegPc, pc);
    t_.b.exit_loop();
    t_.ended = true;
    return false;
  }

  Value taken() {
    const Branch& branch = t_.branch;
    return t_.b.cmp(branch.cc, branch.a, branch.b);
  }

  bool branch(const Insn& in, bool slot_fetched, u32 slot_word) {
    t_.branch = {};
    one(in);
    if (t_.ended) return false;
    const u64 next = t_.wrap_pc(pc_ + 8);
    const bool likely = in.row->kind == Kind::BranchLikely;
    if (likely && t_.branch.conditional) {
      t_.b.exit_if(t_.b.xor_(taken(), t_.imm(Type::I8, 1)), next, t_.same_page(next));
      t_.branch.conditional = false;
    }
    if (!slot(slot_fetched, slot_word)) return false;
    const Branch to = t_.branch;
    if (t_.must_leave) {
      const Value target = to.to ? t_.b.zext(Type::I64, to.to) : t_.k64(to.target);
      return leave(to.conditional ? t_.b.select(taken(), target, t_.k64(next)) : target);
    }
    if (to.to) {
      t_.b.exit_indirect(to.to);
      t_.ended = true;
      return false;
    }
    if (!to.conditional) return follow(to.target);
    t_.b.exit_if(taken(), to.target, t_.same_page(to.target));
    if (++branches_ == kMaxBranches || to.target == rq_.pc) return end_direct(next);
    pc_ = next;
    return true;
  }

  void begin_slot() {
    t_.b.insn_part(slot_mark(t_.model, pc_));
    t_.in_slot = true;
  }

  // --- MIPS16

  // What stands for one MIPS32 instruction or is one of the few others; false: a jump in a delay slot, or reserved.
  void one16(const Insn16& in, const Half& half) {
    switch (in.form) {
      case Form16::RxPc4: return tr_pc_relative16(t_, in, pc_);
      case Form16::SaveRestore: return tr_save_restore16(t_, half);
      default: break;
    }
    Insn stands{pc_, in.word, in.form < Form16::SaveRestore ? decoder_.find(in.word) : nullptr};
    if (in.form == Form16::Reserved) stands.row = nullptr;
    one(stands);
  }

  bool unit16() {
    if (count_ > 0 && (count_ >= max_ || !t_.same_page(pc_) || t_.b.full())) return end_direct(pc_);
    Half half;
    u64 missing = pc_;
    bool complete = fetch16(pc_, half.word);
    if (complete && (is_extend(half.word) || is_jal16(half.word))) {
      half.first = half.word;
      half.extended = is_extend(half.first);
      half.bytes = 4;
      missing = pc_ + 2;
      complete = fetch16(missing, half.word);
    }
    Insn16 in;
    if (complete)
      in = half.extended || half.bytes == 2 ? decode16(half.word, half.extended, half.first)
                                            : decode16(half.first, false, 0);
    const bool has_slot =
        in.form == Form16::Jal || ((in.form == Form16::JumpRx || in.form == Form16::JumpRa) && in.word < 2);
    u32 slot_word = 0;
    if (complete && has_slot) {
      missing = pc_ + half.bytes;
      complete = fetch16(missing, slot_word);
    }
    if (!complete && count_ > 0) return end_direct(pc_);
    begin(!complete ? 0 : half.bytes + (has_slot ? 2 : 0));
    if (!complete) {
      fetch_fault(missing);
      return false;
    }
    const u64 next = t_.wrap_pc(pc_ + half.bytes + (has_slot ? 2 : 0));
    switch (in.form) {
      case Form16::Jal:
      case Form16::JumpRx:
      case Form16::JumpRa: return jump16(in, half, next, has_slot, slot_word);
      case Form16::Branch11: return follow(t_.wrap_pc(next + static_cast<u64>(s64{in.immediate})));
      case Form16::BranchRx:
      case Form16::BranchT8: return branch16(in, next);
      default: break;
    }
    one16(in, half);
    if (t_.ended) return false;
    pc_ = next;
    return !t_.must_leave || leave(t_.k64(pc_));
  }

  bool branch16(const Insn16& in, u64 next) {
    const u64 target = t_.wrap_pc(next + static_cast<u64>(s64{in.immediate}));
    t_.b.exit_if(t_.b.cmp(in.word ? Cond::NZ : Cond::Z, t_.gpr32(in.rx), t_.k32(0)), target, t_.same_page(target));
    if (++branches_ == kMaxBranches || target == rq_.pc) return end_direct(next);
    pc_ = next;
    return true;
  }

  bool jump16(const Insn16& in, const Half& half, u64 next, bool has_slot, u32 slot_word) {
    const bool constant = in.form == Form16::Jal;
    const Value to = constant ? 0 : t_.gpr32(in.rx);
    if (constant || (in.word & 1)) t_.set_gpr32(RA, t_.k32(next));
    if (has_slot) {
      const Insn16 slot = decode16(slot_word, false, 0);
      begin_slot();
      one16(slot.form > Form16::SaveRestore ? Insn16{} : slot, {});
      if (t_.ended) return false;
      if (t_.must_leave) return leave(constant ? t_.k64(jal_target16(half, pc_)) : t_.b.zext(Type::I64, to));
    }
    if (constant) return follow(jal_target16(half, pc_));
    t_.b.exit_indirect(to);
    t_.ended = true;
    return false;
  }

  // --- MIPS32 and MIPS64

  // The instruction in the delay slot: a part of the branch's.
  bool slot(bool fetched, u32 word) {
    Insn in{t_.wrap_pc(pc_ + 4), word, nullptr};
    if (fetched && in.word == 0) return true;  // NOP
    begin_slot();
    if (!fetched) {
      fetch_fault(in.pc);
      return false;
    }
    in.row = decoder_.find(in.word);
    if (in.row && in.row->kind != Kind::Plain) in.row = nullptr;  // UNPREDICTABLE: Reserved Instruction
    const Branch saved = t_.branch;
    one(in);
    t_.branch = saved;
    return !t_.ended;
  }

  // On to a direct target, unless the trace has been there. MIPS16 and MIPS32 code have regions of their own: where
  // code lies, its pc says together with the region's base (MipsCpu::code_base).
  bool follow(u64 target) {
    if (t_.is_mips16(target) != t_.is_mips16(rq_.pc)) {
      t_.b.exit_direct(target, false);
      t_.ended = true;
      return false;
    }
    if (!t_.same_page(target) || count_ >= max_) return end_direct(target);
    for (u32 i = 0; i < count_; i++)
      if (seen_[i] == target) return end_direct(target);
    pc_ = target;
    return true;
  }

  const guest::TranslateRequest& rq_;
  const Decoder& decoder_;
  ir::Region& region_;
  Translator t_;
  u64 pc_;
  u32 max_ = 1, count_ = 0, branches_ = 0;
  u64 seen_[kMaxTrace];
};

class MipsFrontend final : public guest::Frontend {
 public:
  explicit MipsFrontend(const CpuModel& model) : model_(model), decoder_(model_) {}

  void translate(const guest::TranslateRequest& request, ir::Region& out) override {
    out.clear();
    out.pc = request.pc;
    out.mode = request.mode;
    out.layout = &kLayout;
    out.helpers = &kHelpers;
    RegionMaker(request, decoder_, model_, out).run();
    for (const ir::Op& op : out.ops)
      if (op.code == Opcode::insn) out.guest_bytes += op.aux;
  }
  const ir::StateLayout& layout() const override { return kLayout; }
  const ir::HelperTable& helpers() const override { return kHelpers; }
  size_t disassemble(const u8* bytes, size_t size, u64 pc, u64, std::string& text) const override {
    if (model_.mips16 && (pc & 1)) return disassemble16(bytes, size, text);
    return mips::disassemble(bytes, size, pc, model_.is_64bit, model_.big_endian, text);
  }

 private:
  // MIPS16: the name and the halfwords.
  size_t disassemble16(const u8* bytes, size_t size, std::string& text) const {
    const auto half = [&](size_t at) {
      return at + 2 > size       ? 0u
             : model_.big_endian ? u32{bytes[at]} << 8 | bytes[at + 1]
                                 : u32{bytes[at + 1]} << 8 | bytes[at];
    };
    const u32 first = half(0), second = half(2);
    const bool extended = is_extend(first), wide = extended || is_jal16(first);
    char line[48];
    std::snprintf(line, sizeof line, wide ? "%-8s 0x%04x 0x%04x" : "%-8s 0x%04x",
                  decode16(extended ? second : first, extended, first).name, first, second);
    text = line;
    return wide ? 4 : 2;
  }
  const CpuModel model_;
  const Decoder decoder_;
};

}  // namespace

std::unique_ptr<guest::Frontend> make_frontend(const CpuModel& model) { return std::make_unique<MipsFrontend>(model); }

}  // namespace doppel::mips
