// The virtio devices of a PC: from -device and -drive if=virtio to functions on the PCI bus. Names, aliases and
// properties are QEMU's.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/bus/virtio/virtio_pci.h"
#include "hw/char/virtio_serial.h"
#include "machine/machine.h"
#include "machine/pc_drives.h"
#include "net/nic_port.h"

namespace doppel::machine {

// "virtio-blk-pci-non-transitional" is virtio-blk without its legacy interface.
struct VirtioName {
  std::string model;  // virtio-blk, virtio-net...
  bool legacy = true, modern = true;
};
std::optional<VirtioName> virtio_name(const std::string& driver);  // none: not a virtio device on PCI

std::vector<std::string> virtio_names();                                // for -device, network cards and ports too
std::vector<std::string> virtio_properties(const std::string& driver);  // empty: no such device
std::string virtio_help();                                              // lines for -device help

bool is_virtio_port(const std::string& driver);  // virtconsole, virtserialport

// The port that a virtconsole or virtserialport means, on a console device that has these already.
Result<hw::VirtioPort> plan_port(const MachineConfig& config, const DeviceConfig& device,
                                 const std::vector<hw::VirtioPort>& others, u32 max_ports);

// Reads a device's properties; the first bad value stays as `error`.
class PropertyReader {
 public:
  explicit PropertyReader(const DeviceConfig& device) : device_(device) {}
  std::string text(const std::string& key, const std::string& otherwise = {}) const;
  bool is_on(const std::string& key, bool otherwise);
  u64 number(const std::string& key, u64 otherwise, u64 low, u64 high);
  void must_be_off(const std::string& key);  // a part that is not built
  void fail(std::string cause, std::string fix);
  const std::optional<Error>& error() const { return error_; }
  const DeviceConfig& device() const { return device_; }

 private:
  const DeviceConfig& device_;
  std::optional<Error> error_;
};

struct VirtioContext {
  const MachineConfig& config;
  hw::Clock& clock;
  std::mutex& device_lock;
  mem::AddressSpace& memory;
  std::function<void(const MachineEvent&)> tell;  // for the devices to call, with the device lock held
  bool repeatable() const { return config.accel.icount_shift >= 0; }
};
struct VirtioFunction {
  std::string name;
  std::unique_ptr<hw::VirtioPci> device;
};
// Puts a device behind PCI: disable-legacy=, disable-modern=, vectors= and what the name says.
Result<std::unique_ptr<hw::VirtioPci>> on_pci(PropertyReader& p, std::unique_ptr<hw::VirtioDevice> device,
                                              u32 class_code, unsigned vectors, std::vector<u8> rom = {});
Result<std::unique_ptr<hw::VirtioPci>> make_virtio_disk(const VirtioContext& context, const VirtioDisk& disk);
Result<std::unique_ptr<hw::VirtioPci>> make_virtio_nic(const VirtioContext& context, const NicConfig& nic,
                                                       std::shared_ptr<net::NicPort> port, std::vector<u8> rom);
// The other devices of -device that this file makes: random numbers and so on.
Result<std::unique_ptr<hw::VirtioPci>> make_virtio(const VirtioContext& context, const DeviceConfig& device);

}  // namespace doppel::machine
