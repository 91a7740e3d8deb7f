#include "chardev/factory.h"

#include <cstdio>

#include "chardev/devices.h"
#include "chardev/io_loop.h"
#include "chardev/options.h"

namespace doppel::chardev {
namespace {
constexpr std::string_view kCommon = "id mux logfile logappend";
std::string with_common(std::string_view own) { return std::string(own) + " " + std::string(kCommon); }

// Turns "tcp:HOST:PORT,..." into the form of -chardev: backend name in head, the rest as keys.
Result<OptionList> from_spec(std::string_view spec) {
  OptionList list = parse_options(spec);
  const size_t colon = list.head.find(':');
  const std::string kind = list.head.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : list.head.substr(colon + 1);
  auto need = [&](const char* what) -> Status {
    return rest.empty() ? Status(Error{"'" + kind + ":' needs " + what, "for example " + kind + ":/tmp/serial"})
                        : success();
  };
  list.head = kind;
  if (kind == "file" || kind == "pipe") {
    if (const Status s = need("a path"); !s) return s.error();
    list.values["path"] = rest;
  } else if (kind == "unix") {
    if (const Status s = need("a path"); !s) return s.error();
    list.head = "socket";
    list.values["path"] = rest;
  } else if (kind == "tcp" || kind == "telnet") {
    const size_t last = rest.rfind(':');
    if (last == std::string::npos || last + 1 == rest.size())
      return Error{"'" + std::string(spec) + "' has no port", "use " + kind + ":HOST:PORT"};
    std::string host = rest.substr(0, last);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    list.head = "socket";
    list.values["host"] = host;
    list.values["port"] = rest.substr(last + 1);
    if (kind == "telnet") list.values["telnet"] = "on";
  } else if (kind == "ringbuf" && !rest.empty()) {
    list.values["size"] = rest;
  } else if (kind == "vc") {
    list.head = "ringbuf";
    list.values.clear();
  } else if (kind.size() > 5 && kind.compare(0, 5, "/dev/") == 0) {
    list.head = "serial";
    list.values["path"] = kind;
  }
  return list;
}

Result<std::shared_ptr<Chardev>> make_socket(const std::shared_ptr<IoLoop>& loop, const OptionList& o) {
  if (const Status s = o.only(with_common("host port path fd server wait nodelay delay telnet reconnect ipv4 ipv6"));
      !s)
    return s.error();
  SocketOptions so;
  so.host = o.get("host");
  so.port = o.get("port");
  so.path = o.get("path");
  if (const std::string fd = o.get("fd"); !fd.empty()) {
    char* end = nullptr;
    so.fd = static_cast<int>(std::strtol(fd.c_str(), &end, 10));
    if (*end != 0 || so.fd < 0 || !so.path.empty() || !so.port.empty())
      return Error{"fd=" + fd + " is not a descriptor's number, or there is path= or port= beside it",
                   "socket,fd=N alone"};
  } else if (so.path.empty() == so.port.empty())
    return Error{"a socket needs either path= or port=", "socket,path=/tmp/s or socket,host=localhost,port=4444"};
  for (auto [name, field, otherwise] : {std::tuple{"server", &so.server, false},
                                        {"wait", &so.wait, true},
                                        {"nodelay", &so.nodelay, false},
                                        {"telnet", &so.telnet, false}}) {
    const Result<bool> flag = o.flag(name, otherwise);
    if (!flag) return flag.error();
    *field = *flag;
  }
  so.reconnect_seconds = std::atoi(o.get("reconnect", "0").c_str());
  return open_socket(loop, so);
}

size_t ring_size(const std::string& text) {
  char* end = nullptr;
  const unsigned long long v = std::strtoull(text.c_str(), &end, 0);
  const u64 unit = *end == 'K' || *end == 'k' ? 1024 : *end == 'M' || *end == 'm' ? 1048576 : 1;
  return static_cast<size_t>(v == 0 ? 65536 : v * unit);
}
}  // namespace

struct Factory::Options : OptionList {};

Factory::Factory(Mux::Hooks hooks) : loop_(std::make_shared<IoLoop>()), hooks_(std::move(hooks)) {}

Factory::~Factory() {
  // While the loop still runs: their output goes out.
  muxes_.clear();
  by_id_.clear();
  stdio_mux_.reset();
  stdio_.reset();
  loop_->stop();
  Terminal::restore();
}

Result<std::shared_ptr<Chardev>> Factory::make(const Options& o) {
  const std::string& kind = o.head;
  if (kind == "null" || kind == "pty" || kind == "ringbuf") {
    if (const Status s = o.only(with_common("size")); !s) return s.error();
  }
  if (kind == "null") return std::shared_ptr<Chardev>(std::make_shared<NullDevice>());
  if (kind == "socket") return make_socket(loop_, o);
  if (kind == "stdio") {
    if (const Status s = o.only(with_common("signal")); !s) return s.error();
    const Result<bool> mux = o.flag("mux", false);
    if (!mux) return mux.error();
    const Result<bool> signals = o.flag("signal", !*mux);
    if (!signals) return signals.error();
    if (stdio_)
      return Error{"standard input and output are already in use",
                   "use mon:stdio to share them between a serial port and the monitor"};
    Result<std::shared_ptr<Chardev>> device = open_stdio(loop_, *signals);
    if (device) stdio_ = *device;
    return device;
  }
  if (kind == "file") {
    if (const Status s = o.only(with_common("path append input-path")); !s) return s.error();
    const Result<bool> append = o.flag("append", false);
    if (!append) return append.error();
    if (o.get("path").empty()) return Error{"a file character device needs path=", "file,path=/tmp/serial.log"};
    return open_file(loop_, o.get("path"), o.get("input-path"), *append);
  }
  if (kind == "pipe" || kind == "serial") {
    if (const Status s = o.only(with_common("path")); !s) return s.error();
    if (o.get("path").empty()) return Error{"a pipe character device needs path=", "pipe,path=/tmp/serial"};
    return open_pipe(loop_, o.get("path"));
  }
  if (kind == "pty") {
    Result<std::shared_ptr<Chardev>> device = open_pty(loop_);
    if (device)
      std::fprintf(stderr, "char device redirected to %s (label %s)\n", (*device)->description().substr(4).c_str(),
                   o.get("id", "serial0").c_str());
    return device;
  }
  if (kind == "ringbuf" || kind == "memory")
    return std::shared_ptr<Chardev>(std::make_shared<RingBuffer>(ring_size(o.get("size"))));
  return Error{"unknown character device '" + kind + "'",
               "known: null stdio file pipe pty socket ringbuf; tcp: unix: telnet: mon:"};
}

Result<std::shared_ptr<Chardev>> Factory::wrap(std::shared_ptr<Chardev> device, const Options& o) {
  if (const std::string path = o.get("logfile"); !path.empty()) {
    const Result<bool> append = o.flag("logappend", false);
    if (!append) return append.error();
    Result<std::shared_ptr<Chardev>> log = open_file(loop_, path, {}, *append);
    if (!log) return log.error();
    device = std::make_shared<LoggedDevice>(std::move(device), log.take());
  }
  const Result<bool> muxed = o.flag("mux", false);
  if (!muxed) return muxed.error();
  if (*muxed) {
    auto mux = Mux::create(device, hooks_);
    if (o.head == "stdio") stdio_mux_ = mux;
    device = mux->add_front("serial0");
    muxes_.emplace_back(device, std::move(mux));
  }
  if (const std::string id = o.get("id"); !id.empty()) {
    if (by_id_.contains(id))
      return Error{"there is already a character device '" + id + "'", "give each one an id of its own"};
    by_id_[id] = device;
  }
  return device;
}

Result<std::shared_ptr<Chardev>> Factory::open(std::string_view spec, const std::string& id) {
  if (spec == "none") return std::shared_ptr<Chardev>();
  if (spec.starts_with("chardev:")) {
    const std::string name(spec.substr(8));
    auto found = find(name);
    if (!found) return Error{"there is no character device '" + name + "'", "make it with -chardev ...,id=" + name};
    const auto mux = find_mux(found);
    // A second front end of a mux is one of its own.
    if (mux && found.use_count() > 2) {
      auto front = mux->add_front(id.empty() ? name : id);
      muxes_.emplace_back(front, mux);
      return front;
    }
    return found;
  }
  if (spec.starts_with("mon:")) {
    if (spec == "mon:stdio") {
      Result<std::shared_ptr<Mux>> mux = stdio_mux();
      if (!mux) return mux.error();
      auto front = (*mux)->add_front(id.empty() ? "serial0" : id);
      muxes_.emplace_back(front, *mux);
      if (!id.empty()) by_id_[id] = front;
      return front;
    }
    return open(std::string(spec.substr(4)) + ",mux=on", id);
  }
  Result<OptionList> list = from_spec(spec);
  if (!list) return list.error();
  Options o{list.take()};
  if (!id.empty()) o.values["id"] = id;
  Result<std::shared_ptr<Chardev>> device = make(o);
  if (!device) return device;
  return wrap(device.take(), o);
}

Result<std::shared_ptr<Chardev>> Factory::create(std::string_view text) {
  Options o{parse_options(text)};
  if (o.head.starts_with("backend=")) o.head = o.head.substr(8);
  if (o.get("id").empty()) return Error{"-chardev " + o.head + " has no id", "add ,id=NAME"};
  Result<std::shared_ptr<Chardev>> device = make(o);
  if (!device) return device;
  return wrap(device.take(), o);
}

std::shared_ptr<Chardev> Factory::find(const std::string& id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

Status Factory::remove(const std::string& id) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return Error{"there is no character device '" + id + "'", "query-chardev lists them"};
  if (it->second.use_count() > 1 || find_mux(it->second))
    return Error{"the character device '" + id + "' is in use", "take away what uses it first"};
  by_id_.erase(it);
  return success();
}

std::shared_ptr<Mux> Factory::find_mux(const std::shared_ptr<Chardev>& front) const {
  for (const auto& [f, mux] : muxes_) {
    if (f.lock() == front && front) return mux;
  }
  return nullptr;
}

Result<std::shared_ptr<Mux>> Factory::stdio_mux() {
  if (stdio_mux_) return stdio_mux_;
  Options o{parse_options("stdio,signal=off")};
  Result<std::shared_ptr<Chardev>> device = make(o);
  if (!device) return device.error();
  stdio_mux_ = Mux::create(device.take(), hooks_);
  return stdio_mux_;
}

}  // namespace doppel::chardev
