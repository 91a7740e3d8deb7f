// ScsiDevice: a logical unit behind a SCSI host adapter (SAM-5, SPC-4), and ScsiBus: the targets and units of one
// adapter. A task carries a command descriptor block and its data; the unit answers with status, sense and data, at
// once or from the adapter's disk queue. Device lock held throughout.
#pragma once
#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "state/archive.h"

namespace doppel::hw {

class DiskQueue;

namespace scsi {
enum Status : u8 { kGood = 0x00, kCheckCondition = 0x02, kBusy = 0x08 };
enum SenseKey : u8 {
  kNoSense = 0,
  kNotReady = 2,
  kMediumError = 3,
  kIllegalRequest = 5,
  kUnitAttention = 6,
  kDataProtect = 7,
};
// Key, additional sense code and its qualifier.
struct Sense {
  u8 key = 0, asc = 0, ascq = 0;
};
constexpr Sense kInvalidOpcode{kIllegalRequest, 0x20, 0}, kInvalidField{kIllegalRequest, 0x24, 0},
    kInvalidParameter{kIllegalRequest, 0x26, 0}, kOutOfRange{kIllegalRequest, 0x21, 0},
    kNoSuchUnit{kIllegalRequest, 0x25, 0}, kWriteProtected{kDataProtect, 0x27, 0}, kReadError{kMediumError, 0x11, 0},
    kWriteError{kMediumError, 0x0c, 0}, kSpaceExhausted{kDataProtect, 0x27, 7}, kWasReset{kUnitAttention, 0x29, 0};
std::array<u8, 18> fixed_sense(const Sense& s);  // SPC-4, 4.5.3
}  // namespace scsi

struct ScsiTask {
  std::array<u8, 32> cdb{};
  std::vector<u8> out;  // data of the initiator
  // The answer.
  u8 status = scsi::kGood;
  scsi::Sense sense;
  std::vector<u8> in;
  std::function<void(ScsiTask&)> done;

  u32 cdb16(unsigned at) const { return u32{cdb[at]} << 8 | cdb[at + 1]; }
  u32 cdb32(unsigned at) const { return cdb16(at) << 16 | cdb16(at + 2); }
  u64 cdb64(unsigned at) const { return u64{cdb32(at)} << 32 | cdb32(at + 4); }
  void good() { finish(scsi::kGood, {}); }
  void check(const scsi::Sense& s) { finish(scsi::kCheckCondition, s); }
  void reply(std::vector<u8> data, u64 allocation) {
    data.resize(std::min<u64>(data.size(), allocation));
    in = std::move(data);
    good();
  }

 private:
  void finish(u8 code, const scsi::Sense& s) {
    status = code;
    sense = s;
    if (code != scsi::kGood) in.clear();
    if (const auto tell = std::exchange(done, nullptr)) tell(*this);
  }
};

class ScsiDevice {
 public:
  virtual ~ScsiDevice() = default;
  void connect(DiskQueue& queue) { queue_ = &queue; }
  virtual void execute(std::shared_ptr<ScsiTask> task) = 0;
  virtual void reset() = 0;  // nothing is in flight
  virtual void archive(StateArchive& ar) = 0;
  virtual std::string describe() const = 0;

 protected:
  DiskQueue* queue_ = nullptr;
};

class ScsiBus final {
 public:
  static constexpr unsigned kTargets = 256, kUnits = 256;
  struct Unit {
    u8 target = 0;
    u16 lun = 0;
    std::unique_ptr<ScsiDevice> device;
  };
  ScsiBus(std::vector<Unit> units, DiskQueue& queue);
  bool has_target(u8 target) const;
  // Finds the unit, or answers for one that isn't there; the target must be.
  void execute(u8 target, u16 lun, std::shared_ptr<ScsiTask> task);
  ScsiDevice* find(u8 target, u16 lun) const;
  const std::vector<Unit>& units() const { return units_; }
  // Units that come and go: the place is free; nothing of the unit is in flight. Null: it is not there.
  void add(Unit unit);
  std::unique_ptr<ScsiDevice> remove(u8 target, u16 lun);
  void reset();
  void archive(StateArchive& ar);

 private:
  void report_luns(u8 target, ScsiTask& task) const;
  std::vector<Unit> units_;
  DiskQueue& queue_;
};

}  // namespace doppel::hw
