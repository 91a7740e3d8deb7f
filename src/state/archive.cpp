#include "state/archive.h"

#include <algorithm>
#include <cstdio>

#include "base/bits.h"

namespace doppel {
namespace {
constexpr char kMagic[8] = {'D', 'P', 'S', 'T', 'A', 'T', 'E', '1'};
}

void StateArchive::bytes(std::string_view name, std::span<uint8_t> data) {
  const std::string key = prefix_ + std::string(name);
  if (mode_ == Mode::Save) {
    fields_[key].assign(data.begin(), data.end());
    return;
  }
  const auto it = fields_.find(key);
  if (it == fields_.end()) return;
  if (it->second.size() != data.size()) {
    errors_.push_back(key + ": stored size differs");
    return;
  }
  std::copy(it->second.begin(), it->second.end(), data.begin());
}

void StateArchive::blob(std::string_view name, std::vector<uint8_t>& data) {
  const std::string key = prefix_ + std::string(name);
  if (mode_ == Mode::Save) {
    fields_[key] = data;
    return;
  }
  const auto it = fields_.find(key);
  if (it != fields_.end()) data = it->second;
}

std::vector<uint8_t> StateArchive::serialize() const {
  std::vector<uint8_t> out(kMagic, kMagic + sizeof kMagic);
  auto put32 = [&](u32 v) {
    for (int i = 0; i < 4; i++) out.push_back(static_cast<uint8_t>(v >> (8 * i)));
  };
  put32(static_cast<u32>(fields_.size()));
  for (const auto& [name, data] : fields_) {
    put32(static_cast<u32>(name.size()));
    put32(static_cast<u32>(data.size()));
    out.insert(out.end(), name.begin(), name.end());
    out.insert(out.end(), data.begin(), data.end());
  }
  return out;
}

bool StateArchive::deserialize(std::span<const uint8_t> data) {
  fields_.clear();
  if (data.size() < 12 || std::memcmp(data.data(), kMagic, sizeof kMagic) != 0) return false;
  size_t at = 8;
  auto get32 = [&](u32& v) {
    if (data.size() - at < 4) return false;
    v = load_le<u32>(data.data() + at);
    at += 4;
    return true;
  };
  u32 count = 0;
  if (!get32(count)) return false;
  for (u32 i = 0; i < count; i++) {
    u32 name_size = 0, size = 0;
    if (!get32(name_size) || !get32(size)) return false;
    if (data.size() - at < u64{name_size} + size) return false;
    std::string name(reinterpret_cast<const char*>(data.data()) + at, name_size);
    at += name_size;
    fields_[std::move(name)].assign(data.begin() + static_cast<long>(at), data.begin() + static_cast<long>(at + size));
    at += size;
  }
  return true;
}

std::string StateArchive::print() const {
  std::string text;
  char hex[4];
  for (const auto& [name, data] : fields_) {
    text += name + " = ";
    for (size_t i = data.size(); i-- > 0;) {
      std::snprintf(hex, sizeof hex, "%02x", data[i]);
      text += hex;
    }
    text += "\n";
  }
  return text;
}

std::vector<std::string> StateArchive::diff(const StateArchive& other) const {
  std::vector<std::string> names;
  for (const auto& [name, data] : fields_) {
    const auto it = other.fields_.find(name);
    if (it == other.fields_.end() || it->second != data) names.push_back(name);
  }
  for (const auto& [name, data] : other.fields_) {
    if (!fields_.contains(name)) names.push_back(name);
  }
  return names;
}
}  // namespace doppel
