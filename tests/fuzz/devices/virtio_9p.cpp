// The shared folder by virtio-9p: messages with names that lead out, and a file beside the folder that must stay.
#include "hw/misc/virtio_9p.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "virtio_world.h"

namespace doppel::fuzz {
namespace {

// A folder of few files, and one beside it that no guest may see; made again now and then.
class SharedFolder {
 public:
  static constexpr char kSecret[] = "never to be seen by a guest";
  SharedFolder() {
    char name[] = "/tmp/doppel-fuzz.XXXXXX";
    top_ = ::mkdtemp(name);
    std::ofstream(top_ / "secret") << kSecret;
    fill();
  }
  ~SharedFolder() { remove_all(top_); }
  std::string path() {
    if (++uses_ % 256 == 0) {
      remove_all(top_ / "shared");
      fill();
    }
    return (top_ / "shared").string();
  }
  bool intact() const {
    std::ifstream f(top_ / "secret");
    const std::string text{std::istreambuf_iterator<char>(f), {}};
    return text == kSecret && std::distance(std::filesystem::directory_iterator(top_), {}) == 2;
  }

 private:
  static void remove_all(const std::filesystem::path& p) {
    std::error_code e;
    std::filesystem::remove_all(p, e);
  }
  void fill() {
    std::filesystem::create_directories(top_ / "shared/d/e");
    std::ofstream(top_ / "shared/f") << std::string(5000, 'f');
    std::ofstream(top_ / "shared/d/g") << "g";
    if (::symlink("../../secret", (top_ / "shared/d/out").c_str()) != 0) std::abort();
  }
  std::filesystem::path top_;
  unsigned uses_ = 0;
};

class Share final : public VirtioWorld {
 public:
  explicit Share(share::Folder::Model model) {
    static SharedFolder shared;
    folder_ = &shared;
    auto folder = share::Folder::open({.path = shared.path(), .model = model});
    on_pci(std::make_unique<Virtio9p>(Virtio9p::Params{.clock = rig_.clock, .folder = folder.take(), .tag = "tag"}));
    message(
        100, [](auto& b) { put(b, 8192, 4), text(b, "9P2000.L"); }, 0);
    message(
        104, [](auto& b) { put(b, 0, 4), put(b, ~u64{0}, 4), text(b, ""), text(b, ""), put(b, 0, 4); }, 0);
  }
  void ask(u8, u32 offset, u64 value) override {
    static constexpr u8 kTypes[] = {110, 110, 110, 12, 14, 116, 118, 40,  24,  26,  72,  18,  16, 22, 70,  20,
                                    74,  122, 76,  8,  50, 52,  54,  120, 120, 104, 108, 100, 30, 32, 102, 6};
    const u8 type = kTypes[offset % std::size(kTypes)];
    const u64 fid = value & 3, other = value >> 2 & 3;
    message(
        type,
        [&](std::vector<u8>& b) {
          const auto name = [&](unsigned bits) { text(b, names(value >> bits)); };
          put(b, fid, 4);
          switch (type) {
            case 110:
              put(b, other, 4), put(b, value >> 4 & 3, 2);
              for (u64 i = 0; i < (value >> 4 & 3); i++) name(static_cast<unsigned>(8 + 4 * i));
              break;
            case 12: put(b, value >> 8 & 0x1e43, 4); break;
            case 14: name(4), put(b, value >> 8 & 0x1e43, 4), put(b, value >> 20, 4), put(b, 0, 4); break;
            case 116:
            case 40:
              put(b, value >> 8 & 0xffff, value >> 60 ? 2 : 8), b.resize(b.size() + (value >> 60 ? 6 : 0)),
                  put(b, value >> 32 & 0xffff, 4);
              break;
            case 118: {
              const u64 n = value >> 32 & 0x3ff;
              put(b, value >> 8 & 0xfff, 8), put(b, n + (value >> 63), 4), b.resize(b.size() + n);
              break;
            }
            case 24: put(b, value, 8); break;
            case 26:
              put(b, value >> 8, 4), put(b, value >> 16, 4), put(b, value, 4), put(b, value >> 3, 4),
                  put(b, value >> 44 & 0xffff, 8), b.resize(b.size() + 32);
              break;
            case 72: name(4), put(b, value >> 8, 4), put(b, 0, 4); break;
            case 18:
              name(4), put(b, value >> 8, 4), put(b, value >> 16, 4), put(b, value >> 24, 4), put(b, 0, 4);
              break;
            case 16: name(4), name(8), put(b, 0, 4); break;
            case 70:
            case 20: put(b, other, 4), name(8); break;
            case 74: name(8), put(b, other, 4), name(12); break;
            case 76: name(8), put(b, value & 0x200, 4); break;
            case 30: put(b, other, 4), text(b, attribute(value >> 8)); break;
            case 32: text(b, attribute(value >> 8)), put(b, value >> 16 & 0xff, 8), put(b, value >> 4 & 3, 4); break;
            case 104: put(b, ~u64{0}, 4), text(b, ""), text(b, ""), put(b, value >> 8, 4); break;
            case 100: text(b, "9P2000.L"); break;
            default: b.resize(b.size() + (value >> 8 & 63), static_cast<u8>(value >> 16));
          }
        },
        offset >> 5, static_cast<u32>(value >> 56 & 1 ? 11 + (value >> 48 & 0xff) : 0x1000));
  }
  std::string complaint() override { return folder_->intact() ? "" : "a file outside of the folder was changed"; }

 private:
  static std::string names(u64 bits) {
    static const std::string kNames[] = {"f",
                                         "d",
                                         "e",
                                         "g",
                                         "out",
                                         "..",
                                         ".",
                                         "new",
                                         "a/b",
                                         "",
                                         "x",
                                         "lnk",
                                         std::string(300, 'n'),
                                         ".virtfs_metadata",
                                         "secret",
                                         "y"};
    return kNames[bits & 15];
  }
  static std::string attribute(u64 bits) {
    static const std::string kNames[] = {"",
                                         "user.a",
                                         "user.b",
                                         "user.virtfs.uid",
                                         "security.x",
                                         "trusted.t",
                                         "user." + std::string(300, 'a'),
                                         "system.posix_acl_access"};
    return kNames[bits & 7];
  }
  static void text(std::vector<u8>& b, const std::string& s) {
    put(b, s.size(), 2);
    b.insert(b.end(), s.begin(), s.end());
  }
  template <typename Body>
  void message(u8 type, Body body, u32 how, u32 room = 0x1000) {
    std::vector<u8> b(4);
    b.push_back(type), put(b, 1, 2);
    body(b);
    store_le<u32>(b.data(), static_cast<u32>(b.size()));
    request(0, b, room, how);
  }
  SharedFolder* folder_;
};

}  // namespace

std::vector<Family> virtio_9p_families() {
  return {{"virtio_9p", [] { return std::make_unique<Share>(share::Folder::Model::Mapped); }},
          {"virtio_9p_file", [] { return std::make_unique<Share>(share::Folder::Model::MappedFile); }}};
}

}  // namespace doppel::fuzz
