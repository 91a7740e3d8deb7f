#include "mem/kept_spaces.h"

#include <algorithm>

namespace doppel::mem {

namespace {
size_t slot_of(u64 number) { return (number * 0x9e3779b97f4a7c15ull) >> 58; }
bool same(const TableEntry& a, const TableEntry& b) { return a.host == b.host && a.value == b.value; }
}  // namespace

void KeptSpace::note_walk(const Translation& t) {
  for (unsigned i = 0; i + 1 < t.table_count; i++) {
    TableEntry& seen = seen_[slot_of(reinterpret_cast<u64>(t.tables[i].host))];
    if (same(seen, t.tables[i])) continue;
    seen = t.tables[i];
    if (tables_.size() == kMaxEntries)
      tables_known_ = false;
    else
      tables_.push_back(seen);
  }
}

void KeptSpace::note_code(u64 page, const TlbAux& aux) {
  Code& seen = seen_code_[slot_of(page)];
  if (seen.page == page && seen.value == aux.leaf.value) return;
  seen = {page, aux.leaf.value};
  if (!aux.leaf.host || code_.size() == kMaxEntries)
    code_known_ = false;
  else
    code_.push_back(aux.leaf);
}

bool KeptSpace::all_hold(const std::vector<TableEntry>& list) {
  return std::all_of(list.begin(), list.end(), [](const TableEntry& e) { return e.holds(); });
}

bool KeptSpace::tables_hold() const { return tables_known_ && all_hold(tables_); }

bool KeptSpace::code_holds() const { return code_known_ && all_hold(code_); }

void KeptSpace::forget_code() {
  code_.clear();
  seen_code_.fill({});
  code_known_ = true;
}

void KeptSpace::clear() {
  entries.clear();
  tables_.clear();
  tables_known_ = true;
  seen_.fill({});
  forget_code();
}

KeptSpace& KeptSpaces::take(u64 root, bool& found) {
  KeptSpace* oldest = &spaces_[0];
  for (KeptSpace& s : spaces_) {
    if (s.root == root) {
      s.stamp = ++stamp_;
      found = true;
      return s;
    }
    if (s.stamp < oldest->stamp) oldest = &s;
  }
  oldest->clear();
  oldest->root = root;
  oldest->stamp = ++stamp_;
  found = false;
  return *oldest;
}

void KeptSpaces::clear() {
  for (KeptSpace& s : spaces_) s.clear();
}

}  // namespace doppel::mem
