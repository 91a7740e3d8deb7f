// Segment loads, far transfers, task switches, I/O permission, SMM.
#include "system_fixture.h"

namespace doppel::x86::test {
namespace {

TEST_F(SystemTest, LoadSegmentFaults) {
  protected_mode();
  EXPECT_TRUE(raises(0, [&] { helper_load_seg(sp, DS, 0x40); }));
  expect_pending(NP, 0x40);
  EXPECT_TRUE(raises(0, [&] { helper_load_seg(sp, SS, 0x40); }));
  expect_pending(SS_, 0x40);
  EXPECT_TRUE(raises(0, [&] { helper_load_seg(sp, SS, 8); }));
  expect_pending(GP, 8);
  EXPECT_TRUE(raises(0, [&] { helper_load_seg(sp, SS, 0); }));
  expect_pending(GP, 0);
  EXPECT_TRUE(raises(0, [&] { helper_load_seg(sp, DS, 0x103); }));
  expect_pending(GP, 0x100);
  EXPECT_EQ(s().seg[DS].selector, 0x10);
  EXPECT_TRUE(cpu->mode() & kModeFlatData);
  EXPECT_EQ(helper_load_seg(sp, DS, 0), 1u);
  EXPECT_FALSE(cpu->mode() & kModeFlatData);
  EXPECT_TRUE(raises(0, [&] { helper_seg_check(sp, DS, 0, 1, 0); }));
  expect_pending(GP, 0);
  EXPECT_EQ(helper_load_seg(sp, DS, 0x10), 1u);
  EXPECT_EQ(helper_load_seg(sp, DS, 0x10), 0u);
}

TEST_F(SystemTest, SegmentLimits) {
  protected_mode();
  descriptor(kGdt, 10, 0, 0xfff, 0x93, 4);
  descriptor(kGdt, 11, 0, 0xfff, 0x97, 4);  // expand down
  descriptor(kGdt, 12, 0, 0xfff, 0x91, 4);  // read only
  helper_load_seg(sp, ES, 0x50);
  EXPECT_FALSE(raises(0, [&] { helper_seg_check(sp, ES, 0xffc, 4, 1); }));
  EXPECT_TRUE(raises(0, [&] { helper_seg_check(sp, ES, 0xffd, 4, 1); }));
  expect_pending(GP, 0);
  helper_load_seg(sp, ES, 0x58);
  EXPECT_TRUE(raises(0, [&] { helper_seg_check(sp, ES, 0xfff, 4, 1); }));
  EXPECT_FALSE(raises(0, [&] { helper_seg_check(sp, ES, 0x1000, 4, 1); }));
  helper_load_seg(sp, ES, 0x60);
  EXPECT_FALSE(raises(0, [&] { helper_seg_check(sp, ES, 0, 4, 0); }));
  EXPECT_TRUE(raises(0, [&] { helper_seg_check(sp, ES, 0, 4, 1); }));
  helper_load_seg(sp, SS, 0x50);
  EXPECT_TRUE(raises(0, [&] { helper_seg_check(sp, SS, 0x1000, 1, 1); }));
  expect_pending(SS_, 0);
}

TEST_F(SystemTest, LarLslVerify) {
  protected_mode();
  EXPECT_EQ(helper_lar(sp, 0x10), u64{1} << 32 | 0xcf9300);
  EXPECT_EQ(helper_lsl(sp, 0x10), u64{1} << 32 | 0xffffffff);
  EXPECT_EQ(helper_lar(sp, 0), 0u);
  EXPECT_EQ(helper_verw(sp, 8), 0u);
  EXPECT_EQ(helper_verr(sp, 8), 1u);
  EXPECT_EQ(helper_verw(sp, 0x10), 1u);
  user_mode();
  EXPECT_EQ(helper_verr(sp, 0x10), 0u);
  EXPECT_EQ(helper_verr(sp, 0x38), 1u) << "conforming";
}

TEST_F(SystemTest, FarCallThroughGateCopiesParameters) {
  protected_mode();
  // Gate at 0x68: DPL 3, two parameters, to 08:00005000.
  poke<u32>(kGdt + 0x68, 0x00085000);
  poke<u32>(kGdt + 0x6c, 0x0000ec02);
  user_mode();
  s().gpr[RSP] = 0x7000;
  poke<u32>(0x7000, 0xaaaa);
  poke<u32>(0x7004, 0xbbbb);
  s().rip = 0x407;
  helper_far_call(sp, 0x68, 0, 4, 0x407);
  EXPECT_EQ(s().rip, 0x5000u);
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().gpr[RSP], 0x9000u - 24);
  EXPECT_EQ(peek<u32>(0x9000 - 24), 0x407u);
  EXPECT_EQ(peek<u32>(0x9000 - 20), 0x1bu);
  EXPECT_EQ(peek<u32>(0x9000 - 16), 0xaaaau);
  EXPECT_EQ(peek<u32>(0x9000 - 12), 0xbbbbu);
  EXPECT_EQ(peek<u32>(0x9000 - 8), 0x7000u);
  helper_far_ret(sp, 4, 8);
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().rip, 0x407u);
  EXPECT_EQ(s().gpr[RSP], 0x7008u);
}

TEST_F(SystemTest, FarJumpModes) {
  protected_mode();
  helper_far_jmp(sp, 0x38, 0x1234, 4, 0);
  EXPECT_EQ(s().rip, 0x1234u);
  EXPECT_EQ(s().seg[CS].selector, 0x38);
  EXPECT_TRUE(raises(0x20, [&] { helper_far_jmp(sp, 0x1b, 0, 4, 0); }));
  expect_pending(GP, 0x18);
  EXPECT_EQ(s().rip, 0x20u);
  EXPECT_TRUE(raises(0x20, [&] { helper_far_jmp(sp, 0x10, 0, 4, 0); }));
  expect_pending(GP, 0x10);
}

TEST_F(SystemTest, TaskSwitchByCallAndIret) {
  protected_mode();
  const u64 t2 = kTss + 0x400;
  poke<u32>(t2 + 0x20, 0x7777);
  poke<u32>(t2 + 0x24, 2);
  poke<u32>(t2 + 0x38, 0x6000);
  poke<u32>(t2 + 0x28, 0x1111);
  for (unsigned i = 0; i < 6; i++) poke<u32>(t2 + 0x48 + 4 * i, 0x10);
  poke<u32>(t2 + 0x4c, 8);
  s().gpr[RAX] = 0x2222;
  s().rip = 0x407;
  helper_far_call(sp, 0x48, 0, 4, 0x407);
  EXPECT_EQ(s().rip, 0x7777u);
  EXPECT_EQ(s().gpr[RAX], 0x1111u);
  EXPECT_EQ(s().seg[TR].selector, 0x48);
  EXPECT_TRUE(s().eflags & NT);
  EXPECT_TRUE(s().cr0 & CR0_TS);
  EXPECT_EQ(peek<u16>(t2), 0x28);
  EXPECT_EQ(peek<u8>(kGdt + 0x28 + 5), 0x8b);
  EXPECT_EQ(peek<u8>(kGdt + 0x48 + 5), 0x8b);
  EXPECT_EQ(peek<u32>(kTss + 0x20), 0x407u);
  s().rip = 0x7780;
  helper_iret(sp, 4, 0x7780);
  EXPECT_EQ(s().rip, 0x407u);
  EXPECT_EQ(s().gpr[RAX], 0x2222u);
  EXPECT_EQ(peek<u8>(kGdt + 0x48 + 5), 0x89);
  EXPECT_EQ(peek<u32>(t2 + 0x20), 0x7780u);
  EXPECT_FALSE(s().eflags & NT);
}

TEST_F(SystemTest, TaskSwitchFaultBelongsToNewTask) {
  protected_mode();
  gate(10, 8, 0x5000, 0x8e);
  const u64 t2 = kTss + 0x400;
  poke<u32>(t2 + 0x20, 0x7777);
  poke<u32>(t2 + 0x38, 0x6000);
  for (unsigned i = 0; i < 6; i++) poke<u32>(t2 + 0x48 + 4 * i, 0x10);
  poke<u32>(t2 + 0x4c, 8);
  poke<u32>(t2 + 0x54, 0x28);  // DS = a TSS
  EXPECT_TRUE(raises(0x400, [&] { helper_far_jmp(sp, 0x48, 0, 4, 0x407); }));
  EXPECT_EQ(s().seg[TR].selector, 0x48);
  EXPECT_EQ(s().rip, 0x7777u);
  expect_pending(TS, 0x28);
}

TEST_F(SystemTest, PortPermission) {
  protected_mode();
  poke<u32>(kTss + 0x68, ~u32{0});
  poke<u8>(kTss + 0x68 + 0x10, 0xfd);  // port 0x81 is open
  for (unsigned i = 0x11; i < 0x100; i++) poke<u8>(kTss + 0x68 + i, 0xff);
  EXPECT_EQ(helper_port_in(sp, 0x60, 1), 0x20u);
  user_mode();
  EXPECT_TRUE(raises(0, [&] { helper_port_in(sp, 0x88, 1); }));
  expect_pending(GP, 0);
  EXPECT_FALSE(raises(0, [&] { helper_port_out(sp, 0x81, 0x55, 1); }));
  EXPECT_TRUE(raises(0, [&] { helper_port_out(sp, 0x81, 0x55, 2); }));
  s().eflags |= IOPL;
  EXPECT_FALSE(raises(0, [&] { helper_port_in(sp, 0x88, 4); }));
  EXPECT_EQ(platform.port_writes, (std::vector<u32>{0x81, 0x55, 1}));
}

TEST_F(SystemTest, SmmRoundTrip) {
  for (const char* model : {"max", "pentium3"}) {
    make(model);
    protected_mode();
    s().gpr[RBX] = 0x12345678;
    s().rip = 0x432;
    s().smbase = 0x20000;
    set_eflags(s(), CF | IF, ~u32{0});
    const Segment ds = s().seg[DS];
    cpu->smi();
    EXPECT_TRUE(cpu->has_work());
    deliver();
    EXPECT_TRUE(platform.smm);
    EXPECT_EQ(cpu->linear_pc(), 0x28000u);
    EXPECT_FALSE(s().cr0 & CR0_PE);
    const bool wide = std::string_view(model) == "max";
    EXPECT_EQ(peek<u32>(0x20000 + 0xfefc), wide ? 0x20064u : 0x20000u);
    poke<u32>(wide ? 0x20000 + 0xff00 : 0x20000 + 0xfef8, 0x30000);  // relocate
    s().gpr[RBX] = 0;
    helper_rsm(sp);
    EXPECT_FALSE(platform.smm);
    EXPECT_EQ(s().rip, 0x432u);
    EXPECT_EQ(s().gpr[RBX], 0x12345678u);
    EXPECT_EQ(s().smbase, 0x30000u);
    EXPECT_TRUE(s().cr0 & CR0_PE);
    EXPECT_EQ(s().seg[DS].attr, ds.attr);
    EXPECT_EQ(s().seg[DS].limit, ds.limit);
    EXPECT_EQ(get_eflags(s()), u32{CF | IF | 2});
    EXPECT_TRUE(raises(0, [&] { helper_rsm(sp); }));
    EXPECT_EQ(s().exc_vector, UD);
    s().exc_pending = 0;
  }
}

TEST_F(SystemTest, FxsaveRoundTrip) {
  protected_mode();
  s().cr4 |= CR4_OSFXSR;
  s().top = 3;
  s().fptag = 0xf7;
  s().st[3] = {0x8000000000000000, 0x3fff, {}};
  s().xmm[5].d[0] = 77;
  set_mxcsr(s(), 0x1fa0);
  helper_fxsave(sp, 0x4000, 0);
  EXPECT_EQ(peek<u8>(0x4004), 0x08);
  EXPECT_EQ(peek<u16>(0x4002) >> 11, 3);
  EXPECT_EQ(peek<u16>(0x4028), 0x3fff);
  EXPECT_EQ(peek<u64>(0x40a0 + 80), 77u);
  s().top = 0;
  s().fptag = 0;
  s().st[3] = {};
  s().xmm[5].d[0] = 0;
  helper_fxrstor(sp, 0x4000, 0);
  EXPECT_EQ(s().top, 3);
  EXPECT_EQ(s().fptag, 0xf7);
  EXPECT_EQ(s().st[3].sign_exponent, 0x3fff);
  EXPECT_EQ(s().xmm[5].d[0], 77u);
  EXPECT_TRUE(raises(0, [&] { helper_fxsave(sp, 0x4008, 0); }));
  expect_pending(GP, 0);
  poke<u32>(0x4018, 0x10000);
  EXPECT_TRUE(raises(0, [&] { helper_fxrstor(sp, 0x4000, 0); }));
  expect_pending(GP, 0);
}

TEST_F(SystemTest, XsaveInitialState) {
  protected_mode();
  s().cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
  s().gpr[RCX] = 0;
  s().gpr[RAX] = 3;
  s().gpr[RDX] = 0;
  helper_xsetbv(sp);
  EXPECT_EQ(helper_xgetbv(sp), 3u);
  s().xmm[1].d[1] = 5;
  helper_xsave(sp, 0x4000, 0);
  EXPECT_EQ(peek<u64>(0x4200), 3u);
  poke<u64>(0x4200, 1);
  helper_xrstor(sp, 0x4000, 0);
  EXPECT_EQ(s().xmm[1].d[1], 0u) << "SSE in its initial state";
  poke<u64>(0x4200, 4);
  EXPECT_TRUE(raises(0, [&] { helper_xrstor(sp, 0x4000, 0); }));
  expect_pending(GP, 0);
}

}  // namespace
}  // namespace doppel::x86::test
