#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "firmware/fw_cfg.h"
#include "firmware/loaders.h"

namespace doppel::firmware {
namespace {

class NoMemory final : public hw::DmaPort {
 public:
  bool read(u64, void*, u64) override { return false; }
  bool write(u64, const void*, u64) override { return false; }
};

struct KernelTest : ::testing::Test {
  NoMemory memory;
  FwCfg fw{{memory}};
  std::filesystem::path dir =
      std::filesystem::temp_directory_path() / ("doppel-kernel-" + std::to_string(reinterpret_cast<uintptr_t>(this)));
  void SetUp() override { std::filesystem::create_directories(dir); }
  void TearDown() override { std::filesystem::remove_all(dir); }
  std::string file(const std::string& name, const std::vector<u8>& data) {
    std::ofstream(dir / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
    return (dir / name).string();
  }
  std::string read(u16 key, size_t size) {
    fw.write(0, key, 2);
    std::string out;
    for (size_t i = 0; i < size; i++) out += static_cast<char>(fw.read(1, 1));
    return out;
  }
  u32 read32(u16 key) { return load_le<u32>(read(key, 4).data()); }
  static std::vector<u8> linux_image(u16 protocol = 0x20f) {
    std::vector<u8> image(0x8000);
    image[0x1f1] = 3;
    store_le<u16>(&image[0x1fe], 0xaa55);
    std::memcpy(&image[0x202], "HdrS", 4);
    store_le<u16>(&image[0x206], protocol);
    image[0x211] = 1;
    store_le<u32>(&image[0x22c], 0x7fffffff);
    image[4 * 512] = 0x77;  // first byte of the protected-mode part
    return image;
  }
};

TEST_F(KernelTest, Linux) {
  KernelConfig config{file("vmlinuz", linux_image()), file("initrd", std::vector<u8>(5000, 9)), "quiet vga=0x317",
                      u64{128} << 20};
  auto loaded = load_kernel(fw, config);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  EXPECT_EQ(loaded->kind, KernelKind::Linux);
  EXPECT_EQ(read32(kFwSetupSize), 4u * 512);
  EXPECT_EQ(read32(kFwKernelAddr), 0x100000u);
  EXPECT_EQ(read32(kFwKernelSize), 0x8000u - 4 * 512);
  EXPECT_EQ(read(kFwKernelData, 1)[0], 0x77);
  EXPECT_EQ(read(kFwCmdlineData, 5), "quiet");
  const std::string setup = read(kFwSetupData, 0x250);
  EXPECT_EQ(load_le<u32>(&setup[0x228]), read32(kFwCmdlineAddr));
  EXPECT_EQ(load_le<u32>(&setup[0x218]), read32(kFwInitrdAddr));
  EXPECT_EQ(load_le<u32>(&setup[0x21c]), 5000u);
  EXPECT_EQ(load_le<u16>(&setup[0x1fa]), 0x317);
  EXPECT_LT(read32(kFwInitrdAddr) + 5000, u32{128} << 20);
}

TEST_F(KernelTest, MultibootElf) {
  std::vector<u8> image(0x2000);
  std::memcpy(image.data(),
              "\x7f"
              "ELF\x01\x01\x01",
              7);
  store_le<u16>(&image[18], 3);
  store_le<u32>(&image[24], 0xc0100020);  // entry, virtual
  store_le<u32>(&image[28], 52);
  store_le<u16>(&image[42], 32), store_le<u16>(&image[44], 1);
  const u32 header[8] = {1, 0x1000, 0xc0100000, 0x100000, 0x100, 0x3000, 7, 0x1000};
  std::memcpy(&image[52], header, sizeof header);
  store_le<u32>(&image[0x1000], 0x1badb002), store_le<u32>(&image[0x1004], 3),
      store_le<u32>(&image[0x1008], 0u - 0x1badb002 - 3);
  image[0x1020] = 0x42;
  KernelConfig config{file("kernel.elf", image), file("module", std::vector<u8>(10, 7)) + " first", "x=1",
                      u64{64} << 20};
  auto loaded = load_kernel(fw, config);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  EXPECT_EQ(loaded->kind, KernelKind::Multiboot);
  EXPECT_EQ(read32(kFwKernelEntry), 0x100020u);
  EXPECT_EQ(read32(kFwKernelAddr), 0x100000u);
  EXPECT_EQ(read32(kFwKernelSize), 0x3000u + 10);  // the module follows on a page of its own
  const std::string kernel = read(kFwKernelData, 0x300a);
  EXPECT_EQ(kernel[0x20], 0x42);
  EXPECT_EQ(kernel[0x3000], 7);
  const u32 base = read32(kFwInitrdAddr);
  const std::string info = read(kFwInitrdData, read32(kFwInitrdSize));
  EXPECT_EQ(load_le<u32>(&info[20]), 1u);
  const u32 modules = load_le<u32>(&info[24]) - base;
  EXPECT_EQ(load_le<u32>(&info[modules]), 0x103000u);
  EXPECT_EQ(load_le<u32>(&info[modules + 4]), 0x10300au);
  EXPECT_STREQ(&info[load_le<u32>(&info[16]) - base], (config.kernel + " x=1").c_str());
}

TEST_F(KernelTest, BadImages) {
  const auto error = [&](const std::string& path, u64 ram = u64{64} << 20) {
    FwCfg f{{memory}};
    auto r = load_kernel(f, {path, "", "", ram});
    return r.ok() ? std::string("loaded") : r.error().text();
  };
  EXPECT_NE(error((dir / "none").string()).find("can't open"), std::string::npos);
  EXPECT_NE(error(dir.string()).find("folder"), std::string::npos);
  EXPECT_NE(error(file("text", std::vector<u8>(3000, 'x'))).find("is no kernel"), std::string::npos);
  EXPECT_NE(error(file("empty", {})).find("is no kernel"), std::string::npos);
  auto image = linux_image();
  image[0x1f1] = 200;
  EXPECT_NE(error(file("short", image)).find("damaged"), std::string::npos);
  EXPECT_NE(error(file("big", linux_image()), 0x100000).find("fit"), std::string::npos);
}

}  // namespace
}  // namespace doppel::firmware
