// The board `none`: no CPU, no memory, no devices. Programs start it to ask the monitor what this emulator can do.
#pragma once
#include "machine/board_machine.h"

namespace doppel::machine {

class NoneMachine final : public BoardMachine {
 public:
  explicit NoneMachine(MachineConfig config);
  ~NoneMachine() override;
  Status check() const;  // what was asked for and can't be plugged into nothing

  display::Console* console() override { return nullptr; }
  mem::RamBlock* ram() override { return nullptr; }
  std::string pic_info() override { return {}; }
  void inject_nmi() override {}
  void key(u32, bool) override {}
  void pointer_relative(int, int, int, u32) override {}
  void pointer_absolute(int, int, int, u32) override {}
  bool pointer_is_absolute() const override { return false; }
  Status change_medium(const std::string& id, const std::string& file, const MediumOptions& wanted) override;
  Status eject(const std::string& id, bool force) override;

 protected:
  void press_power_button() override {}
};

}  // namespace doppel::machine
