#include "monitor/qmp/qmp.h"

#include <condition_variable>
#include <deque>
#include <thread>

#include "chardev/factory.h"
#include "chardev/io_loop.h"
#include "monitor/commands/descriptors.h"
#include "monitor/qmp/dispatch.h"
#include "monitor/qmp/json_text.h"
#include "monitor/qmp/splitter.h"

namespace doppel::monitor {
namespace {
constexpr size_t kMostRequests = 8;
constexpr size_t kRoom = 4096;                         // bytes of input taken at once
constexpr size_t kMostUntaken = size_t{1} << 20;       // answers: then the next request waits
constexpr size_t kMostPending = size_t{4} << 20;       // events: then they are left out
constexpr auto kLook = std::chrono::milliseconds(20);  // how often a client that takes nothing is looked at
}  // namespace

struct Qmp::State : std::enable_shared_from_this<Qmp::State> {
  State(Services& s, std::shared_ptr<chardev::Chardev> d, bool p)
      : services(s),
        device(std::move(d)),
        pretty(p),
        dispatch(Context(s)),
        splitter({}, {[this](std::string value) {
                        push({std::move(value), {}});
                      },
                      [this](const std::string& why) {
                        push({{}, why});
                      }}) {}
  struct Request {
    std::string text;
    std::string error;  // not empty: there was no request, but this
    std::vector<int> descriptors;
  };
  Services& services;
  std::shared_ptr<chardev::Chardev> device;
  const bool pretty;
  Dispatch dispatch;
  Splitter splitter;  // I/O thread
  std::mutex lock;
  std::condition_variable wake;
  std::deque<Request> requests;
  u64 client = 0;  // counts clients: what was asked by one that is gone is not answered
  bool stopping = false;
  std::thread thread;
  int subscription = 0;

  void put(const Output& value) {
    const std::string text = print_json(value, pretty) + "\r\n";
    // SAFETY: chars as bytes
    device->write({reinterpret_cast<const u8*>(text.data()), text.size()});
  }

  // --- I/O thread

  size_t room() {
    const std::lock_guard guard(lock);
    return requests.size() < kMostRequests ? kRoom : 0;
  }

  void push(Request request) {
    const std::lock_guard guard(lock);
    requests.push_back(std::move(request));
    wake.notify_all();
  }

  void receive(std::span<const u8> data) {
    for (const int fd : device->take_descriptors()) dispatch.context().descriptors->arrived(fd);
    splitter.feed(data);
  }

  void opened() {
    forget_client();
    put(Dispatch::greeting());
  }

  void forget_client() {
    const std::lock_guard guard(lock);
    client++;
    requests.clear();
    splitter.reset();
    dispatch.reset();
    dispatch.context().descriptors->forget();
  }

  // --- the session's thread

  void run() {
    std::unique_lock guard(lock);
    while (!stopping) {
      if (requests.empty()) {
        wake.wait(guard);
        continue;
      }
      if (device->pending() > kMostUntaken) {
        wake.wait_for(guard, kLook);
        continue;
      }
      const Request request = std::move(requests.front());
      requests.pop_front();
      const u64 asked_by = client;
      guard.unlock();
      const Output answer = request.error.empty() ? dispatch.run(request.text) : Dispatch::syntax_error(request.error);
      guard.lock();
      if (asked_by == client) put(answer);
      device->accept_input();
    }
  }

  void event(const Output& e) {
    if (dispatch.negotiated() && device->pending() < kMostPending) put(e);
  }
};

Qmp::Qmp(Services& services, std::shared_ptr<chardev::Chardev> device, bool pretty)
    : state_(std::make_shared<State>(services, std::move(device), pretty)) {
  State& s = *state_;
  s.subscription = services.events.subscribe([raw = &s](const Output& e) { raw->event(e); });
  s.thread = std::thread([state = state_] { state->run(); });
  std::weak_ptr<State> weak = state_;
  const auto attach = [&] {
    s.device->attach({[weak] {
                        const auto state = weak.lock();
                        return state ? state->room() : 0;
                      },
                      [weak](std::span<const u8> data) {
                        if (const auto state = weak.lock()) state->receive(data);
                      },
                      {},
                      [weak] {
                        if (const auto state = weak.lock()) state->opened();
                      },
                      [weak] {
                        if (const auto state = weak.lock()) state->forget_client();
                      }});
    if (s.device->connected()) s.opened();
  };
  // On the I/O thread no client can come between the two.
  if (services.chardevs)
    services.chardevs->loop().call(attach);
  else
    attach();
}

Qmp::~Qmp() {
  state_->services.events.unsubscribe(state_->subscription);
  {
    const std::lock_guard guard(state_->lock);
    state_->stopping = true;
    state_->wake.notify_all();
  }
  state_->thread.join();
}

}  // namespace doppel::monitor
