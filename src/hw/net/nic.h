// What every network card is made with, and the base of those on PCI: the port of its cable, its clock and option ROM.
// The base keeps the card from changing while the machine sleeps.
#pragma once
#include <memory>
#include <vector>

#include "hw/bus/pci/pci_device.h"
#include "hw/core/clock.h"
#include "net/nic_port.h"

namespace doppel::hw {

struct NicParams {
  std::shared_ptr<net::NicPort> port;
  Clock& clock;
  std::mutex& device_lock;
  std::vector<u8> rom;      // PXE; empty: none
  bool mitigation = false;  // cards that have one: their interrupt throttle is obeyed
};

class PciNic : public PciDevice, public net::NicClient {
 public:
  PciNic(std::string name, const PciIds& ids, NicParams p)
      : PciDevice(std::move(name), ids), port_(std::move(p.port)), clock_(p.clock), mitigation_(p.mitigation) {
    if (!p.rom.empty()) add_rom(std::move(p.rom));
    port_->connect(*this, p.device_lock);
  }
  ~PciNic() override { port_->disconnect(); }
  void leave() override { port_->disconnect(); }
  void sleep() override { port_->sleep(); }
  void wake() override {
    port_->wake();
    room_to_send();
  }

 protected:
  net::NicPort& port() { return *port_; }
  const net::NicPort& port() const { return *port_; }
  Clock& clock() const { return clock_; }
  bool mitigation() const { return mitigation_; }

 private:
  std::shared_ptr<net::NicPort> port_;
  Clock& clock_;
  const bool mitigation_;
};

}  // namespace doppel::hw
