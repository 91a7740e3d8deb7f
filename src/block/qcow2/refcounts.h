// Reference counts of host clusters, and the allocator that stands on them.
// Source: qcow2.txt, "Host cluster management". Counts are 1 to 64 bits wide in two levels: a table (all in memory, at
// most 8 MiB) points to blocks of one cluster (in a bounded cache).
// Order on the disk (see image.h): blocks first, then the table; counts that fall are applied by apply_releases() only,
// when nothing on the disk refers to the clusters any more. So a power cut leaves counts that are too high: leaks. And
// so blocks may be written at any time: a full cache does it by itself.
#pragma once
#include <functional>
#include <vector>

#include "block/qcow2/header.h"
#include "block/qcow2/slice_cache.h"

namespace doppel::block::qcow2 {

class Refcounts {
 public:
  // `barrier` makes what was written so far stable; `write_fields` writes the header's fields.
  struct Owner {
    std::function<int()> barrier;
    std::function<int()> write_fields;
  };
  Refcounts(File& file, Header& header, u64 cache_bytes, Owner owner);
  int load_table();

  int get(u64 cluster, u64& count);
  int set(u64 cluster, u64 count);              // makes the block if there is none
  int add(u64 cluster, u64 number, int delta);  // ERANGE: the width doesn't hold it; EINVAL: below zero
  u64 max_count() const {
    return header_.refcount_order == 6 ? ~u64{0} : (u64{1} << (1u << header_.refcount_order)) - 1;
  }

  // A run of up to `wanted` free clusters, now with a count of one; `wanted` becomes what was found.
  int allocate(u64& wanted, u64& first);
  int allocate_all(u64 number, u64& first);  // a run of exactly `number`
  // One reference less, once what replaces it is on the disk. `cluster` may be used again only after that.
  void release(u64 cluster, u64 number = 1);
  bool has_releases() const { return !releases_.empty(); }
  u64 released_clusters() const { return released_; }
  int apply_releases(bool punch);

  bool dirty() const { return cache_.dirty() || table_dirty(); }
  bool crowded() const { return cache_.crowded(); }
  u64 cached_bytes() const { return cache_.bytes(); }
  u64 peak_bytes() const { return cache_.peak_bytes(); }
  void drop_unused() { cache_.drop_unused(); }
  int write_blocks() { return cache_.write_dirty(); }
  bool table_dirty() const { return first_dirty_ < end_dirty_; }
  int write_table();
  int drop_empty_blocks();  // those that count nothing but themselves are no longer there

  const std::vector<u64>& table() const { return table_; }
  u64 entries_per_block() const { return u64{1} << header_.block_bits(); }
  // New blocks and a new table for these counts, behind the last cluster, and the header switched over (check's
  // rebuild).
  int start_over(const std::vector<u32>& counts);

 private:
  struct Run {
    u64 first, number;
  };
  int find_free(u64 wanted, u64& first, u64& found);
  int ensure_block(u64 index);
  int grow_table(u64 min_entries);
  u64 new_table_clusters(u64 start, u64 min_entries, u64& blocks) const;
  int adopt_table(u64 offset, u64 clusters, std::vector<u64> table);
  u8* slice_of(u64 cluster, u64& slice, u64& index, int& error);
  File& file_;
  Header& header_;
  SliceCache cache_;
  Owner owner_;
  std::vector<u64> table_;
  u64 first_dirty_ = ~u64{0}, end_dirty_ = 0;  // entries of the table
  u64 hint_ = 1;                               // no free cluster below
  std::vector<Run> releases_;
  u64 released_ = 0;
};

// A count in a block, `index` counted from the start of `block`.
u64 read_count(const u8* block, u64 index, unsigned order);
void write_count(u8* block, u64 index, unsigned order, u64 count);

}  // namespace doppel::block::qcow2
