// The 9P server and its virtio device: a client that behaves, and ones that do not.
#include "hw/misc/virtio_9p.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "device/virtio_bench.h"

namespace doppel::hw::test {
namespace {

namespace fs = std::filesystem;
using share::Folder;
using share::Server;
using share::WireReader;
using share::WireWriter;

struct Tree {
  fs::path top, root;
  Tree() {
    char name[] = "/tmp/doppel-9p.XXXXXX";
    top = ::mkdtemp(name);
    root = top / "shared";
    fs::create_directories(root / "folder/inner");
    write(top / "secret", "outside");
    write(root / "file", "contents");
    write(root / "folder/inner/deep", "deep");
  }
  ~Tree() { fs::remove_all(top); }
  static void write(const fs::path& p, const std::string& text) { std::ofstream(p) << text; }
  static std::string read(const fs::path& p) {
    std::ifstream f(p);
    return {std::istreambuf_iterator<char>(f), {}};
  }
};

struct Client : Tree {
  std::unique_ptr<Server> server;
  std::vector<u8> answer;
  explicit Client(Folder::Model model = Folder::Model::None, bool read_only = false) { open(model, read_only); }
  void open(Folder::Model model, bool read_only = false) {
    auto folder = Folder::open({.path = root.string(), .model = model, .read_only = read_only});
    server = std::make_unique<Server>(folder.take());
    WireWriter w;
    w.number<u32>(8192);
    w.text("9P2000.L");
    EXPECT_EQ(call(share::kTversion, w), 0);
    attach(0);
  }
  // Linux's error number; 0: success, and `answer` is its body.
  int call(u8 type, WireWriter& body, size_t room = 65536) {
    WireWriter m;
    m.number<u32>(static_cast<u32>(share::kHeader + body.out().size()));
    m.number<u8>(type);
    m.number<u16>(1);
    m.out().insert(m.out().end(), body.out().begin(), body.out().end());
    const auto r = server->handle(m.out(), room);
    EXPECT_GE(r.size(), share::kHeader);
    EXPECT_LE(r.size(), room);
    EXPECT_EQ(load_le<u32>(r.data()), r.size());
    answer.assign(r.begin() + share::kHeader, r.end());
    if (r[4] == share::kRlerror) return static_cast<int>(load_le<u32>(answer.data()));
    EXPECT_EQ(r[4], type + 1);
    return 0;
  }
  void attach(u32 fid) {
    WireWriter w;
    w.number<u32>(fid);
    w.number<u32>(~u32{0});
    w.text("");
    w.text("");
    w.number<u32>(0);
    EXPECT_EQ(call(share::kTattach, w), 0);
  }
  int walk(u32 from, u32 to, const std::vector<std::string>& names) {
    WireWriter w;
    w.number<u32>(from);
    w.number<u32>(to);
    w.number<u16>(static_cast<u16>(names.size()));
    for (const auto& n : names) w.text(n);
    const int e = call(share::kTwalk, w);
    if (e == 0 && load_le<u16>(answer.data()) < names.size()) return ENOENT;  // as a client sees it
    return e;
  }
  int numbers(u8 type, std::initializer_list<u32> v) {
    WireWriter w;
    for (const u32 n : v) w.number<u32>(n);
    return call(type, w);
  }
  int clunk(u32 fid) { return numbers(share::kTclunk, {fid}); }
  int open_fid(u32 fid, u32 flags) { return numbers(share::kTlopen, {fid, flags}); }
  std::string get(u32 fid, u32 size = 4096, u64 offset = 0) {
    WireWriter w;
    w.number<u32>(fid);
    w.number<u64>(offset);
    w.number<u32>(size);
    if (call(share::kTread, w) != 0) return "?";
    return {answer.begin() + 4, answer.end()};
  }
  int put(u32 fid, const std::string& text, u64 offset = 0) {
    WireWriter w;
    w.number<u32>(fid);
    w.number<u64>(offset);
    w.number<u32>(static_cast<u32>(text.size()));
    w.out().insert(w.out().end(), text.begin(), text.end());
    return call(share::kTwrite, w);
  }
  int create(u32 fid, const std::string& name, u32 flags = 2, u32 mode = 0644) {
    WireWriter w;
    w.number<u32>(fid);
    w.text(name);
    w.number<u32>(flags);
    w.number<u32>(mode);
    w.number<u32>(~u32{0});
    return call(share::kTlcreate, w);
  }
  int symlink(u32 fid, const std::string& name, const std::string& target) {
    WireWriter w;
    w.number<u32>(fid);
    w.text(name);
    w.text(target);
    w.number<u32>(~u32{0});
    return call(share::kTsymlink, w);
  }
  int make_folder(u32 fid, const std::string& name) {
    WireWriter w;
    w.number<u32>(fid);
    w.text(name);
    w.number<u32>(0755);
    w.number<u32>(~u32{0});
    return call(share::kTmkdir, w);
  }
  int rename(u32 from, const std::string& old_name, u32 to, const std::string& name) {
    WireWriter w;
    w.number<u32>(from);
    w.text(old_name);
    w.number<u32>(to);
    w.text(name);
    return call(share::kTrenameat, w);
  }
  int unlink(u32 fid, const std::string& name, u32 flags = 0) {
    WireWriter w;
    w.number<u32>(fid);
    w.text(name);
    w.number<u32>(flags);
    return call(share::kTunlinkat, w);
  }
  struct Attributes {
    u32 mode = 0, uid = 0, gid = 0;
    u64 size = 0;
  };
  Attributes attributes(u32 fid) {
    WireWriter w;
    w.number<u32>(fid);
    w.number<u64>(0x7ff);
    EXPECT_EQ(call(share::kTgetattr, w), 0);
    WireReader r(answer);
    r.bytes(8 + 13);
    Attributes a;
    a.mode = r.number<u32>(), a.uid = r.number<u32>(), a.gid = r.number<u32>();
    r.bytes(16);
    a.size = r.number<u64>();
    return a;
  }
};

TEST(NineP, ReadsWritesAndLists) {
  Client c;
  ASSERT_EQ(c.walk(0, 1, {"folder", "inner", "deep"}), 0);
  EXPECT_EQ(c.attributes(1).size, 4u);
  ASSERT_EQ(c.open_fid(1, 2), 0);
  EXPECT_EQ(c.get(1), "deep");
  EXPECT_EQ(c.put(1, "er", 4), 0);
  EXPECT_EQ(c.get(1, 3, 3), "per");
  EXPECT_EQ(Tree::read(c.root / "folder/inner/deep"), "deeper");
  ASSERT_EQ(c.walk(0, 2, {}), 0);
  ASSERT_EQ(c.create(2, "new", 2 | 0200), 0);
  EXPECT_EQ(c.put(2, "made"), 0);
  EXPECT_EQ(Tree::read(c.root / "new"), "made");
  for (int i = 0; i < 300; i++) Tree::write(c.root / "folder" / ("n" + std::to_string(i)), "");
  ASSERT_EQ(c.walk(0, 3, {"folder"}), 0);
  ASSERT_EQ(c.open_fid(3, 0200000), 0);
  std::vector<std::string> names;
  for (u64 at = 0;;) {
    WireWriter w;
    w.number<u32>(3);
    w.number<u64>(at);
    w.number<u32>(1000);
    ASSERT_EQ(c.call(share::kTreaddir, w), 0);
    WireReader r(c.answer);
    if (r.number<u32>() == 0) break;
    while (r.good()) {
      r.bytes(13);
      const u64 next = r.number<u64>();
      r.number<u8>();
      const std::string name = r.text();
      if (!r.good()) break;
      at = next;
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names.size(), 303u);  // . .. inner and these
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

struct AttributeClient : Client {
  using Client::Client;
  int walk_attribute(u32 fid, u32 to, const std::string& name) {
    WireWriter w;
    w.number<u32>(fid);
    w.number<u32>(to);
    w.text(name);
    return call(share::kTxattrwalk, w);
  }
  int create_attribute(u32 fid, const std::string& name, u64 size, u32 flags = 0) {
    WireWriter w;
    w.number<u32>(fid);
    w.text(name);
    w.number<u64>(size);
    w.number<u32>(flags);
    return call(share::kTxattrcreate, w);
  }
  int set(const std::string& file, const std::string& name, const std::string& value, u32 flags = 0) {
    EXPECT_EQ(walk(0, 90, {file}), 0);
    int e = create_attribute(90, name, value.size(), flags);
    if (e == 0 && !value.empty()) e = put(90, value);
    const int clunked = clunk(90);
    return e != 0 ? e : clunked;
  }
  std::string value_of(const std::string& file, const std::string& name) {
    EXPECT_EQ(walk(0, 91, {file}), 0);
    const int e = walk_attribute(91, 92, name);
    const std::string v = e == 0 ? get(92) : "error " + std::to_string(e);
    if (e == 0) clunk(92);
    clunk(91);
    return v;
  }
};

TEST(NineP, ExtendedAttributes) {
  for (const auto model : {Folder::Model::None, Folder::Model::Mapped}) {
    AttributeClient c(model);
    if (const int e = c.set("file", "user.first", "one"); e == EOPNOTSUPP) GTEST_SKIP() << "/tmp has none";
    EXPECT_EQ(c.value_of("file", "user.first"), "one");
    char raw[16];
    EXPECT_EQ(::getxattr((c.root / "file").c_str(), "user.first", raw, sizeof raw), 3);
    EXPECT_EQ(c.set("file", "user.first", "again", 1), EEXIST);  // XATTR_CREATE
    EXPECT_EQ(c.set("file", "user.other", "x", 2), ENODATA);     // XATTR_REPLACE
    EXPECT_EQ(c.set("file", "user.second", std::string(3000, 'v')), 0);
    EXPECT_EQ(c.value_of("file", "user.second").size(), 3000u);
    EXPECT_EQ(c.value_of("file", ""), std::string("user.first\0user.second\0", 23));
    EXPECT_EQ(c.set("file", "user.first", ""), 0);  // taken away
    EXPECT_EQ(c.value_of("file", "user.first"), "error " + std::to_string(ENODATA));
    EXPECT_EQ(c.set("file", "trusted.x", "1"), EOPNOTSUPP);
    ASSERT_EQ(c.walk(0, 1, {"file"}), 0);
    EXPECT_EQ(c.create_attribute(1, "user.big", 70000), E2BIG);
    ASSERT_EQ(c.create_attribute(1, "user.short", 4), 0);
    EXPECT_EQ(c.put(1, "12345"), ENOSPC);
    EXPECT_EQ(c.put(1, "12", 3), EINVAL);
    EXPECT_EQ(c.put(1, "12"), 0);
    EXPECT_EQ(c.clunk(1), EINVAL);  // half of it is none
    EXPECT_EQ(c.value_of("file", "user.short"), "error " + std::to_string(ENODATA));
  }
}

// Owner and mode in files beside the objects; they go where the objects go, and no guest sees them.
TEST(NineP, MappedFilesKeepOwnersInText) {
  Client c(Folder::Model::MappedFile);
  ASSERT_EQ(c.walk(0, 1, {}), 0);
  ASSERT_EQ(c.create(1, "made", 2, 0751), 0);
  EXPECT_EQ(c.attributes(1).mode, S_IFREG | 0751u);
  c.clunk(1);
  const auto text = [&](const fs::path& p) { return Tree::read(c.root / p); };
  EXPECT_NE(text(".virtfs_metadata/made").find("virtfs.mode=" + std::to_string(S_IFREG | 0751) + "\n"),
            std::string::npos);
  const auto set_owner = [&](u32 fid, u32 uid) {
    WireWriter w;
    for (const u32 n : {fid, u32{2}, u32{0}, uid, u32{0}}) w.number<u32>(n);
    w.out().resize(w.out().size() + 40);
    return c.call(share::kTsetattr, w);
  };
  ASSERT_EQ(c.walk(0, 1, {"made"}), 0);
  EXPECT_EQ(set_owner(1, 1234), 0);
  EXPECT_EQ(c.attributes(1).uid, 1234u);
  EXPECT_EQ(c.attributes(1).mode, S_IFREG | 0751u);
  EXPECT_EQ(c.rename(0, "made", 0, "moved"), 0);
  EXPECT_EQ(c.attributes(1).uid, 1234u);
  EXPECT_FALSE(fs::exists(c.root / ".virtfs_metadata/made"));
  // Over an object with other attributes, into another folder, away.
  ASSERT_EQ(c.walk(0, 2, {"folder"}), 0);
  EXPECT_EQ(c.rename(0, "moved", 2, "again"), 0);
  EXPECT_EQ(c.attributes(1).uid, 1234u);
  EXPECT_EQ(c.unlink(2, "again"), 0);
  EXPECT_FALSE(fs::exists(c.root / "folder/.virtfs_metadata/again"));
  EXPECT_EQ(c.rename(0, "file", 2, "again"), 0);  // has none of its own
  ASSERT_EQ(c.walk(0, 3, {"folder", "again"}), 0);
  EXPECT_NE(c.attributes(3).uid, 1234u);
  // Links, folders.
  EXPECT_EQ(c.symlink(0, "link", "../secret"), 0);
  ASSERT_EQ(c.walk(0, 4, {"link"}), 0);
  EXPECT_TRUE(S_ISLNK(c.attributes(4).mode));
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(c.root / "link")));
  EXPECT_EQ(c.make_folder(0, "new"), 0);
  ASSERT_EQ(c.walk(0, 5, {"new"}), 0);
  ASSERT_EQ(c.walk(0, 6, {"new"}), 0);
  ASSERT_EQ(c.create(6, "inner"), 0);
  EXPECT_EQ(c.unlink(0, "new", 0x200), ENOTEMPTY);
  EXPECT_EQ(c.unlink(5, "inner"), 0);
  EXPECT_EQ(c.unlink(0, "new", 0x200), 0);
  EXPECT_FALSE(fs::exists(c.root / "new"));
  // The root's own, and what is hidden.
  EXPECT_EQ(set_owner(0, 77), 0);
  EXPECT_EQ(c.attributes(0).uid, 77u);
  for (const char* name : {".virtfs_metadata", ".virtfs_metadata_root"}) {
    EXPECT_EQ(c.walk(0, 9, {name}), ENOENT) << name;
    ASSERT_EQ(c.walk(0, 8, {}), 0);
    EXPECT_NE(c.create(8, name), 0) << name;
    c.clunk(8);
    EXPECT_NE(c.unlink(0, name), 0) << name;
    EXPECT_NE(c.rename(0, "link", 0, name), 0) << name;
    EXPECT_NE(c.rename(0, name, 0, "stolen"), 0) << name;
  }
  ASSERT_EQ(c.walk(0, 10, {}), 0);
  ASSERT_EQ(c.open_fid(10, 0200000), 0);
  WireWriter w;
  w.number<u32>(10);
  w.number<u64>(0);
  w.number<u32>(4000);
  ASSERT_EQ(c.call(share::kTreaddir, w), 0);
  EXPECT_EQ(std::string(c.answer.begin(), c.answer.end()).find("virtfs"), std::string::npos);
}

// What keeps the mapping is not the guest's to see or change.
TEST(NineP, TheMappingIsHidden) {
  AttributeClient c(Folder::Model::Mapped);
  ASSERT_EQ(c.walk(0, 1, {}), 0);
  ASSERT_EQ(c.create(1, "made"), 0);
  EXPECT_EQ(c.value_of("made", ""), "");
  EXPECT_EQ(c.value_of("made", "user.virtfs.uid"), "error " + std::to_string(EOPNOTSUPP));
  EXPECT_EQ(c.set("made", "user.virtfs.mode", "evil"), EOPNOTSUPP);
  EXPECT_EQ(c.set("made", "system.posix_acl_access", "list"), 0);
  EXPECT_EQ(c.value_of("made", "system.posix_acl_access"), "list");
  EXPECT_EQ(c.value_of("made", ""), std::string("system.posix_acl_access\0", 24));
}

TEST(NineP, AnAttributeBeingWrittenIsPartOfTheState) {
  AttributeClient c(Folder::Model::None), later(Folder::Model::None);
  if (c.set("file", "user.try", "1") == EOPNOTSUPP) GTEST_SKIP() << "/tmp has none";
  ASSERT_EQ(c.walk(0, 1, {"file"}), 0);
  ASSERT_EQ(c.create_attribute(1, "user.half", 4), 0);
  ASSERT_EQ(c.put(1, "ab"), 0);
  StateArchive saved(StateArchive::Mode::Save), loaded(StateArchive::Mode::Load);
  c.server->archive(saved);
  ASSERT_TRUE(loaded.deserialize(saved.serialize()));
  later.server->archive(loaded);
  EXPECT_EQ(later.put(1, "cd", 2), 0);
  EXPECT_EQ(later.clunk(1), 0);
  EXPECT_EQ(later.value_of("file", "user.half"), "abcd");
}

// Whatever a client says, nothing outside is named.
TEST(NineP, NoWayLeadsOut) {
  for (const auto model : {Folder::Model::None, Folder::Model::Mapped, Folder::Model::MappedFile}) {
    Client c(model);
    fs::create_symlink(c.top, c.root / "way-out");  // the host's own links
    fs::create_symlink("../secret", c.root / "secret");
    fs::create_symlink("/etc/passwd", c.root / "absolute");
    u32 n = 10;
    for (const std::vector<std::string>& names :
         std::vector<std::vector<std::string>>{{"..", "secret"},
                                               {"..", "..", "..", "etc", "passwd"},
                                               {"way-out", "secret"},
                                               {"folder", "..", "..", "secret"}}) {
      if (c.walk(0, ++n, names) != 0) continue;
      ASSERT_EQ(c.open_fid(n, 0) != 0 || c.get(n) != "outside", true) << names.back();
    }
    for (const char* name : {"../secret", "/etc/passwd", "folder/../../secret", "", "a/b"}) {
      EXPECT_NE(c.walk(0, ++n, {name}), 0) << name;
      EXPECT_NE(c.symlink(0, name, "x"), 0) << name;
      EXPECT_NE(c.make_folder(0, name), 0) << name;
      EXPECT_NE(c.rename(0, "file", 0, name), 0) << name;
      EXPECT_NE(c.rename(0, name, 0, "stolen"), 0) << name;
      EXPECT_NE(c.unlink(0, name), 0) << name;
      EXPECT_NE(c.walk(0, 5, {}), EPROTO);
      EXPECT_NE(c.create(5, name), 0) << name;
      c.clunk(5);
    }
    EXPECT_NE(c.walk(0, ++n, {std::string("file\0x", 6)}), 0);
    EXPECT_NE(c.rename(0, "file", 0, ".."), 0);
    EXPECT_NE(c.unlink(0, "..", 0x200), 0);
    for (const char* link : {"secret", "absolute", "way-out"}) {
      ASSERT_EQ(c.walk(0, ++n, {link}), 0);
      EXPECT_NE(c.open_fid(n, 0), 0) << link;
      EXPECT_NE(c.open_fid(n, 01001), 0) << link;
      EXPECT_NE(c.create(n, "x"), 0) << link;
    }
    ASSERT_EQ(c.walk(0, 6, {"way-out"}), 0);
    EXPECT_NE(c.make_folder(6, "made"), 0);
    EXPECT_NE(c.symlink(6, "made", "x"), 0);
    EXPECT_NE(c.unlink(6, "secret"), 0);
    EXPECT_NE(c.rename(0, "file", 6, "stolen"), 0);
    // A link that the guest makes is for the guest.
    EXPECT_EQ(c.symlink(0, "mine", "../secret"), 0);
    ASSERT_EQ(c.walk(0, 7, {"mine"}), 0);
    EXPECT_NE(c.open_fid(7, 0), 0);
    EXPECT_NE(c.walk(7, 8, {"secret"}), 0);
    EXPECT_EQ(Tree::read(c.top / "secret"), "outside");
    EXPECT_FALSE(fs::exists(c.top / "stolen") || fs::exists(c.top / "made"));
  }
}

// A folder becomes a link to the outside between two messages.
TEST(NineP, AFolderThatIsSwappedIsNoWayOut) {
  Client c;
  ASSERT_EQ(c.walk(0, 1, {"folder"}), 0);
  fs::rename(c.root / "folder", c.root / "elsewhere");
  fs::create_symlink(c.top, c.root / "folder");
  EXPECT_NE(c.walk(1, 2, {"secret"}), 0);
  EXPECT_NE(c.create(1, "made"), 0);
  EXPECT_NE(c.unlink(1, "secret"), 0);
  EXPECT_EQ(Tree::read(c.top / "secret"), "outside");
}

TEST(NineP, RenamesMoveNamesThatLieBeneath) {
  Client c;
  ASSERT_EQ(c.walk(0, 1, {"folder", "inner", "deep"}), 0);
  EXPECT_EQ(c.rename(0, "folder", 0, "moved"), 0);
  EXPECT_EQ(c.attributes(1).size, 4u);
  ASSERT_EQ(c.open_fid(1, 0), 0);
  EXPECT_EQ(c.get(1), "deep");
  EXPECT_EQ(c.unlink(0, "moved", 0x200), ENOTEMPTY);
  EXPECT_EQ(c.unlink(0, "nothing"), ENOENT);
}

TEST(NineP, ReadOnlyStaysAsItIs) {
  Client c(Folder::Model::None, true);
  ASSERT_EQ(c.walk(0, 1, {"file"}), 0);
  EXPECT_EQ(c.open_fid(1, 2), EROFS);
  EXPECT_EQ(c.open_fid(1, 01000), EROFS);
  EXPECT_EQ(c.open_fid(1, 0), 0);
  EXPECT_EQ(c.get(1), "contents");
  EXPECT_NE(c.put(1, "x"), 0);
  EXPECT_EQ(c.make_folder(0, "made"), EROFS);
  EXPECT_EQ(c.symlink(0, "made", "x"), EROFS);
  EXPECT_EQ(c.unlink(0, "file"), EROFS);
  EXPECT_EQ(c.rename(0, "file", 0, "made"), EROFS);
  ASSERT_EQ(c.walk(0, 2, {}), 0);
  EXPECT_EQ(c.create(2, "made"), EROFS);
  WireWriter w;
  w.number<u32>(1);
  w.number<u32>(1 | 8);
  w.number<u32>(0);
  for (int i = 0; i < 2; i++) w.number<u32>(0);
  for (int i = 0; i < 5; i++) w.number<u64>(0);
  EXPECT_EQ(c.call(share::kTsetattr, w), EROFS);
  EXPECT_EQ(Tree::read(c.root / "file"), "contents");
}

TEST(NineP, MappedAttributesAreTheGuests) {
  Client c(Folder::Model::Mapped);
  Tree::write(c.root / "probe", "");
  u8 v = 1;
  if (::setxattr((c.root / "probe").c_str(), "user.test", &v, 1, 0) != 0) GTEST_SKIP() << "no attributes on /tmp";
  ASSERT_EQ(c.walk(0, 1, {}), 0);
  ASSERT_EQ(c.create(1, "owned", 2, 0751), 0);
  EXPECT_EQ(c.attributes(1).mode, 0100751u);
  struct stat st;
  ASSERT_EQ(::stat((c.root / "owned").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  WireWriter w;
  w.number<u32>(1);
  w.number<u32>(1 | 2 | 4);
  w.number<u32>(04755);
  w.number<u32>(1234);
  w.number<u32>(5678);
  for (int i = 0; i < 5; i++) w.number<u64>(0);
  EXPECT_EQ(c.call(share::kTsetattr, w), 0);
  const auto a = c.attributes(1);
  EXPECT_EQ(a.mode, 0104755u);
  EXPECT_EQ(a.uid, 1234u);
  EXPECT_EQ(a.gid, 5678u);
  ASSERT_EQ(c.symlink(0, "link", "/etc/passwd"), 0);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(c.root / "link")));
  ASSERT_EQ(c.walk(0, 2, {"link"}), 0);
  EXPECT_EQ(c.attributes(2).mode & 0170000, 0120000u);
  EXPECT_EQ(c.numbers(share::kTreadlink, {2}), 0);
  WireReader r(c.answer);
  EXPECT_EQ(r.text(), "/etc/passwd");
}

TEST(NineP, PipesAndDevicesOfTheHostStayClosed) {
  Client c;
  ASSERT_EQ(::mkfifo((c.root / "pipe").c_str(), 0600), 0);
  ASSERT_EQ(c.walk(0, 1, {"pipe"}), 0);
  EXPECT_EQ(c.open_fid(1, 0), ENXIO);
  EXPECT_EQ(c.open_fid(1, 1), ENXIO);
}

TEST(NineP, AStateGoesOn) {
  Client c;
  ASSERT_EQ(c.walk(0, 1, {"file"}), 0);
  ASSERT_EQ(c.open_fid(1, 0), 0);
  ASSERT_EQ(c.walk(0, 2, {"folder", "inner"}), 0);
  StateArchive saved(StateArchive::Mode::Save);
  c.server->archive(saved);
  c.open(Folder::Model::None);
  saved.set_mode(StateArchive::Mode::Load);
  c.server->archive(saved);
  EXPECT_EQ(c.get(1), "contents");
  EXPECT_EQ(c.walk(2, 3, {"deep"}), 0);
  EXPECT_EQ(c.server->names(), 4u);
}

TEST(NineP, AnyMessageIsAnswered) {
  std::mt19937 random(1);
  Client c;
  constexpr u8 kTypes[] = {8,  12, 14, 16, 18,  20,  22,  24,  26,  30,  32,  40,  50,  52, 54,
                           70, 72, 74, 76, 100, 102, 104, 108, 110, 116, 118, 120, 122, 99};
  const char* const kNames[] = {"..", ".", "file", "folder", "inner", "deep", "", "/", "../secret", "x", "new"};
  for (int i = 0; i < 60000; i++) {
    WireWriter w;
    w.number<u32>(random() % 5);
    for (unsigned n = random() % 8; n > 0; n--) {
      switch (random() % 5) {
        case 0: w.text(kNames[random() % std::size(kNames)]); break;
        case 1: w.number<u32>(random() % 8); break;
        case 2: w.number<u16>(static_cast<u16>(random() % 4)); break;
        case 3: w.number<u32>(static_cast<u32>(random())); break;
        default: w.number<u64>(random() % 3 == 0 ? ~u64{0} : random() % 100);
      }
    }
    const u8 type = kTypes[random() % std::size(kTypes)];
    if (type == 100 && random() % 8) continue;
    c.call(type, w, 11 + random() % 9000);
    if (c.server->names() == 0) c.attach(0);
  }
  EXPECT_EQ(Tree::read(c.top / "secret"), "outside");
  size_t outside = 0;
  for ([[maybe_unused]] const auto& e : fs::directory_iterator(c.top)) outside++;
  EXPECT_EQ(outside, 2u);
}

struct Device : VirtioBench, Tree {
  Device() {
    make<Virtio9p>(
        Virtio9p::Params{.clock = clock,
                         .folder = Folder::open({.path = root.string(), .model = Folder::Model::None}).take(),
                         .tag = "host"});
  }
};

TEST(Virtio9p, TheTagIsInTheConfiguration) {
  Device d;
  EXPECT_EQ(d.device->config_read(0, 2), 4u);
  EXPECT_EQ(d.device->config_read(2, 4), 0x74736f68u);
  d.start(virtio::feature(0));
  const auto buffer = d.in(64);
  d.add(0,
        {d.out({21, 0, 0, 0, 100, 0xff, 0xff, 0, 0x20, 0, 0, 8, 0, '9', 'P', '2', '0', '0', '0', '.', 'L'}), buffer});
  d.kick(0);
  EXPECT_EQ(d.used_length(0, 0), 21u);
  EXPECT_EQ(*d.at(buffer.address + 4), 101);
}

TEST(Virtio9p, AMessageWithoutEndNeedsAReset) {
  for (const u8 size : {u8{3}, u8{200}}) {
    Device d;
    d.start(virtio::feature(0));
    d.add(0, {d.out({size, 0, 0, 0, 100, 1, 0, 0}), d.in(64)});
    d.kick(0);
    EXPECT_TRUE(d.device->status() & virtio::kNeedsReset);
  }
}

TEST(Virtio9p, RingsThatLieDoNoHarm) {
  for (u32 seed = 1; seed <= 10; seed++) {
    Device d;
    d.fuzz(seed, 1000, virtio::feature(0) | virtio::kEventIdx | virtio::kIndirectDesc);
    EXPECT_EQ(Tree::read(d.top / "secret"), "outside");
  }
}

}  // namespace
}  // namespace doppel::hw::test
