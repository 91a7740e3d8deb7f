// ScsiCd: a CD/DVD drive on a SCSI bus: the packet commands of AtapiCd, with SCSI's status and sense around them. One
// command at a time; others wait.
#pragma once
#include <deque>

#include "hw/block/atapi_cd.h"
#include "hw/block/scsi_device.h"

namespace doppel::hw {

class ScsiCd final : public ScsiDevice, private IdeHost {
 public:
  explicit ScsiCd(AtapiCd::Params p);
  AtapiCd& drive() { return cd_; }
  void execute(std::shared_ptr<ScsiTask> task) override;
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string describe() const override { return cd_.describe(); }

 private:
  void intrq_changed(IdeDrive&) override {}
  void dma_requested(IdeDrive&) override {}
  void start();
  void run();
  void finish();
  void send_packet(const ScsiTask& task);
  AtapiCd cd_;
  std::deque<std::shared_ptr<ScsiTask>> tasks_;  // the first one runs
  bool with_disk_ = false, running_ = false;
};

}  // namespace doppel::hw
