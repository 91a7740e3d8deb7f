#include "hw/block/bus_master.h"

#include <algorithm>

#include "base/log.h"
#include "hw/block/disk_memory.h"
#include "hw/block/disk_queue.h"

namespace doppel::hw {
namespace {
enum Offset : u8 { kBmic = 0, kBmis = 2, kBmidtp = 4 };
constexpr u32 kEndOfTable = u32{1} << 31;
}  // namespace

u8 BusMaster::read(unsigned offset) const {
  switch (offset & 7) {
    case kBmic: return command_;
    case kBmis: return status_;
    case kBmidtp:
    case kBmidtp + 1:
    case kBmidtp + 2:
    case kBmidtp + 3: return static_cast<u8>(table_ >> (8 * (offset & 3)));
    default: return 0xff;
  }
}

void BusMaster::write(unsigned offset, u8 value) {
  offset &= 7;
  if (offset == kBmic) {
    const bool was_started = (command_ & kStart) != 0;
    command_ = value & (kStart | kToMemory);
    if ((value & kStart) == 0) {
      IdeDrive* drive = selected_();
      if (drive != nullptr && drive->busy() && drive->dma_active()) drive->disk_queue()->drain();  // what began ends
      status_ = static_cast<u8>(status_ & ~kActive);
    } else if (!was_started) {
      status_ |= kActive;
      IdeDrive* drive = selected_();
      if (drive != nullptr && drive->dma_active()) run(*drive);
    }
  } else if (offset == kBmis) {
    status_ = static_cast<u8>((status_ & (kActive | kError | kInterrupt) & ~(value & (kError | kInterrupt))) |
                              (value & (kDrive0 | kDrive1)));
  } else if (offset >= kBmidtp) {
    const unsigned shift = 8 * (offset & 3);
    table_ = (table_ & ~(u32{0xff} << shift)) | u32{value} << shift;
    table_ &= ~u32{3};
  }
}

void BusMaster::on_dma(IdeDrive& drive) {
  if ((status_ & kActive) != 0) run(drive);
}

// The memory that the table gives a transfer of so many bytes; false: not enough.
bool BusMaster::gather(u32 bytes, std::vector<DmaSegment>& segments, bool& last) {
  u32 at = table_;
  for (u32 done = 0; done < bytes; at += 8) {
    u32 descriptor[2];
    if (last || !dma_().read(at, descriptor, sizeof descriptor)) return false;
    const u32 count = (descriptor[1] & 0xfffe) != 0 ? descriptor[1] & 0xfffe : 65536;
    segments.push_back({descriptor[0] & ~u32{1}, std::min(count, bytes - done)});
    done += static_cast<u32>(segments.back().length);
    last = (descriptor[1] & kEndOfTable) != 0;
  }
  return true;
}

// Hands the whole transfer to the disk queue; false: it is no such transfer.
bool BusMaster::start(IdeDrive& drive, bool to_memory) {
  DiskQueue* queue = drive.disk_queue();
  const auto request = drive.disk_request();
  std::vector<DmaSegment> segments;
  bool last = false;
  if (queue == nullptr || !request || !gather(request->bytes, segments, last)) return false;
  const auto memory = std::make_shared<DiskMemory>(
      dma_(), std::move(segments), to_memory ? DiskMemory::Direction::ToGuest : DiskMemory::Direction::FromGuest);
  drive.wait_for_disk();
  queue->submit([request = *request, memory, to_memory] { return request.run(memory->pieces(), to_memory); },
                [this, &drive, memory, last](int error) {
                  if (error == 0) memory->deliver();
                  if (last) status_ = static_cast<u8>(status_ & ~kActive);  // a longer table leaves the channel active
                  drive.disk_done(error);
                  drive.dma_end();
                },
                {.policy = request->policy, .is_read = to_memory, .bytes = request->bytes});
  return true;
}

// Every descriptor moves at least two bytes of a command's at most 32 MiB, so a table that loops or never ends is
// bounded too.
void BusMaster::run(IdeDrive& drive) {
  DmaPort& dma = dma_();
  const bool to_memory = drive.phase() == IdeDrive::Phase::DmaIn;
  const auto abandon = [&](u8 status) {
    status_ = static_cast<u8>((status_ & ~kActive) | status);
    drive.dma_cancel();
  };
  if (to_memory != ((command_ & kToMemory) != 0)) {
    DOPPEL_LOG(GuestErrors, "ide: bus master and drive disagree about the direction\n");
    return abandon(kError);
  }
  if (start(drive, to_memory)) return;
  bounce_.resize(65536);
  u32 at = table_;
  bool last = false;
  while (!drive.dma_done()) {
    u32 descriptor[2];
    if (last) return abandon(0);  // the table is shorter than the transfer: no interrupt
    if (!dma.read(at, descriptor, sizeof descriptor)) return abandon(kError);
    at += 8;
    const u32 address = descriptor[0] & ~u32{1};
    const u32 count = (descriptor[1] & 0xfffe) != 0 ? descriptor[1] & 0xfffe : 65536;
    last = (descriptor[1] & kEndOfTable) != 0;
    const auto bytes = std::span(bounce_).first(count);
    if (to_memory) {
      const u32 n = drive.dma_read(bytes);
      if (n != 0) dma.write(address, bytes.data(), n);
    } else {
      dma.read(address, bytes.data(), count);
      drive.dma_write(bytes);
    }
  }
  if (last) status_ = static_cast<u8>(status_ & ~kActive);  // a longer table leaves the channel active
  drive.dma_end();
}

void BusMaster::reset() {
  command_ = status_ = 0;
  table_ = 0;
}

void BusMaster::archive(StateArchive& ar) {
  ar.field("command", command_);
  ar.field("status", status_);
  ar.field("table", table_);
}

}  // namespace doppel::hw
