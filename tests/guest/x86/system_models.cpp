// -cpu, CPUID, model-specific registers, the debugger's view, saving and loading.
#include <set>

#include "system_fixture.h"

namespace doppel::x86::test {
namespace {

TEST(CpuModels, ParseGood) {
  auto m = parse_cpu("qemu64,+sse4.2,-cx16,popcnt=on,family=6", true);
  ASSERT_TRUE(m.ok()) << m.error().text();
  EXPECT_TRUE(m->has("sse4_2"));
  EXPECT_TRUE(m->has("popcnt"));
  EXPECT_FALSE(m->has("cx16"));
  EXPECT_TRUE(m->has("lm"));
  EXPECT_EQ(m->family, 6u);
  EXPECT_EQ(parse_cpu("", true)->name, "qemu64");
  EXPECT_EQ(parse_cpu("", false)->name, "qemu32");
  EXPECT_FALSE(parse_cpu("max", false)->has("lm"));
  EXPECT_FALSE(parse_cpu("pentium", false)->has("cmov"));
}

TEST(CpuModels, ParseErrors) {
  EXPECT_NE(parse_cpu("qemu65", true).error().text().find("qemu64"), std::string::npos);
  EXPECT_NE(parse_cpu("max,+sse43", true).error().text().find("sse"), std::string::npos);
  EXPECT_NE(parse_cpu("max,+avx2", true).error().text().find("not built yet"), std::string::npos);
  EXPECT_NE(parse_cpu("Haswell", true).error().text().find("not built yet"), std::string::npos);
  EXPECT_NE(parse_cpu("host", true).error().text().find("KVM"), std::string::npos);
  EXPECT_FALSE(parse_cpu("max,family=x", true).ok());
  EXPECT_FALSE(parse_cpu("max,vendor=Short", true).ok());
  EXPECT_TRUE(parse_cpu("max,enforce,vendor=GenuineIntel", true).ok());
}

TEST(CpuModels, TablesAreSound) {
  std::set<std::string> names;
  std::set<std::pair<int, int>> bits;
  for (const FeatureRow* f : feature_rows()) {
    EXPECT_TRUE(names.insert(f->name).second) << f->name;
    EXPECT_TRUE(bits.insert({static_cast<int>(f->word), f->bit}).second) << f->name;
  }
  for (const CpuModel& m : all_models()) {
    EXPECT_EQ(m.vendor.size(), 12u);
    EXPECT_TRUE(m.has("fpu"));
  }
  EXPECT_NE(cpu_help().find("Nehalem"), std::string::npos);
}

TEST_F(SystemTest, CpuidLeaves) {
  make("qemu64");
  const CpuidResult zero = cpuid(s(), 0, 0);
  EXPECT_EQ(zero.ebx, 0x68747541u);  // "Auth"
  EXPECT_EQ(cpuid(s(), 1, 0).eax, 0x00060fb1u);
  EXPECT_TRUE(cpuid(s(), 0x80000001, 0).edx & (1u << 29));
  EXPECT_TRUE(cpuid(s(), 0x80000001, 0).edx & 1) << "AMD repeats leaf 1";
  make("max");
  EXPECT_EQ(cpuid(s(), 0xd, 0).eax, 3u);
  EXPECT_FALSE(cpuid(s(), 1, 0).ecx & (1u << 27));
  s().cr4 |= CR4_OSXSAVE;
  EXPECT_TRUE(cpuid(s(), 1, 0).ecx & (1u << 27));
  platform.cpus = 4;
  EXPECT_EQ(cpuid(s(), 0xb, 1).ebx, 4u);
  EXPECT_EQ(cpuid(s(), 0xb, 1).eax, 2u);
  EXPECT_EQ((cpuid(s(), 1, 0).ebx >> 16) & 0xff, 4u);
}

TEST_F(SystemTest, Msrs) {
  u64 v = 0;
  EXPECT_TRUE(write_msr(s(), 0x277, 0x0007010600070106));
  EXPECT_FALSE(write_msr(s(), 0x277, 2));
  EXPECT_TRUE(read_msr(s(), 0x277, v));
  EXPECT_EQ(v, 0x0007010600070106u);
  EXPECT_FALSE(read_msr(s(), 0x12345678, v));
  EXPECT_FALSE(write_msr(s(), 0xc0000082, u64{1} << 50));
  EXPECT_TRUE(write_msr(s(), 0xc0000101, 0xffff880000000000));
  EXPECT_EQ(s().seg[GS].base, 0xffff880000000000u);
  EXPECT_TRUE(write_msr(s(), 0x10, 5000));
  platform.time = 1100;
  EXPECT_EQ(helper_rdtsc(sp), 5100u);
  EXPECT_TRUE(read_msr(s(), 0x3b, v));
  EXPECT_EQ(v, 4000u);
  EXPECT_FALSE(write_msr(s(), 0xc0000080, u64{1} << 40));
  make("pentium3");
  EXPECT_FALSE(read_msr(s(), 0xc0000080, v));
  s().gpr[RCX] = 0x99999;
  EXPECT_TRUE(raises(0, [&] { helper_rdmsr(sp); }));
  expect_pending(GP, 0);
}

TEST_F(SystemTest, GdbRegisters) {
  const auto& regs = cpu->gdb_registers();
  ASSERT_EQ(regs[16].name, "rip");
  EXPECT_EQ(regs[24].name, "st0");
  EXPECT_EQ(regs[40].name, "xmm0");
  EXPECT_EQ(regs.back().name, "gs_base");
  u8 in[16] = {1, 2, 3, 4, 5, 6, 7, 8}, out[16] = {};
  for (size_t i = 0; i < regs.size(); i++) {
    EXPECT_EQ(cpu->gdb_read(i, out), size_t{regs[i].bits} / 8) << regs[i].name;
    EXPECT_EQ(cpu->gdb_write(i, in), size_t{regs[i].bits} / 8) << regs[i].name;
  }
  EXPECT_EQ(cpu->gdb_read(regs.size(), out), 0u);
  EXPECT_EQ(s().gpr[RBX], 0x0807060504030201u);
  EXPECT_NE(cpu->gdb_feature().find("org.gnu.gdb.i386.core"), std::string::npos);
  make("qemu32");
  EXPECT_EQ(cpu->gdb_registers()[8].name, "eip");
  EXPECT_EQ(cpu->gdb_registers()[4].name, "esp");
}

TEST_F(SystemTest, DumpIsInTheUsualForm) {
  protected_mode();
  const std::string text = cpu->dump_registers();
  EXPECT_NE(text.find("EAX=00000000 EBX="), std::string::npos);
  EXPECT_NE(text.find("EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0"), std::string::npos);
  EXPECT_NE(text.find("CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]"), std::string::npos) << text;
  EXPECT_NE(text.find("DS =0010 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]"), std::string::npos) << text;
  EXPECT_NE(text.find("CR0=60000011 CR2="), std::string::npos);
}

TEST_F(SystemTest, ArchiveRoundTrip) {
  long_mode_on();
  s().gpr[RSI] = 99;
  s().xmm[3].d[1] = 7;
  set_mxcsr(s(), 0x1f00);
  cpu->set_intr(true);
  StateArchive save(StateArchive::Mode::Save);
  cpu->archive(save);
  const auto bytes = save.serialize();
  make("max");
  StateArchive load(StateArchive::Mode::Load);
  ASSERT_TRUE(load.deserialize(bytes));
  cpu->archive(load);
  EXPECT_TRUE(load.errors().empty());
  EXPECT_EQ(s().gpr[RSI], 99u);
  EXPECT_EQ(s().h.fp_env & 0x1f80, 0x1f80u);
  EXPECT_TRUE(cpu->mode() & kModeFpExc);
  EXPECT_TRUE(cpu->mode() & kModeCs64);
  EXPECT_EQ(s().events.load(), u32{kEventIntr});
  StateArchive again(StateArchive::Mode::Save);
  cpu->archive(again);
  EXPECT_TRUE(save.diff(again).empty());
}

TEST_F(SystemTest, A20Wraps) {
  poke<u8>(0x500, 1);
  poke<u8>(0x100500, 2);
  EXPECT_EQ(mem::load<u8>(s().h, 0x100500), 2);
  cpu->set_a20(false);
  deliver();
  EXPECT_EQ(mem::load<u8>(s().h, 0x100500), 1);
  cpu->set_a20(true);
  deliver();
  EXPECT_EQ(mem::load<u8>(s().h, 0x100500), 2);
}

}  // namespace
}  // namespace doppel::x86::test
