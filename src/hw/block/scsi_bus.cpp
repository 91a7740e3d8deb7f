#include <algorithm>

#include "hw/block/packet_defs.h"
#include "hw/block/scsi_device.h"

namespace doppel::hw {

using namespace scsi;

namespace {
constexpr u8 kReportLuns = 0xa0;
}

std::array<u8, 18> scsi::fixed_sense(const Sense& s) {
  std::array<u8, 18> out{};
  out[0] = 0x70;
  out[2] = s.key;
  out[7] = 10;
  out[12] = s.asc;
  out[13] = s.ascq;
  return out;
}

ScsiBus::ScsiBus(std::vector<Unit> units, DiskQueue& queue) : units_(std::move(units)), queue_(queue) {
  for (Unit& u : units_) u.device->connect(queue_);
}

void ScsiBus::add(Unit unit) {
  unit.device->connect(queue_);
  units_.push_back(std::move(unit));
}

std::unique_ptr<ScsiDevice> ScsiBus::remove(u8 target, u16 lun) {
  const auto it =
      std::find_if(units_.begin(), units_.end(), [&](const Unit& u) { return u.target == target && u.lun == lun; });
  if (it == units_.end()) return nullptr;
  std::unique_ptr<ScsiDevice> device = std::move(it->device);
  units_.erase(it);
  return device;
}

bool ScsiBus::has_target(u8 target) const {
  return std::any_of(units_.begin(), units_.end(), [&](const Unit& u) { return u.target == target; });
}

ScsiDevice* ScsiBus::find(u8 target, u16 lun) const {
  for (const Unit& u : units_) {
    if (u.target == target && u.lun == lun) return u.device.get();
  }
  return nullptr;
}

void ScsiBus::execute(u8 target, u16 lun, std::shared_ptr<ScsiTask> task) {
  if (task->cdb[0] == kReportLuns) return report_luns(target, *task);
  if (ScsiDevice* device = find(target, lun)) return device->execute(std::move(task));
  switch (task->cdb[0]) {
    case mmc::kInquiry: {
      if ((task->cdb[1] & 1) != 0) return task->check(kInvalidField);
      mmc::Reply r;
      r.bytes({0x7f, 0, 5, 2, 31, 0, 0, 0}).zeroes(28);  // nothing is there, and can't be
      return task->reply(r.take(), task->cdb16(3));
    }
    case mmc::kRequestSense: {
      const auto sense = fixed_sense(kNoSuchUnit);
      return task->reply({sense.begin(), sense.end()}, task->cdb[4]);
    }
    default: task->check(kNoSuchUnit);
  }
}

// SPC-4, 6.33. Unit 0 is always there, if only to ask.
void ScsiBus::report_luns(u8 target, ScsiTask& task) const {
  const u32 allocation = task.cdb32(6);
  if (allocation < 16 || task.cdb[2] > 2) return task.check(kInvalidField);
  mmc::Reply r;
  r.dword(0).dword(0);
  const auto add = [&](u16 lun) { r.word(lun < 256 ? lun : 0x4000u | lun).zeroes(6); };
  if (task.cdb[2] != 1) {
    if (find(target, 0) == nullptr) add(0);
    for (const Unit& u : units_) {
      if (u.target == target) add(u.lun);
    }
  }
  std::vector<u8> data = r.take();
  const u32 n = static_cast<u32>(data.size()) - 8;
  data[2] = static_cast<u8>(n >> 8);
  data[3] = static_cast<u8>(n);
  task.reply(std::move(data), allocation);
}

void ScsiBus::reset() {
  for (Unit& u : units_) u.device->reset();
}

void ScsiBus::archive(StateArchive& ar) {
  for (Unit& u : units_)
    ar.section("unit" + std::to_string(u.target) + "." + std::to_string(u.lun), [&] { u.device->archive(ar); });
}

}  // namespace doppel::hw
