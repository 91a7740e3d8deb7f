#include "hw/block/ide_drive.h"

#include <algorithm>

#include "block/sync.h"

namespace doppel::hw {

using namespace ata;

void IdeDrive::set_intrq(bool level) {
  if (level == intrq_) return;
  intrq_ = level;
  if (host_ != nullptr) host_->intrq_changed(*this);
}

void IdeDrive::leave_data_phase() {
  phase_ = Phase::Idle;
  at_ = end_ = 0;
  dma_done_ = busy_ = false;
}

int DiskRequest::run(block::Pieces data, bool read) const {
  const int error = read ? block::read_sync(*node, offset, data) : block::write_sync(*node, offset, data);
  if (error != 0 && read) block::clear(data);  // it may be passed over
  return error == 0 && flush_after ? block::flush_sync(*node) : error;
}

void IdeDrive::reset(bool) {
  leave_data_phase();
  set_intrq(false);
  diagnostic_result();
}

void IdeDrive::diagnostic_result() {
  leave_data_phase();
  task_.feature = task_.hob_feature = task_.hob_count = task_.hob_low = task_.hob_mid = task_.hob_high = 0;
  task_.error = 0x01;  // this device passed (and device 1 passed or is absent)
  task_.device = 0;
  set_signature();
}

void IdeDrive::start_data_in(u32 bytes, bool interrupt) {
  phase_ = Phase::DataIn;
  at_ = 0;
  end_ = bytes;
  task_.status = kDrdy | kDsc | kDrq;
  if (interrupt) set_intrq(true);
}

void IdeDrive::start_data_out(u32 bytes, bool interrupt) {
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  phase_ = Phase::DataOut;
  at_ = 0;
  end_ = bytes;
  task_.status = kDrdy | kDsc | kDrq;
  if (interrupt) set_intrq(true);
}

void IdeDrive::start_dma(bool to_host) {
  phase_ = to_host ? Phase::DmaIn : Phase::DmaOut;
  dma_done_ = false;
  task_.status = kDrdy | kDsc | kDrq;
  if (host_ != nullptr) host_->dma_requested(*this);
}

void IdeDrive::dma_cancel() {
  leave_data_phase();
  task_.status = kDrdy | kDsc;
}

void IdeDrive::complete(u8 status) {
  leave_data_phase();
  task_.error = 0;
  task_.status = status;
  set_intrq(true);
}

void IdeDrive::fail(u8 error, u8 status) {
  leave_data_phase();
  task_.error = error;
  task_.status = static_cast<u8>(status | kErr);
  set_intrq(true);
}

u32 IdeDrive::read_data_block(std::span<u8> out) {
  if (phase_ != Phase::DataIn) return 0;
  const u32 n = std::min<u32>(static_cast<u32>(out.size()), end_ - at_);
  std::copy_n(buffer_.begin() + at_, n, out.begin());
  at_ += n;
  if (at_ == end_) data_in_done();
  return n;
}

u32 IdeDrive::write_data_block(std::span<const u8> in) {
  if (phase_ != Phase::DataOut) return 0;
  const u32 n = std::min<u32>(static_cast<u32>(in.size()), end_ - at_);
  std::copy_n(in.begin(), n, buffer_.begin() + at_);
  at_ += n;
  if (at_ == end_) data_out_done();
  return n;
}

u32 IdeDrive::read_data(unsigned size) {
  u8 bytes[4] = {};
  read_data_block({bytes, std::min(size, 4u)});
  return load_le<u32>(bytes);
}

void IdeDrive::write_data(u32 value, unsigned size) {
  u8 bytes[4];
  store_le<u32>(bytes, value);
  write_data_block({bytes, std::min(size, 4u)});
}

void IdeDrive::archive(StateArchive& ar) {
  ar.field("task", task_);
  ar.field("phase", phase_);
  ar.blob("buffer", buffer_);
  ar.field("at", at_);
  ar.field("end", end_);
  ar.field("dma_done", dma_done_);
  ar.field("intrq", intrq_);
  if (ar.loading() && (at_ > end_ || end_ > buffer_.size())) leave_data_phase();
}

}  // namespace doppel::hw
