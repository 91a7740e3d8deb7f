#include "hw/net/e1000.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {

using namespace e1000;

namespace {

// What a guest's write changes, register by register; the others are handled in write_register or are read only.
struct Row {
  u32 offset;
  u32 writable;
};
constexpr Row kRows[] = {
    {kCtrlExt, 0x00ffffff}, {kFcal, ~0u},      {kFcah, 0xffff},   {kFct, 0xffff},       {kVet, 0xffff},
    {kItr, 0xffff},         {kFcttv, 0xffff},  {kTxcw, ~0u},      {kTctl, 0x03fffffa},  {kTipg, 0x3fffffff},
    {kAifs, 0xffff},        {kLedctl, ~0u},    {kPba, 0xffff},    {kFcrtl, 0x8000fff8}, {kFcrth, 0xfff8},
    {kRdbal, ~15u},         {kRdbah, ~0u},     {kRdlen, 0xfff80}, {kRdh, 0xffff},       {kRdtr, 0xffff},
    {kRxdctl, ~0u},         {kRadv, 0xffff},   {kRsrpd, 0xfff},   {kTxdmac, 1},         {kTdbal, ~15u},
    {kTdbah, ~0u},          {kTdlen, 0xfff80}, {kTdh, 0xffff},    {kTidv, 0xffff},      {kTxdctl, ~0u},
    {kTadv, 0xffff},        {kTspmt, ~0u},     {kRxcsum, 0x7ff},  {kWuc, 0x1f},         {kWufc, 0xf00ff},
    {kManc, ~0u},
};
constexpr s64 kThrottleUnit = 256;  // ns

enum Phy : unsigned {
  kPhyControl = 0,
  kPhyStatus = 1,
  kPhyId1 = 2,
  kPhyId2 = 3,
  kPhyAdvertise = 4,
  kPhyPartner = 5,
  kPhyExpansion = 6,
  kPhy1000Control = 9,
  kPhy1000Status = 10,
  kPhyExtendedStatus = 15,
  kPhySpecificStatus = 17,
};
constexpr u16 kPhyReset = 0x8000, kPhyRestart = 0x0200, kPhyLink = 0x0004, kPhyNegotiated = 0x0020,
              kPhySpecificLink = 0x0400;

bool in_table(u32 offset) {
  return (offset >= kMta && offset < kMta + 4 * kMtaWords) || (offset >= kRa && offset < kRa + 8 * kRaPairs) ||
         (offset >= kVfta && offset < kVfta + 4 * kMtaWords);
}

}  // namespace

E1000::E1000(NicParams p)
    : PciNic("e1000", {.vendor = 0x8086, .device = 0x100e, .revision = 3, .class_code = 0x020000, .pin = 1},
             std::move(p)),
      throttle_(clock(), [this] { update_interrupt(); }),
      more_(clock(), [this] { transmit(); }) {
  add_mmio_bar(0, 0x20000, *this);
  add_io_bar(1, 0x40, io_);
  const auto& mac = port().mac();
  for (size_t i = 0; i < 3; i++) eeprom_.words[i] = static_cast<u16>(mac[2 * i] | mac[2 * i + 1] << 8);
  eeprom_.words[0x0a] = 0x400b;  // initialization control 1
  eeprom_.words[0x0b] = config16(pci::kSubsystemId);
  eeprom_.words[0x0c] = config16(pci::kSubsystemVendorId);
  eeprom_.words[0x0d] = 0x100e;
  eeprom_.words[0x0e] = 0x8086;
  eeprom_.words[0x0f] = 0x3040;  // initialization control 2
  u16 sum = 0;
  for (size_t i = 0; i < 63; i++) sum = static_cast<u16>(sum + eeprom_.words[i]);
  eeprom_.words[63] = static_cast<u16>(0xbaba - sum);
  reset_phy();
  reset_mac();
}

void E1000::reset() {
  PciDevice::reset();
  reset_phy();
  reset_mac();
  io_.address = 0;
}

void E1000::reset_mac() {
  regs_ = {};
  reg(kCtrl) = 0x00000a09;  // full duplex, priority of DMA, speed 1000 from EEPROM
  reg(kEecd) = kEecdPres | kEecdFwe;
  reg(kPba) = 0x00100030;  // 48 KiB receive, 16 KiB transmit
  reg(kTipg) = 0x00602008;
  reg(kLedctl) = 0x07068302;
  reg(kTspmt) = 0x01000400;
  reg(kRxcsum) = 0;
  reg(kMdic) = kMdicReady;
  const auto& mac = port().mac();
  reg(kRa) = static_cast<u32>(mac[0] | mac[1] << 8 | mac[2] << 16) | u32{mac[3]} << 24;
  reg(kRa + 4) = static_cast<u32>(mac[4] | mac[5] << 8) | kRahValid;
  eeprom_.reset();
  context_ = {};
  forget_frame();
  stalled_.reset();
  throttle_.disarm();
  more_.disarm();
  next_interrupt_ = 0;
  received_causes_ = 0;
  update_link();
  update_interrupt();
}

void E1000::reset_phy() {
  phy_ = {};
  phy_[kPhyControl] = 0x1140;
  phy_[kPhyStatus] = 0x7949;
  phy_[kPhyId1] = 0x0141;
  phy_[kPhyId2] = 0x0c20;
  phy_[kPhyAdvertise] = 0x0de1;
  phy_[kPhyPartner] = 0x45e1;
  phy_[kPhyExpansion] = 0x0005;
  phy_[kPhy1000Control] = 0x0e00;
  phy_[kPhy1000Status] = 0x3c00;
  phy_[kPhyExtendedStatus] = 0x3000;
  phy_[kPhySpecificStatus] = 0xa800;  // 1000 Mbit/s, full duplex, resolved
}

void E1000::update_link() { reg(kStatus) = kStatusFd | kStatusSpeed1000 | (port().link() ? u32{kStatusLu} : 0); }

void E1000::link_changed(bool) {
  update_link();
  raise(kIntLsc);
}

// --- registers

u64 E1000::read(u64 offset, unsigned) { return read_register(static_cast<u32>(offset)); }
void E1000::write(u64 offset, u64 value, unsigned) {
  write_register(static_cast<u32>(offset), static_cast<u32>(value));
}

u64 E1000::IoWindow::read(u64 offset, unsigned) {
  if (offset == 0) return address;
  return offset == 4 ? card_.read_register(address) : 0;
}

void E1000::IoWindow::write(u64 offset, u64 value, unsigned) {
  if (offset == 0) address = static_cast<u32>(value) & 0x1fffc;
  if (offset == 4) card_.write_register(address, static_cast<u32>(value));
}

u32 E1000::read_register(u32 offset) {
  if (offset >= kRegisterEnd) return 0;
  offset &= ~3u;
  const u32 value = reg(offset);
  if (offset == kIcr) {
    reg(kIcr) = 0;
    update_interrupt();
  } else if (offset == kIcs || offset == kImc) {
    return 0;
  } else if (offset == kEecd) {
    return (value & ~u32{kEecdDo}) | (eeprom_.out() ? u32{kEecdDo} : 0) | ((value & kEecdReq) ? u32{kEecdGnt} : 0);
  } else if (offset >= kStatistics && offset < kStatistics + 0x100) {
    reg(offset) = 0;
  }
  return value;
}

void E1000::write_register(u32 offset, u32 value) {
  if (offset >= kRegisterEnd) return;
  offset &= ~3u;
  switch (offset) {
    case kCtrl: write_control(value); return;
    case kEecd: write_eecd(value); return;
    case kMdic: write_mdic(value); return;
    case kEerd: {
      const u32 word = value >> 8 & 0xff;
      reg(kEerd) = (value & 0xff00) | kEerdDone | (word < eeprom_.words.size() ? u32{eeprom_.words[word]} << 16 : 0);
      if ((value & kEerdStart) == 0) reg(kEerd) = value & 0xff00;
      return;
    }
    case kIcr:
      reg(kIcr) &= ~value;
      update_interrupt();
      return;
    case kIcs: raise(value & kIntAll); return;
    case kIms:
      reg(kIms) |= value & kIntAll;
      update_interrupt();
      return;
    case kImc:
      reg(kIms) &= ~value;
      update_interrupt();
      return;
    case kRctl:
      reg(kRctl) = value & 0x067ffffe;
      port().room_to_receive();
      return;
    case kRdt:
      reg(kRdt) = value & 0xffff;
      port().room_to_receive();
      return;
    case kTdt:
      reg(kTdt) = value & 0xffff;
      transmit();
      return;
    default: break;
  }
  if (in_table(offset)) {
    reg(offset) = value;
    return;
  }
  for (const Row& row : kRows) {
    if (row.offset != offset) continue;
    reg(offset) = (reg(offset) & ~row.writable) | (value & row.writable);
    if (offset == kTctl) transmit();
    return;
  }
  DOPPEL_LOG(GuestErrors, "e1000: write of 0x%x to register 0x%x\n", value, offset);
}

void E1000::write_control(u32 value) {
  if (value & kCtrlPhyRst) reset_phy();
  if (value & kCtrlRst) {
    reset_mac();
    return;
  }
  reg(kCtrl) = value & ~(u32{kCtrlRst} | kCtrlPhyRst);
}

void E1000::write_eecd(u32 value) {
  constexpr u32 kPins = kEecdSk | kEecdCs | kEecdDi | kEecdReq;
  reg(kEecd) = (reg(kEecd) & ~kPins) | (value & kPins);
  eeprom_.pins((value & kEecdCs) != 0, (value & kEecdSk) != 0, (value & kEecdDi) != 0);
}

void E1000::write_mdic(u32 value) {
  const u32 op = value >> 26 & 3, index = value >> 16 & 31, phy = value >> 21 & 31;
  u32 result = (value & 0x0fff0000) | kMdicReady | (value & 0xffff) | (value & kMdicInt);
  if (phy != 1 || (op != kMdicRead && op != kMdicWrite)) {
    result |= kMdicError;
  } else if (op == kMdicRead) {
    result = (result & ~0xffffu) | read_phy(index);
  } else {
    write_phy(index, static_cast<u16>(value));
  }
  reg(kMdic) = result;
  if (value & kMdicInt) raise(kIntMdac);
}

u16 E1000::read_phy(unsigned index) const {
  const bool up = port().link();
  if (index == kPhyStatus) return static_cast<u16>(phy_[index] | (up ? kPhyLink | kPhyNegotiated : 0));
  if (index == kPhySpecificStatus) return static_cast<u16>(phy_[index] | (up ? kPhySpecificLink : 0));
  if (!up && (index == kPhyPartner || index == kPhy1000Status)) return 0;
  return phy_[index];
}

void E1000::write_phy(unsigned index, u16 value) {
  switch (index) {
    case kPhyControl:
      if (value & kPhyReset)
        reset_phy();
      else
        phy_[index] = static_cast<u16>(value & ~kPhyRestart);
      return;
    case kPhyStatus:
    case kPhyId1:
    case kPhyId2:
    case kPhyPartner:
    case kPhyExpansion:
    case kPhy1000Status:
    case kPhyExtendedStatus:
    case kPhySpecificStatus: return;
    default: phy_[index] = value;
  }
}

// --- interrupts

void E1000::raise(u32 causes) {
  reg(kIcr) |= causes;
  update_interrupt();
}

// With mitigation ITR keeps rising edges apart (Intel 317453, 13.4.18); a line that is high stays so until its causes
// are gone. Without it frames that come together still raise one: a guest that waits for the throttle is just idle.
void E1000::update_interrupt() {
  const bool wanted = (reg(kIcr) & reg(kIms)) != 0;
  if (!wanted) {
    set_intx(false);
    return;
  }
  if (intx()) return;
  const s64 now = clock().now();
  if (mitigation() && now < next_interrupt_ && reg(kItr) != 0) {
    if (!throttle_.armed()) throttle_.arm_at(next_interrupt_);
    return;
  }
  next_interrupt_ = now + s64{reg(kItr)} * kThrottleUnit;
  set_intx(true);
}

void E1000::count(u32 offset, u64 n) {
  const u64 sum = reg(offset) + n;
  reg(offset) = sum > ~0u ? ~0u : static_cast<u32>(sum);
}

void E1000::count64(u32 offset, u64 n) {
  const u64 sum = (u64{reg(offset + 4)} << 32 | reg(offset)) + n;
  reg(offset) = static_cast<u32>(sum);
  reg(offset + 4) = static_cast<u32>(sum >> 32);
}

void E1000::archive(StateArchive& ar) {
  ar.field("registers", regs_);
  ar.field("phy", phy_);
  eeprom_.archive(ar);
  ar.field("io_address", io_.address);
  ar.field("context_ip", context_.ip);
  ar.field("context_tu", context_.tu);
  ar.field("context_payload", context_.payload);
  ar.field("context_command", context_.command);
  ar.field("context_header", context_.header);
  ar.field("context_mss", context_.mss);
  ar.blob("frame", frame_);
  ar.field("frame_started", frame_started_);
  ar.field("frame_tse", frame_tse_);
  ar.field("frame_too_long", frame_too_long_);
  ar.field("frame_options", frame_options_);
  ar.field("frame_vlan", frame_vlan_);
  ar.field("frame_legacy", frame_legacy_);
  ar.field("legacy_cso", legacy_cso_);
  ar.field("legacy_css", legacy_css_);
  ar.field("next_interrupt", next_interrupt_);
  PciDevice::archive(ar);
  if (!ar.loading()) return;
  stalled_.reset();
  if (frame_.size() > net::kMaxPacket) forget_frame();
  next_interrupt_ = std::min(next_interrupt_, clock().now() + 0xffff * kThrottleUnit);
  update_interrupt();
}

std::string E1000::info() const {
  char text[300];
  std::snprintf(text, sizeof text,
                "mac %s, link %s, rctl %08x, tctl %08x, icr %08x, ims %08x, itr %u\n"
                "rx ring: %u bytes, head %u, tail %u; tx ring: %u bytes, head %u, tail %u\n",
                net::mac_text(port().mac()).c_str(), port().link() ? "up" : "down", reg(kRctl), reg(kTctl), reg(kIcr),
                reg(kIms), reg(kItr), reg(kRdlen), reg(kRdh), reg(kRdt), reg(kTdlen), reg(kTdh), reg(kTdt));
  return PciDevice::info() + text;
}

}  // namespace doppel::hw
