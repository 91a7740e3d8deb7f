// FloppyDrive: a drive's mechanics and its medium: head position, disk change line, geometry by image size. Used by
// Fdc.
#pragma once
#include <memory>
#include <string>

#include "block/node.h"
#include "state/archive.h"

namespace doppel::hw {

// The kind of drive fitted, as CMOS byte 0x10 has it.
enum class FloppyType : u8 { None = 0, D360 = 1, D1200 = 2, D720 = 3, D1440 = 4, D2880 = 5 };

struct FloppyFormat {
  u32 bytes = 0;
  u8 tracks = 80, heads = 2, sectors = 18;
  u8 rate = 0;  // DSR/CCR data rate code: 0 500k, 1 300k, 2 250k, 3 1M
  FloppyType drive = FloppyType::D1440;
};
// The format of an image of this many bytes, or the nearest larger one that fits the drive; null: larger than any
// floppy.
const FloppyFormat* floppy_format_for(u64 bytes);

class FloppyDrive {
 public:
  FloppyDrive(FloppyType type, std::shared_ptr<block::Node> medium);
  FloppyType type() const { return type_; }
  bool present() const { return type_ != FloppyType::None; }
  void insert(std::shared_ptr<block::Node> medium);  // null: eject. Sets the change line
  block::Node* medium() const { return medium_.get(); }
  bool write_protected() const { return medium_ == nullptr || medium_->read_only(); }
  const FloppyFormat& format() const { return format_; }
  bool disk_changed() const { return present() && changed_; }
  void step_to(unsigned track);  // a step with a disk in the drive clears the change line
  unsigned track() const { return track_; }
  bool locate(unsigned cylinder, unsigned head, unsigned sector,
              u64& offset) const;  // of a 512-byte sector; false: no such sector
  void archive(StateArchive& ar, const std::string& name);

 private:
  FloppyType type_;
  std::shared_ptr<block::Node> medium_;
  FloppyFormat format_;
  bool changed_ = true;
  u8 track_ = 0;
};

}  // namespace doppel::hw
