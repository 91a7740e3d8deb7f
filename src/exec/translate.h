// Translator: guest code to installed host code, for one vCPU. compile() is the function to read first.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "exec/code_cache.h"
#include "guest/guest.h"
#include "ir/opt/pipeline.h"
#include "mem/direct_memory.h"
#include "mem/soft_tlb.h"

namespace doppel::exec {

class CodeStore;
class PageReader;

struct Config {
  bool interpreter = false;
  bool lockstep = false;
  bool icount = false;
  ir::OptFlags opt;
  s64 limit = -1;  // regions after the first `limit` are not optimised
  u64 dump_from = 0, dump_to = ~u64{0};
  size_t code_cache_bytes = size_t{64} << 20;
  bool perf_map = false;
  int max_pinned = -1;
  u32 max_insns = 64;
  CodeStore* store = nullptr;           // regions of earlier runs; of new ones copies go there
  mem::DirectMemory* direct = nullptr;  // single programs: the memory given to VcpuLoop is then an empty one
};

struct Counters {
  u64 regions = 0, stored = 0, guest_insns = 0, guest_bytes = 0, ir_ops = 0, ir_ops_opt = 0, host_bytes = 0,
      hot_bytes = 0, translate_ns = 0;
  u64 enters = 0, resumes = 0, lookups = 0, links = 0, invalidated = 0, smc_restarts = 0, faults = 0, requests = 0,
      one_shots = 0;
};

constexpr u64 kOneShotMode = u64{1} << 63;  // or-ed to a key's mode: a region of one instruction

// How one region shall be made.
struct CompileOptions {
  bool single = false;  // one instruction, unlinked
  bool keyed = true;    // false: not registered, runs once
  bool chain = true;
  u32 max_insns = ~u32{0};  // fewer than the configured limit: up to the next event of -icount
};

class Translator {
 public:
  Translator(guest::GuestCpu& cpu, mem::SoftTlb& tlb, mem::AddressSpace& memory, const Config& config);
  Status create();
  ~Translator();

  // Null when the code cache is full. The caller makes it known to the cache (CodeCache::add).
  Installed* compile(const RegionKey& key, u64 linear, const CompileOptions& options);
  // Told the number of each physical page before bytes of it are read for a region.
  std::function<void(u64 page)> before_reading;
  CodeCache& cache() { return cache_; }
  backend::Backend& backend() { return *backend_; }
  backend::Backend& interpreter() { return *interp_; }
  Counters& counters() { return counters_; }
  std::string host_listing(const Installed& block) const;
  std::set<u64> breakpoints;  // linear addresses: a region never runs over one

 private:
  void dump_guest(const ir::Region& region, u64 base);
  void dump_host(const Installed& block);
  void collect_extents(const ir::Region& region, const PageReader& reader, u64 base);
  void collect_ranges(const PageReader& reader, Installed& block);
  // A region of the store whose guest code is there now; null: none.
  Installed* load(const RegionKey& key, PageReader& reader);
  void put_in_store(const Installed& block, const backend::Emitted& host, PageReader& reader);
  u64 store_identity() const;
  bool may_be_stored(const CompileOptions& options) const;
  Installed& begin_block(const RegionKey& key, const CodeCache::Space& at, u32 hot_size, size_t code_size);
  Installed& keep(const ir::Region& region, const RegionKey& key, const backend::Emitted& host,
                  const CodeCache::Space& at);
  void write_perf_map(const Installed& block);
  bool dumping(u64 linear) const { return linear >= config_.dump_from && linear <= config_.dump_to; }

  guest::GuestCpu& cpu_;
  mem::SoftTlb& tlb_;
  mem::AddressSpace& memory_;
  const Config& config_;
  CodeCache cache_;
  std::unique_ptr<backend::Backend> backend_, interp_;
  Counters counters_;
  ir::Region scratch_;
  std::vector<backend::LinkSlot> links_;
  std::vector<CodeRange> ranges_, extents_;  // of the region at hand: physical, linear
  bool use_store_ = false;
  std::vector<u8> guest_code_;
  std::FILE* perf_ = nullptr;
};

}  // namespace doppel::exec
