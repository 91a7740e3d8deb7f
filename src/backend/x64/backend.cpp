// The x86-64 JIT backend: host features, installation, linking, entry. Code and thunks lie in one cache, so that all
// jumps between them are 32-bit displacements.
#include <capstone/capstone.h>
#include <xbyak/xbyak_util.h>

#include <cstdio>

#include "backend/x64/emitter.h"
#include "base/hash64.h"

namespace doppel::backend::x64 {
namespace {

// Flags of a shift as this CPU makes them, in FLAGS form without AF.
template <typename T>
u16 host_shift_flags(int kind, T value, u8 count) {
  u16 out;
  T v = value;
  switch (kind) {
    case 0: asm volatile("shl %%cl, %0\n\tlahf\n\tseto %%al" : "+r"(v), "=&a"(out) : "c"(count) : "cc"); break;
    case 1: asm volatile("shr %%cl, %0\n\tlahf\n\tseto %%al" : "+r"(v), "=&a"(out) : "c"(count) : "cc"); break;
    default: asm volatile("sar %%cl, %0\n\tlahf\n\tseto %%al" : "+r"(v), "=&a"(out) : "c"(count) : "cc"); break;
  }
  return out & static_cast<u16>(~ir::kFlagA);
}

template <typename T>
u16 defined_shift_flags(int kind, T value, unsigned n) {
  constexpr unsigned bits = sizeof(T) * 8;
  const bool sign = (value >> (bits - 1)) & 1;
  T r;
  bool carry, over;
  if (kind == 0) {
    r = n >= bits ? T{0} : static_cast<T>(value << n);
    carry = n <= bits && ((value >> (bits - n)) & 1);
    over = carry != (((r >> (bits - 1)) & 1) != 0);
  } else if (kind == 1) {
    r = n >= bits ? T{0} : static_cast<T>(value >> n);
    carry = n <= bits && ((value >> (n - 1)) & 1);
    over = n == 1 && sign;
  } else {
    const s64 wide = static_cast<s64>(sign_extend(value, bits));
    r = static_cast<T>(wide >> (n >= bits ? bits - 1 : n));
    carry = n >= bits ? sign : ((value >> (n - 1)) & 1) != 0;
    over = false;
  }
  u32 e = (carry ? 1u : 0u) | (over ? 1u << 11 : 0u) | (r == 0 ? 1u << 6 : 0u);
  if ((r >> (bits - 1)) & 1) e |= 1u << 7;
  if (std::popcount(static_cast<u8>(r)) % 2 == 0) e |= 1u << 2;
  return ir::eflags_to_flags(e);
}

template <typename T>
bool shifts_as_defined() {
  for (u64 v : {u64{0}, u64{1}, ~u64{0}, u64{0x8080808080808080}, u64{0x7f3f1f0f55aa33cc}, u64{0x4000400040004041},
                u64{0xc001c001c001c081}}) {
    for (unsigned n = 1; n < (sizeof(T) == 8 ? 64 : 32); n++) {
      for (int kind = 0; kind < 3; kind++) {
        const T t = static_cast<T>(v);
        if (host_shift_flags<T>(kind, t, static_cast<u8>(n)) != defined_shift_flags<T>(kind, t, n)) return false;
      }
    }
  }
  return true;
}

class X64Backend final : public Backend {
 public:
  explicit X64Backend(const BackendConfig& config, const HostFeatures& host)
      : host_(host),
        layout_(*config.layout),
        helpers_(config.helpers),
        area_(config.thunk_area),
        pins_(*config.layout, config.max_pinned),
        thunks_(make_thunks(config, pins_)),
        emitter_(config, host_, pins_, thunks_) {}

  std::string name() const override { return "x64"; }
  const Emitted& emit(const ir::Region& region, const EmitConfig& config) override {
    return emitter_.emit(region, config);
  }

  void install(std::span<const u8> code, std::span<const Emitted::Reloc> relocs, CodeBlock& block) override {
    using Kind = Emitted::RelocKind;
    std::memcpy(block.code, code.data(), block.hot_size);
    std::memcpy(block.cold, code.data() + block.hot_size, code.size() - block.hot_size);
    for (const Emitted::Reloc& r : relocs) {
      u8* const at = block.at(r.at);
      switch (r.kind) {
        case Kind::Thunk: patch(at, area_ + r.to); break;
        case Kind::Part: patch(at, block.at(r.to)); break;
        case Kind::Link: store_le<u64>(at, reinterpret_cast<u64>(&block.links[r.to])); break;
        case Kind::HelperLow: store_le<u32>(at, static_cast<u32>(helper_address(r.to))); break;
        case Kind::HelperHigh: store_le<u32>(at, static_cast<u32>(helper_address(r.to) >> 32)); break;
      }
    }
  }
  // The host's features choose instructions, the registers that are pinned are operands, thunks are called by offset.
  u64 code_identity() const override {
    const auto bytes = [](const auto& v) { return std::span(reinterpret_cast<const u8*>(&v), sizeof v); };
    u64 h = hash64(bytes(host_), thunks_.used);
    h = hash64(bytes(pins_.row_of_host), h);
    const u64 thunks[] = {offset(thunks_.lookup_rax), offset(thunks_.probe_jump_cache), offset(thunks_.slow[0]),
                          thunks_.helper.size(), thunks_.helper.empty() ? 0 : offset(thunks_.helper.back())};
    return hash64(bytes(thunks), h) | 1;
  }
  // Only the vCPU that owns the code runs it, and not now: plain stores do.
  void link(LinkSlot& slot, CodeBlock& to) override { patch(slot, to.code + slot.skip); }
  void unlink(LinkSlot& slot) override { patch(slot, slot.from->at(slot.stub)); }
  void link_by_jump_cache(LinkSlot& slot) override { patch(slot.from->at(slot.leave), thunks_.probe_jump_cache); }

  ExitReason enter(mem::VcpuHeader& cpu, CodeBlock& block) override {
    using Enter = u32 (*)(mem::VcpuHeader*, const u8*);
    // SAFETY: code made by this backend for this layout; the thunk keeps the C++ ABI.
    const u32 reason = reinterpret_cast<Enter>(reinterpret_cast<u64>(thunks_.enter))(&cpu, block.code);
    cpu.entry_sp = 0;
    return static_cast<ExitReason>(reason);
  }

  std::string disassemble(const u8* code, size_t size, u64 address) const override {
    csh handle;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return "(no disassembler)\n";
    std::string text;
    char line[240];
    cs_insn* insn = cs_malloc(handle);
    const u8* p = code;
    size_t left = size;
    u64 at = address;
    while (left > 0) {
      if (cs_disasm_iter(handle, &p, &left, &at, insn)) {
        std::snprintf(line, sizeof line, "%012llx:  %s %s\n", static_cast<unsigned long long>(insn->address),
                      insn->mnemonic, insn->op_str);
      } else {
        std::snprintf(line, sizeof line, "%012llx:  .byte 0x%02x\n", static_cast<unsigned long long>(at), *p);
        p++;
        at++;
        left--;
      }
      text += line;
    }
    cs_free(insn, 1);
    cs_close(&handle);
    return text;
  }

  std::string describe() const override {
    static constexpr const char* kNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                               "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    std::string s = "x64, pinned";
    for (int i = 0; i < pins_.count; i++) {
      const int r = kPinHosts[i];
      s += std::string(" ") + layout_.rows[pins_.row_of_host[r]].name + "=" + kNames[r];
    }
    return pins_.count ? s : s + " none";
  }

  const u8* return_address(const mem::VcpuHeader& cpu) const override {
    if (cpu.entry_sp == 0) return nullptr;
    return *reinterpret_cast<const u8* const*>(cpu.entry_sp -
                                               8);  // SAFETY: generated code's frame, while a helper runs
  }
  CodeBlock* current_block(const mem::VcpuHeader&, u64&, u32&) const override { return nullptr; }

 private:
  u64 offset(const u8* thunk) const { return static_cast<u64>(thunk - area_); }
  u64 helper_address(u32 number) const { return reinterpret_cast<u64>(helpers_->rows[number].fn); }
  static void patch(u8* at, const u8* to) { store_le<u32>(at, static_cast<u32>(to - (at + 4))); }
  static void patch(LinkSlot& slot, const u8* to) { patch(slot.from->at(slot.patch), to); }

  const HostFeatures host_;
  const ir::StateLayout& layout_;
  const ir::HelperTable* helpers_;
  const u8* area_;
  const PinMap pins_;
  const Thunks thunks_;
  Emitter emitter_;
};

}  // namespace

const HostFeatures& HostFeatures::detect() {
  static const HostFeatures features = [] {
    const Xbyak::util::Cpu cpu;
    using C = Xbyak::util::Cpu;
    HostFeatures f;
    f.sse3 = cpu.has(C::tSSE3);
    f.ssse3 = cpu.has(C::tSSSE3);
    f.sse41 = cpu.has(C::tSSE41);
    f.sse42 = cpu.has(C::tSSE42);
    f.avx = cpu.has(C::tAVX);
    f.bmi1 = cpu.has(C::tBMI1);
    f.bmi2 = cpu.has(C::tBMI2);
    f.lzcnt = cpu.has(C::tLZCNT);
    f.popcnt = cpu.has(C::tPOPCNT);
    f.shift_flags =
        shifts_as_defined<u8>() && shifts_as_defined<u16>() && shifts_as_defined<u32>() && shifts_as_defined<u64>();
    return f;
  }();
  return features;
}

std::unique_ptr<Backend> make_backend(const BackendConfig& config, const HostFeatures& host) {
  return std::make_unique<X64Backend>(config, host);
}

}  // namespace doppel::backend::x64

namespace doppel::backend {
std::unique_ptr<Backend> make_x64_backend(const BackendConfig& config) {
  return x64::make_backend(config, x64::HostFeatures::detect());
}
}  // namespace doppel::backend
