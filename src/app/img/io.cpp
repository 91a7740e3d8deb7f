#include "app/img/io.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <thread>

#include "app/img/arguments.h"
#include "app/img/image_opts.h"
#include "app/img/report.h"
#include "block/image_info.h"
#include "block/qcow2/qcow2.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

bool flush(IoSession& s, const IoWords&) {
  const int error = block::flush_sync(*s.node);
  if (error != 0) std::printf("flush failed: %s\n", std::strerror(error));
  return error == 0;
}

bool length(IoSession& s, const IoWords&) {
  std::printf("%s\n", io_size(static_cast<double>(s.node->size())).c_str());
  return true;
}

bool truncate(IoSession& s, const IoWords& words) {
  IoOptions o;
  u64 size = 0;
  if (!io_parse(words, "m:", 1, 1, o) || !io_number(o.rest[0], size)) return false;
  const Status status = s.node->resize(size);
  if (!status) complain(status.error());
  return status.ok();
}

// Bytes from `offset` on that are alike: allocated in the top layer or not.
u64 run_at(block::Node& node, u64 offset, u64 end, bool& allocated) {
  u64 at = offset;
  while (at < end) {
    const block::Extent e = node.extent(at, end - at);
    if (at != offset && e.present != allocated) break;
    allocated = e.present;
    at += std::max<u64>(e.length, 1);
  }
  return at - offset;
}

bool alloc(IoSession& s, const IoWords& words) {
  IoOptions o;
  u64 offset = 0, count = 512, sum = 0;
  if (!io_parse(words, "", 1, 2, o) || !io_number(o.rest[0], offset)) return false;
  if (o.rest.size() == 2 && !io_number(o.rest[1], count)) return false;
  for (u64 at = offset; at < offset + count && at < s.node->size();) {
    bool allocated = false;
    const u64 n = run_at(*s.node, at, std::min(offset + count, s.node->size()), allocated);
    if (allocated) sum += n;
    at += n;
  }
  std::printf("%llu/%llu bytes allocated at offset %s\n", static_cast<unsigned long long>(sum),
              static_cast<unsigned long long>(count), io_size(static_cast<double>(offset)).c_str());
  return true;
}

bool map(IoSession& s, const IoWords&) {
  for (u64 at = 0; at < s.node->size();) {
    bool allocated = false;
    const u64 n = run_at(*s.node, at, s.node->size(), allocated);
    std::printf("%s (0x%llx) bytes %s at offset %s (0x%llx)\n", io_size(static_cast<double>(n)).c_str(),
                static_cast<unsigned long long>(n), allocated ? "    allocated" : "not allocated",
                io_size(static_cast<double>(at)).c_str(), static_cast<unsigned long long>(at));
    at += n;
  }
  return true;
}

bool info(IoSession& s, const IoWords&) {
  const block::ImageInfo i = s.node->info();
  std::printf("format name: %s\n", i.format.c_str());
  if (i.cluster_size != 0) std::printf("cluster size: %s\n", io_size(static_cast<double>(i.cluster_size)).c_str());
  if (auto* image = dynamic_cast<block::qcow2::Qcow2*>(s.node.get())) {
    const u64 at = image->locked([](block::qcow2::Image& q) {
      return q.header.l1_entries_for(q.header.size) << (q.header.cluster_bits + q.header.l2_bits());
    });
    std::printf("vm state offset: %s\n", io_size(static_cast<double>(at)).c_str());
  }
  if (!i.specific.empty()) std::fputs(specific_text(i).c_str(), stdout);
  return true;
}

bool close_image(IoSession& s) {
  int error = 0;
  if (auto* image = dynamic_cast<block::qcow2::Qcow2*>(s.node.get())) error = image->close();
  s.node.reset();
  if (error != 0) complain("close failed: " + std::string(std::strerror(error)));
  return error == 0;
}

bool close(IoSession& s, const IoWords&) { return close_image(s); }

bool open_node(IoSession& s, const std::string& path, const block::OpenOptions& options) {
  auto node = block::open(path, with_image_opts(path, options));
  if (!node) {
    complain("can't open device " + path + ": " + node.error().text());
    return false;
  }
  s.node = node.take();
  s.path = path;
  s.options = options;
  return true;
}

bool add_opts(const std::string& text, block::OpenOptions& options) {
  const Status added = add_image_opts(text, options);
  if (!added) complain(added.error());
  return added.ok();
}

bool open(IoSession& s, const IoWords& words) {
  IoOptions o;
  if (!io_parse(words, "rsCnkUt:d:o:", 1, kMany, o)) return false;
  if (s.node) {
    complain("file open already, try 'help close'");
    return false;
  }
  block::OpenOptions options;
  options.read_only = o.has('r');
  options.snapshot = o.has('s');
  options.shared = o.has('U');
  if (o.has('o') && !add_opts(o.value('o'), options)) return false;
  return open_node(s, o.rest[0], options);
}

bool reopen(IoSession& s, const IoWords& words) {
  IoOptions o;
  if (!io_parse(words, "rwc:o:", 0, 0, o)) return false;
  block::OpenOptions options = s.options;
  if (o.has('r') || o.has('w')) options.read_only = o.has('r');
  if (o.has('o') && !add_opts(o.value('o'), options)) return false;
  return close_image(s) && open_node(s, s.path, options);
}

bool sigraise(IoSession&, const IoWords& words) {
  IoOptions o;
  u64 number = 0;
  if (!io_parse(words, "", 1, 1, o) || !io_number(o.rest[0], number)) return false;
  std::fflush(stdout);
  return raise(static_cast<int>(number)) == 0;
}

bool sleep(IoSession&, const IoWords& words) {
  IoOptions o;
  u64 ms = 0;
  if (!io_parse(words, "", 1, 1, o) || !io_number(o.rest[0], ms)) return false;
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return true;
}

bool crash(IoSession&, const IoWords&) {
  std::fflush(stdout);
  std::abort();
}

bool quit(IoSession& s, const IoWords&) { return s.done = true; }
bool nothing(IoSession&, const IoWords&) { return true; }  // requests end before the next command
bool help(IoSession& s, const IoWords& words);

struct Command {
  const char* name;
  bool (*run)(IoSession& s, const IoWords& words);
  bool needs_image;
  const char* help;
};
constexpr Command kCommands[] = {
    {"abort", crash, false, "-- end as a crash would"},
    {"aio_flush", nothing, true, "-- waits for all requests"},
    {"aio_read", io_read, true, "[-Cqv] [-P pattern] off len [len..] -- reads"},
    {"aio_write", io_write, true, "[-Cfquz] [-P pattern] off len [len..] -- writes"},
    {"alloc", alloc, true, "off [count] -- counts the bytes that the image itself has"},
    {"close", close, true, "-- closes the image"},
    {"discard", io_discard, true, "[-Cq] off len -- gives bytes back"},
    {"flush", flush, true, "-- makes what was written stable"},
    {"help", help, false, "[command] -- what there is"},
    {"info", info, true, "-- what the image is"},
    {"length", length, true, "-- size of the disk"},
    {"map", map, true, "-- runs that the image itself has or has not"},
    {"open", open, false, "[-rsU] path -- opens an image"},
    {"quit", quit, false, "-- ends"},
    {"read", io_read, true, "[-Cqv] [-P pattern [-s off] [-l len]] off len -- reads, and compares with a pattern"},
    {"readv", io_read, true, "[-Cqv] [-P pattern] off len [len..] -- reads"},
    {"reopen", reopen, true, "[-r|-w] -- closes and opens again"},
    {"sigraise", sigraise, false, "signal -- raises a signal"},
    {"sleep", sleep, false, "milliseconds -- waits"},
    {"truncate", truncate, true, "size -- changes the disk's size"},
    {"write", io_write, true,
     "[-cCfnquz] [-P pattern | -s file] off len -- writes a pattern, a file's bytes or zeroes; -c compressed"},
    {"writev", io_write, true, "[-Cfq] [-P pattern] off len [len..] -- writes"},
};
constexpr std::pair<const char*, const char*> kShort[] = {
    {"r", "read"}, {"w", "write"}, {"q", "quit"}, {"f", "flush"}, {"?", "help"}};

bool help(IoSession&, const IoWords& words) {
  bool found = words.size() < 2;
  for (const Command& c : kCommands) {
    if (words.size() >= 2 && words[1] != c.name) continue;
    std::printf("%s %s\n", c.name, c.help);
    found = true;
  }
  if (!found) std::printf("command %s not found\n", words[1].c_str());
  return found;
}

bool run_line(IoSession& s, const std::string& line) {
  IoWords words;
  std::istringstream in(line);
  for (std::string w; in >> w;) words.push_back(w);
  if (words.empty() || words[0][0] == '#') return true;
  for (const auto& [brief, name] : kShort) {
    if (words[0] == brief) words[0] = name;
  }
  for (const Command& c : kCommands) {
    if (words[0] != c.name) continue;
    if (c.needs_image && !s.node) {
      complain("no file open, try 'help open'");
      return false;
    }
    return c.run(s, words);
  }
  std::fprintf(stderr, "command \"%s\" not found\n", words[0].c_str());
  return false;
}

int usage_text(const std::string& program, FILE* to) {
  std::fprintf(to,
               "Usage: %s [OPTIONS]... [-c STRING]... [file]\nSingle requests on a disk image\n\n"
               "  -c, --cmd STRING     execute a command (more than once: one after the other)\n"
               "  -f, --format FMT     the image's format\n  -r, --read-only      open for reading\n"
               "  -s, --snapshot       writes go to a temporary overlay\n  -U, --force-share    take no lock\n"
               "  -t, --cache=MODE     unsafe: flushes do nothing\n"
               "  -n -C -m -k -i -d    taken, without effect\n\n'%s -c help' lists the commands.\n",
               program.c_str(), program.c_str());
  return 0;
}

}  // namespace

std::string IoOptions::value(char letter) const {
  const size_t at = letters.rfind(letter);
  return at == std::string::npos ? "" : values[at];
}

bool io_parse(const IoWords& words, const std::string& known, size_t least, size_t most, IoOptions& out) {
  for (size_t i = 1; i < words.size(); i++) {
    const std::string& w = words[i];
    if (w.size() < 2 || w[0] != '-') {
      out.rest.push_back(w);
      continue;
    }
    for (size_t k = 1; k < w.size(); k++) {
      const size_t at = w[k] == ':' ? std::string::npos : known.find(w[k]);
      if (at == std::string::npos) {
        complain("invalid option -- '" + std::string(1, w[k]) + "'");
        return false;
      }
      const bool takes_value = at + 1 < known.size() && known[at + 1] == ':';
      out.letters += w[k];
      out.values.emplace_back();
      if (!takes_value) continue;
      if (k + 1 == w.size() && i + 1 == words.size()) {
        complain("option requires an argument -- '" + std::string(1, w[k]) + "'");
        return false;
      }
      out.values.back() = k + 1 < w.size() ? w.substr(k + 1) : words[++i];
      break;
    }
  }
  if (out.rest.size() >= least && out.rest.size() <= most) return true;
  const bool is_open = most >= kMany;  // no upper bound that anybody would meet
  const std::string expected = is_open         ? "at least " + std::to_string(least)
                               : least == most ? std::to_string(least)
                                               : "between " + std::to_string(least) + " and " + std::to_string(most);
  std::fprintf(stderr, "bad argument count %zu to %s, expected %s arguments\n", words.size() - 1, words[0].c_str(),
               expected.c_str());
  return false;
}

bool io_number(const std::string& text, u64& number) {
  char* end = nullptr;
  number = std::strtoull(text.c_str(), &end, 0);
  constexpr std::string_view kUnits = "bkmgtpe";
  const size_t unit = *end == 0 ? 0 : kUnits.find(static_cast<char>(*end | 0x20));
  if (end != text.c_str() && text[0] != '-' && unit != std::string_view::npos && (*end == 0 || end[1] == 0) &&
      number <= ~u64{0} >> (unit * 10 + 1)) {
    number <<= unit * 10;
    return true;
  }
  std::printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n", text.c_str());
  return false;
}

std::string io_size(double bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(kUnits); unit++) bytes /= 1024;
  char text[64];
  const bool whole = bytes == std::floor(bytes);
  std::snprintf(text, sizeof text, whole ? "%.0f %s" : "%.3f %s", bytes, kUnits[unit]);
  return text;
}

void IoReport::print(const char* what, u64 offset, u64 bytes, bool machine) const {
  const double seconds =
      std::max(std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(), 1e-7);
  const auto whole = static_cast<unsigned>(seconds);
  const double rate = static_cast<double>(bytes) / seconds;
  if (machine) {
    std::printf("%llu,1,0:%02u:%05.2f,%.3f,%.3f\n", static_cast<unsigned long long>(bytes), whole / 60 % 60,
                std::fmod(seconds, 60), rate, 1 / seconds);
    return;
  }
  std::printf("%s %llu/%llu bytes at offset %llu\n", what, static_cast<unsigned long long>(bytes),
              static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(offset));
  std::printf("%s, 1 ops; %02u.%02u sec (%s/sec and %.4f ops/sec)\n", io_size(static_cast<double>(bytes)).c_str(),
              whole, static_cast<unsigned>((seconds - whole) * 100), io_size(rate).c_str(), 1 / seconds);
}

int io_main(const std::string& program, const std::vector<std::string>& args) {
  set_program(program);
  const Arguments a(args, {{"c", true}, {"cmd", true, "c"},        {"f", true}, {"format", true, "f"},
                           {"r"},       {"read-only", false, "r"}, {"s"},       {"snapshot", false, "s"},
                           {"n"},       {"nocache", false, "n"},   {"C"},       {"copy-on-read", false, "C"},
                           {"m"},       {"misalign", false, "m"},  {"k"},       {"native-aio", false, "k"},
                           {"i", true}, {"aio", true, "i"},        {"t", true}, {"cache", true, "t"},
                           {"d", true}, {"discard", true, "d"},    {"V"},       {"version", false, "V"}});
  if (!a.ok()) return 1;
  if (a.has("h")) return usage_text(program, stdout);
  if (a.has("V")) return std::printf("%s version 8.2.0 (Doppel 0.1.0)\n", program.c_str()), 0;
  if (a.positional().size() > 1) return usage_text(program, stderr), 1;
  if (!known_cache(a.value("t"))) return complain(kUnknownCache + a.value("t"));
  IoSession session;
  const block::OpenOptions options{.read_only = a.has("r"),
                                   .snapshot = a.has("s"),
                                   .format = a.value("f"),
                                   .shared = a.has("U"),
                                   .unsafe = a.value("t") == "unsafe"};
  if (!a.positional().empty() && !open_node(session, a.positional()[0], options)) return 1;
  bool ok = true;
  if (a.has("c")) {
    for (const std::string& line : a.values("c")) {
      if (!session.done) ok = run_line(session, line) && ok;
    }
  } else {
    std::string line;
    while (!session.done && (std::printf("%s> ", program.c_str()), std::fflush(stdout), std::getline(std::cin, line)))
      ok = run_line(session, line) && ok;
  }
  return session.node && !close_image(session) ? 1 : ok ? 0 : 1;
}

}  // namespace doppel::app::img
