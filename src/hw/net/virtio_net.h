// Virtio network device (virtio 1.2, 5.1): checksums and TCP segmentation both ways, mergeable receive buffers, control
// queue (filters, MAC, VLANs, queue pairs, offloads), link state, several queue pairs.
//
// A flow's received frames go to the queue pair that the driver last sent the flow from (5.1.6.5.5, automatic receive
// steering). Frames wait outside while the driver has no buffers.
#pragma once
#include <array>
#include <bitset>
#include <functional>
#include <memory>

#include "hw/bus/virtio/virtio_device.h"
#include "hw/net/rx_filter.h"
#include "net/nic_port.h"

namespace doppel::hw {

class VirtioNet final : public VirtioDevice, private net::NicClient {
 public:
  struct Params {
    std::shared_ptr<net::NicPort> port;
    Clock& clock;
    std::mutex& device_lock;
    u64 features = all_features();  // those of the device that are offered; all_features() or fewer
    u16 queue_pairs = 1;
    u16 rx_size = 256, tx_size = 256;
    u16 mtu = 0;          // 0: not told
    u32 speed = ~u32{0};  // Mbit/s; all ones: unknown
    u8 duplex = 0xff;
    bool event_idx = true, indirect = true;
    // The driver has changed what the card takes. Called with the device lock held; once, then not before
    // take_filter().
    std::function<void()> filter_changed = {};
  };
  static u64 all_features();
  // "csum", "guest_tso4"...: the feature that a property of that name turns off; 0: none.
  static u64 feature_by_name(std::string_view name);
  static const std::vector<std::string>& feature_names();

  explicit VirtioNet(Params p);
  ~VirtioNet() override;
  void sleep() override;
  void wake() override;
  void leave() override;
  std::string info() const override;
  RxFilter take_filter();                     // what the card takes; the next change is told
  net::NicClient& client() { return *this; }  // for tests

 private:
  // NicClient
  Took receive(const net::Packet& packet) override;
  void room_to_send() override;
  void link_changed(bool up) override;
  bool receives_offload() const override;
  void received() override;

  void handle(u16 queue) override;
  void stopped() override;
  void config_written(u64 offset, u64 value, unsigned size) override;
  void archive_device(StateArchive& ar) override;

  size_t header_size() const;
  u16 control_queue() const { return static_cast<u16>(2 * p_.queue_pairs); }
  bool accepts(std::span<const u8> frame) const;
  bool store(u16 queue, const net::Packet& packet, std::span<const u8> frame);
  void transmit(u16 queue);
  void send_chain(const VirtqChain& chain, u16 pair, bool& room);

  // virtio_net_control.cpp
  u8 control(const VirtqChain& chain);
  u8 filter_set();
  u8 control_rx(u8 command, const VirtqChain& chain);
  u8 control_mac(u8 command, const VirtqChain& chain);
  u8 control_vlan(u8 command, const VirtqChain& chain);
  bool read_mac_table(const VirtqChain& chain, u64& at, std::vector<net::MacAddress>& table, bool& overflow);

  Params p_;
  net::MacAddress mac_;
  bool promiscuous_ = true, all_multi_ = false, all_unicast_ = false, no_multi_ = false, no_unicast_ = false,
       no_broadcast_ = false;
  std::vector<net::MacAddress> unicast_, multicast_;
  bool unicast_overflow_ = false, multicast_overflow_ = false;
  bool filter_watched_ = true;  // whether a change is told
  std::bitset<4096> vlans_;
  u64 offloads_ = 0;                // of the guest, as the control queue changes them
  u16 pairs_ = 1;                   // in use
  std::array<u8, 256> steering_{};  // flow's hash to queue pair
  bool stalled_ = false;            // the back end had no room
  std::bitset<256> filled_;         // queue pairs with frames that the driver has not been told of
  std::vector<VirtqChain> rx_chains_;
};

}  // namespace doppel::hw
