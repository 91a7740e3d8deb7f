// The file: a header, a hash table of offsets (linear probing, 0: free), records. A record is its head and the arrays
// of a StoredRegion one behind the other, each at a multiple of 8; its checksum is over all behind itself.
#include "exec/code_store.h"

#include <bit>
#include <cstring>

#include "base/hash64.h"
#include "base/os/files.h"

namespace doppel::exec {

struct CodeStore::Header {
  char magic[8];
  u64 identity, size, count, slots;
};
namespace {
constexpr char kMagic[8] = {'D', 'o', 'p', 'C', 'o', 'd', 'e', '2'};
constexpr u32 kMostCandidates = 8;  // under one key: code that is written anew again and again
}  // namespace

struct CodeStore::Record {
  u64 check, pc, mode, base;
  u32 bytes;  // of all
  u32 guest_bytes, insn_count, hot_size;
  u32 extents, guest_code, code, relocs, links, pc_map, faults, recipes, recipe_ops;  // sizes of the arrays
  u32 unused;

  static u64 key(u64 pc, u64 mode, u64 base) {
    const u64 words[] = {pc, mode, base};
    return hash64({reinterpret_cast<const u8*>(words), sizeof words});
  }
  u64 checksum() const { return hash64({reinterpret_cast<const u8*>(this) + sizeof check, bytes - sizeof check}); }
  // False: the sizes don't fit.
  bool split(StoredRegion& out) const {
    size_t at = sizeof *this;
    const auto take = [&]<typename T>(std::span<const T>& to, u32 count) {
      to = {reinterpret_cast<const T*>(reinterpret_cast<const u8*>(this) + at), count};  // SAFETY: checked below
      at += align_up(count * sizeof(T), 8);
    };
    out.guest_bytes = guest_bytes;
    out.insn_count = insn_count;
    out.hot_size = hot_size;
    take(out.extents, extents);
    take(out.guest_code, guest_code);
    take(out.code, code);
    take(out.relocs, relocs);
    take(out.links, links);
    take(out.pc_map, pc_map);
    take(out.faults, faults);
    take(out.recipes, recipes);
    take(out.recipe_ops, recipe_ops);
    return at == bytes;
  }
};

CodeStore::~CodeStore() { os::unmap_file(file_); }

bool CodeStore::is_good(std::span<const u8> file) const {
  const auto* h = reinterpret_cast<const Header*>(file.data());  // SAFETY: maps of files begin at a page
  return file.size() >= sizeof *h && std::memcmp(h->magic, kMagic, sizeof kMagic) == 0 && h->identity == identity_ &&
         h->size == file.size() && std::has_single_bit(h->slots) && h->count < h->slots &&
         h->slots <= (file.size() - sizeof *h) / sizeof(u64);
}

bool CodeStore::open(u64 identity) {
  const std::lock_guard guard(lock_);
  if (identity == 0) return false;
  if (identity_ == 0) {
    identity_ = identity;
    const auto file = os::map_own_file(path_);
    if (is_good(file)) {
      file_ = file;
      const auto* h = reinterpret_cast<const Header*>(file.data());
      table_ = reinterpret_cast<const u64*>(file.data() + sizeof *h);
      slots_ = h->slots;
      count_ = h->count;
    } else {
      os::unmap_file(file);
    }
  }
  return identity_ == identity;
}

const CodeStore::Record* CodeStore::record_at(u64 offset) const {
  const size_t first = sizeof(Header) + slots_ * sizeof(u64);
  if (offset < first || offset % 8 != 0 || offset > file_.size() || file_.size() - offset < sizeof(Record))
    return nullptr;
  const auto* r = reinterpret_cast<const Record*>(file_.data() + offset);
  return r->bytes >= sizeof(Record) && r->bytes <= file_.size() - offset ? r : nullptr;
}

bool CodeStore::find(u64 pc, u64 mode, u64 base, StoredRegion& out,
                     const std::function<bool(const StoredRegion&)>& fits) const {
  if (slots_ == 0) return false;
  size_t at = Record::key(pc, mode, base) & (slots_ - 1);
  for (size_t n = 0; n < slots_ && table_[at] != 0; n++, at = (at + 1) & (slots_ - 1)) {
    const Record* r = record_at(table_[at]);
    if (!r) return false;
    if (r->pc != pc || r->mode != mode || r->base != base) continue;
    if (r->split(out) && r->check == r->checksum() && fits(out)) return true;
  }
  return false;
}

void CodeStore::add(u64 pc, u64 mode, u64 base, const StoredRegion& s) {
  const std::lock_guard guard(lock_);
  const size_t begin = added_.size();
  if (begin > limit_) return;
  Record head{.check = 0,
              .pc = pc,
              .mode = mode,
              .base = base,
              .bytes = 0,
              .guest_bytes = s.guest_bytes,
              .insn_count = s.insn_count,
              .hot_size = s.hot_size,
              .extents = static_cast<u32>(s.extents.size()),
              .guest_code = static_cast<u32>(s.guest_code.size()),
              .code = static_cast<u32>(s.code.size()),
              .relocs = static_cast<u32>(s.relocs.size()),
              .links = static_cast<u32>(s.links.size()),
              .pc_map = static_cast<u32>(s.pc_map.size()),
              .faults = static_cast<u32>(s.faults.size()),
              .recipes = static_cast<u32>(s.recipes.size()),
              .recipe_ops = static_cast<u32>(s.recipe_ops.size()),
              .unused = 0};
  const auto put = [&](const void* data, size_t bytes) {
    const auto* p = static_cast<const u8*>(data);
    added_.insert(added_.end(), p, p + bytes);
    added_.resize(align_up(added_.size(), 8));
  };
  put(&head, sizeof head);
  const auto array = [&](auto span) { put(span.data(), span.size_bytes()); };
  array(s.extents);
  array(s.guest_code);
  array(s.code);
  array(s.relocs);
  array(s.links);
  array(s.pc_map);
  array(s.faults);
  array(s.recipes);
  array(s.recipe_ops);
  auto* r = reinterpret_cast<Record*>(added_.data() + begin);
  r->bytes = static_cast<u32>(added_.size() - begin);
  r->check = r->checksum();
  added_count_++;
}

size_t CodeStore::added() const {
  const std::lock_guard guard(lock_);
  return added_count_;
}

void CodeStore::unlock_after_fork(bool child) {
  if (child) counted_ = added_count_;
  lock_.unlock();
}

// The file that shall be: what is in it now, maybe another process's work, and what is new.
std::vector<u8> CodeStore::merged() {
  const auto now = os::map_own_file(path_);
  const auto* h = reinterpret_cast<const Header*>(now.data());
  std::span<const u8> old;
  size_t old_count = 0;
  if (is_good(now) && now.size() + added_.size() <= limit_) {
    old = now.subspan(sizeof *h + h->slots * sizeof(u64));
    old_count = h->count;
  }
  const size_t slots = std::bit_ceil(2 * (old_count + added_count_) + 1);
  Header head{.magic = {}, .identity = identity_, .size = 0, .count = 0, .slots = slots};
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  const size_t first = sizeof head + slots * sizeof(u64);
  std::vector<u8> out(first);
  out.reserve(first + old.size() + added_.size());
  out.insert(out.end(), old.begin(), old.end());
  os::unmap_file(now);
  auto* table = reinterpret_cast<u64*>(out.data() + sizeof head);
  // False: the same is there already, or too many under its key.
  const auto enter = [&](const Record& r, u64 offset) {
    u32 candidates = 0;
    size_t at = Record::key(r.pc, r.mode, r.base) & (slots - 1);
    for (; table[at] != 0; at = (at + 1) & (slots - 1)) {
      const auto& o = *reinterpret_cast<const Record*>(out.data() + table[at]);
      if (o.pc != r.pc || o.mode != r.mode || o.base != r.base) continue;
      if (o.check == r.check || ++candidates >= kMostCandidates) return false;
    }
    if (2 * head.count >= slots) return false;
    table[at] = offset;
    head.count++;
    return true;
  };
  for (size_t at = first; at < out.size();) {
    const auto& r = *reinterpret_cast<const Record*>(out.data() + at);
    if (out.size() - at < sizeof r || r.bytes < sizeof r || r.bytes % 8 != 0 || r.bytes > out.size() - at) {
      out.resize(at);  // damaged: the rest is made again
      break;
    }
    enter(r, at);
    at += r.bytes;
  }
  for (size_t at = 0; at < added_.size();) {
    const auto& r = *reinterpret_cast<const Record*>(added_.data() + at);
    if (enter(r, out.size()))
      out.insert(out.end(), added_.begin() + static_cast<std::ptrdiff_t>(at),
                 added_.begin() + static_cast<std::ptrdiff_t>(at + r.bytes));
    at += r.bytes;
  }
  head.size = out.size();
  std::memcpy(out.data(), &head, sizeof head);
  return out;
}

bool CodeStore::save(size_t least) {
  const std::lock_guard guard(lock_);
  const size_t fresh = added_count_ - counted_;
  if (identity_ == 0 || fresh < least || fresh < count_ / 16) return false;
  const std::vector<u8> file = merged();
  added_.clear();
  added_count_ = counted_ = 0;
  return os::replace_own_file(path_, file);
}

}  // namespace doppel::exec
