#include "world.h"

#include <algorithm>

namespace doppel::fuzz {

const std::vector<Family>& families() {
  static const std::vector<Family> all = [] {
    std::vector<Family> list = network_families();
    for (const auto& more : {virtio_families, virtio_storage_families, virtio_9p_families, storage_families,
                             legacy_storage_families, board_families}) {
      for (Family& f : more()) list.push_back(std::move(f));
    }
    return list;
  }();
  return all;
}

void World::play(const Case& c) {
  for (const Step& s : c) step(s);
  rig_.device->info();
}

// The rig's windows, then what the device mapped itself.
hw::MmioHandler* World::window(u8 target, u64& offset) {
  std::vector<hw::MmioHandler*> all = rig_.windows;
  std::vector<u64> sizes(all.size(), ~u64{0});
  for (const auto& m : rig_.address_bus.mappings) {
    if (!m->enabled || m->handler == nullptr || m->size == 0) continue;
    all.push_back(m->handler);
    sizes.push_back(m->size);
  }
  if (all.empty()) return nullptr;
  const size_t i = target % all.size();
  offset %= sizes[i];
  return all[i];
}

void World::step(const Step& s) {
  const unsigned size = 1u << (s.width & 3);
  u64 offset = s.offset;
  switch (s.action) {
    case Action::Read:
    case Action::Write:
      if (hw::MmioHandler* w = window(s.target, offset)) {
        const hw::AccessSizes sizes = w->access_sizes();  // as the buses do it
        const unsigned used = std::clamp<unsigned>(size, sizes.min, sizes.max);
        if (s.action == Action::Read)
          w->read(offset, used);
        else
          w->write(offset, s.value & mask_bits(used * 8), used);
      }
      break;
    case Action::Memory: rig_.memory.write(offset, &s.value, size); break;
    case Action::Time: rig_.clock.advance(static_cast<s64>(s.value % 10'000'000)); break;
    case Action::State: change_state(s.target, s.value); break;
    default: drive(s.target, s.offset, s.value);
  }
}

void World::change_state(u8 what, u64 value) {
  hw::Device& d = *rig_.device;
  if (what % 4 == 0) return d.reset();
  if (what % 4 == 2) {
    d.sleep();
    d.wake();
    return;
  }
  StateArchive saved(StateArchive::Mode::Save);
  d.sleep();
  d.archive(saved);
  std::vector<u8> data = saved.serialize();
  if (what % 4 == 3) {  // bytes of values; a name that is hit makes the state unreadable
    for (unsigned i = 0; i < 4; i++)
      data[(value >> 16 * i & 0xffff) % data.size()] ^= static_cast<u8>(1u << (value >> 4 * i & 7));
  }
  StateArchive loaded(StateArchive::Mode::Load);
  if (loaded.deserialize(data)) d.archive(loaded);
  d.wake();
}

}  // namespace doppel::fuzz
