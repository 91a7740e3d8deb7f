// AddressSpace: the guest's physical memory. RAM blocks, ROM and device windows with priorities, flattened into a
// sorted list that readers use without a lock; and per page of RAM who watches writes to it (translated code, dirty
// logs).
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"
#include "mem/vcpu_header.h"

namespace doppel::mem {

// A device window's way in. Called with whatever lock `locked_access` takes.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  virtual u64 io_read(u64 offset, unsigned size) = 0;
  virtual void io_write(u64 offset, u64 value, unsigned size) = 0;
};

enum PageFlags : u8 { kPageCode = 1, kPageDirtyLog = 2, kPageDirty = 4 };

// Host memory behind guest physical addresses. `flags` has a byte for each 4 KiB page.
struct RamBlock {
  std::string name;
  u8* host = nullptr;
  u64 size = 0;
  bool read_only = false;
  std::unique_ptr<std::atomic<u8>[]> flags;
  bool owned = false;  // host memory was mapped by the address space
  enum class Backing { Anonymous, File /* the user's */, State /* a saved state's, private */ } backing{};
  u64 id = 0;
};

struct MapRange {
  u64 start = 0, size = 0;
  RamBlock* ram = nullptr;  // or
  IoHandler* io = nullptr;  // or both: a ROM device
  u64 offset = 0;           // into the block or the window, of `start`
  std::string name;
  int priority = 0;
  bool enabled = true;
  bool read_only = false;  // of RAM: writes are ignored
};

class AddressSpace {
 public:
  AddressSpace();
  ~AddressSpace();
  // Host memory of `size` bytes, zero filled, not yet mapped. Error: more than the host can give.
  Result<RamBlock*> create_ram(std::string name, u64 size);
  // The same on a file, which is made as long as it must be; `shared`: other processes see what the guest writes.
  Result<RamBlock*> create_ram_on_file(std::string name, u64 size, const std::string& path, bool shared);
  RamBlock* wrap_ram(std::string name, u8* host, u64 size, bool read_only);
  // The host memory goes away. No range shows it any more, and every vCPU has been at a safe point since.
  void release_ram(RamBlock* block);
  // Maps; returns an id. Any later change goes through set_range. Every vCPU's TLB is flushed through on_change.
  u32 map_ram(std::string name, u64 start, RamBlock* block, u64 offset, u64 size, int priority, bool read_only = false);
  u32 map_io(std::string name, u64 start, u64 size, IoHandler* io, int priority);
  // Flash: executed as memory, its data read and written through `io`.
  u32 map_rom_device(std::string name, u64 start, RamBlock* block, u64 size, IoHandler* io, int priority);
  void set_range(u32 id, bool enabled, u64 start);
  void set_read_only(u32 id, bool read_only);  // PAM: a RAM range that ignores writes
  void unmap(u32 id);
  // Makes several changes at once: one flush.
  void begin();
  void commit();

  struct Flat {
    u64 start, end;  // end is exclusive
    RamBlock* ram;
    IoHandler* io;  // beside `ram`: a ROM device, whose data is read and written through it
    u64 offset;
    bool read_only;
    const char* name;
  };
  // The range that holds pa, or null. Valid until the next quiescent point of the calling thread (old lists are kept
  // till then).
  const Flat* find(u64 pa) const;
  bool read(u64 pa, void* out, u64 size);          // false if part is unmapped (ones there)
  bool write(u64 pa, const void* data, u64 size);  // invalidates code, marks dirty
  // The guest does not need these pages any more: the host may have them back, and they read as zero. RAM that the
  // address space made, in whole pages; the rest of the range stays as it is.
  void discard(u64 pa, u64 size);
  u8* ram_pointer(u64 pa, u64 size, bool write);  // plain RAM in one range, else null
  // The same of memory that stays there as long as the address space does, to be written past it; then
  // wrote() does for code and dirty logs what write() would have done, whatever is mapped at `pa` by now.
  u8* lasting_ram(u64 pa, u64 size, bool write);
  void wrote(const u8* host, u64 pa, u64 size);
  u64 io_read(const Flat& range, u64 pa, unsigned size);
  void io_write(const Flat& range, u64 pa, u64 value, unsigned size);
  // RAM pages. `host` lies in the block of `range`.
  std::atomic<u8>& page_flags(const Flat& range, u64 pa) const {
    return range.ram->flags[(pa - range.start + range.offset) >> kPageBits];
  }
  void take_dirty(RamBlock& block, u64 offset, u64 size, std::vector<bool>& pages);

  std::string describe() const;  // info mtree
  // The executor's hooks. Set before the machine starts.
  std::function<void()> on_change;                      // mappings changed: flush TLBs. Any thread
  std::function<void(u64 pa, u64 size)> on_code_write;  // a write by DMA or another CPU hits pages with code
  std::mutex* io_lock = nullptr;                        // taken around device access (the device lock)
  u64 ram_limit = 0;
  // Counts layouts. A vCPU that has seen a generation at a point where it holds no Flat holds none of older ones.
  u64 generation() const { return generation_.load(std::memory_order_acquire); }
  size_t layouts_kept() const { return views_.size(); }
  // Every vCPU's TLB registers here, so that a page that gets code is watched in all of them. Any thread.
  void add_tlb(SoftTlb* tlb);
  void remove_tlb(SoftTlb* tlb);
  void watch_writes(const u8* host, u64 size);
  // Runs `body` while no other vCPU is inside guest code; set by the executor (default: just runs it).
  std::function<void(VcpuHeader&, void (*)(void*), void*)> exclusive_hook;
  void run_exclusive(VcpuHeader& cpu, void (*body)(void*), void* context);

 private:
  void flatten();
  std::vector<std::unique_ptr<RamBlock>> blocks_;
  std::vector<std::unique_ptr<MapRange>> ranges_;
  struct View {
    u64 hash = 0;
    std::vector<Flat> flats;
    u64 retired = 0;  // the generation that followed it
  };
  void publish(View& view);
  void free_old_views();
  std::atomic<View*> view_;
  std::atomic<u64> generation_{1};
  std::vector<std::unique_ptr<View>> views_;  // the longest unused first
  mutable std::mutex lock_;
  int batch_ = 0;
  std::mutex tlbs_lock_;
  std::vector<SoftTlb*> tlbs_;
};

}  // namespace doppel::mem
