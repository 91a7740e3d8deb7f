#include "user/code_cache.h"

#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/hash64.h"
#include "base/os/build_id.h"
#include "user/signals.h"

namespace doppel::user {
namespace {

namespace fs = std::filesystem;
constexpr u64 kMostBytes = u64{1} << 30;  // of a folder; then the oldest go until half of it is free

u64 hash(const std::string& text, u64 seed) {
  return hash64({reinterpret_cast<const u8*>(text.data()), text.size()}, seed);
}

// Everything that translations of a program depend on and that the store doesn't see itself. 0: can't tell.
u64 name_of(const Process& p, const Program& program) {
  struct stat st {};
  const std::string build = os::build_id();
  if (build.empty() || ::fstat(program.fd, &st) != 0) return 0;
  const u64 file[] = {st.st_dev, st.st_ino, static_cast<u64>(st.st_size), static_cast<u64>(st.st_mtim.tv_sec),
                      static_cast<u64>(st.st_mtim.tv_nsec)};
  u64 h = hash64({reinterpret_cast<const u8*>(file), sizeof file});
  for (const std::string& part : {program.host_path, p.abi->name, p.options.cpu, build}) h = hash(part, h);
  return h;
}

struct CachedFile {
  fs::path path;
  fs::file_time_type time;
  u64 bytes;
};

void make_room(const std::string& folder) {
  std::error_code error;
  std::vector<CachedFile> files;
  u64 total = 0;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code gone;
    const CachedFile f{entry.path(), entry.last_write_time(gone), entry.file_size(gone)};
    if (gone || !entry.is_regular_file(gone)) continue;
    total += f.bytes;
    files.push_back(f);
  }
  if (total <= kMostBytes) return;
  std::sort(files.begin(), files.end(), [](const CachedFile& a, const CachedFile& b) { return a.time < b.time; });
  for (const CachedFile& f : files) {
    if (total <= kMostBytes / 2) return;
    if (fs::remove(f.path, error)) total -= f.bytes;
  }
}

}  // namespace

std::string default_code_cache() {
  if (getauxval(AT_SECURE)) return "";
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::string folder = cache && *cache == '/' ? cache : home && *home == '/' ? std::string(home) + "/.cache" : "";
  // It is not made: in a root that is being built for another machine nothing shall be left behind.
  std::error_code error;
  if (folder.empty() || !fs::is_directory(folder, error)) return "";
  return folder + "/doppel/code";
}

std::unique_ptr<exec::CodeStore> open_code_store(const Process& p, const Program& program) {
  const std::string& folder = p.options.code_cache;
  const u64 name = folder.empty() ? 0 : name_of(p, program);
  if (name == 0) return nullptr;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fs::create_directories(folder, error);
    if (error) return nullptr;
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  char file[24];
  std::snprintf(file, sizeof file, "/%016llx", static_cast<unsigned long long>(name));
  return std::make_unique<exec::CodeStore>(folder + file);
}

void keep_code(Process& p) {
  const BlockSignals blocked;
  if (p.store && p.store->save()) make_room(p.options.code_cache);
}

}  // namespace doppel::user
