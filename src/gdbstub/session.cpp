#include "gdbstub/session.h"

#include <algorithm>
#include <cstdio>

namespace doppel::gdbstub {
namespace {

std::string hex(u64 value) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string hex_byte(int value) {
  const u8 byte = static_cast<u8>(value);
  return hex_bytes(&byte, 1);
}

std::string hex_text(const std::string& text) {
  return hex_bytes(reinterpret_cast<const u8*>(text.data()), text.size());
}

bool expect(const std::string& text, size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  at++;
  return true;
}

}  // namespace

Session::End Session::run() {
  latest_ = {};
  for (;;) {
    std::string packet;
    std::optional<End> end;
    switch (port_.read(packet)) {
      case PacketPort::Got::Closed: end = End::Left; break;
      case PacketPort::Got::Interrupt:
        if (!running_) break;
        debuggee_.pause();
        running_ = false;
        latest_ = {Stop::Signal, current(), kSigInt, {}};
        port_.send(stop_text(latest_));
        break;
      case PacketPort::Got::Woken:
        if (ending_.load()) return End::Ending;
        if (running_) end = stopped();
        break;
      case PacketPort::Got::Packet: end = handle(packet); break;
    }
    if (!end) continue;
    if (*end == End::Left) {
      debuggee_.pause();
      clear_points();
    }
    return *end;
  }
}

// A stop, if there is a new one, is told.
std::optional<Session::End> Session::stopped() {
  Stop stop;
  if (!debuggee_.take_stop(stop)) return {};
  debuggee_.pause();
  running_ = false;
  current_ = stop.thread;
  latest_ = stop;
  port_.send(stop_text(stop));
  if (stop.kind == Stop::Exited || stop.kind == Stop::Killed) return End::Gone;
  return {};
}

std::optional<Session::End> Session::handle(const std::string& packet) {
  if (packet == "D" || packet.starts_with("D;")) {
    port_.send("OK");
    return End::Left;
  }
  if (packet == "k" || packet.starts_with("vKill")) {
    if (packet != "k") port_.send("OK");
    debuggee_.kill();
    return End::Left;
  }
  if (packet == "QStartNoAckMode") {
    port_.send("OK");
    port_.set_no_ack();
    return {};
  }
  if (packet == "?" && debuggee_.threads().empty()) {
    port_.send("W00");
    return End::Gone;
  }
  const char c = packet.empty() ? 0 : packet[0];
  if (c == 'c' || c == 's' || c == 'C' || c == 'S') {
    size_t at = 1;
    u64 signal = 0;
    if (c == 'C' || c == 'S') parse_hex(packet, at, signal);
    const bool step = c == 's' || c == 'S';
    std::vector<Action> actions = {{current(), step, static_cast<int>(signal)}};
    if (!step) actions.push_back({});
    resume(actions);
    return {};
  }
  if (packet.starts_with("vCont;")) {
    if (!vcont(packet)) port_.send("E01");
    return {};
  }
  port_.send(answer(packet));
  return {};
}

void Session::resume(std::vector<Action> actions) {
  running_ = true;
  debuggee_.resume(actions);
}

// vCont;ACTION[:THREAD]... The first action that fits a thread is its.
bool Session::vcont(const std::string& packet) {
  std::vector<Action> actions;
  for (size_t at = 5; at < packet.size();) {
    if (!expect(packet, at, ';') || at >= packet.size()) return false;
    Action a;
    const char what = packet[at++];
    if (what != 'c' && what != 'C' && what != 's' && what != 'S') return false;
    a.step = what == 's' || what == 'S';
    if (u64 signal = 0; what == 'C' || what == 'S') {
      if (!parse_hex(packet, at, signal)) return false;
      a.signal = static_cast<int>(signal);
    }
    if (at < packet.size() && packet[at] == ':' && !parse_thread(packet, ++at, a.thread)) return false;
    const auto same = [&](const Action& b) { return b.thread == a.thread; };
    if (std::none_of(actions.begin(), actions.end(), same)) actions.push_back(a);
    if (a.thread == 0 && !a.step) break;
    if (a.thread == 0) actions.back().thread = current();
  }
  resume(actions);
  return true;
}

// --- texts

u64 Session::current() {
  const std::vector<u64> all = debuggee_.threads();
  if (current_ != 0 && std::find(all.begin(), all.end(), current_) != all.end()) return current_;
  return current_ = all.empty() ? 0 : all[0];
}

std::string Session::thread_text(u64 thread) {
  return processes_ ? "p" + hex(debuggee_.process()) + "." + hex(thread) : hex(thread);
}

bool Session::parse_thread(const std::string& text, size_t& at, u64& thread) {
  thread = 0;
  if (at < text.size() && text[at] == 'p') {
    u64 process;
    at++;
    if (text.compare(at, 2, "-1") == 0)
      at += 2;
    else if (!parse_hex(text, at, process))
      return false;
    if (!expect(text, at, '.')) return true;  // all of the process
  }
  if (text.compare(at, 2, "-1") == 0) {
    at += 2;
    return true;
  }
  return parse_hex(text, at, thread);
}

std::string Session::stop_text(const Stop& s) {
  const std::string process = processes_ ? ";process:" + hex(debuggee_.process()) : "";
  if (s.kind == Stop::Exited) return "W" + hex_byte(s.signal) + process;
  if (s.kind == Stop::Killed) return "X" + hex_byte(s.signal) + process;
  std::string text = "T" + hex_byte(s.signal) + "thread:" + thread_text(s.thread) + ";";
  if (s.kind == Stop::Breakpoint && tells_breaks_) text += s.point.kind == Point::Hardware ? "hwbreak:;" : "swbreak:;";
  if (s.kind == Stop::Watchpoint) {
    text += s.point.kind == Point::Read ? "r" : s.point.kind == Point::Access ? "a" : "";
    text += "watch:" + hex(s.point.address) + ";";
  }
  return text;
}

// --- registers

size_t Session::register_count() {
  size_t n = 0;
  debuggee_.with_cpu(current(), [&](guest::GuestCpu& cpu) { n = cpu.gdb_registers().size(); });
  return n;
}

std::string Session::read_register(size_t number) {
  u8 bytes[64];
  size_t n = 0;
  debuggee_.with_cpu(current(), [&](guest::GuestCpu& cpu) { n = cpu.gdb_read(number, bytes); });
  return hex_bytes(bytes, n);
}

std::string Session::all_registers() {
  std::string text;
  for (size_t i = 0, n = register_count(); i < n; i++) text += read_register(i);
  return text;
}

bool Session::write_register(size_t number, const std::string& bytes) {
  u8 data[64] = {};
  std::copy_n(bytes.begin(), std::min<size_t>(bytes.size(), sizeof data), data);
  size_t n = 0;
  debuggee_.with_cpu(current(), [&](guest::GuestCpu& cpu) { n = cpu.gdb_write(number, data); });
  return n > 0;
}

void Session::write_all(const std::string& bytes) {
  std::vector<u16> bits;
  debuggee_.with_cpu(current(), [&](guest::GuestCpu& cpu) {
    for (const guest::GdbRegister& r : cpu.gdb_registers()) bits.push_back(r.bits);
  });
  size_t at = 0;
  for (size_t i = 0; i < bits.size(); i++) {
    const size_t n = bits[i] / 8;
    if (at + n > bytes.size()) return;
    write_register(i, bytes.substr(at, n));
    at += n;
  }
}

std::string Session::register_packet(const std::string& p) {
  std::string bytes;
  if (p[0] == 'g') return all_registers();
  if (p[0] == 'G') {
    if (!parse_hex_bytes(p, 1, bytes)) return "E01";
    write_all(bytes);
    return "OK";
  }
  size_t at = 1;
  u64 number = 0;
  if (!parse_hex(p, at, number)) return "E01";
  if (p[0] == 'p') return number < register_count() ? read_register(number) : "";
  return expect(p, at, '=') && parse_hex_bytes(p, at, bytes) && write_register(number, bytes) ? "OK" : "E01";
}

// --- memory, break- and watchpoints

std::string Session::memory_packet(const std::string& packet) {
  size_t at = 1;
  u64 address = 0, size = 0;
  if (!parse_hex(packet, at, address) || !expect(packet, at, ',') || !parse_hex(packet, at, size) || size > 32768)
    return "E01";
  if (packet[0] == 'm') {
    std::string data(size, 0);
    const size_t n = debuggee_.read_memory(current(), address, reinterpret_cast<u8*>(data.data()), size);
    return n == 0 && size > 0 ? "E14" : hex_bytes(reinterpret_cast<u8*>(data.data()), n);
  }
  if (!expect(packet, at, ':')) return "E01";
  std::string bytes;
  if (packet[0] == 'X')
    bytes = packet.substr(at);
  else if (!parse_hex_bytes(packet, at, bytes))
    return "E01";
  if (bytes.size() != size) return "E01";
  const auto* data = reinterpret_cast<const u8*>(bytes.data());
  return debuggee_.write_memory(current(), address, data, size) == size ? "OK" : "E14";
}

std::string Session::point_packet(const std::string& packet) {
  Point p;
  size_t at = 3;
  const int kind = packet.size() < 4 ? -1 : packet[1] - '0';
  if (kind < 0 || kind > Point::Access || !parse_hex(packet, at, p.address) || !expect(packet, at, ',') ||
      !parse_hex(packet, at, p.size))
    return "E01";
  p.kind = static_cast<Point::Kind>(kind);
  const bool on = packet[0] == 'Z';
  const bool there = std::find(points_.begin(), points_.end(), p) != points_.end();
  if (on == there) return "OK";
  if (!debuggee_.set_point(p, on)) return "E01";
  if (on)
    points_.push_back(p);
  else
    std::erase(points_, p);
  return "OK";
}

void Session::clear_points() {
  for (const Point& p : points_) debuggee_.set_point(p, false);
  points_.clear();
}

// --- threads and questions

std::string Session::thread_packet(const std::string& p) {
  u64 thread = 0;
  size_t at = p[0] == 'H' ? 2 : 1;
  if (!parse_thread(p, at, thread)) return "E01";
  const std::vector<u64> all = debuggee_.threads();
  if (thread != 0 && std::find(all.begin(), all.end(), thread) == all.end()) return "E01";
  if (p[0] == 'H' && p[1] == 'g' && thread != 0) current_ = thread;
  return "OK";
}

// qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH
std::string Session::transfer(const std::string& q) {
  const size_t object_end = q.find(':', 6), annex = object_end == std::string::npos ? object_end : object_end + 6;
  if (annex == std::string::npos || q.compare(object_end, 6, ":read:") != 0) return "";
  const size_t annex_end = q.find(':', annex);
  size_t at = annex_end + 1;
  u64 offset = 0, length = 0;
  if (annex_end == std::string::npos || !parse_hex(q, at, offset) || !expect(q, at, ',') || !parse_hex(q, at, length))
    return "E01";
  const std::string object = q.substr(6, object_end - 6);
  std::string text;
  if (object == "features") {
    if (q.substr(annex, annex_end - annex) != "target.xml") return "E00";
    debuggee_.with_cpu(current(), [&](guest::GuestCpu& cpu) { text = cpu.gdb_feature(); });
  } else if (!debuggee_.read_object(object, current(), text)) {
    return "";
  }
  if (offset >= text.size()) return "l";
  const std::string part = text.substr(offset, std::min<u64>(length, 16000));
  return (offset + part.size() < text.size() ? "m" : "l") + part;
}

std::string Session::query(const std::string& q) {
  if (q.starts_with("qSupported")) {
    processes_ = debuggee_.process() != 0 && q.find("multiprocess+") != std::string::npos;
    tells_breaks_ = q.find("swbreak+") != std::string::npos;
    return "PacketSize=8000;qXfer:features:read+;vContSupported+;QStartNoAckMode+;" + debuggee_.objects() +
           (tells_breaks_ ? "swbreak+;hwbreak+;" : "") + "multiprocess" + (processes_ ? "+" : "-");
  }
  if (q.starts_with("qXfer:")) return transfer(q);
  if (q == "qC") return "QC" + thread_text(current());
  if (q == "qAttached" || q.starts_with("qAttached:")) return debuggee_.started_by_debugger() ? "0" : "1";
  if (q == "qfThreadInfo") list_ = debuggee_.threads();
  if (q == "qfThreadInfo" || q == "qsThreadInfo") {
    constexpr size_t kAtOnce = 500;
    if (list_.empty()) return "l";
    const size_t n = std::min(list_.size(), kAtOnce);
    std::string text = "m";
    for (size_t i = 0; i < n; i++) text += (i ? "," : "") + thread_text(list_[i]);
    list_.erase(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(n));
    return text;
  }
  if (q.starts_with("qThreadExtraInfo,")) {
    size_t at = 17;
    u64 thread = 0;
    return parse_thread(q, at, thread) ? hex_text(debuggee_.thread_name(thread)) : "E01";
  }
  return "";
}

std::string Session::set_query(const std::string& q) {
  if (!q.starts_with("QPassSignals:")) return "";
  std::set<int> signals;
  for (size_t at = 13; at < q.size(); at++) {
    u64 n = 0;
    if (!parse_hex(q, at, n)) return "E01";
    signals.insert(static_cast<int>(n));
  }
  debuggee_.pass_signals(std::move(signals));
  return "OK";
}

std::string Session::answer(const std::string& p) {
  switch (p.empty() ? 0 : p[0]) {
    case '?':
      if (latest_.kind == Stop::Signal) latest_.thread = current();
      return stop_text(latest_);
    case 'g':
    case 'G':
    case 'p':
    case 'P': return register_packet(p);
    case 'm':
    case 'M':
    case 'X': return memory_packet(p);
    case 'Z':
    case 'z': return point_packet(p);
    case 'H':
    case 'T': return thread_packet(p);
    case 'q': return query(p);
    case 'Q': return set_query(p);
    case 'v':
      if (p == "vCont?") return "vCont;c;C;s;S";
      return p.starts_with("vFile:") ? debuggee_.file_request(p.substr(6)) : "";
    default: return "";
  }
}

}  // namespace doppel::gdbstub
