// What a family of devices is fuzzed in: the device on a rig of the conformance suite, its windows, and a driver that
// makes the steps plausible: it sets rings up, fills them, and is the outside's end (frames, keys, disks).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "case.h"
#include "device/conformance_rigs.h"

namespace doppel::fuzz {

class World {
 public:
  virtual ~World() = default;
  void play(const Case& c);
  // After a case: what has gone wrong without a crash; empty: nothing.
  virtual std::string complaint() { return {}; }

 protected:
  virtual void drive(u8 what, u32 offset, u64 value) = 0;
  hw::test::Rig rig_;

 private:
  void step(const Step& s);
  hw::MmioHandler* window(u8 target, u64& offset);
  void change_state(u8 what, u64 value);
};

struct Family {
  std::string name;
  std::function<std::unique_ptr<World>()> make;
};
const std::vector<Family>& families();
std::vector<Family> network_families();
std::vector<Family> virtio_families();
std::vector<Family> virtio_storage_families();
std::vector<Family> virtio_9p_families();
std::vector<Family> storage_families();
std::vector<Family> legacy_storage_families();
std::vector<Family> board_families();

}  // namespace doppel::fuzz
