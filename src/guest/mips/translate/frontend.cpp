// The frontend: guest words to a region. A region is a trace: it follows direct jumps on its own page and the
// fall-through of up to three conditional branches. A branch and its delay slot are one unit: the slot's ops come
// before the exits, and the comparison after them, of values read before.
#include "guest/mips/translate/frontend.h"

#include "guest/mips/disasm.h"
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
    while (unit()) {
    }
    region_.insn_count = count_;
  }

 private:
  bool end_direct(u64 pc) {
    t_.b.exit_direct(pc, t_.same_page(pc));
    t_.ended = true;
    return false;
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
    seen_[count_++] = pc_;
    t_.unit_pc = pc_;
    t_.in_slot = t_.must_leave = false;
    t_.first_unit = count_ == 1;
    t_.b.insn(pc_, !complete ? 0 : is_branch ? 8 : 4);  // 0: not kept, for the fault may not happen the next time
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

  // The instruction in the delay slot: a part of the branch's.
  bool slot(bool fetched, u32 word) {
    Insn in{t_.wrap_pc(pc_ + 4), word, nullptr};
    if (fetched && in.word == 0) return true;  // NOP
    t_.b.insn_part(pc_ | 1);
    t_.in_slot = true;
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

  // On to a direct target, unless the trace has been there.
  bool follow(u64 target) {
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
    return mips::disassemble(bytes, size, pc, model_.is_64bit, model_.big_endian, text);
  }

 private:
  const CpuModel model_;
  const Decoder decoder_;
};

}  // namespace

std::unique_ptr<guest::Frontend> make_frontend(const CpuModel& model) { return std::make_unique<MipsFrontend>(model); }

}  // namespace doppel::mips
