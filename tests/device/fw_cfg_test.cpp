#include "firmware/fw_cfg.h"

#include <gtest/gtest.h>

namespace doppel::firmware {
namespace {

class Memory final : public hw::DmaPort {
 public:
  std::vector<u8> bytes = std::vector<u8>(0x10000);
  bool read(u64 pa, void* out, u64 size) override {
    if (pa + size > bytes.size()) return false;
    std::memcpy(out, &bytes[pa], size);
    return true;
  }
  bool write(u64 pa, const void* data, u64 size) override {
    if (pa + size > bytes.size()) return false;
    std::memcpy(&bytes[pa], data, size);
    return true;
  }
  void put_descriptor(u64 at, u32 control, u32 length, u64 address) {
    store_le<u32>(&bytes[at], __builtin_bswap32(control));
    store_le<u32>(&bytes[at + 4], __builtin_bswap32(length));
    store_le<u64>(&bytes[at + 8], __builtin_bswap64(address));
  }
  u32 control(u64 at) { return __builtin_bswap32(load_le<u32>(&bytes[at])); }
};

struct FwCfgTest : ::testing::Test {
  Memory memory;
  FwCfg fw{{memory}};
  std::string read(u16 key, size_t size) {
    fw.write(0, key, 2);
    std::string out;
    for (size_t i = 0; i < size; i++) out += static_cast<char>(fw.read(1, 1));
    return out;
  }
  void start_dma(u64 descriptor) {
    fw.write(4, 0, 4);
    fw.write(8, __builtin_bswap32(static_cast<u32>(descriptor)), 4);
  }
};

TEST_F(FwCfgTest, SignatureAndId) {
  EXPECT_EQ(read(kFwSignature, 4), "QEMU");
  EXPECT_EQ(read(kFwId, 1)[0], 3);
  EXPECT_EQ(fw.read(4, 4), 0x554d4551u);  // "QEMU CFG" as the DMA register shows it
  EXPECT_EQ(fw.read(8, 4), 0x47464320u);
}

TEST_F(FwCfgTest, PastTheEndIsZero) {
  fw.add_u16(kFwNbCpus, 4);
  EXPECT_EQ(read(kFwNbCpus, 4), std::string("\x04\0\0\0", 4));
  EXPECT_EQ(read(0x3fff, 2), std::string(2, '\0'));
}

TEST_F(FwCfgTest, DirectoryListsFiles) {
  fw.add_file("opt/b", "bb");
  fw.add_file("etc/a", "a");
  const std::string dir = read(kFwFileDir, 4 + 2 * 64);
  EXPECT_EQ(dir.substr(0, 4), std::string("\0\0\0\x02", 4));
  EXPECT_STREQ(dir.c_str() + 4 + 8, "etc/a");
  EXPECT_STREQ(dir.c_str() + 4 + 64 + 8, "opt/b");
  EXPECT_EQ(dir.substr(4 + 64, 4), std::string("\0\0\0\x02", 4));
  const u16 key = static_cast<u16>(static_cast<u8>(dir[4 + 64 + 4]) << 8 | static_cast<u8>(dir[4 + 64 + 5]));
  EXPECT_EQ(read(key, 2), "bb");
  fw.add_file("opt/b", "new");
  EXPECT_EQ(read(key, 3), "new");
}

TEST_F(FwCfgTest, DmaReadsSkipsAndSelects) {
  fw.add_string(kFwCmdlineData, "console=ttyS0");
  memory.put_descriptor(0x100, u32{kFwCmdlineData} << 16 | 8 | 4, 8, 0);  // select, skip 8
  start_dma(0x100);
  EXPECT_EQ(memory.control(0x100), 0u);
  std::fill_n(&memory.bytes[0x200], 16, u8{0xee});
  memory.put_descriptor(0x100, 2, 16, 0x200);  // read the rest and zeroes
  start_dma(0x100);
  EXPECT_STREQ(reinterpret_cast<char*>(&memory.bytes[0x200]), "ttyS0");
  EXPECT_EQ(memory.bytes[0x20f], 0);
}

TEST_F(FwCfgTest, DmaErrors) {
  memory.put_descriptor(0x100, 2, 16, 0xfff00000);
  start_dma(0x100);
  EXPECT_EQ(memory.control(0x100), 1u);
  fw.add_file("etc/ro", "xx");
  memory.put_descriptor(0x100, u32{kFwFileFirst} << 16 | 8 | 16, 2, 0x200);  // not writable
  start_dma(0x100);
  EXPECT_EQ(memory.control(0x100), 1u);
  start_dma(0xfffffff0);  // nothing there: harmless
  fw.write(0, 0, 1), fw.write(11, 0xff, 1), fw.read(9, 8);
}

TEST_F(FwCfgTest, DmaWritesWritableFiles) {
  fw.add_file("etc/rw", std::vector<u8>(4), true);
  store_le<u32>(&memory.bytes[0x200], 0x11223344);
  memory.put_descriptor(0x100, u32{kFwFileFirst} << 16 | 8 | 16, 4, 0x200);
  start_dma(0x100);
  EXPECT_EQ(memory.control(0x100), 0u);
  EXPECT_EQ(load_le<u32>(fw.file("etc/rw")->data()), 0x11223344u);
}

TEST_F(FwCfgTest, HugeDmaLengthEnds) {
  memory.put_descriptor(0x100, 4, 0xffffffff, 0);
  start_dma(0x100);
  EXPECT_EQ(memory.control(0x100), 0u);
}

}  // namespace
}  // namespace doppel::firmware
