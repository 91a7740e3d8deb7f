#include "hw/bus/pci/smbus_host.h"

namespace doppel::hw {
namespace {

enum Offset : u8 {
  kSmbHstSts = 0,
  kSmbSlvSts = 1,
  kSmbHstCnt = 2,
  kSmbHstCmd = 3,
  kSmbHstAdd = 4,
  kSmbHstDat0 = 5,
  kSmbHstDat1 = 6,
  kSmbBlkDat = 7
};
enum StatusBits : u8 { kInter = 0x02, kDevErr = 0x04, kClearable = 0x1e };
enum ControlBits : u8 { kKill = 0x02, kProtocol = 0x1c, kStart = 0x40 };
enum Protocol : u8 { kQuick = 0, kByte = 1, kByteData = 2, kWordData = 3, kBlock = 5 };

}  // namespace

void SmbusHost::reset() {
  status_ = control_ = command_ = address_ = data0_ = data1_ = block_at_ = 0;
  block_.fill(0);
}

u64 SmbusHost::read(u64 offset, unsigned) {
  switch (offset) {
    case kSmbHstSts: return status_;
    case kSmbHstCnt: block_at_ = 0; return control_;  // also rewinds the block data pointer
    case kSmbHstCmd: return command_;
    case kSmbHstAdd: return address_;
    case kSmbHstDat0: return data0_;
    case kSmbHstDat1: return data1_;
    case kSmbBlkDat: return block_[block_at_++ % block_.size()];
    default: return 0;
  }
}

void SmbusHost::write(u64 offset, u64 value, unsigned) {
  const u8 v = static_cast<u8>(value);
  switch (offset) {
    case kSmbHstSts: status_ = static_cast<u8>(status_ & ~(v & kClearable)); break;
    case kSmbHstCnt:
      control_ = static_cast<u8>(v & ~(kKill | kStart));
      if ((v & kStart) != 0 && (v & kKill) == 0) start();
      break;
    case kSmbHstCmd: command_ = v; break;
    case kSmbHstAdd: address_ = v; break;
    case kSmbHstDat0: data0_ = v; break;
    case kSmbHstDat1: data1_ = v; break;
    case kSmbBlkDat: block_[block_at_++ % block_.size()] = v; break;
    default: break;
  }
}

void SmbusHost::start() {
  SmbusSlave* slave = slaves_[address_ >> 1];
  block_at_ = 0;
  status_ = static_cast<u8>(
      status_ | (slave == nullptr ? u8{kDevErr} : run((control_ & kProtocol) >> 2, (address_ & 1) != 0, *slave)));
}

u8 SmbusHost::run(u8 protocol, bool is_read, SmbusSlave& slave) {
  const auto get = [&slave](u8 command, u8& out) {
    const int v = slave.read_byte(command);
    out = static_cast<u8>(v);
    return v >= 0;
  };
  bool ok = true;
  const u8 next = static_cast<u8>(command_ + 1);
  switch (protocol) {
    case kQuick: ok = slave.quick(is_read); break;
    case kByte: ok = is_read ? get(0, data0_) : slave.write_byte(command_, 0); break;
    case kByteData: ok = is_read ? get(command_, data0_) : slave.write_byte(command_, data0_); break;
    case kWordData:
      ok = is_read ? get(command_, data0_) && get(next, data1_)
                   : slave.write_byte(command_, data0_) && slave.write_byte(next, data1_);
      break;
    case kBlock: {
      if (is_read) data0_ = static_cast<u8>(block_.size());
      if (data0_ == 0 || data0_ > block_.size()) return kDevErr;
      for (u8 i = 0; ok && i < data0_; i++) {
        const u8 at = static_cast<u8>(command_ + i);
        ok = is_read ? get(at, block_[i]) : slave.write_byte(at, block_[i]);
      }
      break;
    }
    default: ok = false; break;
  }
  return ok ? kInter : kDevErr;
}

void SmbusHost::archive(StateArchive& ar) {
  ar.field("status", status_);
  ar.field("control", control_);
  ar.field("command", command_);
  ar.field("address", address_);
  ar.field("data0", data0_);
  ar.field("data1", data1_);
  ar.field("block", block_);
  ar.field("block_at", block_at_);
}

}  // namespace doppel::hw
