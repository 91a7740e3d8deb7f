#include "hw/input/virtio_input.h"

#include <algorithm>

#include "display/input_event.h"

namespace doppel::hw {

using namespace virtio;

namespace {

enum Config : size_t { kSelect = 0, kSubselect = 1, kSize = 2, kData = 8, kDataSize = 128 };
enum Select : u8 { kName = 1, kSerial = 2, kIds = 3, kProperties = 0x10, kEventBits = 0x11, kAxis = 0x12 };
// Linux's input-event-codes: types, axes, buttons.
enum Type : u16 { kSyn = 0, kKey = 1, kRel = 2, kAbs = 3, kLed = 0x11, kRep = 0x14 };
enum Axis : u16 { kX = 0, kY = 1, kRelWheel = 8 };
enum Button : u16 { kLeft = 0x110, kRight = 0x111, kMiddle = 0x112, kSide = 0x113, kExtra = 0x114 };
constexpr u16 kBusVirtual = 6, kVendor = 0x0627, kVersion = 1;
constexpr u32 kAbsoluteMax = 0x7fff;
constexpr size_t kEventSize = 8;

constexpr const char* kNames[] = {"Doppel Virtio Keyboard", "Doppel Virtio Mouse", "Doppel Virtio Tablet"};
constexpr std::pair<u32, u16> kButtons[] = {{display::kButtonLeft, kLeft},
                                            {display::kButtonRight, kRight},
                                            {display::kButtonMiddle, kMiddle},
                                            {display::kButtonSide, kSide},
                                            {display::kButtonExtra, kExtra}};

// Linux's key codes are those of set 1, but for the ones with a prefix and a few of other layouts.
struct Other {
  u16 set1, code;
};
constexpr Other kOthers[] = {{0x70, 93},    {0x73, 89},    {0x79, 92},    {0x7b, 94},    {0x7d, 124},   {0x7e, 121},
                             {0xe01c, 96},  {0xe01d, 97},  {0xe020, 113}, {0xe02e, 114}, {0xe030, 115}, {0xe035, 98},
                             {0xe037, 99},  {0xe038, 100}, {0xe046, 119}, {0xe047, 102}, {0xe048, 103}, {0xe049, 104},
                             {0xe04b, 105}, {0xe04d, 106}, {0xe04f, 107}, {0xe050, 108}, {0xe051, 109}, {0xe052, 110},
                             {0xe053, 111}, {0xe05b, 125}, {0xe05c, 126}, {0xe05d, 127}, {0xe05e, 116}, {0xe05f, 142},
                             {0xe063, 143}};
u16 key_code(u32 qcode) {
  if (display::key_name(qcode) == "pause") return 119;
  const u16 set1 = display::key_set1(qcode);
  for (const Other& o : kOthers) {
    if (o.set1 == set1) return o.code;
  }
  return set1 <= 0x58 ? set1 : u16{0};
}

void set_bit(std::vector<u8>& bits, size_t n) {
  if (bits.size() <= n / 8) bits.resize(n / 8 + 1);
  bits[n / 8] = static_cast<u8>(bits[n / 8] | 1 << (n % 8));
}

void put16(std::vector<u8>& out, u16 v) {
  out.push_back(static_cast<u8>(v));
  out.push_back(static_cast<u8>(v >> 8));
}

}  // namespace

VirtioInput::VirtioInput(Params p)
    : VirtioDevice({.name = "virtio-input",
                    .id = kIdInput,
                    .features = (p.event_idx ? kEventIdx : 0) | (p.indirect ? kIndirectDesc : 0),
                    .queues = {64, 64},
                    .config_size = kData + kDataSize},
                   p.clock),
      kind_(p.kind) {
  stopped();
}

void VirtioInput::stopped() {
  buttons_ = 0;
  pending_.clear();
  poke(kSelect, 0, 2);
  select();
}

// --- what it is

std::vector<u8> VirtioInput::properties(u8 which, u8 subselect) const {
  std::vector<u8> out;
  if (which == kName) {
    const std::string_view name = kNames[static_cast<size_t>(kind_)];
    out.assign(name.begin(), name.end());
  } else if (which == kIds) {
    for (const u16 v : {kBusVirtual, kVendor, static_cast<u16>(1 + static_cast<int>(kind_)), kVersion}) put16(out, v);
  } else if (which == kEventBits && kind_ == Kind::Keyboard) {
    if (subselect == kKey) {
      for (u32 q = 1; q < static_cast<u32>(display::Key::Count); q++) {
        if (const u16 code = key_code(q)) set_bit(out, code);
      }
    } else if (subselect == kRep) {
      set_bit(out, 0);  // the guest repeats keys
      set_bit(out, 1);
    } else if (subselect == kLed) {
      for (size_t led = 0; led < 3; led++) set_bit(out, led);
    }
  } else if (which == kEventBits) {
    const bool tablet = kind_ == Kind::Tablet;
    if (subselect == kKey) {
      for (const auto& [bit, code] : kButtons) set_bit(out, code);
    } else if (subselect == (tablet ? kAbs : kRel)) {
      set_bit(out, kX);
      set_bit(out, kY);
    }
    if (subselect == kRel) set_bit(out, kRelWheel);
  } else if (which == kAxis && kind_ == Kind::Tablet && subselect <= kY) {
    out.resize(20);
    store_le<u32>(&out[4], kAbsoluteMax);
  }
  return out;
}

void VirtioInput::select() {
  std::vector<u8> data = properties(config()[kSelect], config()[kSubselect]);
  poke(kSize, data.size(), 1);
  data.resize(kDataSize);
  std::copy(data.begin(), data.end(), config().begin() + kData);
}

void VirtioInput::config_written(u64 offset, u64 value, unsigned size) {
  if (offset + size > kSize) return;
  poke(offset, value, size);
  select();
}

// --- events

void VirtioInput::event(u16 type, u16 code, u32 value) {
  put16(pending_, type);
  put16(pending_, code);
  put16(pending_, static_cast<u16>(value));
  put16(pending_, static_cast<u16>(value >> 16));
}

void VirtioInput::key(u32 qcode, bool down) {
  const u16 code = key_code(qcode);
  if (kind_ != Kind::Keyboard || code == 0) return;
  event(kKey, code, down ? 1 : 0);
  send();
}

void VirtioInput::wheel_and_buttons(int wheel, u32 buttons) {
  if (wheel != 0) event(kRel, kRelWheel, static_cast<u32>(wheel));
  for (const auto& [bit, code] : kButtons) {
    if ((buttons ^ buttons_) & bit) event(kKey, code, (buttons & bit) ? 1 : 0);
  }
  buttons_ = buttons;
}

void VirtioInput::move(int dx, int dy, int wheel, u32 buttons) {
  if (dx != 0) event(kRel, kX, static_cast<u32>(dx));
  if (dy != 0) event(kRel, kY, static_cast<u32>(dy));
  wheel_and_buttons(wheel, buttons);
  send();
}

void VirtioInput::point(int x, int y, int wheel, u32 buttons) {
  event(kAbs, kX, static_cast<u32>(std::clamp(x, 0, static_cast<int>(kAbsoluteMax))));
  event(kAbs, kY, static_cast<u32>(std::clamp(y, 0, static_cast<int>(kAbsoluteMax))));
  wheel_and_buttons(wheel, buttons);
  send();
}

// A report goes whole or not at all.
void VirtioInput::send() {
  if (pending_.empty()) return;
  event(kSyn, 0, 0);
  const size_t count = pending_.size() / kEventSize;
  if (active()) {
    Virtqueue& q = queue(kEvents);
    if (chains_.size() < count) chains_.resize(count);
    u16 taken = 0;
    while (taken < count && q.pop(chains_[taken])) taken++;
    if (taken < count) {
      q.unpop(taken);
    } else {
      for (size_t i = 0; i < count; i++) {
        const size_t n = chains_[i].write(0, std::span(pending_).subspan(i * kEventSize, kEventSize));
        q.push(chains_[i], static_cast<u32>(n));
      }
    }
    finish(kEvents);
  }
  pending_.clear();
}

// Lights of the keyboard: nothing shows them.
void VirtioInput::handle(u16 index) {
  if (index != kStatus) return;
  serve(index, [&](const VirtqChain& chain) {
    queue(kStatus).push(chain, 0);
    return Serve::Done;
  });
}

void VirtioInput::archive_device(StateArchive& ar) {
  ar.field("buttons", buttons_);
  if (ar.loading()) select();
}

}  // namespace doppel::hw
