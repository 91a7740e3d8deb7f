// CfiFlash through its window: the query table, erasing and programming, errors, both byte orders, state; and the
// memory modules' EEPROMs.
#include <gtest/gtest.h>

#include <numeric>

#include "device/pc_fixture.h"
#include "hw/block/cfi_flash.h"
#include "hw/misc/smbus_eeprom.h"

namespace doppel::hw {
namespace {

using test::clone_state;

constexpr u64 kBlock = CfiFlash::kBlockBytes;

class Flash : public testing::TestWithParam<bool> {
 protected:
  Flash() : array(CfiFlash::kBytes, 0xff), flash(params()) { flash.reset(); }
  CfiFlash::Params params() {
    return {.array = {array.data(), array.size()}, .big_endian = GetParam(), .on_change = [this](u64 at, u64 size) {
              changes.emplace_back(at, size);
              return keeps;
            }};
  }
  // As the CPU sees them.
  u32 ordered(u32 v, unsigned size) const { return GetParam() ? __builtin_bswap32(v) >> (32 - 8 * size) : v; }
  void put(u64 at, u32 v, unsigned size = 4) { flash.write(at, ordered(v, size), size); }
  u32 get(u64 at, unsigned size = 4) { return ordered(static_cast<u32>(flash.read(at, size)), size); }
  u32 status() {
    put(0, 0x70);
    return get(0);
  }
  std::vector<u8> array;
  std::vector<std::pair<u64, u64>> changes;
  bool keeps = true;
  CfiFlash flash;
};
INSTANTIATE_TEST_SUITE_P(Orders, Flash, testing::Bool());

TEST_P(Flash, QueryAndId) {
  put(0x55 * 4, 0x98);
  EXPECT_EQ(get(0x10 * 4), u32{'Q'});
  EXPECT_EQ(get(0x11 * 4, 2), u32{'R'});
  EXPECT_EQ(get(0x12 * 4, 1), u32{'Y'});
  EXPECT_EQ(u64{1} << get(0x27 * 4), CfiFlash::kBytes);
  EXPECT_EQ((get(0x2d * 4) + 1) * u64{get(0x30 * 4) << 8 | get(0x2f * 4)} * 256, CfiFlash::kBytes);
  put(0, 0x90);
  EXPECT_EQ(get(0), 0x89u);
  put(0, 0xff);
  EXPECT_EQ(get(0), 0xffffffffu);
}

TEST_P(Flash, ErasesAndPrograms) {
  put(kBlock + 8, 0x40);
  put(kBlock + 8, 0x12345678);
  EXPECT_EQ(status(), 0x80u);
  EXPECT_EQ(changes.back(), (std::pair<u64, u64>(kBlock + 8, 4)));
  put(kBlock + 8, 0x40, 2);
  put(kBlock + 8, 0xff00, 2);  // bits only go to 0
  put(0, 0xff);
  EXPECT_EQ(get(kBlock + 8, 2), GetParam() ? 0x1200u : 0x5600u);
  put(kBlock, 0x20);
  put(kBlock, 0xd0);
  EXPECT_EQ(status(), 0x80u);
  EXPECT_EQ(changes.back(), (std::pair<u64, u64>(kBlock, kBlock)));
  put(0, 0xff);
  EXPECT_EQ(get(kBlock + 8), 0xffffffffu);
}

TEST_P(Flash, WritesTheBuffer) {
  put(0, 0xe8);
  EXPECT_EQ(get(0), 0x80u);
  put(0, 3);
  for (u32 i = 0; i < 4; i++) put(i * 4, i + 1);
  EXPECT_TRUE(changes.empty());
  put(0, 0xd0);
  EXPECT_EQ(status(), 0x80u);
  put(0, 0xff);
  for (u32 i = 0; i < 4; i++) EXPECT_EQ(get(i * 4), i + 1);
}

TEST_P(Flash, Errors) {
  put(0, 0xe8), put(0, 0), put(kBlock, 1);  // into another block
  EXPECT_EQ(status(), 0xb0u);
  put(0, 0x50);
  EXPECT_EQ(status(), 0x80u);
  put(0, 0x20), put(0, 0x12);  // not confirmed
  EXPECT_EQ(status(), 0xb0u);
  put(0, 0x50), put(kBlock, 0x60), put(kBlock, 1);  // locked
  put(kBlock, 0x20), put(kBlock, 0xd0);
  EXPECT_EQ(status(), 0xa2u);
  put(0, 0x50), put(0, 0x60), put(0, 0xd0);
  put(kBlock, 0x20), put(kBlock, 0xd0);
  EXPECT_EQ(status(), 0x80u);
  keeps = false;
  put(0, 0x40), put(0, 0);
  EXPECT_EQ(status(), 0x90u);
}

TEST_P(Flash, StateGoesOn) {
  put(4, 0x40), put(4, 0xcafe);
  put(0, 0xe8), put(0, 1), put(8, 0x1111);
  std::vector<u8> other(CfiFlash::kBytes, 0);
  std::vector<std::pair<u64, u64>> told;
  CfiFlash second({.array = {other.data(), other.size()}, .big_endian = GetParam(), .on_change = [&](u64 at, u64 size) {
                     told.emplace_back(at, size);
                     return true;
                   }});
  clone_state(flash, second);
  EXPECT_EQ(other, array);
  EXPECT_EQ(told.size(), CfiFlash::kBlocks);
  second.write(12, ordered(0x2222, 4), 4);
  second.write(0, ordered(0xd0, 4), 4);
  second.write(0, ordered(0xff, 4), 4);
  EXPECT_EQ(ordered(static_cast<u32>(second.read(12, 4)), 4), 0x2222u);
}

// Rows, columns, banks and ranks multiply to the module's size; the first 63 bytes have their sum.
TEST(Spd, DescribesTheModule) {
  for (u64 bytes = kSpdSmallest; bytes <= kSpdLargest; bytes *= 2) {
    const SpdData d = sdram_spd(bytes);
    EXPECT_EQ((u64{8} << (d[3] + d[4])) * d[17] * d[5], bytes);
    EXPECT_EQ(u64{d[31]} * (4 << 20) * d[5], bytes);
    EXPECT_EQ(static_cast<u8>(std::accumulate(d.begin(), d.begin() + 63, 0)), d[63]);
  }
}

}  // namespace
}  // namespace doppel::hw
