#include "machine/display_card.h"

#include <algorithm>
#include <bit>

#include "hw/display/cirrus_vga.h"
#include "hw/display/std_vga.h"
#include "machine/firmware_search.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {
namespace {

struct Model {
  const char* vga;     // of -vga
  const char* driver;  // of -device
  const char* rom;     // of Debian's package seabios
};
constexpr Model kModels[] = {{"std", "VGA", "vgabios-stdvga.bin"}, {"cirrus", "cirrus-vga", "vgabios-cirrus.bin"}};

const Model* find_model(const MachineConfig& config, const std::string& vga, const DeviceConfig*& given) {
  for (const DeviceConfig& device : config.devices) {
    for (const Model& m : kModels) {
      if (device.driver != m.driver) continue;
      given = &device;
      return &m;
    }
  }
  for (const Model& m : kModels) {
    if (vga == m.vga) return &m;
  }
  return nullptr;
}

u32 memory_bytes(PropertyReader& p, bool fixed) {
  const u64 megabytes = p.number("vgamem_mb", fixed ? 4 : 16, 1, 256);
  if (!std::has_single_bit(megabytes)) p.fail("vgamem_mb must be a power of two", "16 is the default");
  if (fixed && megabytes != 4) p.fail("the chip GD5446 has 4 MiB", "leave vgamem_mb out");
  return static_cast<u32>(megabytes << 20);
}

}  // namespace

bool is_display(const std::string& driver) {
  return std::any_of(std::begin(kModels), std::end(kModels), [&](const Model& m) { return driver == m.driver; });
}

Result<DisplayCard> make_display(const MachineConfig& config, const DisplayPlace& place) {
  const DeviceConfig* given = nullptr;
  const std::string vga = config.vga.empty() ? place.own : config.vga;
  const Model* model = find_model(config, vga, given);
  if (!model) {
    if (vga == "none") return DisplayCard{};
    return Error{"-vga " + vga + " is not built yet", "use -vga std, cirrus or none"};
  }
  const bool cirrus = model == &kModels[1];
  const DeviceConfig device = given ? *given : DeviceConfig{.driver = model->driver, .properties = {}};
  PropertyReader p(device);
  hw::VgaCore::Params core{.memory = place.memory, .clock = place.clock, .lock = place.lock};
  core.vram_bytes = memory_bytes(p, cirrus);
  if (p.error()) return *p.error();
  std::vector<u8> rom;
  if (place.with_rom) {
    auto file = load_firmware(config.firmware_dirs, model->rom);
    if (!file.ok()) return file.error();
    rom = file.take();
  }
  DisplayCard card{.name = p.text("id", cirrus ? "cirrus-vga" : "vga"), .address = p.text("addr"), .has_vbe = !cirrus};
  const auto take = [&](auto made) {
    card.core = &made->core();
    card.device = std::move(made);
  };
  if (cirrus)
    take(std::make_unique<hw::CirrusVga>(hw::CirrusVga::Params{.core = core, .rom = std::move(rom)}));
  else
    take(std::make_unique<hw::StdVga>(hw::StdVga::Params{.core = core, .rom = std::move(rom)}));
  return card;
}

}  // namespace doppel::machine
