// A signal's frame while it is built or read: bytes at guest addresses in the program's byte order.
#pragma once
#include <vector>

#include "user/abi.h"
#include "user/thread.h"

namespace doppel::user {

class Frame {
 public:
  // `size` bytes of zeros at `address`.
  Frame(const Abi& abi, u64 address, size_t size) : abi_(abi), address_(address), bytes_(size) {}
  u64 address() const { return address_; }
  u8* data(size_t at) { return bytes_.data() + at; }
  void put(size_t at, u64 value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
      bytes_[at + (abi_.big_endian ? size - 1 - i : i)] = static_cast<u8>(value >> (8 * i));
  }
  u64 get(size_t at, unsigned size) const {
    u64 v = 0;
    for (unsigned i = 0; i < size; i++) v |= u64{bytes_[at + (abi_.big_endian ? size - 1 - i : i)]} << (8 * i);
    return v;
  }
  bool store(Thread& t) const { return t.write(address_, bytes_.data(), bytes_.size()); }
  bool load(Thread& t) { return t.read(address_, bytes_.data(), bytes_.size()); }

 private:
  const Abi& abi_;
  u64 address_;
  std::vector<u8> bytes_;
};

// The ABIs (find_abi).
const Abi& x86_64_abi();
const Abi& i386_abi();
const Abi& mips_abi();
const Abi& mipsel_abi();
const Abi& mips64el_abi();

}  // namespace doppel::user
