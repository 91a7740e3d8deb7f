// The IDENTIFY page as words, and its strings (two characters a word, first in the high byte, padded with spaces).
#pragma once
#include <span>
#include <string_view>

#include "base/bits.h"

namespace doppel::hw::ata {

class IdentifyWords {
 public:
  class Word {
   public:
    explicit Word(u8* at) : at_(at) {}
    Word& operator=(u16 value) {
      store_le<u16>(at_, value);
      return *this;
    }
    // NOLINTNEXTLINE(bugprone-unhandled-self-assignment): a word may be stored over itself
    Word& operator=(const Word& other) { return *this = static_cast<u16>(other); }
    Word(const Word&) = default;
    operator u16() const { return load_le<u16>(at_); }  // NOLINT(google-explicit-constructor)
   private:
    u8* at_;
  };
  explicit IdentifyWords(std::span<u8> page) : page_(page) {}
  Word operator[](unsigned n) { return Word(&page_[n * 2]); }
  void text(unsigned word, unsigned length, std::string_view s) {
    for (unsigned i = 0; i < length; i++) page_[word * 2 + (i ^ 1)] = i < s.size() ? static_cast<u8>(s[i]) : u8{' '};
  }

 private:
  std::span<u8> page_;
};

}  // namespace doppel::hw::ata
