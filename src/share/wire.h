// Messages of 9P2000.L: little-endian numbers, strings with a 16-bit length ("9P2000.L: an extended 9P2000 protocol for
// Linux", github.com/chaos/diod/protocol.md). A reader that runs past the end gives zeros and says so.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/bits.h"

namespace doppel::share {

constexpr size_t kHeader = 7;  // size, type, tag

enum Message : u8 {
  kRlerror = 7,
  kTstatfs = 8,
  kTlopen = 12,
  kTlcreate = 14,
  kTsymlink = 16,
  kTmknod = 18,
  kTrename = 20,
  kTreadlink = 22,
  kTgetattr = 24,
  kTsetattr = 26,
  kTxattrwalk = 30,
  kTxattrcreate = 32,
  kTreaddir = 40,
  kTfsync = 50,
  kTlock = 52,
  kTgetlock = 54,
  kTlink = 70,
  kTmkdir = 72,
  kTrenameat = 74,
  kTunlinkat = 76,
  kTversion = 100,
  kTauth = 102,
  kTattach = 104,
  kTflush = 108,
  kTwalk = 110,
  kTread = 116,
  kTwrite = 118,
  kTclunk = 120,
  kTremove = 122,
};

struct Qid {
  u8 type = 0;
  u32 version = 0;
  u64 path = 0;
};
enum QidType : u8 { kQtDir = 0x80, kQtSymlink = 0x02 };

class WireReader {
 public:
  explicit WireReader(std::span<const u8> data) : data_(data) {}
  template <typename T>
  T number() {
    if (data_.size() - at_ < sizeof(T)) {
      short_ = true;
      at_ = data_.size();
      return 0;
    }
    const T v = load_le<T>(&data_[at_]);
    at_ += sizeof(T);
    return v;
  }
  std::string text() {
    const size_t n = number<u16>();
    const auto b = bytes(n);
    return {b.begin(), b.end()};
  }
  std::span<const u8> bytes(size_t n) {
    if (data_.size() - at_ < n) {
      short_ = true;
      return {};
    }
    at_ += n;
    return data_.subspan(at_ - n, n);
  }
  bool good() const { return !short_; }
  size_t left() const { return data_.size() - at_; }

 private:
  std::span<const u8> data_;
  size_t at_ = 0;
  bool short_ = false;
};

class WireWriter {
 public:
  template <typename T>
  void number(T v) {
    const size_t at = out_.size();
    out_.resize(at + sizeof(T));
    store_le<T>(&out_[at], v);
  }
  void text(const std::string& s) {
    number<u16>(static_cast<u16>(s.size()));
    out_.insert(out_.end(), s.begin(), s.end());
  }
  void qid(const Qid& q) {
    number(q.type);
    number(q.version);
    number(q.path);
  }
  std::vector<u8>& out() { return out_; }

 private:
  std::vector<u8> out_;
};

}  // namespace doppel::share
