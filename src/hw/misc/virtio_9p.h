// Virtio 9P transport (Linux's trans_virtio; virtio 1.2 reserves device number 9): each request is one chain, the
// message in its readable part, the answer in its writable one. The mount tag is the configuration space. What the
// messages do is share/server.h's. Answers come at once: a slow folder of the host stops the machine meanwhile.
#pragma once
#include "hw/bus/virtio/virtio_device.h"
#include "share/server.h"

namespace doppel::hw {

class Virtio9p final : public VirtioDevice {
 public:
  struct Params {
    Clock& clock;
    std::unique_ptr<share::Folder> folder;
    std::string tag;
    bool event_idx = true, indirect = true;
  };
  explicit Virtio9p(Params p);
  std::string info() const override;

 private:
  void handle(u16 queue) override;
  void stopped() override { server_.reset(); }
  void archive_device(StateArchive& ar) override { server_.archive(ar); }
  std::string tag_;
  share::Server server_;
  std::vector<u8> message_;
};

}  // namespace doppel::hw
