// The form of saved states: what is written is read again; what is damaged or cut anywhere is refused.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "base/hash64.h"
#include "mem/address_space.h"
#include "migration/facts.h"
#include "migration/ram.h"

namespace doppel::migration {
namespace {

class InMemory final : public Medium {
 public:
  std::vector<u8> bytes;
  int write(u64 offset, std::span<const u8> data) override {
    if (bytes.size() < offset + data.size()) bytes.resize(offset + data.size());
    std::copy(data.begin(), data.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    return 0;
  }
  int read(u64 offset, std::span<u8> data) override {
    if (offset > bytes.size() || data.size() > bytes.size() - offset) return ENODATA;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), data.size(), data.begin());
    return 0;
  }
  std::string name() const override { return "a test"; }
};

u64 hash_of(const char* text) {
  return hash64({reinterpret_cast<const u8*>(text), std::strlen(text)});  // SAFETY: characters as bytes
}

// The values are those of the reference implementation.
TEST(Hash64, KnownValues) {
  EXPECT_EQ(hash_of(""), 0xef46db3751d8e999u);
  EXPECT_EQ(hash_of("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(hash_of("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(hash_of("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

struct Rig {
  mem::AddressSpace memory;
  mem::RamBlock* ram = nullptr;
  explicit Rig(u64 size) { ram = *memory.create_ram("ram", size); }
};

void scatter(mem::RamBlock& ram, u64 seed) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200; i++) ram.host[random() % ram.size] = static_cast<u8>(random() | 1);
  ram.host[ram.size - 1] = 7;
}

InMemory sample(const mem::RamBlock& ram) {
  InMemory medium;
  StateWriter out(medium);
  const std::vector<u8> text(5000, 'x'), noise = {1, 2, 3};
  EXPECT_TRUE(out.begin());
  EXPECT_TRUE(out.add(pack(Block::Facts, 0, text)));
  EXPECT_TRUE(out.add(pack(Block::Devices, 0, noise)));
  EXPECT_TRUE(save_ram(ram, out));
  EXPECT_TRUE(out.end());
  EXPECT_EQ(out.bytes(), medium.bytes.size());
  return medium;
}

Status load(InMemory& medium, mem::RamBlock& ram) {
  StateReader reader(medium);
  if (Status s = reader.verify(); !s) return s;
  RamLoader loader(ram);
  return reader.for_each([&](const PackedBlock& b) { return b.kind == Block::Ram ? loader.add(b) : success(); });
}

TEST(StateStream, RamComesBack) {
  constexpr u64 kSize = (u64{5} << 20) + 0x3000;
  Rig a(kSize), b(kSize);
  scatter(*a.ram, 1);
  scatter(*b.ram, 2);  // is cleared first
  InMemory medium = sample(*a.ram);
  ASSERT_TRUE(load(medium, *b.ram));
  EXPECT_EQ(std::memcmp(a.ram->host, b.ram->host, kSize), 0);
}

TEST(StateStream, WhatIsNotTheMachinesIsRefused) {
  Rig a(u64{4} << 20), smaller(u64{2} << 20);
  scatter(*a.ram, 1);
  InMemory medium = sample(*a.ram);
  EXPECT_FALSE(load(medium, *smaller.ram));
}

TEST(StateStream, EveryCutIsRefused) {
  Rig a(u64{1} << 20);
  scatter(*a.ram, 3);
  const InMemory good = sample(*a.ram);
  for (size_t length = 0; length < good.bytes.size(); length += 1 + length / 50) {
    InMemory cut;
    cut.bytes.assign(good.bytes.begin(), good.bytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(StateReader(cut).verify()) << length;
  }
}

TEST(StateStream, EveryDamageIsRefused) {
  Rig a(u64{1} << 20);
  scatter(*a.ram, 4);
  const InMemory good = sample(*a.ram);
  std::mt19937_64 random(5);
  for (int round = 0; round < 3000; round++) {
    InMemory bad = good;
    const size_t at = round < 200 ? static_cast<size_t>(round) : random() % bad.bytes.size();
    if (at >= 12 && at < 16) continue;  // reserved, not looked at
    bad.bytes[at] ^= static_cast<u8>(1u << random() % 8);
    EXPECT_FALSE(StateReader(bad).verify()) << at;
  }
}

// The blocks of one state in another order, or one of them left out.
TEST(StateStream, MissingBlocksAreNoticed) {
  Rig a(u64{1} << 20);
  InMemory one, two;
  const std::vector<u8> data(100, 9);
  for (InMemory* m : {&one, &two}) {
    StateWriter out(*m);
    EXPECT_TRUE(out.begin());
    EXPECT_TRUE(out.add(pack(Block::Devices, 0, data)));
    if (m == &one) EXPECT_TRUE(out.add(pack(Block::Devices, 1, data)));
    EXPECT_TRUE(out.end());
  }
  InMemory mixed = two;
  std::copy_n(one.bytes.end() - 40, 40, mixed.bytes.end() - 40);
  EXPECT_TRUE(StateReader(one).verify());
  EXPECT_TRUE(StateReader(two).verify());
  EXPECT_FALSE(StateReader(mixed).verify());
}

TEST(Facts, TextAndBack) {
  Facts f{.program = "p", .board = "b", .cpu_model = "c", .cpu_features = {"x", "y"}, .ram_bytes = 5, .cpus = 2};
  f.devices = {"a", "b"};
  f.pci = {{"01.0", "1:2"}};
  f.disks = {{"d", 77}};
  auto back = from_json(to_json(f));
  ASSERT_TRUE(back);
  EXPECT_TRUE(check_same(f, *back));
  EXPECT_EQ(to_json(f), to_json(*back));
  Facts more = f;
  more.devices.push_back("usb");
  EXPECT_NE(check_same(more, f).error().cause.find("usb"), std::string::npos);
  EXPECT_NE(check_same(f, more).error().cause.find("usb"), std::string::npos);
  more = f;
  more.disks["d"] = 78;
  EXPECT_FALSE(check_same(more, f));
}

TEST(Facts, AnyTextIsHarmless) {
  const std::string good = to_json({.program = "p", .devices = {"a"}, .pci = {{"01.0", "1:2"}}, .disks = {{"d", 7}}});
  std::mt19937_64 random(6);
  for (int round = 0; round < 3000; round++) {
    std::string bad = good;
    for (int i = 0; i < 3; i++) bad[random() % bad.size()] = static_cast<char>(random());
    (void)from_json(bad);
  }
  EXPECT_FALSE(from_json("[1]"));
  EXPECT_FALSE(from_json(""));
}

}  // namespace
}  // namespace doppel::migration
