// Nvme: the NVM command set (chapter 6).
#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "block/sync.h"
#include "hw/block/disk_memory.h"
#include "hw/block/nvme.h"

namespace doppel::hw {

using namespace nvme;

namespace {
constexpr u32 kAllNamespaces = 0xffffffff, kTheNamespace = 1;
constexpr u32 kForceUnitAccess = u32{1} << 30, kDeallocate = 4;
constexpr size_t kRange = 16;

u16 status_of(int error, bool is_read) {
  switch (error) {
    case 0: return kSuccess;
    case EROFS: return kWriteProtected | kDnr;
    case ENOSPC: return kCapacityExceeded | kDnr;
    default: return is_read ? kUnrecoveredRead : kWriteFault;
  }
}
}  // namespace

struct Nvme::Io {
  u16 sq = 0, id = 0;
  u8 opcode = 0;
  u64 offset = 0, size = 0;  // bytes of the disk
  u64 buffer = 0;            // bytes of `memory` that count as in flight
  std::unique_ptr<DiskMemory> memory;
  struct Range {
    u64 offset, length;
  };
  std::vector<Range> ranges;
  bool flush_after = false;
  bool differs = false;  // compare

  int run(block::Node& node) {
    int error = 0;
    switch (opcode) {
      case kRead:
        error = block::read_sync(node, offset, memory->pieces());
        if (error != 0) memory->clear();  // it may be passed over
        break;
      case kWrite: error = block::write_sync(node, offset, memory->pieces()); break;
      case kWriteZeroes: error = block::write_zeroes_sync(node, offset, size); break;
      case kFlush: error = node.read_only() ? 0 : block::flush_sync(node); break;
      case kCompare: {
        std::vector<u8> found(buffer), given(buffer);
        error = block::read_sync(node, offset, found);
        block::copy_out(memory->pieces(), given);
        differs = error == 0 && found != given;
        break;
      }
      default:
        for (const Range& r : ranges) {
          if (error == 0) error = block::discard_sync(node, r.offset, r.length);
        }
    }
    return error == 0 && flush_after ? block::flush_sync(node) : error;
  }
};

u16 Nvme::check_range(u64 block, u64 count) const {
  const u64 end = blocks();
  if (block <= end && count <= end - block) return kSuccess;
  DOPPEL_LOG(GuestErrors, "nvme: blocks %llu+%llu are past the end\n", static_cast<unsigned long long>(block),
             static_cast<unsigned long long>(count));
  return kLbaOutOfRange | kDnr;
}

void Nvme::io(u16 sq, const Command& c) {
  auto io = std::make_shared<Io>();
  io->sq = sq;
  io->id = c.id;
  io->opcode = c.opcode;
  u16 status = kSuccess;
  if ((c.flags & 0xc3) != 0) {
    status = kInvalidField | kDnr;
  } else if (c.namespace_id != kTheNamespace && !(c.opcode == kFlush && c.namespace_id == kAllNamespaces)) {
    status = kInvalidNamespace | kDnr;
  } else {
    switch (c.opcode) {
      case kFlush: break;
      case kRead:
      case kWrite:
      case kCompare:
      case kWriteZeroes: status = start_transfer(c, io); break;
      case kDatasetManagement: status = start_ranges(c, io); break;
      default: status = kInvalidOpcode | kDnr;
    }
  }
  if (status != kSuccess) return complete(sq, c.id, status);
  submit(std::move(io));
}

u16 Nvme::start_transfer(const Command& c, const std::shared_ptr<Io>& io) {
  const u64 block = c.dword10 | u64{c.dword11} << 32, count = (c.dword12 & 0xffff) + u64{1};
  const bool writes = c.opcode == kWrite || c.opcode == kWriteZeroes;
  if (const u16 status = check_range(block, count)) return status;
  if (writes && p_.node->read_only()) return kWriteProtected | kDnr;
  io->offset = block * kBlock;
  io->size = count * kBlock;
  io->flush_after = writes && (!write_cache_ || (c.dword12 & kForceUnitAccess) != 0);
  if (c.opcode == kWriteZeroes) return kSuccess;
  std::vector<DmaSegment> segments;
  if (const u16 status = map_prp(c.prp1, c.prp2, io->size, segments)) return status;
  io->buffer = io->size;
  io->memory = std::make_unique<DiskMemory>(
      dma(), std::move(segments),
      c.opcode == kRead ? DiskMemory::Direction::ToGuest : DiskMemory::Direction::FromGuest);
  return io->memory->good() ? kSuccess : kDataTransferError;
}

u16 Nvme::start_ranges(const Command& c, const std::shared_ptr<Io>& io) {
  const size_t count = (c.dword10 & 0xff) + size_t{1};
  if (p_.node->read_only()) return kWriteProtected | kDnr;
  std::vector<DmaSegment> segments;
  if (const u16 status = map_prp(c.prp1, c.prp2, count * kRange, segments)) return status;
  std::vector<u8> raw(count * kRange);
  u8* to = raw.data();
  for (const DmaSegment& s : segments) {
    if (!dma().read(s.address, to, s.length)) return kDataTransferError;
    to += s.length;
  }
  if ((c.dword11 & kDeallocate) == 0) return kSuccess;  // hints that change nothing
  for (size_t i = 0; i < count; i++) {
    const u64 length = load_le<u32>(&raw[i * kRange + 4]), block = load_le<u64>(&raw[i * kRange + 8]);
    if (const u16 status = check_range(block, length)) return status;
    if (length != 0) io->ranges.push_back({block * kBlock, length * kBlock});
  }
  io->flush_after = !write_cache_;
  return kSuccess;
}

void Nvme::submit(std::shared_ptr<Io> io) {
  in_flight_ += io->buffer;
  outstanding_++;
  queue_.submit([io, node = p_.node] { return io->run(*node); }, [this, io](int error) { finish(*io, error); },
                {.policy = p_.policy, .is_read = io->opcode == kRead || io->opcode == kCompare, .bytes = io->buffer});
}

void Nvme::finish(Io& io, int error) {
  in_flight_ -= io.buffer;
  outstanding_--;
  const bool reads = io.opcode == kRead || io.opcode == kCompare;
  (reads ? reads_ : writes_)++;
  u16 status = status_of(error, reads);
  if (error != 0) DOPPEL_LOG(GuestErrors, "nvme: command 0x%02x failed, errno %d\n", io.opcode, error);
  if (io.differs) status = kCompareFailure;
  if (status == kSuccess && io.opcode == kRead && !io.memory->deliver()) status = kDataTransferError;
  complete(io.sq, io.id, status);
}

}  // namespace doppel::hw
