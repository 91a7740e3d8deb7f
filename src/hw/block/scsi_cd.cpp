#include "hw/block/scsi_cd.h"

#include <algorithm>

#include "hw/block/disk_queue.h"
#include "hw/block/packet_defs.h"

namespace doppel::hw {

using Phase = IdeDrive::Phase;

namespace {
constexpr u8 kByDma = 1;
constexpr size_t kPiece = 64 << 10;
}  // namespace

ScsiCd::ScsiCd(AtapiCd::Params p) : cd_(std::move(p)) { cd_.connect(this, false); }

void ScsiCd::execute(std::shared_ptr<ScsiTask> task) {
  tasks_.push_back(std::move(task));
  if (!running_ && !with_disk_) start();
}

void ScsiCd::start() {
  running_ = true;
  while (!tasks_.empty() && !with_disk_) {
    send_packet(*tasks_.front());
    run();
  }
  running_ = false;
}

void ScsiCd::send_packet(const ScsiTask& task) {
  cd_.task().feature = kByDma;
  cd_.execute(ata::kPacket);
  cd_.write_data_block(std::span(task.cdb).first(12));
}

// Until the command is over, or the disk is at it.
void ScsiCd::run() {
  ScsiTask& task = *tasks_.front();
  while (cd_.phase() != Phase::Idle) {
    if (cd_.phase() == Phase::DmaOut) {
      std::vector<u8> data = std::exchange(task.out, {});
      data.resize(std::max<size_t>(data.size(), cd_.block_left()));  // what the initiator does not give is zero
      cd_.dma_write(data);
      cd_.dma_end();
    } else if (cd_.phase() != Phase::DmaIn) {
      cd_.dma_cancel();
    } else if (const auto request = cd_.disk_request()) {
      with_disk_ = true;
      task.in.resize(request->bytes);
      queue_->submit(
          [request = *request, t = tasks_.front()] {
            const std::span<u8> piece(t->in);
            return request.run({&piece, 1}, true);
          },
          [this](int error) {
            with_disk_ = false;
            cd_.disk_done(error);
            cd_.dma_end();
            finish();
            if (!running_) start();
          });
      return;
    } else {
      while (!cd_.dma_done()) {
        const size_t at = task.in.size();
        task.in.resize(at + kPiece);
        task.in.resize(at + cd_.dma_read(std::span(task.in).subspan(at)));
      }
      cd_.dma_end();
    }
  }
  finish();
}

void ScsiCd::finish() {
  const std::shared_ptr<ScsiTask> task = std::move(tasks_.front());
  tasks_.pop_front();
  if ((cd_.task().status & ata::kErr) != 0) {
    ScsiTask request;  // the sense goes with the status
    request.cdb[0] = mmc::kRequestSense;
    request.cdb[4] = 18;
    send_packet(request);
    u8 sense[18] = {};
    cd_.dma_read(sense);
    if (cd_.phase() == Phase::DmaIn) cd_.dma_end();
    return task->check({sense[2], sense[12], sense[13]});
  }
  if (task->cdb[0] == mmc::kInquiry && (task->cdb[1] & 1) == 0 && task->in.size() >= 8) {
    task->in[2] = 5;  // SPC-3, not ATAPI
    task->in[3] = 2;
    task->in[7] = 2;  // command queue
  }
  task->good();
}

void ScsiCd::reset() {
  tasks_.clear();
  with_disk_ = running_ = false;
  cd_.reset(true);
}

void ScsiCd::archive(StateArchive& ar) {
  if (ar.loading()) {
    tasks_.clear();
    with_disk_ = running_ = false;
  }
  cd_.archive(ar);
}

}  // namespace doppel::hw
