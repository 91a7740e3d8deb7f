#include "hw/misc/port92.h"

namespace doppel::hw {
namespace {
enum : u8 { kFastReset = 1, kA20 = 2 };
}

u64 Port92::read(u64, unsigned) {
  u8 v = value_;
  if (p_.a20_state) v = static_cast<u8>((v & ~kA20) | (p_.a20_state() ? kA20 : 0));
  return v;
}

void Port92::write(u64, u64 value, unsigned) {
  const u8 before = value_;
  value_ = static_cast<u8>(value);
  if (p_.a20) p_.a20((value_ & kA20) != 0);
  if ((value_ & kFastReset) && !(before & kFastReset) && p_.reset_request) p_.reset_request();
}

}  // namespace doppel::hw
