// The line editor: bytes in, echo and commands out. Commands run on a thread of the monitor's own, because they may
// wait for the vCPUs and the input arrives on the I/O thread.
#include "monitor/hmp/hmp.h"

#include <condition_variable>
#include <deque>
#include <thread>
#include <vector>

#include "monitor/commands/command.h"

namespace doppel::monitor {

struct Hmp::State {
  State(Services& s, std::shared_ptr<chardev::Chardev> d) : context(s), device(std::move(d)) {}
  Context context;
  std::shared_ptr<chardev::Chardev> device;
  std::mutex lock;
  std::condition_variable wake;
  std::deque<std::string> lines;
  bool stopping = false;
  std::thread thread;
  // Line editing, I/O thread only.
  std::string line;
  std::vector<std::string> history;
  size_t history_at = 0;
  int escape = 0;
  std::atomic<bool> greeted{false};

  void put(const std::string& text) {
    std::string out;
    for (const char c : text) {
      if (c == '\n') out += '\r';
      out += c;
    }
    device->write({reinterpret_cast<const u8*>(out.data()), out.size()});
  }

  void prompt() { put("(qemu) "); }

  void greet() {
    if (!greeted.exchange(true)) put("QEMU 8.2.0 monitor (Doppel 0.1.0) - type 'help' for more information\n");
    prompt();
  }

  void replace(const std::string& with) {
    for (size_t i = 0; i < line.size(); i++) put("\b \b");
    line = with;
    put(line);
  }

  void recall(int step) {
    if (history.empty()) return;
    const size_t next = step < 0 ? (history_at > 0 ? history_at - 1 : 0) : std::min(history_at + 1, history.size());
    history_at = next;
    replace(next < history.size() ? history[next] : "");
  }

  void byte(u8 c) {
    if (escape == 1) {
      escape = c == '[' || c == 'O' ? 2 : 0;
      return;
    }
    if (escape == 2) {
      escape = 0;
      if (c == 'A') recall(-1);
      if (c == 'B') recall(1);
      return;
    }
    switch (c) {
      case 27: escape = 1; return;
      case '\r':
      case '\n': {
        put("\n");
        if (!line.empty() && (history.empty() || history.back() != line)) history.push_back(line);
        history_at = history.size();
        std::lock_guard guard(lock);
        lines.push_back(std::move(line));
        line.clear();
        wake.notify_all();
        return;
      }
      case 8:
      case 127:
        if (!line.empty()) {
          line.pop_back();
          put("\b \b");
        }
        return;
      case 3:
      case 21: replace(""); return;
      default:
        if (c >= 32 && c < 127 && line.size() < 4000) {
          line += static_cast<char>(c);
          put(std::string(1, static_cast<char>(c)));
        }
    }
  }

  void run() {
    std::unique_lock guard(lock);
    while (!stopping) {
      if (lines.empty()) {
        wake.wait(guard);
        continue;
      }
      const std::string command = std::move(lines.front());
      lines.pop_front();
      guard.unlock();
      put(run_command(context, command));
      prompt();
      guard.lock();
    }
  }
};

Hmp::Hmp(Services& services, std::shared_ptr<chardev::Chardev> device)
    : state_(std::make_shared<State>(services, std::move(device))) {
  auto s = state_;
  s->thread = std::thread([s] { s->run(); });
  std::weak_ptr<State> weak = s;
  s->device->attach({[] { return size_t{4096}; },
                     [weak](std::span<const u8> data) {
                       if (auto state = weak.lock()) {
                         for (const u8 c : data) state->byte(c);
                       }
                     },
                     {},
                     [weak] {
                       if (auto state = weak.lock()) {
                         state->greeted.store(false);
                         state->greet();
                       }
                     }});
}

Hmp::~Hmp() {
  {
    std::lock_guard guard(state_->lock);
    state_->stopping = true;
    state_->wake.notify_all();
  }
  state_->thread.join();
}

void Hmp::focus(bool on) {
  if (on) state_->greet();
}

}  // namespace doppel::monitor
