// KeptSpaces: what outlives a change of address space on a CPU that has no tags for them. A write of the page-table
// root ends all translations that are not global; those of the space that is left are put away here, with where in the
// guest's tables they came from. When the guest comes back to that root they are compared with the tables as they are
// then, and what still holds is as if the CPU had walked for it at once: nothing need be watched meanwhile, whoever
// writes the tables.
#pragma once
#include <array>
#include <vector>

#include "mem/guest_access.h"
#include "mem/jump_caches.h"

namespace doppel::mem {

struct TlbAux {
  u64 phys = 0;  // of the page
  bool global = false;
  std::atomic<u8>* flags = nullptr;  // of the page, when it is RAM
  TableEntry leaf;                   // what maps the page; host null: unknown
};

// A translation that is not in the TLB now.
struct SpareEntry {
  u64 page = 0;
  u32 mode = 0;
  u64 read = kTlbInvalid, write = kTlbInvalid, exec = kTlbInvalid, addend = 0;
  TlbAux aux;
};

class KeptSpace : public JumpCaches::Owner {
 public:
  static constexpr size_t kMaxEntries = 512;  // of each list
  static constexpr u64 kRenewal = 16;         // visits
  u64 root = ~u64{0};
  u64 stamp = 0;
  u64 visits = 0;
  std::vector<SpareEntry> entries;

  // The tables above the last level that a walk came through.
  void note_walk(const Translation& t);
  // A page that jump caches have entries of.
  void note_code(u64 page, const TlbAux& aux);
  bool tables_hold() const;
  bool code_holds() const;
  void forget_code();
  void clear();

 private:
  static bool all_hold(const std::vector<TableEntry>& list);
  std::vector<TableEntry> tables_, code_;
  std::array<TableEntry, 64> seen_;  // of tables_, by address
  struct Code {
    u64 page = ~u64{0}, value = 0;
  };
  std::array<Code, 64> seen_code_;  // of code_
  bool tables_known_ = true, code_known_ = true;
};

class KeptSpaces {
 public:
  // The space of `root`, and whether it was there before.
  KeptSpace& take(u64 root, bool& found);
  void clear();

 private:
  static constexpr size_t kSpaces = 16;
  std::array<KeptSpace, kSpaces> spaces_;
  u64 stamp_ = 0;
};

}  // namespace doppel::mem
