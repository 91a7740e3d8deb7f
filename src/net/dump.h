// PacketDump: writes what passes a card or a back end to a pcap file (libpcap's savefile format 2.4, nanoseconds off),
// for Wireshark or tcpdump. Any thread.
#pragma once
#include <cstdio>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::net {

class PacketDump {
 public:
  static Result<std::shared_ptr<PacketDump>> open(const std::string& path, u32 max_length);
  void write(std::span<const u8> frame);

 private:
  std::mutex lock_;
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  u32 max_length_ = 65536;
};

}  // namespace doppel::net
