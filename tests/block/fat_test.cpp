// Folders as FAT disks: names, layouts, what is refused. That other programs read them: tests/img, tests/boot.
#include "block/fat/fat.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "block/fat/names.h"
#include "block/fat/volume.h"
#include "block/sync.h"

namespace doppel::block::fat {
namespace {
namespace fs = std::filesystem;

class FatFolder : public ::testing::Test {
 protected:
  FatFolder() {
    char name[] = "/tmp/doppel-fat.XXXXXX";
    path_ = mkdtemp(name);
  }
  ~FatFolder() override { fs::remove_all(path_); }
  void file(const std::string& name, const std::string& content) {
    fs::create_directories(fs::path(path_ / name).parent_path());
    std::ofstream(path_ / name) << content;
  }
  Result<std::shared_ptr<Node>> open(const std::string& words, OpenOptions o = {.read_only = true}) {
    return open_folder("fat:" + words + path_.string(), o);
  }
  std::string refused(const std::string& words) {
    auto node = open(words);
    return node ? "" : node.error().text();
  }
  fs::path path_;
};

std::string text(const ShortName& n) { return {n.begin(), n.end()}; }

TEST(FatNames, ShortOnesAreThereOnce) {
  NameMaker m;
  EXPECT_EQ(text(m.add("README.TXT").short_name), "README  TXT");
  const Names lower = m.add("notes.txt");
  EXPECT_EQ(text(lower.short_name), "NOTES   TXT");
  EXPECT_EQ(lower.long_name, u"notes.txt");
  EXPECT_EQ(text(m.add("a long name.text").short_name), "ALONGN~1TEX");
  EXPECT_EQ(text(m.add("a long name 2.text").short_name), "ALONGN~2TEX");
  EXPECT_EQ(text(m.add(".profile").short_name), "PROFIL~1   ");
  EXPECT_EQ(text(m.add("archive.tar.gz").short_name), "ARCHIV~1GZ ");
  const Names again = m.add("Notes.TXT");  // the same but for the case
  EXPECT_EQ(again.long_name, u"Notes.TXT~2");
  EXPECT_EQ(m.add("a:b?").long_name, u"a_b_");
  EXPECT_EQ(m.add("end. .").long_name, u"end___");
  EXPECT_EQ(m.add("\xc3\xa4rger\xff").long_name, u"\u00e4rger_");
  EXPECT_EQ(m.add("\xf0\x9f\x98\x80").long_name, u"\U0001f600");
}

TEST(FatNames, ManyAlike) {
  NameMaker m;
  std::set<ShortName> seen;
  for (int i = 0; i < 20000; i++)
    EXPECT_TRUE(seen.insert(m.add("picture number " + std::to_string(i)).short_name).second);
}

TEST_F(FatFolder, ShapesAsTheirNamesSay) {
  file("hello.txt", "hello");
  const auto bytes = [&](const std::string& words) {
    auto node = open(words);
    EXPECT_TRUE(node) << words;
    return node ? (*node)->size() : 0;
  };
  EXPECT_EQ(bytes(""), u64{1024} * 16 * 63 * 512);
  EXPECT_EQ(bytes("12:"), u64{64} * 16 * 63 * 512);
  EXPECT_EQ(bytes("32:"), u64{1024} * 16 * 63 * 512);
  EXPECT_EQ(bytes("floppy:"), 2949120u);
  EXPECT_EQ(bytes("floppy:12:"), 1474560u);
  EXPECT_EQ(bytes("floppy:16:"), 2949120u);
  EXPECT_NE(refused("floppy:32:"), "");
}

TEST_F(FatFolder, WritesNeverReachTheFolder) {
  file("hello.txt", "hello");
  auto node = open("", {});
  ASSERT_TRUE(node);
  EXPECT_TRUE((*node)->read_only());
  const std::vector<u8> data(512, 0xee);
  EXPECT_EQ(write_sync(**node, 0, std::span<const u8>(data)), EROFS);
  node = open("rw:", {});
  ASSERT_TRUE(node);
  ASSERT_FALSE((*node)->read_only());
  for (u64 at = 0; at < (1 << 20); at += 512) ASSERT_EQ(write_sync(**node, at, std::span<const u8>(data)), 0);
  std::vector<u8> back(512);
  EXPECT_EQ(read_sync(**node, 5120, std::span(back)), 0);
  EXPECT_EQ(back, data);
  std::ifstream in(path_ / "hello.txt");
  std::string word;
  in >> word;
  EXPECT_EQ(word, "hello");
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), {}), 1);
}

TEST_F(FatFolder, LinksStayInside) {
  file("inside/secret", "in");
  fs::create_symlink("inside/secret", path_ / "good");
  fs::create_symlink("/etc/passwd", path_ / "bad");
  fs::create_symlink(".", path_ / "loop");
  auto node = open("");
  ASSERT_TRUE(node);
  std::vector<u8> all(4 << 20);
  ASSERT_EQ(read_sync(**node, 0, std::span(all)), 0);
  const std::string bytes(all.begin(), all.end());
  EXPECT_NE(bytes.find("GOOD       "), std::string::npos);
  EXPECT_EQ(bytes.find("BAD        "), std::string::npos);
  EXPECT_EQ(bytes.find("LOOP       "), std::string::npos);
  EXPECT_EQ(bytes.find("root:"), std::string::npos);
}

TEST_F(FatFolder, AFileThatIsExchangedIsNotRead) {
  file("a", std::string(100000, 'x'));
  auto node = open("");
  ASSERT_TRUE(node);
  fs::remove(path_ / "a");
  fs::create_symlink("/etc/passwd", path_ / "a");
  std::vector<u8> all(4 << 20);
  EXPECT_EQ(read_sync(**node, 0, std::span(all)), EIO);
  EXPECT_EQ(std::string(all.begin(), all.end()).find("root:"), std::string::npos);
}

TEST_F(FatFolder, ClearErrors) {
  EXPECT_NE(open_folder("fat:", {}).error().text().find("names no folder"), std::string::npos);
  EXPECT_NE(open_folder("fat:/nonesuch/x", {}).error().text().find("No such file"), std::string::npos);
  file("f", "x");
  EXPECT_NE(open_folder("fat:" + (path_ / "f").string(), {}).error().text().find("no folder"), std::string::npos);
  file("big", "");
  fs::resize_file(path_ / "big", u64{5} << 30);
  EXPECT_NE(refused("32:").find("4 GiB"), std::string::npos);
  fs::resize_file(path_ / "big", u64{3} << 30);
  EXPECT_NE(refused("16:").find("don't fit"), std::string::npos);
  EXPECT_NE(refused("floppy:").find("floppy"), std::string::npos);
  EXPECT_EQ(refused(""), "");  // FAT32 by itself
  EXPECT_NE(open_folder("fat:" + path_.string(), {.format = "qcow2"}).error().text().find("qcow2"), std::string::npos);
}

TEST_F(FatFolder, TooManyNamesInTheTopFolder) {
  for (int i = 0; i < 600; i++) file("file " + std::to_string(i), "");
  EXPECT_NE(refused("16:").find("top folder"), std::string::npos);
  EXPECT_EQ(refused("32:"), "");
}

}  // namespace
}  // namespace doppel::block::fat
