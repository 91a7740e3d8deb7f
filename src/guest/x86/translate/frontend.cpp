// The frontend: guest bytes to a region. A region is a trace: it follows direct jumps and calls on its own page and the
// fall-through of up to three conditional branches, and ends before the page does (but for a last instruction that
// straddles it).
#include "guest/x86/translate/frontend.h"

#include "guest/x86/disasm.h"
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {
namespace {

constexpr TranslateFn kHandlers[] = {
    nullptr,
#define M(name, handler) handler,
#include "guest/x86/decode/mnemonics_int.inc"
#include "guest/x86/decode/mnemonics_sse.inc"
#include "guest/x86/decode/mnemonics_x87.inc"
#undef M
};
static_assert(std::size(kHandlers) == static_cast<size_t>(Mnemonic::Count));

// What an instruction does to the arithmetic flags, for the look at an exit's target. One that may fault shows them to
// the handler, and nobody there knows how to make them exact.
enum class FlagUse : u8 {
  None,  // neither reads nor writes them
  Kill,  // writes all of them without a look at the old ones
  Stop,  // anything else
};
FlagUse flag_use(const Insn& in) {
  if (in.mnemonic == Mnemonic::LEA) return FlagUse::None;
  for (const Operand& o : in.op)
    if (o.is_mem() || o.kind == OpKind::Seg) return FlagUse::Stop;
  const bool by_constant = in.op[1].kind == OpKind::Imm && (in.imm & 31) != 0;
  switch (in.mnemonic) {
    case Mnemonic::SHL:
    case Mnemonic::SHR:
    case Mnemonic::SAR: return by_constant ? FlagUse::Kill : FlagUse::Stop;
    case Mnemonic::JMP: return in.op[0].kind == OpKind::Rel ? FlagUse::None : FlagUse::Stop;
    case Mnemonic::ADD:
    case Mnemonic::SUB:
    case Mnemonic::CMP:
    case Mnemonic::AND:
    case Mnemonic::OR:
    case Mnemonic::XOR:
    case Mnemonic::TEST:
    case Mnemonic::NEG: return FlagUse::Kill;
    case Mnemonic::MOV:
    case Mnemonic::MOVZX:
    case Mnemonic::MOVSX:
    case Mnemonic::MOVSXD:
    case Mnemonic::NOP:
    case Mnemonic::NOT:
    case Mnemonic::BSWAP:
    case Mnemonic::CBW:
    case Mnemonic::CWD: return FlagUse::None;
    default: return FlagUse::Stop;
  }
}

// With -icount an instruction that looks at the time or at devices stands alone, so that virtual time is exact there.
bool looks_outside(Mnemonic m) {
  switch (m) {
    case Mnemonic::IN:
    case Mnemonic::OUT:
    case Mnemonic::INS:
    case Mnemonic::OUTS:
    case Mnemonic::RDTSC:
    case Mnemonic::RDTSCP:
    case Mnemonic::RDMSR:
    case Mnemonic::WRMSR:
    case Mnemonic::HLT:
    case Mnemonic::MWAIT:
    case Mnemonic::PAUSE: return true;
    default: return false;
  }
}

constexpr unsigned kLookAhead = 4;
constexpr u32 kMaxTrace = 256;
// A trace that goes on behind a branch is translated again from the branch's target: measured (boot, a compile job,
// fresh code), three branches cost the least altogether.
constexpr u32 kMaxBranches = 3;

class RegionMaker {
 public:
  RegionMaker(const guest::TranslateRequest& request, const Decoder& decoder, const CpuModel& model, ir::Region& out)
      : rq_(request), decoder_(decoder), r_(out), t_(request, decoder, model, out) {
    max_ = request.limits.max_insns;
    if (request.limits.single_step || (request.mode & (kModeTf | kModeShadow | kModeIobp | kModeX87Step))) max_ = 1;
    if (max_ > kMaxTrace) max_ = kMaxTrace;
  }

  void run() {
    pc_ = rq_.pc;
    while (!t_.ended && one()) {
    }
    mark_dead_flags();
  }

 private:
  u64 linear(u64 pc) const { return t_.is64() ? pc + rq_.base : static_cast<u32>(pc + rq_.base); }

  // Ends the region before the instruction at pc_.
  bool stop() {
    if (t_.end_after_next)
      t_.leave(pc_);  // the shadow of STI stays
    else
      t_.end_direct(pc_);
    return false;
  }
  bool visited(u64 pc) const {
    for (u32 i = 0; i < count_; i++)
      if (seen_[i].pc == pc) return true;
    return false;
  }

  // Decodes at pc_. False: the bytes end, at linear address `missing`.
  DecodeStatus decode(u64& missing) {
    u8 bytes[16];
    const u64 at = linear(pc_);
    const size_t room = mem::kPageSize - (at & (mem::kPageSize - 1));
    size_t n = rq_.code->fetch(at, bytes, room < 15 ? room : 15);
    DecodeStatus s = decoder_.decode(bytes, n, pc_, rq_.mode, in_);
    if (s == DecodeStatus::NeedMore && n == room) {
      n += rq_.code->fetch(linear(pc_ + room), bytes + room, 15 - room);
      s = decoder_.decode(bytes, n, pc_, rq_.mode, in_);
    }
    missing = linear(pc_ + n);
    return s;
  }

  bool one() {
    if (count_ > 0 && (count_ >= max_ || t_.b.full() || !t_.same_page(pc_) || visited(pc_))) return stop();
    u64 missing = 0;
    const DecodeStatus status = decode(missing);
    if (status == DecodeStatus::NeedMore && count_ > 0) return stop();
    if (rq_.limits.icount && count_ > 0 && status == DecodeStatus::Ok && looks_outside(in_.mnemonic)) return stop();

    t_.insn = &in_;
    t_.b.insn(pc_,
              status == DecodeStatus::NeedMore ? 0 : in_.length);  // no bytes: the executor does not keep the region
    r_.insn_count++;
    begin_instruction();
    const bool after_sti = t_.end_after_next;
    if (after_sti) {
      t_.b.set_reg(kRegShadow, t_.imm(Type::I8, 0));
    }
    switch (status) {
      case DecodeStatus::NeedMore:
        t_.call(Helper::fetch_fault, {t_.k64(missing)});
        t_.b.exit_loop();
        t_.ended = true;
        return false;
      case DecodeStatus::TooLong: t_.gp0(); return false;
      case DecodeStatus::Invalid: t_.ud(); return false;
      case DecodeStatus::Ok: break;
    }
    seen_[count_++] = {pc_, flag_use(in_)};
    t_.follow = false;
    kHandlers[static_cast<size_t>(in_.mnemonic)](t_, in_);
    if (t_.ended) return false;
    pc_ = t_.follow ? t_.follow_pc : t_.next_pc();
    if (in_.mnemonic == Mnemonic::JCC && ++branches_ == kMaxBranches) return stop();
    if (after_sti) {
      t_.end_after_next = false;
      t_.end_direct(pc_);
      return false;
    }
    if (rq_.limits.icount && looks_outside(in_.mnemonic)) return stop();
    return true;
  }

  void begin_instruction() {
    if (count_ == 0) {
      if (rq_.mode & kModeShadow) t_.b.set_reg(kRegShadow, t_.imm(Type::I8, 0));
      if (rq_.mode & kModeX87Step) t_.b.set_reg(kRegX87Step, t_.imm(Type::I8, 0));
      if (rq_.mode & kModeIobp) t_.call(Helper::insn_breakpoint, {t_.k64(linear(pc_))});
    }
    if (rq_.mode & kModeFlatCode) return;
    const u64 last = pc_ + (in_.length ? in_.length - 1 : 0);
    if (count_ == 0 || (last ^ rq_.pc) >> 16) t_.call(Helper::fetch_limit, {t_.k64(pc_), t_.k32(in_.length)});
  }

  // Are the flags overwritten at an exit's target before anything can see them?
  void mark_dead_flags() {
    if (!(rq_.mode & kModeFlatCode)) return;  // each region begins with a check of CS's limit
    for (ir::Op& op : r_.ops) {
      if (op.code != Opcode::exit_cc && op.code != Opcode::exit_if && op.code != Opcode::exit_direct) continue;
      u32 i = 0;
      while (i < count_ && seen_[i].pc != op.imm) i++;
      if (i < count_ ? flags_dead_from(i) : flags_dead_at(op.imm)) op.aux |= 2;
    }
  }
  bool flags_dead_from(u32 i) const {
    for (u32 k = 0; k < kLookAhead && i < count_; k++, i++) {
      if (seen_[i].use == FlagUse::Kill) return true;
      if (seen_[i].use == FlagUse::Stop) return false;
    }
    return false;
  }
  // The target is not in this region. What is looked at there becomes one of the things that the region depends on.
  bool flags_dead_at(u64 pc) {
    if (max_ <= kLookAhead) return false;  // the region there may end before it overwrites them
    const size_t first = r_.looked_at.size();
    for (u32 k = 0; k < kLookAhead && t_.same_page(pc); k++) {
      u8 bytes[16];
      const u64 at = linear(pc);
      const size_t room = std::min<size_t>(mem::kPageSize - (at & (mem::kPageSize - 1)), 15);
      if (decoder_.decode(bytes, rq_.code->fetch(at, bytes, room), pc, rq_.mode, in_) != DecodeStatus::Ok) break;
      const FlagUse use = flag_use(in_);
      if (use == FlagUse::Stop) break;
      if (r_.looked_at.size() > first && r_.looked_at.back().pc + r_.looked_at.back().bytes == pc)
        r_.looked_at.back().bytes += in_.length;
      else
        r_.looked_at.push_back({pc, in_.length});
      if (use == FlagUse::Kill) return true;
      pc = in_.mnemonic == Mnemonic::JMP ? in_.target : pc + in_.length;
    }
    r_.looked_at.resize(first);
    return false;
  }

  struct Seen {
    u64 pc;
    FlagUse use;
  };
  const guest::TranslateRequest& rq_;
  const Decoder& decoder_;
  ir::Region& r_;
  Translator t_;
  Insn in_;
  u64 pc_ = 0;
  u32 max_ = 1;
  u32 count_ = 0;
  u32 branches_ = 0;  // conditional ones
  Seen seen_[kMaxTrace];
};

class X86Frontend final : public guest::Frontend {
 public:
  explicit X86Frontend(const CpuModel& model) : model_(model), decoder_(model) {}

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
  size_t disassemble(const u8* bytes, size_t size, u64 pc, u64 mode, std::string& text) const override {
    return x86::disassemble(bytes, size, pc, mode, text);
  }

 private:
  const CpuModel& model_;
  const Decoder decoder_;
};

}  // namespace

std::unique_ptr<guest::Frontend> make_frontend(const CpuModel& model) { return std::make_unique<X86Frontend>(model); }

}  // namespace doppel::x86
