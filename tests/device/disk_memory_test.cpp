// The memory of a disk's transfers: in place, through a buffer, and what is told of it.
#include "hw/block/disk_memory.h"

#include <gtest/gtest.h>

#include "device/fake_machine.h"

namespace doppel::hw::test {
namespace {

using enum DiskMemory::Direction;

std::vector<u8> pattern(size_t size) {
  std::vector<u8> out(size);
  for (size_t i = 0; i < size; i++) out[i] = static_cast<u8>(i * 13 + 1);
  return out;
}

TEST(DiskMemory, RamIsUsedInPlaceAndToldOf) {
  FakeMemory m(1 << 20);
  const auto data = pattern(3000);
  DiskMemory memory(m, {{0x1000, 1000}, {0x13e8, 24}, {0x9000, 1976}}, ToGuest);
  ASSERT_EQ(memory.size(), 3000u);
  ASSERT_EQ(memory.pieces().size(), 2u);  // the first two are neighbours
  block::copy_in(memory.pieces(), data);
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + 1024, m.bytes.begin() + 0x1000));
  EXPECT_TRUE(std::equal(data.begin() + 1024, data.end(), m.bytes.begin() + 0x9000));
  EXPECT_EQ(m.told, 0u);
  EXPECT_TRUE(memory.deliver());
  EXPECT_EQ(m.told, 3000u);
  EXPECT_EQ(m.wrong_tells, 0u);
}

TEST(DiskMemory, ARequestThatNobodyWaitsForIsToldOfToo) {
  FakeMemory m(1 << 20);
  { const DiskMemory memory(m, {{0x1000, 512}}, ToGuest); }
  EXPECT_EQ(m.told, 512u);
  { const DiskMemory memory(m, {{0x1000, 512}}, FromGuest); }
  EXPECT_EQ(m.told, 512u);
}

TEST(DiskMemory, OtherMemoryGoesThroughABuffer) {
  FakeMemory m(1 << 20);
  m.without_map = true;
  const auto data = pattern(2000);
  DiskMemory in(m, {{0x1000, 1500}, {0x8000, 500}}, ToGuest);
  ASSERT_EQ(in.pieces().size(), 1u);
  block::copy_in(in.pieces(), data);
  EXPECT_EQ(m.bytes[0x1000], 0);
  EXPECT_TRUE(in.deliver());
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + 1500, m.bytes.begin() + 0x1000));
  DiskMemory out(m, {{0x1000, 1500}, {0x8000, 500}}, FromGuest);
  EXPECT_TRUE(out.good());
  std::vector<u8> copy(2000);
  block::copy_out(out.pieces(), copy);
  EXPECT_EQ(copy, data);
  EXPECT_EQ(m.told, 0u);
}

TEST(DiskMemory, WhatIsNotMemorySaysSo) {
  FakeMemory m(1 << 20);
  EXPECT_FALSE(DiskMemory(m, {{0x1000, 512}, {~u64{0} - 100, 512}}, FromGuest).good());
  DiskMemory in(m, {{0x1000, 512}, {m.bytes.size() - 100, 512}}, ToGuest);
  in.clear();
  EXPECT_FALSE(in.deliver());
}

}  // namespace
}  // namespace doppel::hw::test
