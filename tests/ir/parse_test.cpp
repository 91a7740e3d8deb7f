// Text of a region, read again, is the same region; and what is wrong with a text is said by line.
#include "ir/parse.h"

#include "ir/random_region.h"

namespace doppel::ir::test {
namespace {

Region again(const std::string& text) {
  auto r = parse(text, test_layout(), test_helpers());
  EXPECT_TRUE(r) << r.error().text() << "\n" << text;
  return r ? r.take() : new_region();
}

// The same text, the same verdict of the verifier, and the same state after a run.
void round_trip(const Region& r, Generator& g) {
  const std::string text = dump(r);
  const Region copy = again(text);
  ASSERT_EQ(dump(copy), text);
  ASSERT_EQ(copy.recipe_ops.size(), r.recipe_ops.size());
  ASSERT_EQ(copy.ops.size(), r.ops.size());
  ASSERT_EQ(verify(copy), "") << text;
  TestState start;
  g.state(start);
  TestState a, b;
  std::memcpy(static_cast<void*>(&a.r), &start.r, sizeof a - offsetof(TestState, r));
  std::memcpy(static_cast<void*>(&b.r), &start.r, sizeof b - offsetof(TestState, r));
  TestMemory m, n;
  m.bytes = n.bytes = random_bytes(g);
  const auto x = backend::interp::run_region(r, a.h, m, kHelperAll);
  const auto y = backend::interp::run_region(copy, b.h, n, kHelperAll);
  ASSERT_EQ(x.pc, y.pc) << text;
  ASSERT_EQ(x.end, y.end) << text;
  ASSERT_EQ(std::memcmp(&a.r, &b.r, sizeof a - offsetof(TestState, r)), 0) << text;
  ASSERT_EQ(m.bytes, n.bytes) << text;
}

TEST(Parse, EveryOp) {
  Generator g(11);
  for (int i = 0; i < 4; i++) {
    for (const Row& row : rows()) {
      round_trip(g.single(row), g);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Parse, RandomRegions) {
  size_t recipes = 0;
  for (u64 seed = 0; seed < 1500; seed++) {
    Generator g(seed);
    Region r = g.region(10 + static_cast<unsigned>(g.below(120)), seed % 2 != 0);
    if (seed % 3 != 0) run_pipeline(r, {});
    recipes += r.recipes.size();
    round_trip(r, g);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(recipes, 30u);  // or the form of recipes is not tested
}

TEST(Parse, EditedText) {
  const Region r = again(
      "IR:\n"
      "region pc 0x1000 mode 0x5: 1 instructions, 5 ops\n"
      "-- 0x1000 (3 bytes)\n"
      "  %10 = get_reg.i32 r0\n"
      "  %7 = konst.i32 16\n"
      "  %99 = add.i32 %10, %7\n"
      "  set_reg.i32 r1, %99\n"
      "  exit_direct -> 0x1003 same-page\n"
      "\n"
      "OPTIMISED IR:\n"
      "-- 0x2000 (1 bytes)\n");
  EXPECT_EQ(verify(r), "");
  EXPECT_EQ(dump(r),
            "region pc 0x1000 mode 0x5: 1 instructions, 6 ops\n"
            "-- 0x1000 (3 bytes)\n"
            "  %1 = get_reg.i32 r0\n"
            "  %2 = konst.i32 0x10\n"
            "  %3 = add.i32 %1, %2\n"
            "  set_reg.i32 r1, %3\n"
            "  exit_direct -> 0x1003 same-page\n");
}

TEST(Parse, Errors) {
  const auto wrong = [](const std::string& line) {
    const auto r =
        parse("-- 0x1000 (1 bytes)\n  %1 = konst.i32 0x1\n" + line + "\n  exit_loop\n", test_layout(), test_helpers());
    return r ? std::string("nothing") : r.error().text();
  };
  const auto says = [&](const std::string& line, const char* what) {
    EXPECT_NE(wrong(line).find("line 3: expected " + std::string(what)), std::string::npos) << wrong(line);
  };
  says("  %2 = addd.i32 %1, %1", "an op, not 'addd'");
  says("  %2 = add.i33 %1, %1", "a type");
  says("  %2 = add.i32 %1, %5", "a value made before, not %5");
  says("  set_reg.i32 r9, %1", "a guest register, not 'r9'");
  says("  %2 = cmp.i32 QQ %1, %1", "a condition");
  says("  %2 = load.i32 [%1 * 0x8]", "']'");
  says("  %2 = load.i32 [%1] align 3", "a power of two");
  says("  call nothing(%1)", "a helper, not 'nothing'");
  says("  %2 = vadd.v128 X %1, %1", "a lane");
  says("  exit_if %1 0x2000", "'->'");
  says("  %2 = not.i32 %1 %1", "the end of the line");
  says("  %2 = konst.i32 one", "a number");
  EXPECT_NE(wrong("  %2 = fence").find("makes no value"), std::string::npos);
  EXPECT_NE(parse("no region here\n", test_layout(), test_helpers()).error().text().find("no region"),
            std::string::npos);
  std::string many = "-- 0x1000 (1 bytes)\n";
  for (size_t i = 0; i < kMaxOps + 1; i++) many += "  fence\n";
  EXPECT_NE(parse(many, test_layout(), test_helpers()).error().text().find("at most"), std::string::npos);
}

// Any bytes: an error or a region, never more.
TEST(Parse, DamagedText) {
  for (u64 seed = 0; seed < 400; seed++) {
    Generator g(seed);
    std::string text = dump(g.region(40, true));
    for (unsigned n = 0; n < 3; n++) {
      const size_t at = g.below(text.size());
      if (g.chance(50))
        text[at] = static_cast<char>(g.next());
      else
        text.erase(at, 1 + g.below(20));
    }
    if (const auto r = parse(text, test_layout(), test_helpers())) static_cast<void>(verify(*r));
  }
}

}  // namespace
}  // namespace doppel::ir::test
