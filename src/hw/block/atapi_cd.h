// AtapiCd: a CD/DVD-ROM drive (ATA8-ACS packet feature set; MMC-5) over a block::Node with 2048-byte sectors, one data
// track. Medium change by the user raises UNIT ATTENTION and media events.
#pragma once
#include <array>
#include <memory>

#include "block/node.h"
#include "hw/block/ide_drive.h"

namespace doppel::hw {

class AtapiCd final : public IdeDrive {
 public:
  struct Params {
    std::shared_ptr<block::Node> node;  // null: no disc
    std::string serial;
    std::string model = "DOPPEL DVD-ROM";
    std::string firmware = "1.0";
  };
  explicit AtapiCd(Params p);
  bool is_packet_device() const override { return true; }
  void execute(u8 command) override;
  void reset(bool hard) override;
  void archive(StateArchive& ar) override;
  std::string describe() const override;
  u32 dma_read(std::span<u8> out) override;
  u32 dma_write(std::span<const u8> in) override;
  void dma_end() override;
  std::optional<DiskRequest> disk_request() const override;
  void disk_done(int error) override;

  // The user's side. insert() replaces what is there (closing the tray); eject() is refused while the guest has the
  // door locked, unless `force`: then false is returned and the guest is told that the button was pressed.
  void insert(std::shared_ptr<block::Node> node);
  bool eject(bool force);
  bool locked() const { return locked_; }
  bool tray_open() const { return tray_open_; }
  block::Node* medium() const { return p_.node.get(); }

 protected:
  void set_signature() override;
  void data_in_done() override;
  void data_out_done() override;

 private:
  using Cdb = std::array<u8, 12>;
  enum class Stage : u8 { None, Cdb, Data, Parameters };
  void identify_packet();
  void set_features();
  void start_packet();
  void run_packet();
  bool media_command();  // atapi_media.cpp; false: not one of its commands
  bool info_command();   // atapi_info.cpp
  // Packet commands.
  void request_sense();
  void inquiry();
  void start_stop_unit();
  void read_capacity();
  void seek(u32 lba);
  void prevent_allow();
  void read_sectors(u32 lba, u32 count, u32 sector_bytes);
  void verify(u32 lba, u32 count);
  void read_cd();
  void read_toc();
  void read_subchannel();
  void read_disc_information();
  void read_track_information();
  void read_dvd_structure();
  void mode_sense(bool ten);
  void mode_select(u32 bytes);
  void get_configuration();
  void get_event_status();
  void mechanism_status();
  void get_performance();
  // Replies.
  void reply(std::vector<u8> data, u32 allocation);
  void start_reply();
  void next_pio_block();
  bool gather(std::span<u8> out);  // the next bytes of the reply; false: the disc can't be read
  bool refill();
  u64 reply_left() const { return reply_.size() - reply_at_ + u64{sectors_left_} * sector_bytes_; }
  void read_failed();
  void good();
  void check(u8 key, u8 asc, u8 ascq = 0);
  void invalid_field() { check(0x05, 0x24); }
  u32 cdb16(unsigned at) const { return u32{cdb_[at]} << 8 | cdb_[at + 1]; }
  u32 cdb32(unsigned at) const { return cdb16(at) << 16 | cdb16(at + 2); }
  u64 blocks() const;
  bool ready() const { return p_.node != nullptr && !tray_open_; }

  Params p_;
  Stage stage_ = Stage::None;
  Cdb cdb_{};
  bool packet_dma_ = false;
  u8 sense_key_ = 0, asc_ = 0, ascq_ = 0;
  bool attention_ = false;  // a UNIT ATTENTION waits
  u8 attention_asc_ = 0;
  bool locked_ = false, tray_open_ = false, read_error_ = false;
  u8 media_event_ = 0;
  // The reply in flight: reply_[reply_at_..], then `sectors_left_` sectors from `lba_`.
  std::vector<u8> reply_;
  u32 reply_at_ = 0;
  u32 lba_ = 0, sectors_left_ = 0;
  u32 sector_bytes_ = 2048;  // 2352 for READ CD with headers
  u32 byte_limit_ = 0;       // of a DRQ block, from the byte count registers
  u16 mdma_ = 0, udma_ = 0;
  u8 pio_mode_ = 4;
};

}  // namespace doppel::hw
