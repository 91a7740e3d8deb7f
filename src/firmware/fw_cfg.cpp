#include "firmware/fw_cfg.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::firmware {
namespace {
constexpr u64 kSelector = 0, kData = 1, kDmaHigh = 4, kDmaLow = 8;
constexpr u32 kIdTraditional = 1, kIdDma = 2;
enum DmaControl : u32 { kDmaError = 1, kDmaRead = 2, kDmaSkip = 4, kDmaSelect = 8, kDmaWrite = 16 };
constexpr u64 kDmaSignature = 0x51454d5520434647;  // "QEMU CFG"
constexpr size_t kNameSize = 56;

u32 swap32(u32 v) { return __builtin_bswap32(v); }

template <typename T>
std::vector<u8> little_endian(T value) {
  std::vector<u8> data(sizeof value);
  store_le<T>(data.data(), value);
  return data;
}
}  // namespace

FwCfg::FwCfg(Params p) : p_(p) {
  add(kFwSignature, {'Q', 'E', 'M', 'U'});
  add_u32(kFwId, kIdTraditional | kIdDma);
  rebuild_directory();
}

void FwCfg::add_u16(u16 key, u16 value) { add(key, little_endian(value)); }
void FwCfg::add_u32(u16 key, u32 value) { add(key, little_endian(value)); }
void FwCfg::add_u64(u16 key, u64 value) { add(key, little_endian(value)); }

void FwCfg::add_string(u16 key, std::string_view text) {
  std::vector<u8> data(text.begin(), text.end());
  data.push_back(0);
  add(key, std::move(data));
}

void FwCfg::add_file(const std::string& name, std::vector<u8> data, bool writable) {
  auto it = files_.find(name);
  if (it == files_.end()) it = files_.emplace(name.substr(0, kNameSize - 1), File{next_file_++}).first;
  items_[it->second.key] = Item{std::move(data), writable};
  rebuild_directory();
}

void FwCfg::add_file(const std::string& name, std::string_view text) {
  add_file(name, std::vector<u8>(text.begin(), text.end()));
}

const std::vector<u8>* FwCfg::file(std::string_view name) const {
  const auto it = files_.find(name);
  return it == files_.end() ? nullptr : &items_.at(it->second.key).data;
}

// The directory: a big-endian count, then entries {size, select, reserved, name[56]} in big-endian, sorted by name.
void FwCfg::rebuild_directory() {
  std::vector<u8> dir(4 + files_.size() * 64);
  store_le<u32>(dir.data(), swap32(static_cast<u32>(files_.size())));
  size_t at = 4;
  for (const auto& [name, entry] : files_) {
    store_le<u32>(&dir[at], swap32(static_cast<u32>(items_[entry.key].data.size())));
    store_le<u16>(&dir[at + 4], __builtin_bswap16(entry.key));
    std::copy(name.begin(), name.end(), dir.begin() + static_cast<long>(at + 8));
    at += 64;
  }
  add(kFwFileDir, std::move(dir));
}

void FwCfg::select(u16 key) {
  selected_ = key & static_cast<u16>(~kFwWriteFlag);
  offset_ = 0;
}

u8 FwCfg::next_byte() {
  const auto it = items_.find(selected_);
  if (it == items_.end() || offset_ >= it->second.data.size()) return 0;
  return it->second.data[offset_++];
}

u64 FwCfg::read(u64 offset, unsigned size) {
  if (offset == kData) {
    u64 value = 0;
    for (unsigned i = 0; i < size; i++) value |= u64{next_byte()} << (8 * i);
    return value;
  }
  if (offset >= kDmaHigh && offset + size <= kPorts) {  // the signature, big-endian
    u64 value = 0;
    for (unsigned i = 0; i < size; i++)
      value |= ((kDmaSignature >> (56 - 8 * (offset - kDmaHigh + i))) & 0xff) << (8 * i);
    return value;
  }
  return offset == kSelector && size == 2 ? selected_ : mask_bits(size * 8);
}

void FwCfg::write(u64 offset, u64 value, unsigned size) {
  if (offset == kSelector && size >= 2) {
    select(static_cast<u16>(value));
  } else if (offset == kDmaHigh && size == 4) {
    dma_address_ = u64{swap32(static_cast<u32>(value))} << 32;
  } else if (offset == kDmaHigh && size == 8) {
    dma_address_ = __builtin_bswap64(value);
    run_dma();
  } else if (offset == kDmaLow && size == 4) {
    dma_address_ = (dma_address_ & ~u64{0xffffffff}) | swap32(static_cast<u32>(value));
    run_dma();
  } else {
    DOPPEL_LOG(GuestErrors, "fw_cfg: write of size %u at offset %#llx ignored\n", size,
               static_cast<unsigned long long>(offset));
  }
}

// The guest's descriptor {control, length, address}, all big-endian; control is cleared when done, or has the error
// bit.
void FwCfg::run_dma() {
  const u64 descriptor = dma_address_;
  dma_address_ = 0;
  u8 raw[16];
  if (!p_.dma.read(descriptor, raw, sizeof raw)) {
    p_.dma.store<u32>(descriptor, swap32(kDmaError));
    return;
  }
  const u32 control = swap32(load_le<u32>(raw));
  u32 length = swap32(load_le<u32>(raw + 4));
  u64 address = __builtin_bswap64(load_le<u64>(raw + 8));
  if (control & kDmaSelect) select(static_cast<u16>(control >> 16));
  const auto it = items_.find(selected_);
  Item* item = it == items_.end() ? nullptr : &it->second;
  u32 status = 0;
  if ((control & kDmaWrite) && (!item || !item->writable || u64{offset_} + length > item->data.size()))
    status = kDmaError;
  static constexpr u8 kZeroes[4096] = {};
  const bool active = (control & (kDmaRead | kDmaWrite | kDmaSkip)) != 0;
  while (status == 0 && active && length > 0) {
    const u64 left = item && offset_ < item->data.size() ? item->data.size() - offset_ : 0;
    const u32 run = left ? static_cast<u32>(std::min<u64>(left, length)) : std::min<u32>(length, sizeof kZeroes);
    if ((control & kDmaRead) && !p_.dma.write(address, left ? item->data.data() + offset_ : kZeroes, run))
      status = kDmaError;
    if (!(control & kDmaRead) && (control & kDmaWrite) && !p_.dma.read(address, item->data.data() + offset_, run))
      status = kDmaError;
    if (left) offset_ += run;
    address += run;
    length -= run;
    if (!left && !(control & kDmaRead)) break;  // a skip past the end is done at once
  }
  p_.dma.store<u32>(descriptor, swap32(status));
}

void FwCfg::reset() {
  selected_ = 0;
  offset_ = 0;
  dma_address_ = 0;
}

void FwCfg::archive(StateArchive& ar) {
  ar.field("selected", selected_);
  ar.field("offset", offset_);
  ar.field("dma_address", dma_address_);
  for (auto& [name, entry] : files_) {
    if (items_[entry.key].writable) ar.blob("file/" + name, items_[entry.key].data);
  }
}

std::string FwCfg::info() const {
  std::string text;
  for (const auto& [name, entry] : files_) {
    char line[128];
    std::snprintf(line, sizeof line, "%04x %8zu %s\n", entry.key, items_.at(entry.key).data.size(), name.c_str());
    text += line;
  }
  return text;
}

}  // namespace doppel::firmware
