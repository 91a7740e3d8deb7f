// AhciPort: from the command list to the drive and back (AHCI 1.3.1, 5.5 and 5.6).
#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"
#include "block/sync.h"
#include "hw/block/ahci_port.h"
#include "hw/block/ata_disk.h"
#include "hw/block/disk_memory.h"

namespace doppel::hw {

using namespace ahci;
using ata::kBsy, ata::kDrdy, ata::kDsc, ata::kErr, ata::kPacket;
using Phase = IdeDrive::Phase;

namespace {
constexpr size_t kScratch = 64 << 10;
constexpr u64 kMaxTransfer = u64{65536} * ata::kSectorSize;
constexpr u32 kWriteFlag = 1 << 6;
constexpr u8 kSoftReset = 4, kForceUnitAccess = 0x80;
}  // namespace

struct AhciPort::Queued {
  unsigned slot = 0;
  u32 generation = 0;
  bool write = false, flush_after = false;
  u64 lba = 0, bytes = 0;
  std::unique_ptr<DiskMemory> memory;
};

void AhciPort::process() {
  if (std::exchange(processing_, true)) return;
  while (running() && slot_ < 0) {
    const u32 todo = issued_ & ~queued_;
    if (todo == 0) break;
    start(static_cast<unsigned>(std::countr_zero(todo)));
  }
  processing_ = false;
}

bool AhciPort::load_header(unsigned slot) {
  std::array<u8, kHeaderSize> raw;
  if (!p_.dma().read(list_ + u64{slot} * kHeaderSize, raw.data(), raw.size())) return false;
  const u32 first = load_le<u32>(raw.data());
  header_ = {first & 0xffff, first >> 16, load_le<u64>(&raw[8]) & ~u64{0x7f}};
  return true;
}

// The table of memory regions, as far as `limit` bytes need it.
bool AhciPort::load_segments(u64 limit) {
  segments_.clear();
  segment_ = 0;
  inside_ = moved_ = 0;
  u64 total = 0;
  for (u32 i = 0; i < header_.table_length && total < limit; i++) {
    u8 raw[kPrdSize];
    if (!p_.dma().read(header_.table + kTableAt + u64{i} * kPrdSize, raw, sizeof raw)) return false;
    const u64 length = (load_le<u32>(raw + 12) & 0x3fffff) + u64{1};
    segments_.push_back({load_le<u64>(raw) & ~u64{1}, std::min(length, limit - total)});
    total += segments_.back().length;
  }
  return true;
}

size_t AhciPort::to_memory(std::span<const u8> data) {
  size_t done = 0;
  while (done < data.size() && segment_ < segments_.size()) {
    const DmaSegment& s = segments_[segment_];
    const size_t n = static_cast<size_t>(std::min<u64>(data.size() - done, s.length - inside_));
    p_.dma().write(s.address + inside_, data.data() + done, n);
    done += n;
    inside_ += n;
    if (inside_ == s.length) segment_++, inside_ = 0;
  }
  moved_ += done;
  return done;
}

size_t AhciPort::from_memory(std::span<u8> data) {
  size_t done = 0;
  while (done < data.size() && segment_ < segments_.size()) {
    const DmaSegment& s = segments_[segment_];
    const size_t n = static_cast<size_t>(std::min<u64>(data.size() - done, s.length - inside_));
    p_.dma().read(s.address + inside_, data.data() + done, n);
    done += n;
    inside_ += n;
    if (inside_ == s.length) segment_++, inside_ = 0;
  }
  moved_ += done;
  return done;
}

void AhciPort::start(unsigned slot) {
  std::array<u8, 20> frame;
  if (!load_header(slot) || !p_.dma().read(header_.table, frame.data(), frame.size())) return abandon(kHbfs);
  if (frame[0] != kH2d) return abandon(kIfs);
  if ((frame[1] & kFisCommand) == 0) {  // the control register: a reset by software in two frames
    issued_ &= ~(u32{1} << slot);
    if ((frame[15] & kSoftReset) != 0) {
      soft_reset_ = true;
      p_.drive->reset(false);
      task_ = kBsy;
    } else if (soft_reset_) {
      connect();
    }
    return;
  }
  const bool queued = frame[2] == kReadFpdma || frame[2] == kWriteFpdma;
  if (queued && disk_ != nullptr) return start_queued(slot, frame);
  start_register_frame(slot, frame);
}

void AhciPort::start_register_frame(unsigned slot, std::span<const u8> frame) {
  IdeDrive& drive = *p_.drive;
  if (drive.phase() != Phase::Idle) drive.dma_cancel();
  TaskFile& t = drive.task();
  t.feature = frame[3], t.hob_feature = frame[11];
  t.lba_low = frame[4], t.lba_mid = frame[5], t.lba_high = frame[6];
  t.hob_low = frame[8], t.hob_mid = frame[9], t.hob_high = frame[10];
  t.count = frame[12], t.hob_count = frame[13];
  t.device = frame[7];
  if (!load_segments(kMaxTransfer)) return abandon(kHbfs);
  slot_ = static_cast<int>(slot);
  pio_ = false;
  drive.set_intrq(false);
  drive.execute(frame[2]);
  if (frame[2] == kPacket && drive.phase() == Phase::DataOut) {
    std::array<u8, 16> packet{};
    p_.dma().read(header_.table + kPacketAt, packet.data(), packet.size());
    drive.write_data_block(packet);
  }
  run();
}

// Until the command is over, or the disk is at it.
void AhciPort::run() {
  while (slot_ >= 0 && !with_disk_ && !p_.drive->busy()) {
    switch (p_.drive->phase()) {
      case Phase::DataIn: pio_in(); break;
      case Phase::DataOut: pio_out(); break;
      case Phase::DmaIn:
      case Phase::DmaOut: dma_phase(); break;
      case Phase::Idle: return finish();
    }
  }
  if (slot_ >= 0) show_task();
}

void AhciPort::drive_ready(IdeDrive&) {
  run();
  process();
}

void AhciPort::pio_in() {
  pio_ = true;
  scratch_.resize(kScratch);
  const u32 n = p_.drive->read_data_block(scratch_);
  if (to_memory(std::span(scratch_).first(n)) < n) abandon(kOfs);
}

void AhciPort::pio_out() {
  const u32 n = std::min<u32>(p_.drive->block_left(), kScratch);
  scratch_.resize(kScratch);
  const auto block = std::span(scratch_).first(n);
  if (from_memory(block) < n) return abandon(kOfs);
  p_.drive->write_data_block(block);
}

void AhciPort::dma_phase() {
  IdeDrive& drive = *p_.drive;
  const bool in = drive.phase() == Phase::DmaIn;
  u64 table = 0;
  for (const DmaSegment& s : segments_) table += s.length;
  const auto request = drive.disk_request();
  if (request && request->bytes <= table) {
    const std::shared_ptr<DiskMemory> memory = take_memory(request->bytes, in);
    with_disk_ = true;
    queue_.submit([request = *request, memory, in] { return request.run(memory->pieces(), in); },
                  [this, memory, in, generation = generation_](int error) {
                    if (generation != generation_) return;
                    with_disk_ = false;
                    if (error == 0) memory->deliver();
                    if (error == 0 || !in) moved_ += memory->size();
                    p_.drive->disk_done(error);
                    p_.drive->dma_end();
                    run();
                    process();
                  },
                  {.policy = request->policy, .is_read = in, .bytes = request->bytes});
    return;
  }
  scratch_.resize(kScratch);
  while (!drive.dma_done()) {
    if (in) {
      const u32 n = drive.dma_read(scratch_);
      if (to_memory(std::span(scratch_).first(n)) < n) return abandon(kOfs);
    } else {
      const size_t n = from_memory(scratch_);
      if (n == 0) return abandon(kOfs);
      drive.dma_write(std::span<const u8>(scratch_).first(n));
    }
  }
  drive.dma_end();
}

// The first `bytes` of what the table has left, which holds so many.
std::unique_ptr<DiskMemory> AhciPort::take_memory(u64 bytes, bool to_guest) {
  std::vector<DmaSegment> segments;
  for (u64 left = bytes; left != 0 && segment_ < segments_.size();) {
    const DmaSegment& s = segments_[segment_];
    const u64 n = std::min(left, s.length - inside_);
    segments.push_back({s.address + inside_, n});
    left -= n;
    inside_ += n;
    if (inside_ == s.length) segment_++, inside_ = 0;
  }
  return std::make_unique<DiskMemory>(p_.dma(), std::move(segments),
                                      to_guest ? DiskMemory::Direction::ToGuest : DiskMemory::Direction::FromGuest);
}

// The registers come back in a frame; after a read by PIO that is the PIO setup frame.
void AhciPort::finish() {
  const u32 bit = u32{1} << slot_;
  const TaskFile& t = p_.drive->task();
  const bool failed = (t.status & kErr) != 0;
  p_.dma().store<u32>(list_ + static_cast<u32>(slot_) * kHeaderSize + 4, static_cast<u32>(moved_));
  p_.drive->set_intrq(false);
  show_task();
  if (pio_ && !failed) {
    const std::array<u8, 20> frame = {kPioSetup,
                                      0x60,
                                      t.status,
                                      t.error,
                                      t.lba_low,
                                      t.lba_mid,
                                      t.lba_high,
                                      t.device,
                                      t.hob_low,
                                      t.hob_mid,
                                      t.hob_high,
                                      0,
                                      t.count,
                                      t.hob_count,
                                      0,
                                      t.status,
                                      static_cast<u8>(moved_),
                                      static_cast<u8>(moved_ >> 8)};
    receive(kFisPioSetup, frame);
  }
  receive_d2h(true);
  slot_ = -1;
  issued_ &= ~bit;
  halted_ = failed;
  raise((pio_ && !failed ? kPss : 0) | kDhrs | (failed ? kTfes : 0));
}

// The command can't go on: the port stands still until it is stopped and started.
void AhciPort::abandon(u32 interrupts) {
  DOPPEL_LOG(GuestErrors, "ahci: command abandoned, interrupt status 0x%x\n", interrupts);
  if (p_.drive->phase() != Phase::Idle) p_.drive->dma_cancel();
  slot_ = -1;
  halted_ = true;
  raise(interrupts);
}

// --- native command queuing (Serial ATA 3.x, 13.6)

void AhciPort::start_queued(unsigned slot, std::span<const u8> frame) {
  auto q = std::make_unique<Queued>();
  q->slot = slot;
  q->generation = generation_;
  q->write = frame[2] == kWriteFpdma;
  q->lba = frame[4] | u64{frame[5]} << 8 | u64{frame[6]} << 16 | u64{frame[8]} << 24 | u64{frame[9]} << 32 |
           u64{frame[10]} << 40;
  const u32 count = frame[3] | u32{frame[11]} << 8;
  q->bytes = u64{count == 0 ? 65536 : count} * ata::kSectorSize;
  q->flush_after = q->write && ((frame[7] & kForceUnitAccess) != 0 || !disk_->write_cache());
  queued_ |= u32{1} << slot;
  const u64 sectors = disk_->sectors();
  const bool outside = q->lba >= sectors || q->bytes / ata::kSectorSize > sectors - q->lba;
  const bool good = (frame[12] >> 3) == slot && (active_ >> slot & 1) != 0;
  if (!good || outside) return finish_queued(*q, good ? ERANGE : EINVAL);
  if (q->write && disk_->node().read_only()) return finish_queued(*q, EROFS);
  if (!load_segments(q->bytes)) return abandon(kHbfs);
  u64 table = 0;
  for (const DmaSegment& s : segments_) table += s.length;
  if (table < q->bytes) return abandon(kOfs);
  q->memory = take_memory(q->bytes, !q->write);
  submit_queued(std::move(q));
}

void AhciPort::submit_queued(std::unique_ptr<Queued> command) {
  // The device takes the command: its slot is free for the list, its tag stays active.
  issued_ &= ~(u32{1} << command->slot);
  const std::shared_ptr<Queued> q = std::move(command);
  queue_.submit(
      [q, node = disk_->shared_node()] {
        const block::Pieces pieces = q->memory->pieces();
        const int error = q->write ? block::write_sync(*node, q->lba * ata::kSectorSize, pieces)
                                   : block::read_sync(*node, q->lba * ata::kSectorSize, pieces);
        if (error != 0 && !q->write) q->memory->clear();  // it may be passed over
        return error == 0 && q->flush_after ? block::flush_sync(*node) : error;
      },
      [this, q](int error) {
        if (q->generation != generation_) return;
        finish_queued(*q, error);
        process();
      },
      {.policy = disk_->policy(), .is_read = !q->write, .bytes = q->bytes});
}

// The first error stops the queue: the others are aborted, and log page 10h says which one it was.
void AhciPort::finish_queued(Queued& q, int error) {
  const u32 bit = u32{1} << q.slot;
  queued_ &= ~bit;
  issued_ &= ~bit;
  if (halted_) return;
  if (error == 0 && q.memory) q.memory->deliver();
  TaskFile& t = disk_->task();
  t.status = kDrdy | kDsc;
  t.error = 0;
  if (error != 0) {
    t.status |= kErr;
    t.error = disk_->error_register(error);
    disk_->set_queue_error(static_cast<u8>(q.slot), q.lba);
    halted_ = true;
  } else {
    active_ &= ~bit;
  }
  task_ = t.status | u32{t.error} << 8;
  std::array<u8, 8> frame = {kSetDeviceBits, kFisInterrupt, static_cast<u8>(t.status & 0x77), t.error};
  store_le<u32>(&frame[4], error == 0 ? bit : 0);
  receive(kFisSetDeviceBits, frame);
  raise(kSdbs | (error != 0 ? kTfes : 0));
}

}  // namespace doppel::hw
