// Intel 82371AB (PIIX4) power management, PCI function 00:01.3, 8086:7113. Document 290562, chapters 7 and 11.
// PM registers: a 64-port window at PMBA (PM1_STS +0, PM1_EN +2, PM1_CNT +4, PM_TMR +8, GPSTS +0xc, GPEN +0xe, so
// GPE0_BLK is PMBA + 0xc, 4 bytes), SMBus at SMBBA; the APM ports 0xb2/0xb3 are a separate handler the board maps. SCI
// is wired to ISA interrupt 9, not to a PIRQ. Firmware puts PMBA at 0x600 and SMBBA at 0x700 (SeaBIOS). Commands 0xf1
// and 0xf0 at APMC switch ACPI mode on and off without an SMI. SLP_TYP: 0 soft off (S5), 1 suspend to RAM (S3), 2
// suspend to disk (S4): the values the board's DSDT must give.
#pragma once
#include <functional>

#include "hw/bus/pci/acpi_pm.h"
#include "hw/bus/pci/pci_device.h"
#include "hw/bus/pci/smbus_host.h"

namespace doppel::hw {

class Piix4Pm final : public PciDevice {
 public:
  static constexpr u8 kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;  // FADT
  static constexpr unsigned kSlpTypS5 = 0, kSlpTypS3 = 1, kSlpTypS4 = 2;
  struct Params {
    Clock& clock;
    IrqLine sci;                     // ISA interrupt 9, level, active high into the OR gate
    std::function<void()> smi;       // an SMI to the CPUs (the one that wrote, or all: the board decides)
    std::function<void()> soft_off;  // S5 or S4
    std::function<void()> suspend;   // S3; empty: ignored
    bool smm = true;                 // false: APMC_EN reads set, so that firmware leaves SMM alone
  };
  explicit Piix4Pm(Params p);
  MmioHandler& apm_ports() { return apm_; }  // 2 ports: 0xb2 APMC, 0xb3 APMS
  void press_power_button() { pm_.raise_pm1(AcpiPm::kPwrBtn); }
  void wake_guest(u16 pm1_bits) { pm_.raise_pm1(static_cast<u16>(pm1_bits | AcpiPm::kWak)); }  // after S3
  void raise_gpe(unsigned bit) { pm_.raise_gpe(bit); }
  SmbusHost& smbus() { return smbus_; }
  AcpiPm& acpi() { return pm_; }

  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 protected:
  void config_written(u8 offset, unsigned size) override;

 private:
  class PmPorts final : public MmioHandler {
   public:
    explicit PmPorts(Piix4Pm& pm) : d_(pm) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 4}; }

   private:
    u32 read_dword(u64 offset);
    Piix4Pm& d_;
  };
  class ApmPorts final : public MmioHandler {
   public:
    explicit ApmPorts(Piix4Pm& pm) : d_(pm) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    Piix4Pm& d_;
  };
  void map_windows();
  void sleep_requested(unsigned slp_typ);

  Params p_;
  AcpiPm pm_;
  SmbusHost smbus_;
  PmPorts pm_ports_{*this};
  ApmPorts apm_{*this};
  u8 apmc_ = 0, apms_ = 0;
  std::array<u8, 64> storage_{};  // PM window registers without effect here (GLBCTL, DEVCTL...)
  std::unique_ptr<MappedWindow> pm_window_, smbus_window_;
};

}  // namespace doppel::hw
