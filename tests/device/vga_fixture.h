// A VGA with memory and port access as a CPU would have them, on a bus that only records what is mapped.
#pragma once
#include <map>
#include <mutex>

#include "hw/display/vga_core.h"

namespace doppel::hw {

class FakeBus final : public AddressBus {
 public:
  struct Entry {
    u64 address = 0, size = 0;
    MmioHandler* handler = nullptr;
    u8* data = nullptr;
    int priority = 0;
    bool enabled = false;
  };
  std::unique_ptr<MappedWindow> map(std::string, u64 address, u64 size, MmioHandler& handler, int priority) override {
    return add({address, size, &handler, nullptr, priority, true});
  }
  std::unique_ptr<MappedWindow> map_ram(std::string, u64 address, u64 size, u8* data, bool, int priority) override {
    return add({address, size, nullptr, data, priority, true});
  }
  void take_dirty(const u8* data, u64 size, std::vector<bool>& pages) override {
    pages.assign((size + 4095) / 4096, false);
    for (const u8* p : written_) {
      if (p >= data && p < data + size) pages[static_cast<size_t>(p - data) / 4096] = true;
    }
    written_.clear();
  }
  void write(u64 address, u8 value) {
    Entry* e = find(address);
    if (!e) return;
    if (e->handler) {
      e->handler->write(address - e->address, value, 1);
      return;
    }
    e->data[address - e->address] = value;
    written_.push_back(e->data + (address - e->address));
  }
  u8 read(u64 address) {
    Entry* e = find(address);
    if (!e) return 0xff;
    return e->handler ? static_cast<u8>(e->handler->read(address - e->address, 1)) : e->data[address - e->address];
  }
  void mark_written(const u8* p) { written_.push_back(p); }
  bool is_ram(u64 address) {
    const Entry* e = find(address);
    return e && e->data;
  }

 private:
  class Window final : public MappedWindow {
   public:
    Window(FakeBus& bus, int id) : bus_(bus), id_(id) {}
    ~Window() override { bus_.entries_.erase(id_); }
    void set(bool enabled, u64 address) override {
      bus_.entries_[id_].enabled = enabled, bus_.entries_[id_].address = address;
    }

   private:
    FakeBus& bus_;
    int id_;
  };
  std::unique_ptr<MappedWindow> add(Entry e) {
    entries_[next_] = e;
    return std::make_unique<Window>(*this, next_++);
  }
  Entry* find(u64 address) {
    Entry* best = nullptr;
    for (auto& [id, e] : entries_) {
      if (e.enabled && address >= e.address && address < e.address + e.size && (!best || e.priority > best->priority))
        best = &e;
    }
    return best;
  }
  std::map<int, Entry> entries_;
  int next_ = 0;
  std::vector<const u8*> written_;
};

class Vga {
 public:
  FakeBus bus;
  SteppedClock clock;
  std::mutex lock;
  VgaCore core{{.memory = bus, .clock = clock, .lock = lock}};
  display::Surface picture;

  void out(u16 port, u8 value) { core.write_port(port - 0x3b0u, value); }
  u8 in(u16 port) { return core.read_port(port - 0x3b0u); }
  void seq(u8 index, u8 value) { out(0x3c4, index), out(0x3c5, value); }
  void gfx(u8 index, u8 value) { out(0x3ce, index), out(0x3cf, value); }
  void crtc(u8 index, u8 value) { out(0x3d4, index), out(0x3d5, value); }
  void attr(u8 index, u8 value) { in(0x3da), out(0x3c0, index), out(0x3c0, value); }
  void video_on() { in(0x3da), out(0x3c0, 0x20); }
  void dac(u8 index, u8 r, u8 g, u8 b) { out(0x3c8, index), out(0x3c9, r), out(0x3c9, g), out(0x3c9, b); }
  void vbe(u16 index, u16 value) { core.write_vbe(index, value); }
  void poke(u32 address, u8 value) { bus.write(address, value); }
  u8 peek(u32 address) { return bus.read(address); }
  u32 pixel(u32 x, u32 y) { return picture.pixels[size_t{y} * picture.width + x]; }
  bool refresh() { return core.refresh(picture); }

  // Register values of the IBM BIOS's video parameter tables.
  void set_mode(u8 misc, const std::vector<u8>& sequencer, const std::vector<u8>& controller,
                const std::vector<u8>& graphics, u8 attr_mode, u8 plane_enable = 15) {
    out(0x3c2, misc);
    for (u8 i = 0; i < sequencer.size(); i++) seq(i, sequencer[i]);
    crtc(0x11, 0);
    for (u8 i = 0; i < controller.size(); i++) crtc(i, controller[i]);
    for (u8 i = 0; i < graphics.size(); i++) gfx(i, graphics[i]);
    for (u8 i = 0; i < 16; i++) attr(i, i);
    attr(0x10, attr_mode), attr(0x11, 0), attr(0x12, plane_enable), attr(0x13, attr_mode & 1 ? 0 : 8), attr(0x14, 0);
    for (u8 i = 0; i < 16; i++) dac(i, static_cast<u8>(i * 4), static_cast<u8>(63 - i), static_cast<u8>(i));
    video_on();
  }
  void mode_3() {
    set_mode(0x67, {3, 0, 3, 0, 2}, {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,    0x4f, 0x0d, 0x0e, 0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
             {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff}, 0x0c);
  }
  void mode_12() {
    set_mode(0xe3, {3, 1, 15, 0, 6}, {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0,    0x40, 0,    0,   0,
                                      0,    0,    0,    0xea, 0x8c, 0xdf, 0x28, 0,    0xe7, 0x04, 0xe3, 0xff},
             {0, 0, 0, 0, 0, 0, 5, 15, 0xff}, 1);
  }
  void mode_13() {
    set_mode(0x63, {3, 1, 15, 0, 0x0e}, {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0,    0x41, 0,    0,   0,
                                         0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
             {0, 0, 0, 0, 0, 0x40, 5, 15, 0xff}, 0x41);
  }
  void mode_4() {
    set_mode(0x63, {3, 9, 3, 0, 2}, {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0,    0xc1, 0,    0,   0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x14, 0,    0x96, 0xb9, 0xa2, 0xff},
             {0, 0, 0, 0, 0, 0x30, 0x0f, 0, 0xff}, 1, 3);
  }
  // One glyph at plane 2: all rows `bits`.
  void load_glyph(u8 character, u8 bits) {
    seq(2, 4), seq(4, 7), gfx(5, 0), gfx(6, 4);
    for (u32 row = 0; row < 16; row++) poke(0xa0000 + character * 32u + row, bits);
    seq(2, 3), seq(4, 2), gfx(5, 0x10), gfx(6, 0x0e);
  }
};

}  // namespace doppel::hw
