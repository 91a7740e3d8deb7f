// The debugger's server: one client, one thread. A vCPU that stops wakes it; it then stops the others and answers the
// debugger.
#include "gdbstub/gdbstub.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "gdbstub/packet.h"

namespace doppel::gdbstub {
namespace {

class GdbServer final : public Server {
 public:
  GdbServer(machine::Machine& machine, std::unique_ptr<os::Listener> listener)
      : machine_(machine), listener_(std::move(listener)) {
    for (accel::Vcpu* v : machine_.vcpus()) {
      v->on_debug_stop = [this](accel::Vcpu& cpu, u64 watch) {
        stopped_watch_.store(watch);
        stopped_.store(index_of(cpu) + 1);
        listener_->wake();
      };
    }
    thread_ = std::thread([this] { serve(); });
  }
  ~GdbServer() override {
    ending_.store(true);
    listener_->wake();
    thread_.join();
    for (accel::Vcpu* v : machine_.vcpus()) v->on_debug_stop = nullptr;
  }

 private:
  int index_of(accel::Vcpu& cpu) {
    const auto all = machine_.vcpus();
    return static_cast<int>(std::find(all.begin(), all.end(), &cpu) - all.begin());
  }
  accel::Vcpu& vcpu() { return *machine_.vcpus()[std::min(current_, machine_.vcpus().size() - 1)]; }
  guest::GuestCpu& cpu() { return vcpu().cpu(); }

  void serve() {
    while (!ending_.load()) {
      std::unique_ptr<os::Connection> c = listener_->accept();
      if (!c) continue;
      PacketPort port(std::move(c));
      port_ = &port;
      running_ = false;
      machine_.pause();
      session();
      port_ = nullptr;
      if (!ending_.load()) {
        clear_points();
        machine_.resume();
      }
    }
  }

  void session() {
    for (;;) {
      std::string packet;
      switch (port_->read(packet)) {
        case PacketPort::Got::Closed: return;
        case PacketPort::Got::Interrupt:
          if (running_) {
            machine_.pause();
            report(2, 0);
          }
          break;
        case PacketPort::Got::Woken:
          if (ending_.load()) return;
          if (const int who = stopped_.exchange(0); who != 0 && running_) {
            current_ = static_cast<size_t>(who - 1);
            machine_.pause();
            report(5, stopped_watch_.exchange(0));
          }
          break;
        case PacketPort::Got::Packet:
          if (packet == "D" || packet.starts_with("D;")) {
            port_->send("OK");
            return;
          }
          if (packet == "k" || packet.starts_with("vKill")) {
            if (packet != "k") port_->send("OK");
            machine_.request_quit(machine::ShutdownCause::HostQuit, 0);
            return;
          }
          answer(packet);
      }
    }
  }

  std::string thread_text(size_t index) { return std::to_string(index + 1); }

  void report(int signal, u64 watch) {
    running_ = false;
    std::string text = "T0" + std::to_string(signal) + "thread:" + thread_text(current_) + ";";
    if (watch != 0) {
      char hex[40];
      std::snprintf(hex, sizeof hex, "watch:%llx;", static_cast<unsigned long long>(watch));
      text += hex;
    }
    port_->send(text);
  }

  void resume(bool step) {
    running_ = true;
    stopped_.store(0);
    if (step) {
      vcpu().set_single_step(true);
      vcpu().resume();
    } else {
      machine_.resume();
    }
  }

  // --- registers and memory
  std::string read_register(size_t number) {
    u8 bytes[64];
    size_t n = 0;
    vcpu().run_on([&] { n = cpu().gdb_read(number, bytes); });
    return hex_bytes(bytes, n);
  }
  std::string all_registers() {
    std::string text;
    for (size_t i = 0; i < cpu().gdb_registers().size(); i++) text += read_register(i);
    return text;
  }
  bool write_register(size_t number, const std::string& bytes) {
    u8 data[64] = {};
    std::copy_n(bytes.begin(), std::min<size_t>(bytes.size(), sizeof data), data);
    size_t n = 0;
    vcpu().run_on([&] { n = cpu().gdb_write(number, data); });
    return n > 0;
  }
  void write_all(const std::string& bytes) {
    size_t at = 0;
    for (size_t i = 0; i < cpu().gdb_registers().size(); i++) {
      const size_t n = cpu().gdb_registers()[i].bits / 8;
      if (at + n > bytes.size()) return;
      write_register(i, bytes.substr(at, n));
      at += n;
    }
  }
  // Page by page; returns how many bytes could be done.
  size_t memory(u64 va, u8* data, size_t size, bool write) {
    size_t done = 0;
    while (done < size) {
      u64 pa = 0;
      bool ok = false;
      vcpu().run_on([&] { ok = cpu().debug_translate(va + done, pa); });
      if (!ok) break;
      const size_t n = std::min<size_t>(size - done, 4096 - ((va + done) & 4095));
      if (!(write ? machine_.memory().write(pa, data + done, n) : machine_.memory().read(pa, data + done, n))) break;
      done += n;
    }
    return done;
  }

  // --- break- and watchpoints
  struct Point {
    u64 kind, address, size;
  };
  bool point(const Point& p, bool on) {
    for (accel::Vcpu* v : machine_.vcpus()) {
      if (p.kind <= 1)
        v->set_breakpoint(p.address, on);
      else
        v->set_watchpoint(p.address, p.size, p.kind != 2, p.kind != 3, on);
    }
    return true;
  }
  void clear_points() {
    for (const Point& p : points_) point(p, false);
    points_.clear();
  }
  std::string set_point(const std::string& packet) {
    Point p{};
    size_t at = 3;
    p.kind = static_cast<u64>(packet[1] - '0');
    if (p.kind > 4 || packet.size() < 4 || !parse_hex(packet, at, p.address) || at >= packet.size() ||
        packet[at++] != ',' || !parse_hex(packet, at, p.size))
      return "E01";
    const bool on = packet[0] == 'Z';
    const auto same = [&](const Point& q) { return q.kind == p.kind && q.address == p.address && q.size == p.size; };
    const bool there = std::any_of(points_.begin(), points_.end(), same);
    if (on == there) return "OK";
    point(p, on);
    if (on)
      points_.push_back(p);
    else
      std::erase_if(points_, same);
    return "OK";
  }

  // --- packets
  std::string memory_packet(const std::string& packet) {
    size_t at = 1;
    u64 address = 0, size = 0;
    if (!parse_hex(packet, at, address) || at >= packet.size() || packet[at++] != ',' || !parse_hex(packet, at, size) ||
        size > 32768)
      return "E01";
    if (packet[0] == 'm') {
      std::string data(size, 0);
      const size_t n = memory(address, reinterpret_cast<u8*>(data.data()), size, false);
      return n == 0 && size > 0 ? "E14" : hex_bytes(reinterpret_cast<u8*>(data.data()), n);
    }
    if (at >= packet.size() || packet[at++] != ':') return "E01";
    std::string bytes;
    if (packet[0] == 'X')
      bytes = packet.substr(at);
    else if (!parse_hex_bytes(packet, at, bytes))
      return "E01";
    if (bytes.size() != size) return "E01";
    return memory(address, reinterpret_cast<u8*>(bytes.data()), size, true) == size ? "OK" : "E14";
  }

  std::string query(const std::string& q) {
    if (q.starts_with("qSupported"))
      return "PacketSize=8000;qXfer:features:read+;vContSupported+;QStartNoAckMode+;multiprocess-";
    if (q == "QStartNoAckMode") {
      port_->send("OK");
      port_->set_no_ack();
      return "\1";
    }
    if (q.starts_with("qXfer:features:read:target.xml:")) {
      size_t at = 31;
      u64 offset = 0, length = 0;
      if (!parse_hex(q, at, offset) || at >= q.size() || q[at++] != ',' || !parse_hex(q, at, length)) return "E01";
      const std::string xml = cpu().gdb_feature();
      if (offset >= xml.size()) return "l";
      const std::string part = xml.substr(offset, std::min<u64>(length, 16000));
      return (offset + part.size() < xml.size() ? "m" : "l") + part;
    }
    if (q == "qC") return "QC" + thread_text(current_);
    if (q == "qAttached" || q.starts_with("qAttached:")) return "1";
    if (q == "qfThreadInfo") {
      std::string text = "m";
      for (size_t i = 0; i < machine_.vcpus().size(); i++) text += (i ? "," : "") + thread_text(i);
      return text;
    }
    if (q == "qsThreadInfo") return "l";
    if (q.starts_with("qThreadExtraInfo,")) {
      size_t at = 17;
      u64 n = 0;
      parse_hex(q, at, n);
      const std::string text = "CPU#" + std::to_string(n - 1);
      return hex_bytes(reinterpret_cast<const u8*>(text.data()), text.size());
    }
    return "";
  }

  void vcont(const std::string& packet) {
    if (packet == "vCont?") {
      port_->send("vCont;c;C;s;S");
      return;
    }
    const size_t s = packet.find(";s"), big = packet.find(";S");
    const size_t at = std::min(s, big);
    if (at != std::string::npos) {
      const size_t colon = packet.find(':', at);
      u64 n = 0;
      size_t digits = colon + 1;
      if (colon != std::string::npos && parse_hex(packet, digits, n) && n >= 1) current_ = static_cast<size_t>(n - 1);
    }
    resume(at != std::string::npos);
  }

  void answer(const std::string& p) {
    std::string text;
    switch (p.empty() ? 0 : p[0]) {
      case '?': text = "T05thread:" + thread_text(current_) + ";"; break;
      case 'g': text = all_registers(); break;
      case 'G': {
        std::string bytes;
        text = parse_hex_bytes(p, 1, bytes) ? "OK" : "E01";
        write_all(bytes);
        break;
      }
      case 'p':
      case 'P': {
        size_t at = 1;
        u64 number = 0;
        if (!parse_hex(p, at, number)) {
          text = "E01";
          break;
        }
        if (p[0] == 'p') {
          text = number < cpu().gdb_registers().size() ? read_register(number) : "";
          break;
        }
        std::string bytes;
        text = at < p.size() && parse_hex_bytes(p, at + 1, bytes) && write_register(number, bytes) ? "OK" : "E01";
        break;
      }
      case 'm':
      case 'M':
      case 'X': text = memory_packet(p); break;
      case 'c':
      case 's':
      case 'C':
      case 'S': resume(p[0] == 's' || p[0] == 'S'); return;
      case 'v':
        if (p.starts_with("vCont")) {
          vcont(p);
          return;
        }
        break;
      case 'Z':
      case 'z': text = set_point(p); break;
      case 'H': {
        size_t at = 2;
        u64 n = 0;
        if (p.size() > 2 && p[2] != '-' && parse_hex(p, at, n) && n >= 1 && n <= machine_.vcpus().size() && p[1] == 'g')
          current_ = static_cast<size_t>(n - 1);
        text = "OK";
        break;
      }
      case 'T': text = "OK"; break;
      case 'q':
      case 'Q': text = query(p); break;
      default: break;
    }
    if (text != "\1") port_->send(text);
  }

  machine::Machine& machine_;
  std::unique_ptr<os::Listener> listener_;
  std::thread thread_;
  PacketPort* port_ = nullptr;
  size_t current_ = 0;
  bool running_ = false;
  std::atomic<bool> ending_{false};
  std::atomic<int> stopped_{0};
  std::atomic<u64> stopped_watch_{0};
  std::vector<Point> points_;
};

}  // namespace

Result<std::unique_ptr<Server>> start(machine::Machine& machine, const std::string& spec) {
  Result<std::unique_ptr<os::Listener>> listener =
      Error{"the debugger address '" + spec + "' is not tcp:[HOST]:PORT or unix:PATH", "-gdb tcp::1234", 1};
  if (spec.starts_with("unix:")) {
    listener =
        os::listen_unix(spec.substr(5, spec.find(',') == std::string::npos ? std::string::npos : spec.find(',') - 5));
  } else if (spec.starts_with("tcp:")) {
    const size_t colon = spec.find(':', 4);
    if (colon != std::string::npos) {
      const unsigned long port = std::strtoul(spec.c_str() + colon + 1, nullptr, 10);
      if (port <= 65535) listener = os::listen_tcp(spec.substr(4, colon - 4), static_cast<u16>(port));
    }
  }
  if (!listener) return listener.error();
  return std::unique_ptr<Server>(std::make_unique<GdbServer>(machine, listener.take()));
}

}  // namespace doppel::gdbstub
