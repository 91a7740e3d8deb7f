#include "hw/misc/debug_console.h"

namespace doppel::hw {

void DebugConsole::write(u64, u64 value, unsigned) {
  const u8 byte = static_cast<u8>(value);
  if (p_.chardev) p_.chardev->write({&byte, 1});
}

}  // namespace doppel::hw
