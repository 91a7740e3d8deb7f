// ScsiDisk: a direct access block device of 512-byte blocks (SPC-4, SBC-3) over a block::Node: reads and writes of all
// sizes, cache with flush and FUA, UNMAP and WRITE SAME, vital product data.
#pragma once
#include "block/node.h"
#include "hw/block/disk_queue.h"
#include "hw/block/scsi_device.h"

namespace doppel::hw {

class ScsiDisk final : public ScsiDevice {
 public:
  struct Params {
    std::shared_ptr<block::Node> node;
    std::string serial = {};     // up to 36 characters
    std::string device_id = {};  // of the page of identification, up to 235 characters; empty: the serial number
    std::string vendor = "DOPPEL", product = "HARDDISK", version = "1.0";  // up to 8, 16, 4
    u64 wwn = 0;                                                           // 0: none
    bool removable = false;
    std::shared_ptr<DiskPolicy> policy = nullptr;  // null: none
  };
  explicit ScsiDisk(Params p) : p_(std::move(p)) {}
  void execute(std::shared_ptr<ScsiTask> task) override;
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string describe() const override;

 private:
  using Task = std::shared_ptr<ScsiTask>;
  bool transfer_command(const Task& t);  // false: not one of its commands
  bool info_command(ScsiTask& t);        // scsi_disk_info.cpp
  void read(const Task& t, u64 block, u64 count);
  void write(const Task& t, u64 block, u64 count, bool fua);
  void verify(const Task& t, u64 block, u64 count);
  void synchronize(const Task& t);
  void write_same(const Task& t, u64 block, u64 count, bool ten);
  void unmap(const Task& t);
  void submit(const Task& t, std::function<int(block::Node&, ScsiTask&)> work, bool is_read = false);
  bool check_range(ScsiTask& t, u64 block, u64 count) const;
  bool check_writable(ScsiTask& t) const;
  void inquiry(ScsiTask& t);
  void vital_product_data(ScsiTask& t);
  void mode_sense(ScsiTask& t, bool ten);
  void mode_select(ScsiTask& t, bool ten);
  void read_capacity(ScsiTask& t);
  void read_capacity16(ScsiTask& t);
  std::vector<u8> caching_page(bool changeable) const;
  u64 blocks() const { return p_.node->size() / 512; }

  Params p_;
  bool write_cache_ = true, attention_ = false;
};

}  // namespace doppel::hw
