// Every registered device with what it needs around it, for the conformance suite.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "device/fake_machine.h"
#include "hw/bus/pci/pci_bus.h"
#include "hw/core/clock.h"
#include "hw/core/device.h"

namespace doppel::hw::test {

struct Rig {
  SteppedClock clock;
  std::mutex lock;
  FakeMemory memory{1 << 20};
  FakeAddressBus address_bus;
  PortBus ports;
  PciBus pci{{address_bus, ports, memory}};
  std::vector<std::shared_ptr<void>> parts;  // what the device needs; goes after it
  std::shared_ptr<Device> device;
  std::vector<MmioHandler*> windows;
  std::vector<std::unique_ptr<MappedWindow>> mapped;
  ~Rig() {
    mapped.clear();
    device.reset();
    while (!parts.empty()) parts.pop_back();
  }
  template <typename T, typename... A>
  T& part(A&&... a) {
    auto p = std::make_shared<T>(std::forward<A>(a)...);
    parts.push_back(p);
    return *p;
  }
  template <typename T, typename... A>
  T& make(A&&... a) {
    auto p = std::make_shared<T>(std::forward<A>(a)...);
    device = p;
    return *p;
  }
};

struct RigEntry {
  std::string name;
  std::function<void(Rig&)> build;
};
const std::vector<RigEntry>& rigs();

}  // namespace doppel::hw::test
