// Differential tests of the x64 JIT against the interpreter, driven by ops.def: every op alone on edge and random
// operands, then random regions that mix everything, for several numbers of pinned registers and host feature levels.
#include "ir/random_region.h"
#include "ir/x64_fixture.h"

namespace doppel::ir::test {
namespace {

void every_op(X64Jit& jit, u64 seed, int rounds) {
  Generator g(seed);
  const std::vector<u8> bytes = random_bytes(g);
  for (int i = 0; i < rounds; i++) {
    for (const Row& row : rows()) {
      const Region r = g.single(row);
      TestState s;
      g.state(s);
      if (!same(jit, r, s, bytes)) {
        ADD_FAILURE() << "seed " << seed << " op " << info(row.code).name;
        return;
      }
    }
  }
}
void random_regions(X64Jit& jit, u64 seed, int count, bool optimise, bool vectors = true) {
  for (int i = 0; i < count; i++) {
    Generator g(seed * 1000003 + static_cast<u64>(i));
    Region r = g.region(10 + static_cast<unsigned>(g.below(120)), vectors);
    const std::vector<u8> bytes = random_bytes(g);
    jit.slow_always = g.chance(30);
    if (optimise) run_pipeline(r, {});
    TestState s;
    g.state(s);
    if (!same(jit, r, s, bytes)) {
      ADD_FAILURE() << "seed " << seed << " region " << i;
      return;
    }
  }
}
// DOPPEL_FUZZ_SCALE times as many; ./test --full: twenty times.
int scale() {
  const char* text = std::getenv("DOPPEL_FUZZ_SCALE");
  const char* full = std::getenv("DOPPEL_TEST_FULL");
  return text ? std::atoi(text) : full && *full ? 20 : 1;
}

TEST(X64Ops, Pinned) {
  X64Jit jit;
  every_op(jit, 1, 12 * scale());
}
TEST(X64Ops, NotPinned) {
  X64Jit jit(0);
  every_op(jit, 2, 6 * scale());
}
TEST(X64Ops, BaselineHost) {
  X64Jit jit(-1, HostFeatures::baseline());
  every_op(jit, 3, 10 * scale());
}
TEST(X64Regions, Pinned) {
  X64Jit jit;
  random_regions(jit, 1, 1500 * scale(), false);
}
TEST(X64Regions, Optimised) {
  X64Jit jit;
  random_regions(jit, 2, 1000 * scale(), true);
}
TEST(X64Regions, NotPinned) {
  X64Jit jit(0);
  random_regions(jit, 3, 700 * scale(), false);
}
TEST(X64Regions, ThreePinned) {
  X64Jit jit(3);
  random_regions(jit, 4, 500 * scale(), true);
}
TEST(X64Regions, BaselineHost) {
  X64Jit jit(-1, HostFeatures::baseline());
  random_regions(jit, 5, 700 * scale(), false);
}
TEST(X64Regions, Integer) {
  X64Jit jit;
  random_regions(jit, 6, 1000 * scale(), false, false);
}

}  // namespace
}  // namespace doppel::ir::test
