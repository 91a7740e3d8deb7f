// AddressMap: which addresses the program has mapped, as what; the guest's protections, which the host's differ from
// where code is watched. Any thread; own lock. What is not in it below the host's end of addresses belongs to the
// emulator, and the program can neither map over it nor unmap it.
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "mem/direct_memory.h"

namespace doppel::user {

class AddressMap final : public mem::DirectMemory {
 public:
  AddressMap();
  ~AddressMap() override;
  AddressMap(const AddressMap&) = delete;
  AddressMap& operator=(const AddressMap&) = delete;
  // Addresses below `end` are the program's. `top`: below which map() looks for room, downwards.
  void create(u64 end, u64 top, bool exec_needs_x);
  // Like the host's system calls, with the guest's addresses; host's PROT_ and MAP_ numbers; a value or -errno. Code of
  // the range is dropped (on_code_gone) by those which change what is there.
  s64 map(u64 va, u64 size, int prot, int flags, int fd, u64 offset);
  s64 unmap(u64 va, u64 size);
  s64 protect(u64 va, u64 size, int prot);
  s64 remap(u64 va, u64 old_size, u64 new_size, int flags, u64 new_va);
  s64 advise(u64 va, u64 size, int advice);
  // Memory that the host's kernel mapped by itself where room() said there is some (shmat), or unmapped again.
  void note(u64 va, u64 size, int prot);
  void forget(u64 va, u64 size);
  u64 room(u64 size);  // 0: none
  // PROT_ bits of a page as the program set them, -1: not mapped. Any thread, in the handler of a fault of guest code.
  int protection(u64 va) const;
  // All of [va, va+size) mapped by the program?
  bool mapped(u64 va, u64 size) const;
  // Before the host's kernel writes to [va, va+size) for the program: pages that are read-only for their code's sake
  // only are made writable, their code is dropped (quick when there are none).
  void prepare_write(u64 va, u64 size);
  // Somebody else has written to [va, va+size): code made from it goes.
  void changed(u64 va, u64 size);
  // The host's address. No check.
  void* host(u64 va) const { return reinterpret_cast<void*>(va + base); }
  u64 end() const { return end_; }
  std::function<void(u64 va, u64 size)> on_code_gone;  // any thread, with the lock held
  std::string describe() const;                        // as /proc/self/maps
  std::mutex& lock() { return lock_; }                 // held over a fork

  bool watch_code(u64 page) override;
  bool code_page_written(u64 va) override;

  // A debugger's watchpoints (watched_pages.cpp). False: they can't be set.
  struct Watchpoint {
    u64 va = 0, size = 0;
    bool read = false, write = false;
  };
  bool set_watchpoints(std::vector<Watchpoint> watchpoints);
  bool watched_page(u64 va, bool write) const override;
  u64 watchpoint_hit(u64 va, u64 size, bool write) const override;
  void open_watched_pages() override;
  void close_watched_pages() override;
  // In the handler of a fault of the emulator's own: true: it was for a watchpoint's sake, and is not any more until
  // restore_watches().
  bool lift_watch(u64 va);
  void restore_watches();

 private:
  struct Area {
    u64 end;
    int prot;
  };
  // A byte a page for the pages that code was made of, in leaves of 4 GiB of addresses.
  using Flags = std::atomic<u8>;
  static constexpr unsigned kLeafBits = 20, kLeaves = 1u << 15;
  Flags* flags_of(u64 va) const {
    const u64 page = va >> 12;
    if (page >> kLeafBits >= kLeaves) return nullptr;
    Flags* leaf = leaves_[page >> kLeafBits].load(std::memory_order_acquire);
    return leaf ? leaf + (page & ((1u << kLeafBits) - 1)) : nullptr;
  }
  std::map<u64, Area>::iterator split(u64 va);
  void set_area(u64 va, u64 size, int prot);
  void erase_area(u64 va, u64 size);
  bool covered(u64 va, u64 size) const;
  int protection_locked(u64 va) const;
  s64 claim(u64 va, u64 size);
  u64 find_room(u64 size, u64 below) const;
  s64 map_somewhere(u64 hint, u64 size, int prot, int flags, int fd, u64 offset);
  s64 map_there(u64 va, u64 size, int prot, int flags, int fd, u64 offset);
  void code_gone(u64 va, u64 size);
  int open_protection(u64 page) const;
  void close_pages(u64 va, u64 last);
  static int host_protection(int guest);

  u64 end_ = 0, top_ = 0;
  bool exec_needs_x_ = true;
  mutable std::mutex lock_;
  std::map<u64, Area> areas_;   // by start; neighbours of the same protection are one
  std::map<u64, u64> foreign_;  // found to be the emulator's when room was looked for: start to end
  std::array<std::atomic<Flags*>, kLeaves> leaves_{};
  static constexpr u64 kMostWatched = u64{64} << 10;
  std::vector<Watchpoint> watchpoints_;
  std::map<u64, bool> watched_pages_;  // true: reads fail too
  int watches_open_ = 0;
  u64 lifted_ = 0;  // the latest page that lift_watch() opened
};

}  // namespace doppel::user
