// CodePages: which bytes of guest memory some vCPU has translated, shared by the vCPUs of a machine. A store into such
// a page asks here whether it hits code of any vCPU. Any thread; own lock, taken last.
#pragma once
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "mem/address_space.h"

namespace doppel::exec {

class CodePages {
 public:
  explicit CodePages(mem::AddressSpace& memory) : memory_(memory) {}
  // A store is seen by who reads the page after set() returns, or its writer sees the granules: translation marks all
  // of a page before it reads it, and then what it took. (A store whose TLB check came before the first set() of the
  // page is not seen: its writer is between two of its instructions for that long only.) vCPU `index` has code in these
  // 64-byte granules of the page (0: none any more).
  void set(u64 page, u32 index, u64 granules);
  // Whether a vCPU, or one but `except`, has code there.
  bool overlaps(u64 pa, u64 size, u32 except = ~u32{0});

  // The vCPUs, to be told of writes by others. `notify` is called without the lock.
  struct Listener {
    u32 index;
    std::function<void(u64 pa, u64 size)> notify;
  };
  void add_listener(Listener l);
  void remove(u32 index);     // a vCPU that ends: listener and member
  void keep_only(u32 index);  // in the child of a fork: its thread is the only one
  // Around a fork: no other thread is in here then.
  void lock_for_fork() { lock_.lock(); }
  void unlock_after_fork() { lock_.unlock(); }
  void notify_others(u32 writer, u64 pa, u64 size);  // writer ~0: a device
  size_t listeners() const { return listeners_.size(); }

  // Exclusive sections (atomics that cross pages): see vcpu_loop.cpp.
  std::mutex exclusive_lock;
  std::atomic<bool> exclusive_pending{false};
  struct Member {
    std::atomic<bool>* in_guest;
    std::function<void()> kick;
    u32 index;
  };
  std::vector<Member> members;

 private:
  struct Page {
    std::vector<u64> granules;
  };
  mem::AddressSpace& memory_;
  std::mutex lock_;
  std::unordered_map<u64, Page> pages_;
  std::vector<Listener> listeners_;
};

}  // namespace doppel::exec
