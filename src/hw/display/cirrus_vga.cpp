#include "hw/display/cirrus_vga.h"

#include "hw/bus/pci/pci_bus.h"

namespace doppel::hw {
namespace {

constexpr u32 kVram = 4 << 20;
constexpr u64 kBar0Bytes = 32 << 20, kBlitWindow = 16 << 20, kBar1Bytes = 4096;
constexpr u64 kMmioBlit = 0x100;                         // in BAR1
constexpr u8 kVgaSeq = 5, kVgaGfx = 9, kVgaCrtc = 0x19;  // the VGA's own registers come first

// Port offsets from 0x3b0.
enum Port : u32 { kSeqIndex = 0x14, kSeqData = 0x15, kDacMask = 0x16, kGfxIndex = 0x1e, kGfxData = 0x1f };
// Chapter 9: sequencer, graphics, CRT controller.
enum Seq : u8 {
  kUnlock = 0x06,
  kExtMode = 0x07,
  kDramControl = 0x0f,
  kCursorX = 0x10,
  kCursorY = 0x11,
  kMemorySize = 0x15,
  kConfiguration = 0x17,
  kMclk = 0x1f
};
enum Gfx : u8 {
  kBackground0 = 0x00,
  kForeground0 = 0x01,
  kOffset0 = 0x09,
  kOffset1 = 0x0a,
  kModeExtensions = 0x0b,
  kBackground1 = 0x10,
  kForeground1 = 0x11,
  kBackground2 = 0x12,
  kForeground2 = 0x13,
  kBackground3 = 0x14,
  kForeground3 = 0x15,
  kBltWidth = 0x20,
  kBltHeight = 0x22,
  kBltDstPitch = 0x24,
  kBltSrcPitch = 0x26,
  kBltDst = 0x28,
  kBltSrc = 0x2c,
  kBltLeft = 0x2f,
  kBltMode = 0x30,
  kBltControl = 0x31,
  kBltRop = 0x32,
  kBltModeExt = 0x33,
  kBltKey = 0x34,
};
enum Crtc : u8 { kExtDisplay = 0x1b, kOverlay = 0x1d, kAttributeState = 0x24, kAttributeIndex = 0x26, kChipId = 0x27 };
constexpr u8 kGd5446 = 0xb8, kUnlocked = 0x12, kLocked = 0x0f;
constexpr u8 kTwoBanks = 0x01, kBanks16k = 0x20;                                               // graphics 0x0b
constexpr u8 kBusy = 0x01, kStart = 0x02, kReset = 0x04, kBuffered = 0x10, kAutoStart = 0x80;  // graphics 0x31

// The registers of the blitter that BAR1 has, from 0x100: which graphics register each byte is; 0xff: none.
constexpr u8 kMmioMap[] = {
    kBackground0, kBackground1, kBackground2, kBackground3, kForeground0, kForeground1, kForeground2, kForeground3,
    0x20,         0x21,         0x22,         0x23,         0x24,         0x25,         0x26,         0x27,
    0x28,         0x29,         0x2a,         0xff,         0x2c,         0x2d,         0x2e,         kBltLeft,
    kBltMode,     0xff,         kBltRop,      kBltModeExt,  0x34,         0x35,         0xff,         0xff,
};
constexpr u64 kMmioControl = 0x40;

// Which bits the registers of the blitter have.
u8 graphics_mask(u8 index) {
  switch (index) {
    case 0x21:
    case 0x25:
    case 0x27: return 0x1f;
    case 0x23: return 0x07;
    case 0x2a:
    case 0x2e: return 0x3f;
    default: return 0xff;
  }
}

VgaCore::Params with_memory(VgaCore::Params p) {
  p.vram_bytes = kVram;
  return p;
}

}  // namespace

CirrusVga::CirrusVga(Params p)
    : PciDevice("cirrus-vga", {.vendor = 0x1013, .device = kGd5446, .class_code = 0x030000}),
      core_(with_memory(p.core)),
      blitter_({core_.vram(), kVram}, [this](u64 first, u64 size) { core_.memory_changed(first, size); }) {
  core_.set_extension(this);
  add_mmio_bar(0, kBar0Bytes, aperture_, true);
  add_mmio_bar(1, kBar1Bytes, mmio_);
  if (!p.rom.empty()) add_rom(std::move(p.rom));
  reset();
}

CirrusVga::~CirrusVga() { core_.set_extension(nullptr); }

bool CirrusVga::packed() const { return (seq_[kExtMode] & 1) != 0; }

// --- registers

u8 CirrusVga::read_sequencer() const {
  const u8 low = seq_index_ & 0x1f;
  if (low == kCursorX || low == kCursorY) return seq_[low];
  return seq_index_ < kSeqCount ? seq_[seq_index_] : u8{0xff};
}

bool CirrusVga::write_sequencer(u8 value) {
  if (seq_index_ < kVgaSeq) return false;
  const u8 low = seq_index_ & 0x1f;
  if (low == kCursorX || low == kCursorY) {
    seq_[low] = value;
    return true;
  }
  if (seq_index_ >= kSeqCount) return true;
  switch (seq_index_) {
    case kUnlock: seq_[kUnlock] = (value & 0x17) == kUnlocked ? kUnlocked : kLocked; return true;
    case kConfiguration: value = static_cast<u8>((seq_[kConfiguration] & 0x38) | (value & 0xc7)); break;
    default: break;
  }
  seq_[seq_index_] = value;
  core_.registers_changed();
  return true;
}

u8 CirrusVga::read_graphics() const {
  if (gfx_index_ >= kGfxCount) return 0xff;
  if (gfx_index_ != kBltControl) return gfx_[gfx_index_];
  const u8 busy = blitter_.waits() ? kBusy | kBuffered : 0;
  return static_cast<u8>((gfx_[kBltControl] & ~(kBusy | kBuffered)) | busy);
}

// The first two hold a whole byte here; the VGA knows four bits of it.
bool CirrusVga::write_graphics(u8 value) {
  if (gfx_index_ >= kGfxCount) return true;
  if (gfx_index_ == kBltControl) {
    write_blit_control(value);
    return true;
  }
  gfx_[gfx_index_] = value & graphics_mask(gfx_index_);
  if (gfx_index_ < kVgaGfx) return false;
  if (gfx_index_ == kOffset0 || gfx_index_ == kOffset1 || gfx_index_ == kModeExtensions) core_.registers_changed();
  const bool last_of_address = gfx_index_ == kBltDst + 2 && (gfx_[kBltControl] & kAutoStart) != 0;
  if (last_of_address) write_blit_control(gfx_[kBltControl] | kStart);
  return true;
}

CirrusBlitter::Registers CirrusVga::blit_registers() const {
  const auto bytes = [&](u8 first, unsigned count) {
    u32 value = 0;
    for (unsigned i = 0; i < count; i++) value |= u32{gfx_[first + i]} << (8 * i);
    return value;
  };
  const auto colour = [&](u8 a, u8 b, u8 c, u8 d) {
    return u32{gfx_[a]} | u32{gfx_[b]} << 8 | u32{gfx_[c]} << 16 | u32{gfx_[d]} << 24;
  };
  CirrusBlitter::Registers r;
  r.width = static_cast<u16>(bytes(kBltWidth, 2));
  r.height = static_cast<u16>(bytes(kBltHeight, 2));
  r.dst_pitch = static_cast<u16>(bytes(kBltDstPitch, 2));
  r.src_pitch = static_cast<u16>(bytes(kBltSrcPitch, 2));
  r.dst = bytes(kBltDst, 3);
  r.src = bytes(kBltSrc, 3);
  r.left = gfx_[kBltLeft];
  r.mode = gfx_[kBltMode];
  r.rop = gfx_[kBltRop];
  r.mode_ext = gfx_[kBltModeExt];
  r.key = static_cast<u16>(bytes(kBltKey, 2));
  r.foreground = colour(kForeground0, kForeground1, kForeground2, kForeground3);
  r.background = colour(kBackground0, kBackground1, kBackground2, kBackground3);
  return r;
}

// A rise of the start bit begins a transfer; a fall of the reset bit ends one.
void CirrusVga::write_blit_control(u8 value) {
  const u8 before = gfx_[kBltControl];
  gfx_[kBltControl] = value & static_cast<u8>(~(kBusy | kBuffered));
  if ((before & kReset) && !(value & kReset)) blitter_.reset();
  if (!(before & kStart) && (value & kStart)) {
    blitter_.start(blit_registers());
    gfx_[kBltControl] &= static_cast<u8>(~kStart);
  }
  show_memory();
  core_.registers_changed();
}

void CirrusVga::feed(u8 byte) {
  blitter_.feed(byte);
  if (!blitter_.waits()) show_memory();
}

u8 CirrusVga::read_crtc(u8 index) const {
  switch (index) {
    case kAttributeState: return core_.attribute_data_next() ? 0x80 : 0;
    case kAttributeIndex: return core_.attribute_index();
    case kChipId: return kGd5446;
    default: return index < kCrtcCount ? crtc_[index] : u8{0xff};
  }
}

// The hidden register lies behind four reads of the DAC's mask in a row.
u8 CirrusVga::read_mask() {
  if (++mask_reads_ < 5) return core_.dac_mask();
  mask_reads_ = 0;
  return hidden_dac_;
}

bool CirrusVga::write_mask(u8 value) {
  const bool hidden = mask_reads_ == 4;
  mask_reads_ = 0;
  if (!hidden) return false;
  hidden_dac_ = value;
  core_.registers_changed();
  return true;
}

bool CirrusVga::read_port(u32 offset, u8& value) {
  if (offset == kDacMask) {
    value = read_mask();
    return true;
  }
  mask_reads_ = 0;
  switch (offset) {
    case kSeqIndex: value = seq_index_; return true;
    case kSeqData: value = read_sequencer(); return seq_index_ >= kVgaSeq;
    case kGfxIndex: value = gfx_index_; return true;
    case kGfxData: value = read_graphics(); return gfx_index_ < 2 || gfx_index_ >= kVgaGfx;
    default: break;
  }
  const bool crtc_data = (offset < 0x10 || offset >= 0x20) && (offset & 0x0f) < 8 && (offset & 1) != 0;
  if (!crtc_data || !core_.crtc_at(offset) || core_.crtc_index() < kVgaCrtc) return false;
  value = read_crtc(core_.crtc_index());
  return true;
}

bool CirrusVga::write_port(u32 offset, u8 value) {
  if (offset == kDacMask) return write_mask(value);
  mask_reads_ = 0;
  switch (offset) {
    case kSeqIndex: seq_index_ = value; return value >= kVgaSeq;
    case kSeqData: return write_sequencer(value);
    case kGfxIndex: gfx_index_ = value; return value >= kVgaGfx;
    case kGfxData: return write_graphics(value);
    default: break;
  }
  const bool crtc_data = (offset < 0x10 || offset >= 0x20) && (offset & 0x0f) < 8 && (offset & 1) != 0;
  if (!crtc_data || !core_.crtc_at(offset) || core_.crtc_index() < kVgaCrtc) return false;
  crtc_[core_.crtc_index()] = value;
  core_.registers_changed();
  return true;
}

// --- the picture

std::optional<VgaLinearMode> CirrusVga::linear_mode() const {
  if (!packed()) return std::nullopt;
  VgaLinearMode mode;
  switch (seq_[kExtMode] & 0x0e) {
    case 0x02:
    case 0x06: mode.bpp = (hidden_dac_ & 0x0f) == 1 ? 16 : 15; break;
    case 0x04: mode.bpp = 24; break;
    case 0x08: mode.bpp = 32; break;
    default: mode.bpp = 8; break;
  }
  const u8 overflow = core_.crtc(7), ext = crtc_[kExtDisplay];
  mode.width = (core_.crtc(1) + 1u) * 8;
  mode.height = (core_.crtc(0x12) | (overflow >> 1 & 1u) << 8 | (overflow >> 6 & 1u) << 9) + 1;
  if (crtc_[0x1a] & 1) mode.height *= 2;  // interlaced
  mode.stride = (core_.crtc(0x13) | (ext & 0x10u) << 4) * 8;
  if (mode.stride == 0) return std::nullopt;
  const u32 start = core_.crtc(0x0c) << 8 | core_.crtc(0x0d) | (ext & 1u) << 16 | (ext & 0x0cu) << 15 |
                    (crtc_[kOverlay] & 0x80u) << 12;
  mode.start = (u64{start} * 4) & (kVram - 1);
  return mode;
}

// --- memory

// One bank of 64 KiB or two of 32, in steps of 4 or 16 KiB.
bool CirrusVga::bank(u32 offset, u32& address) const {
  if (!packed() || offset >= 0x10000) return false;
  const bool two = gfx_[kModeExtensions] & kTwoBanks, second = two && offset >= 0x8000;
  const u32 base = u32{gfx_[second ? kOffset1 : kOffset0]} << (gfx_[kModeExtensions] & kBanks16k ? 14 : 12);
  address = (base + (two ? offset & 0x7fff : offset)) & (kVram - 1);
  return true;
}

void CirrusVga::put(u32 address, u8 value) {
  core_.vram()[address] = value;
  core_.memory_changed(address, 1);
}

bool CirrusVga::read_window(u32 offset, u8& value) {
  u32 address = 0;
  if (!bank(offset, address)) return false;
  value = core_.vram()[address];
  return true;
}

bool CirrusVga::write_window(u32 offset, u8 value) {
  if (blitter_.waits()) {
    feed(value);
    return true;
  }
  u32 address = 0;
  if (!bank(offset, address)) return false;
  put(address, value);
  return true;
}

u64 CirrusVga::Aperture::read(u64 offset, unsigned) {
  return offset < kBlitWindow ? vga_.core_.vram()[offset & (kVram - 1)] : u8{0xff};
}

void CirrusVga::Aperture::write(u64 offset, u64 value, unsigned) {
  const u8 byte = static_cast<u8>(value);
  if (vga_.blitter_.waits())
    vga_.feed(byte);
  else if (offset < kBlitWindow)
    vga_.put(static_cast<u32>(offset & (kVram - 1)), byte);
}

u64 CirrusVga::MmioRegisters::read(u64 offset, unsigned) {
  if (offset < 0x20) return vga_.core_.read_port(static_cast<u32>(offset + 0x10));
  if (offset < kMmioBlit) return 0xff;
  const u64 at = offset - kMmioBlit;
  const u8 before = vga_.gfx_index_;
  vga_.gfx_index_ = at == kMmioControl ? u8{kBltControl} : at < std::size(kMmioMap) ? kMmioMap[at] : u8{0xff};
  const u8 value = vga_.read_graphics();
  vga_.gfx_index_ = before;
  return value;
}

void CirrusVga::MmioRegisters::write(u64 offset, u64 value, unsigned) {
  const u8 byte = static_cast<u8>(value);
  if (offset < 0x20) return vga_.core_.write_port(static_cast<u32>(offset + 0x10), byte);
  if (offset < kMmioBlit) return;
  const u64 at = offset - kMmioBlit;
  const u8 before = vga_.gfx_index_;
  vga_.gfx_index_ = at == kMmioControl ? u8{kBltControl} : at < std::size(kMmioMap) ? kMmioMap[at] : u8{0xff};
  vga_.write_graphics(byte);
  vga_.gfx_index_ = before;
}

// Writes go to the blitter while it waits for them.
void CirrusVga::show_memory() {
  const PciBar& bar = *bars()[0];
  const bool on = bar.mapped && !blitter_.waits();
  if (!memory_ && on && bus())
    memory_ = bus()->memory().map_ram("cirrus.memory", bar.address, kVram, core_.vram(), false, 2);
  if (memory_) memory_->set(on, bar.address);
}

void CirrusVga::config_written(u8, unsigned) { show_memory(); }

// --- life

void CirrusVga::reset() {
  PciDevice::reset();
  core_.reset();
  blitter_.reset();
  seq_index_ = gfx_index_ = hidden_dac_ = mask_reads_ = 0;
  seq_.fill(0);
  gfx_.fill(0);
  crtc_.fill(0);
  seq_[kUnlock] = kLocked;
  seq_[kDramControl] = 0x98;  // 4 MiB
  seq_[kMemorySize] = 4;
  seq_[kConfiguration] = 0x20;  // PCI
  seq_[kMclk] = 0x22;
  show_memory();
}

void CirrusVga::archive(StateArchive& ar) {
  ar.field("seq_index", seq_index_), ar.field("gfx_index", gfx_index_), ar.field("hidden_dac", hidden_dac_);
  ar.field("mask_reads", mask_reads_), ar.field("seq", seq_), ar.field("gfx", gfx_), ar.field("crtc", crtc_);
  ar.section("blitter", [&] { blitter_.archive(ar); });
  if (ar.loading()) {
    mask_reads_ %= 5;
    for (unsigned i = 0; i < kGfxCount; i++) gfx_[i] &= graphics_mask(static_cast<u8>(i));
  }
  PciDevice::archive(ar);
  core_.archive(ar);
  if (ar.loading()) show_memory();
}

}  // namespace doppel::hw
