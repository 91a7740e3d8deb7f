#include "machine/malta_flash.h"

#include <algorithm>

#include "block/sync.h"

namespace doppel::machine {
namespace {

constexpr u64 kFlash = 0x1e000000, kCopy = 0x1fc00000, kRevisionOffset = 0x10, kEnvironment = 0x3e0000;
constexpr int kPriority = 1;

// MIPS: a branch that is always taken, or J.
bool is_jump(u32 insn) { return insn >> 16 == 0x1000 || insn >> 26 == 2; }

void swap_words(std::vector<u8>& bytes) {
  for (size_t at = 0; at + 4 <= bytes.size(); at += 4)
    store_le<u32>(&bytes[at], __builtin_bswap32(load_le<u32>(&bytes[at])));
}

Error wrong_size(const std::string& name, u64 size, const std::string& fix) {
  return {"the flash image '" + name + "' has " + std::to_string(size) + " bytes, the board's flash " +
              std::to_string(MaltaFlash::kBytes),
          fix};
}

}  // namespace

bool MaltaFlash::swaps(u64 offset) const { return !big_endian_ && !in_cpu_order_ && offset < kEnvironment; }

void MaltaFlash::put(const std::vector<u8>& file) {
  std::fill_n(flash_->host, kBytes, u8{0xff});
  std::copy(file.begin(), file.end(), flash_->host);
  const u32 first = load_le<u32>(flash_->host);
  in_cpu_order_ = !big_endian_ && is_jump(first) && !is_jump(__builtin_bswap32(first));
  std::vector<u8> words(flash_->host, flash_->host + kEnvironment);
  if (swaps(0)) swap_words(words);
  std::copy(words.begin(), words.end(), flash_->host);
  show_copy(0, kBytes);
}

Status MaltaFlash::create(std::shared_ptr<block::Node> node, const std::string& bios_name, std::vector<u8> bios,
                          u32 revision) {
  node_ = std::move(node);
  revision_ = big_endian_ ? __builtin_bswap32(revision) : revision;
  for (mem::RamBlock** block : {&flash_, &copy_}) {
    auto made = memory_.create_ram(block == &flash_ ? "malta.flash" : "malta.boot-flash", kBytes);
    if (!made.ok()) return made.error();
    *block = *made;
  }
  if (node_) {
    if (!bios.empty())
      return Error{"the board malta has one flash: -bios and -drive if=pflash are two", "give one of them"};
    if (node_->size() != kBytes)
      return wrong_size(node_->filename(), node_->size(), "make it that long: truncate -s 4M FILE");
    bios.resize(kBytes);
    if (block::read_sync(*node_, 0, std::span<u8>(bios)) != 0)
      return Error{"the flash image '" + node_->filename() + "' can't be read", "check the file"};
  }
  if (bios.size() > kBytes) return wrong_size(bios_name, bios.size(), "-bios takes up to 4 MiB");
  put(bios);
  return success();
}

hw::CfiFlash::Params MaltaFlash::chip() {
  return {.array = {flash_->host, kBytes},
          .big_endian = big_endian_,
          .read_only = node_ && node_->read_only(),
          .on_change = [this](u64 offset, u64 size) { return changed(offset, size); }};
}

void MaltaFlash::map(hw::CfiFlash& device) {
  with_revision_ = std::make_unique<WithRevision>(device, copy_->host);
  windows_.push_back(bus_.map_rom_device("flash", kFlash, *flash_, device, kPriority));
  windows_.push_back(bus_.map_rom_device("boot-flash", kCopy, *copy_, *with_revision_, kPriority));
}

u64 MaltaFlash::WithRevision::read(u64 offset, unsigned size) {
  u64 value = flash_.read(offset, size);
  for (unsigned i = 0; i < size; i++) {
    if (offset + i < kRevisionOffset || offset + i >= kRevisionOffset + 4) continue;
    value = (value & ~(u64{0xff} << (8 * i))) | u64{copy_[offset + i]} << (8 * i);
  }
  return value;
}

void MaltaFlash::show_copy(u64 offset, u64 size) {
  std::copy_n(flash_->host + offset, size, copy_->host + offset);
  store_le<u32>(copy_->host + kRevisionOffset, revision_);
}

// Code that was made of these bytes goes; the file gets them in its own order.
bool MaltaFlash::changed(u64 offset, u64 size) {
  const u64 first = align_down(offset, 4), end = align_up(offset + size, 4);
  show_copy(first, end - first);
  memory_.wrote(flash_->host + first, kFlash + first, end - first);
  memory_.wrote(copy_->host + first, kCopy + first, end - first);
  if (!node_) return true;
  std::vector<u8> bytes(flash_->host + first, flash_->host + end);
  if (swaps(first)) swap_words(bytes);
  return block::write_sync(*node_, first, std::span<const u8>(bytes)) == 0;
}

}  // namespace doppel::machine
