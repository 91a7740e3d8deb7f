#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "block/node.h"
#include "block/sync.h"

namespace doppel::block {
namespace {

class OpenTest : public ::testing::Test {
 protected:
  OpenTest() {
    std::string name = ::testing::TempDir() + "doppel-block-XXXXXX";
    folder = mkdtemp(name.data());
  }
  ~OpenTest() override { std::filesystem::remove_all(folder); }
  std::string file(const std::string& name, const std::string& head, size_t size = 1 << 20) {
    const std::string path = folder + "/" + name;
    std::ofstream(path, std::ios::binary) << head;
    std::filesystem::resize_file(path, size);
    return path;
  }
  std::string error_of(const std::string& path, const OpenOptions& o = {}) {
    auto node = open(path, o);
    return node ? "" : node.error().text();
  }
  std::string folder;
};

TEST_F(OpenTest, ReadsWritesAndReadsPastTheEnd) {
  const std::string path = file("disk", "boot", 1000);
  {
    auto node = open(path, {});
    ASSERT_TRUE(node) << node.error().text();
    Node& n = **node;
    EXPECT_EQ(n.size(), 1024u);
    EXPECT_FALSE(n.read_only());
    std::vector<u8> data(4096, 1);
    EXPECT_EQ(read_sync(n, 512, data), 0);
    EXPECT_EQ(data, std::vector<u8>(4096));
    std::iota(data.begin(), data.end(), u8{0});
    EXPECT_EQ(write_sync(n, 0, std::span<const u8>(data).first(1024)), 0);
    EXPECT_EQ(write_sync(n, 512, data), EIO);
    EXPECT_EQ(write_zeroes_sync(n, 16, 16), 0);
    EXPECT_EQ(discard_sync(n, 512, 512), 0);
    EXPECT_EQ(flush_sync(n), 0);
    std::vector<u8> back(32);
    EXPECT_EQ(read_sync(n, 0, back), 0);
    EXPECT_EQ(back[15], 15);
    EXPECT_EQ(back[16], 0);
  }
  std::ifstream in(path, std::ios::binary);
  EXPECT_EQ(in.get(), 0);
  EXPECT_EQ(in.get(), 1);
}

TEST_F(OpenTest, ReadOnlyRefusesWrites) {
  auto node = open(file("disk", ""), {.read_only = true});
  ASSERT_TRUE(node);
  const std::vector<u8> data(512);
  EXPECT_TRUE((*node)->read_only());
  EXPECT_EQ(write_sync(**node, 0, data), EROFS);
  EXPECT_EQ(flush_sync(**node), 0);
}

TEST_F(OpenTest, SnapshotKeepsTheFile) {
  const std::string path = file("disk", "original", (3 << 16) + 512);
  auto node = open(path, {.snapshot = true});
  ASSERT_TRUE(node) << node.error().text();
  Node& n = **node;
  EXPECT_FALSE(n.read_only());
  std::vector<u8> data((1 << 16) + 1024, 0x5a), back(n.size());
  EXPECT_EQ(write_sync(n, (1 << 16) - 512, data), 0);  // over three clusters
  EXPECT_EQ(write_sync(n, 3 << 16, std::span<const u8>(data).first(512)), 0);
  EXPECT_EQ(write_sync(n, 3 << 16, data), EIO);
  EXPECT_EQ(read_sync(n, 0, back), 0);
  EXPECT_EQ(std::string(back.begin(), back.begin() + 8), "original");
  EXPECT_EQ(back[(1 << 16) - 513], 0);
  EXPECT_EQ(back[(1 << 16) - 512], 0x5a);
  EXPECT_EQ(back[(2 << 16) + 511], 0x5a);
  EXPECT_EQ(back[(2 << 16) + 512], 0);
  EXPECT_EQ(back[n.size() - 1], 0x5a);
  EXPECT_EQ(write_zeroes_sync(n, 0, 2 << 16), 0);
  EXPECT_EQ(read_sync(n, 0, back), 0);
  EXPECT_EQ(back[0], 0);
  EXPECT_EQ(back[2 << 16], 0x5a);
  EXPECT_EQ(write_sync(n, 5, std::span<const u8>(data).first(2)), 0);  // into a cluster of zeroes
  EXPECT_EQ(read_sync(n, 4, std::span(back).first(4)), 0);
  EXPECT_EQ(back[0] << 16 | back[1] << 8 | back[3], 0x5a00);
  std::ifstream in(path, std::ios::binary);
  std::string word;
  word.resize(8);
  in.read(word.data(), 8);
  EXPECT_EQ(word, "original");
}

TEST_F(OpenTest, FormatsAreNamed) {
  const std::string qcow2 = file("a.img", "QFI\xfb");
  EXPECT_NE(error_of(qcow2).find("version 0"), std::string::npos) << error_of(qcow2);
  EXPECT_EQ(error_of(qcow2, {.format = "raw"}), "");
  const OpenOptions reading{.read_only = true};
  const std::string vdi = std::string(64, '<') + "\x7f\x10\xda\xbe";
  EXPECT_NE(error_of(file("a", std::string("QED\0", 4))).find("qed image: that format is not built"),
            std::string::npos);
  EXPECT_NE(error_of(file("b", "KDMV")).find("a vmdk image: that format is only read"), std::string::npos);
  EXPECT_NE(error_of(file("b", "KDMV"), reading).find("no usable vmdk image"), std::string::npos);
  EXPECT_NE(error_of(file("c", "# Disk DescriptorFile\n"), reading).find("names no extents"), std::string::npos);
  EXPECT_NE(error_of(file("d", "vhdxfile"), reading).find("no usable vhdx image"), std::string::npos);
  EXPECT_NE(error_of(file("e", vdi), reading).find("version"), std::string::npos);
  EXPECT_NE(error_of(file("e", "conectix"), reading).find("vpc"), std::string::npos);
  EXPECT_NE(error_of(file("e", "WithouFreSpacExt"), reading).find("parallels"), std::string::npos);
  EXPECT_NE(error_of(file("e", std::string("QFI\xfb\0\0\0\1", 8)), reading).find("no usable qcow image"),
            std::string::npos);
  EXPECT_NE(error_of(file("f", ""), {.read_only = true, .format = "dmg"}).find("trailer"), std::string::npos);
  EXPECT_NE(error_of(file("g", ""), {.format = "zip"}).find("unknown image format"), std::string::npos);
  EXPECT_EQ(error_of(file("h", "", 0)), "");
}

TEST_F(OpenTest, HostErrorsAreNamed) {
  EXPECT_NE(error_of(folder + "/none").find("no such file"), std::string::npos);
  EXPECT_NE(error_of(folder).find("folder"), std::string::npos);
  EXPECT_NE(error_of(folder, {.read_only = true}).find("folder"), std::string::npos);
  EXPECT_NE(error_of("/dev/null").find("neither a file nor a block device"), std::string::npos);
  const std::string path = file("locked", "");
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  if (geteuid() != 0) {
    EXPECT_NE(error_of(path).find("no permission to write"), std::string::npos);
  }
  EXPECT_EQ(error_of(path, {.snapshot = true}), "");
}

TEST_F(OpenTest, SecondWriterIsRefused) {
  const std::string path = file("disk", "");
  auto first = open(path, {});
  ASSERT_TRUE(first);
  EXPECT_NE(error_of(path).find("in use by this machine"), std::string::npos) << error_of(path);
  EXPECT_NE(error_of(path, {.read_only = true}), "");
  first.value().reset();
  auto reader = open(path, {.read_only = true});
  ASSERT_TRUE(reader);
  EXPECT_EQ(error_of(path, {.read_only = true}), "");
  EXPECT_EQ(error_of(path, {.snapshot = true}), "");
  EXPECT_NE(error_of(path), "");
}

TEST_F(OpenTest, LockNamesTheProcessThatHoldsIt) {
  const std::string path = file("disk", "");
  int pipes[2], quit[2];
  ASSERT_EQ(pipe(pipes), 0);
  ASSERT_EQ(pipe(quit), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int fd = ::open(path.c_str(), O_RDWR);
    struct flock l {};
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    l.l_start = 100;
    l.l_len = 200;
    const bool ok = fcntl(fd, F_OFD_SETLK, &l) == 0;
    char c = ok ? 'y' : 'n';
    (void)!write(pipes[1], &c, 1);
    ::close(quit[1]);
    (void)!read(quit[0], &c, 1);
    _exit(0);
  }
  char c = 0;
  ASSERT_EQ(read(pipes[0], &c, 1), 1);
  ASSERT_EQ(c, 'y');
  const std::string text = error_of(path);
  EXPECT_NE(text.find("process " + std::to_string(child)), std::string::npos) << text;
  ::close(quit[0]);
  ::close(quit[1]);
  waitpid(child, nullptr, 0);
  ::close(pipes[0]);
  ::close(pipes[1]);
}

}  // namespace
}  // namespace doppel::block
