#include "net/dump.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/os/fd_sets.h"

namespace doppel::net {
namespace {
constexpr u32 kMagic = 0xa1b2c3d4, kVersion = 2 | 4 << 16, kEthernet = 1;

Error cannot_write(const std::string& path) {
  return {"can't write the packet dump " + path + ": " + std::strerror(errno), "choose another file="};
}
}  // namespace

Result<std::shared_ptr<PacketDump>> PacketDump::open(const std::string& path, u32 max_length) {
  auto dump = std::make_shared<PacketDump>();
  dump->file_.reset(os::open_stream(path, "w"));
  if (!dump->file_) return cannot_write(path);
  dump->max_length_ = max_length;
  const u32 header[6] = {kMagic, kVersion, 0, 0, max_length, kEthernet};
  u8 bytes[sizeof header];
  for (size_t i = 0; i < 6; i++) store_le<u32>(bytes + 4 * i, header[i]);
  std::fwrite(bytes, sizeof bytes, 1, dump->file_.get());
  if (std::fflush(dump->file_.get()) != 0) return cannot_write(path);
  return dump;
}

void PacketDump::write(std::span<const u8> frame) {
  using namespace std::chrono;
  const u64 us = static_cast<u64>(duration_cast<microseconds>(system_clock::now().time_since_epoch()).count());
  const u32 kept = static_cast<u32>(std::min<size_t>(frame.size(), max_length_));
  const u32 row[4] = {static_cast<u32>(us / 1'000'000), static_cast<u32>(us % 1'000'000), kept,
                      static_cast<u32>(frame.size())};
  u8 bytes[sizeof row];
  for (size_t i = 0; i < 4; i++) store_le<u32>(bytes + 4 * i, row[i]);
  const std::lock_guard guard(lock_);
  std::fwrite(bytes, sizeof bytes, 1, file_.get());
  std::fwrite(frame.data(), 1, kept, file_.get());
  std::fflush(file_.get());
}

}  // namespace doppel::net
