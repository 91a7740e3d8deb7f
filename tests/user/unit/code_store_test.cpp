// What a store gives back, and what of damaged files it refuses.
#include "exec/code_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace doppel::exec {
namespace {

namespace fs = std::filesystem;
using backend::Emitted;

struct Folder {
  fs::path path;
  Folder() {
    char name[] = "/tmp/doppel-store.XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file() const { return path / "store"; }
};

const std::vector<CodeRange> kExtents = {{0x1000, 0x1002}, {0x1ffe, 0x2001}};
const std::vector<u8> kGuest = {1, 2, 3, 4, 5, 6, 7};
const std::vector<Emitted::Reloc> kRelocs = {{1, Emitted::RelocKind::Thunk, 64}, {9, Emitted::RelocKind::Link, 0}};
const std::vector<StoredRegion::Link> kLinks = {{0x2002, 5, 6, 7, 1, 2, 1}};
const std::vector<backend::PcMapRow> kPcMap = {{4, 1, 0x1002}};

StoredRegion region(std::span<const u8> code) {
  StoredRegion r;
  r.guest_bytes = 7;
  r.insn_count = 3;
  r.extents = kExtents;
  r.guest_code = kGuest;
  r.code = code;
  r.relocs = kRelocs;
  r.links = kLinks;
  r.pc_map = kPcMap;
  return r;
}
const auto kAny = [](const StoredRegion&) { return true; };

// A store of `count` regions at pc 0, 16, ..., the code of each one being its number thrice.
void make(const std::string& file, u64 identity, u8 count) {
  CodeStore store(file);
  ASSERT_TRUE(store.open(identity));
  for (u8 i = 0; i < count; i++) {
    const u8 code[] = {i, i, i};
    store.add(16 * i, 1, 0, region(code));
  }
  ASSERT_TRUE(store.save(1));
}

TEST(CodeStore, GivesBackWhatWasAdded) {
  Folder f;
  make(f.file(), 5, 100);
  CodeStore store(f.file());
  ASSERT_TRUE(store.open(5));
  EXPECT_EQ(store.known(), 100u);
  for (u8 i = 0; i < 100; i++) {
    StoredRegion r;
    ASSERT_TRUE(store.find(16 * i, 1, 0, r, kAny)) << int{i};
    EXPECT_EQ(std::vector<u8>(r.code.begin(), r.code.end()), std::vector<u8>({i, i, i}));
    EXPECT_EQ(std::vector<u8>(r.guest_code.begin(), r.guest_code.end()), kGuest);
    ASSERT_EQ(r.extents.size(), 2u);
    EXPECT_EQ(r.extents[1].last, 0x2001u);
    ASSERT_EQ(r.relocs.size(), 2u);
    EXPECT_EQ(r.relocs[0].to, 64u);
    ASSERT_EQ(r.links.size(), 1u);
    EXPECT_EQ(r.links[0].pc, 0x2002u);
    ASSERT_EQ(r.pc_map.size(), 1u);
    EXPECT_EQ(r.insn_count, 3u);
  }
  StoredRegion r;
  EXPECT_FALSE(store.find(8, 1, 0, r, kAny));
  EXPECT_FALSE(store.find(16, 2, 0, r, kAny));
  EXPECT_FALSE(store.find(16, 1, 1, r, kAny));
  EXPECT_FALSE(store.find(16, 1, 0, r, [](const StoredRegion&) { return false; }));
}

// Code under one key that was another each time: the one that fits is found.
TEST(CodeStore, KeepsSeveralUnderAKey) {
  Folder f;
  {
    CodeStore store(f.file());
    ASSERT_TRUE(store.open(5));
    for (u8 i = 0; i < 4; i++) {
      const u8 code[] = {i};
      store.add(0, 0, 0, region(code));
    }
    ASSERT_TRUE(store.save(1));
  }
  CodeStore store(f.file());
  ASSERT_TRUE(store.open(5));
  EXPECT_EQ(store.known(), 4u);
  StoredRegion r;
  EXPECT_TRUE(store.find(0, 0, 0, r, [](const StoredRegion& s) { return s.code[0] == 3; }));
  EXPECT_EQ(r.code[0], 3);
}

TEST(CodeStore, TwoProcessesAddToTheSameFile) {
  Folder f;
  CodeStore a(f.file()), b(f.file());
  ASSERT_TRUE(a.open(5) && b.open(5));
  const u8 one[] = {1}, two[] = {2}, both[] = {3};
  a.add(16, 0, 0, region(one));
  a.add(48, 0, 0, region(both));
  b.add(32, 0, 0, region(two));
  b.add(48, 0, 0, region(both));
  ASSERT_TRUE(a.save(1) && b.save(1));
  CodeStore c(f.file());
  ASSERT_TRUE(c.open(5));
  EXPECT_EQ(c.known(), 3u);
}

TEST(CodeStore, OfAnotherIdentityIsNothing) {
  Folder f;
  make(f.file(), 5, 3);
  CodeStore store(f.file());
  EXPECT_FALSE(store.open(0));
  ASSERT_TRUE(store.open(7));
  EXPECT_FALSE(store.open(5));
  EXPECT_EQ(store.known(), 0u);
}

TEST(CodeStore, WhatOthersMayWriteIsNotRead) {
  Folder f;
  make(f.file(), 5, 3);
  for (const mode_t mode : {0620, 0602}) {
    ASSERT_EQ(chmod(f.file().c_str(), mode), 0);
    CodeStore store(f.file());
    ASSERT_TRUE(store.open(5));
    EXPECT_EQ(store.known(), 0u);
  }
  ASSERT_EQ(chmod(f.file().c_str(), 0600), 0);
  fs::create_symlink(f.file(), f.file() + ".link");
  CodeStore store(f.file() + ".link");
  ASSERT_TRUE(store.open(5));
  EXPECT_EQ(store.known(), 0u);
}

TEST(CodeStore, FewNewRegionsAreNotWorthAFile) {
  Folder f;
  make(f.file(), 5, 100);
  CodeStore store(f.file());
  ASSERT_TRUE(store.open(5));
  const u8 code[] = {1};
  for (u64 i = 0; i < 5; i++) store.add(10000 + i, 0, 0, region(code));
  EXPECT_FALSE(store.save(1));  // below a sixteenth
  store.add(20000, 0, 0, region(code));
  EXPECT_FALSE(store.save(7));
  EXPECT_TRUE(store.save(1));
}

// Every byte damaged, and every length: what is found is as it was added.
TEST(CodeStore, DamageIsNoticed) {
  Folder f;
  make(f.file(), 5, 4);
  std::ifstream in(f.file(), std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  const auto check = [&](const std::string& bytes, size_t at) {
    {
      std::ofstream out(f.file(), std::ios::binary | std::ios::trunc);
      out << bytes;
    }
    {
      CodeStore store(f.file());
      ASSERT_TRUE(store.open(5));
      for (u8 i = 0; i < 4; i++) {
        StoredRegion r;
        if (!store.find(16 * i, 1, 0, r, kAny)) continue;
        ASSERT_EQ(r.code.size(), 3u) << at;
        ASSERT_EQ(r.code[0], i) << at;
        ASSERT_EQ(r.links[0].pc, 0x2002u) << at;
      }
      const u8 code[] = {9, 9, 9};
      store.add(800, 1, 0, region(code));
      store.save(1);
    }
    CodeStore again(f.file());
    ASSERT_TRUE(again.open(5));
    StoredRegion r;
    ASSERT_TRUE(again.find(800, 1, 0, r, kAny)) << at;
  };
  for (size_t at = 0; at < good.size(); at++) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x41);
    check(bad, at);
    if (HasFatalFailure()) return;
    if (at % 8 == 0) check(good.substr(0, at), at);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace doppel::exec
