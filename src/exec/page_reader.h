// PageReader: guest code as a translator reads it.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "guest/guest.h"
#include "mem/address_space.h"
#include "mem/direct_memory.h"
#include "mem/soft_tlb.h"

namespace doppel::exec {

// Reads guest code through the TLB and remembers which physical pages it came from.
class PageReader final : public guest::CodeReader {
 public:
  PageReader(mem::VcpuHeader& cpu, mem::SoftTlb& tlb, mem::AddressSpace& memory, const std::function<void(u64)>* before,
             mem::DirectMemory* direct)
      : cpu_(cpu), tlb_(tlb), memory_(memory), before_(before), direct_(direct) {}

  size_t fetch(u64 va, u8* out, size_t size) override {
    size_t done = 0;
    while (done < size) {
      const u64 at = va + done;
      const Page* page = find(at & mem::kPageMask);
      if (!page) break;
      const u64 offset = at & (mem::kPageSize - 1);
      const size_t n = std::min<size_t>(size - done, mem::kPageSize - offset);
      if (page->host) {
        std::memcpy(out + done, page->host + offset, n);
      } else {
        memory_.read(page->phys + offset, out + done, n);
      }
      done += n;
    }
    return done;
  }

  // Physical address of a linear one that was read; ~0 if it was not.
  u64 phys_of(u64 va) const {
    for (unsigned i = 0; i < count_; i++) {
      if (pages_[i].va == (va & mem::kPageMask)) return pages_[i].phys + (va & (mem::kPageSize - 1));
    }
    return ~u64{0};
  }

 private:
  struct Page {
    u64 va, phys;
    const u8* host;
  };
  const Page* find(u64 va) {
    for (unsigned i = 0; i < count_; i++) {
      if (pages_[i].va == va) return &pages_[i];
    }
    if (count_ == pages_.size()) return nullptr;
    if (direct_) {
      if (before_ && *before_) (*before_)(va >> mem::kPageBits);
      if (!direct_->watch_code(va)) return nullptr;
      pages_[count_] = {va, va, reinterpret_cast<const u8*>(va + direct_->base)};
      return &pages_[count_++];
    }
    const u32 mode = cpu_.mmu_mode;
    mem::TlbEntry* e = &tlb_.entry(va, mode);
    if ((e->exec.load(std::memory_order_relaxed) & (mem::kPageMask | mem::kTlbInvalid)) != va) {
      e = tlb_.fill(va, mem::Access::Exec, mode);
      if (!e) return nullptr;
    }
    const bool io = e->exec.load(std::memory_order_relaxed) & mem::kTlbIo;
    const u64 phys = tlb_.aux(va, mode).phys;
    if (before_ && *before_) (*before_)(phys >> mem::kPageBits);
    pages_[count_] = {va, phys, io ? nullptr : reinterpret_cast<const u8*>(va + e->addend)};
    return &pages_[count_++];
  }
  mem::VcpuHeader& cpu_;
  mem::SoftTlb& tlb_;
  mem::AddressSpace& memory_;
  const std::function<void(u64)>* before_;
  mem::DirectMemory* direct_;
  std::array<Page, 4> pages_;
  unsigned count_ = 0;
};

}  // namespace doppel::exec
