// The text form of what the translator makes of random code, in every mode, before and after the optimiser: read again,
// it prints the same and the verifier takes it.
#include <gtest/gtest.h>

#include <random>

#include "guest/x86/simd_translate.h"
#include "guest/x86/translate/frontend.h"
#include "ir/opt/pipeline.h"
#include "ir/parse.h"

namespace doppel::x86::test {
namespace {

struct RandomCode final : guest::CodeReader {
  explicit RandomCode(u64 seed) : random(seed) {}
  std::mt19937_64 random;
  u8 bytes[512] = {};
  // Random bytes, but for those that are likely to end a region early: far transfers and invalid opcodes in some modes.
  void refill() {
    for (u8& b : bytes) {
      do {
        b = static_cast<u8>(random());
      } while (b == 0x9a || b == 0xea || (b >= 0xc8 && b <= 0xcf) || b == 0xf4);
    }
  }
  size_t fetch(u64 va, u8* out, size_t size) override {
    for (size_t i = 0; i < size; i++) out[i] = bytes[(va + i) % sizeof bytes];
    return size;
  }
};

void round_trip(const ir::Region& r, const guest::Frontend& frontend) {
  const std::string text = ir::dump(r);
  auto again = ir::parse(text, frontend.layout(), frontend.helpers());
  ASSERT_TRUE(again) << again.error().text() << "\n" << text;
  ASSERT_EQ(ir::dump(*again), text);
  ASSERT_EQ(ir::verify(*again), "") << text;
}

TEST(IrText, RandomCode) {
  const CpuModel model = model_with_everything();
  const auto frontend = make_frontend(model);
  RandomCode code(1);
  size_t instructions = 0, recipes = 0;
  for (int i = 0; i < 3000; i++) {
    code.refill();
    guest::TranslateRequest request;
    request.pc = code.random() & 0xfff;
    request.mode = code.random() & ((u64{1} << 31) - 1) & ~u64{kModeTf | kModeShadow | kModeIobp};
    request.code = &code;
    request.limits.max_insns = 64;
    ir::Region region;
    region.pc = request.pc;
    region.mode = request.mode;
    region.layout = &frontend->layout();
    region.helpers = &frontend->helpers();
    frontend->translate(request, region);
    round_trip(region, *frontend);
    if (HasFatalFailure()) return;
    ir::run_pipeline(region, {});
    round_trip(region, *frontend);
    if (HasFatalFailure()) return;
    instructions += region.insn_count;
    recipes += region.recipes.size();
  }
  EXPECT_GT(instructions, 6000u);
  EXPECT_GT(recipes, 100u);
}

}  // namespace
}  // namespace doppel::x86::test
