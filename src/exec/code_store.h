// CodeStore: regions that earlier runs of a program translated, in a file of the host's, and those that this run adds.
// A region is used again only where the guest code in memory is, byte for byte, what it was made from; the file's name
// and its identity stand for everything else that code depends on (build, host CPU, guest CPU, options). The file is
// mapped and never written to: save() makes a new one and renames it. Any thread. docs/adr/0014.
#pragma once
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "exec/code_cache.h"

namespace doppel::exec {

// A region as it is found in the store; the spans are of the mapped file.
struct StoredRegion {
  // LinkSlot as it leaves emit().
  struct Link {
    u64 pc;
    u32 patch, stub, leave;
    u16 recipe;
    u8 skip, chainable;
  };
  u32 guest_bytes = 0, insn_count = 0;
  u32 hot_size = 0;                    // of the code's first part (backend.h)
  std::span<const CodeRange> extents;  // linear addresses of the guest code
  std::span<const u8> guest_code;      // the bytes there, one extent after the other
  std::span<const u8> code;
  std::span<const backend::Emitted::Reloc> relocs;
  std::span<const Link> links;
  std::span<const backend::PcMapRow> pc_map;
  std::span<const backend::FaultRow> faults;
  std::span<const ir::FlagRecipe> recipes;
  std::span<const ir::RecipeOp> recipe_ops;
};

class CodeStore {
 public:
  // `path`: the file, which need not be there. `limit`: bytes that it may grow to.
  explicit CodeStore(std::string path, size_t limit = size_t{128} << 20) : path_(std::move(path)), limit_(limit) {}
  ~CodeStore();
  CodeStore(const CodeStore&) = delete;
  CodeStore& operator=(const CodeStore&) = delete;

  // Before anything else, by each user with the same number. False: this one can't use the store.
  bool open(u64 identity);
  // Calls `fits` for the regions under the key, until it returns true: then `out` is that one.
  bool find(u64 pc, u64 mode, u64 base, StoredRegion& out, const std::function<bool(const StoredRegion&)>& fits) const;
  void add(u64 pc, u64 mode, u64 base, const StoredRegion& region);
  // Writes the file anew if that is worth it: `least` regions or a sixteenth of those known. An error is no matter: the
  // next run translates again.
  // True: there is a new file.
  bool save(size_t least = 32);
  // Around a fork: no other thread is in here then. What the parent has added is the parent's to save.
  void lock_for_fork() { lock_.lock(); }
  void unlock_after_fork(bool child);
  size_t known() const { return count_; }
  size_t added() const;

 private:
  struct Record;
  struct Header;
  bool is_good(std::span<const u8> file) const;
  const Record* record_at(u64 offset) const;
  std::vector<u8> merged();

  const std::string path_;
  const size_t limit_;
  u64 identity_ = 0;
  // As it was opened: regions in use look at it.
  std::span<const u8> file_;
  size_t slots_ = 0, count_ = 0;
  const u64* table_ = nullptr;
  mutable std::mutex lock_;  // of what follows
  std::vector<u8> added_;    // records
  size_t added_count_ = 0, counted_ = 0;
};

}  // namespace doppel::exec
