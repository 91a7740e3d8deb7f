// Backend: the outside's end of a network cable (user NAT, socket, tap, hub), and Endpoint, the end that it delivers to
// (a card's NicPort, or a hub). Frames go both ways through bounded queues: a card's send() never waits and never calls
// back; frames for a card that is not ready wait here, in order, until it says so.
//
// Threads: send() from any thread with any lock held; all else on the network thread.
#pragma once
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "net/loop.h"
#include "net/packet.h"

namespace doppel::chardev {
class Chardev;
}
namespace doppel::net {

// How a back end gets a character device by what the command line says.
using OpenChardev = std::function<Result<std::shared_ptr<chardev::Chardev>>(const std::string& spec)>;

struct Counters {
  std::atomic<u64> frames{0}, bytes{0}, dropped{0};
  void count(size_t n) {
    frames.fetch_add(1, std::memory_order_relaxed);
    bytes.fetch_add(n, std::memory_order_relaxed);
  }
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // Takes frames off the front of `frames`, as many as it has room for; network thread, no locks held. What is left
  // waits until it calls Backend::flush_soon().
  virtual void receive(std::deque<Packet>& frames) = 0;
  virtual void room_to_send() = 0;  // a send() was refused, and there is room again
  virtual void link_changed(bool up) { (void)up; }
};

class Backend : public Poller {
 public:
  Backend(std::string id, Loop& loop) : id_(std::move(id)), loop_(loop) {}
  const std::string& id() const { return id_; }
  virtual std::string info() const = 0;  // "type=user,net=10.0.2.0,restrict=off"
  // True: a TCP segment is taken whole and without checksum (Packet::offload).
  virtual bool takes_offload() const { return false; }

  // A frame from the card. False: no room, nothing was taken, room_to_send() follows.
  bool send(Packet&& packet);
  bool has_room();  // false is as a refused send()
  void set_peer(std::shared_ptr<Endpoint> peer);
  bool has_peer() const { return has_peer_.load(); }
  void flush_soon();  // the peer has room again
  // The link of this end as `set_link` has it: while it is down, frames both ways are dropped.
  void set_link(bool up);
  bool link() const { return link_.load(); }
  const Counters& sent() const { return sent_; }
  const Counters& delivered() const { return delivered_; }

  void work() final;
  void before_wait(PollSet& set) override { (void)set; }
  void after_wait(const PollSet& set) override { (void)set; }

 protected:
  virtual void transmit(Packet&& packet) = 0;  // to the outside
  virtual void flushed() {}                    // the queue to the peer became short
  void deliver(Packet&& packet);               // from the outside; dropped when the queue is full
  bool can_deliver() const { return to_peer_.size() < kQueue; }
  Loop& loop() { return loop_; }
  Endpoint* peer() { return peer_.get(); }

 private:
  static constexpr size_t kQueue = 4096, kSendQueue = 512;
  void flush();
  std::string id_;
  Loop& loop_;
  std::shared_ptr<Endpoint> peer_;  // network thread
  std::deque<Packet> to_peer_;      // network thread
  std::mutex lock_;
  std::deque<Packet> from_peer_;  // under lock_
  bool refused_ = false;          // under lock_
  bool working_ = false;          // network thread: work() flushes at its end
  std::atomic<bool> has_peer_{false}, link_{true};
  Counters sent_, delivered_;
};

}  // namespace doppel::net
