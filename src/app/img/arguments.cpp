#include "app/img/arguments.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "app/img/image_opts.h"

namespace doppel::app::img {
namespace {

std::string& program_name() {
  static std::string name = "doppel img";
  return name;
}

constexpr OptionRow kCommon[] = {{"q"},         {"U"}, {"force-share", false, "U"}, {"h"}, {"help", false, "h"},
                                 {"image-opts"}};

}  // namespace

Arguments::Arguments(const std::vector<std::string>& args, std::initializer_list<OptionRow> rows)
    : rows_(std::begin(kCommon), std::end(kCommon)) {
  rows_.insert(rows_.end(), rows.begin(), rows.end());
  bool only_names = false;
  for (size_t i = 0; i < args.size() && ok_; i++) {
    const std::string& a = args[i];
    if (only_names || a.size() < 2 || a[0] != '-') {
      positional_.push_back(a);
    } else if (a == "--") {
      only_names = true;
    } else {
      ok_ = a[1] == '-' ? parse_long(a, args, i) : parse_short(a, args, i);
    }
  }
  if (ok_ && has("image-opts")) ok_ = take_image_opts();
}

// Names of images, with what is said of them, become names alone; sizes and outputs have no keys.
bool Arguments::take_image_opts() {
  if (has("f")) {
    complain("--image-opts and --format are mutually exclusive");
    return false;
  }
  for (std::string& name : positional_) {
    if (name.find("filename=") == std::string::npos) continue;
    const auto opts = parse_image_opts(name);
    if (!opts) return complain(opts.error()), false;
    remember_image_opts(*opts);
    name = opts->path;
  }
  return true;
}

bool Arguments::parse_long(const std::string& text, const std::vector<std::string>& args, size_t& at) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(2, equals == std::string::npos ? equals : equals - 2);
  const OptionRow* found = nullptr;
  for (const OptionRow& r : rows_) {
    if (r.name.size() < 2 || !r.name.starts_with(name)) continue;
    found = &r;
    if (r.name == name) break;
  }
  if (found == nullptr) {
    if (name == "object" || name == "target-image-opts") {
      complain("--" + name + " is not built yet: give file names");
      return false;
    }
    usage("unrecognized option '" + text + "'");
    return false;
  }
  std::string value;
  if (found->takes_value) {
    if (equals != std::string::npos) {
      value = text.substr(equals + 1);
    } else if (at + 1 < args.size()) {
      value = args[++at];
    } else {
      usage("missing argument for option '" + text + "'");
      return false;
    }
  }
  given_.emplace_back(found->same_as.empty() ? found->name : found->same_as, value);
  return true;
}

bool Arguments::parse_short(const std::string& text, const std::vector<std::string>& args, size_t& at) {
  for (size_t i = 1; i < text.size(); i++) {
    const std::string name(1, text[i]);
    const auto row = std::find_if(rows_.begin(), rows_.end(), [&](const OptionRow& r) { return r.name == name; });
    if (row == rows_.end()) {
      usage("unrecognized option '" + text + "'");
      return false;
    }
    if (!row->takes_value) {
      given_.emplace_back(name, "");
      continue;
    }
    if (i + 1 < text.size()) {
      given_.emplace_back(name, text.substr(i + 1));
    } else if (at + 1 < args.size()) {
      given_.emplace_back(name, args[++at]);
    } else {
      usage("missing argument for option '" + text + "'");
      return false;
    }
    return true;
  }
  return true;
}

bool Arguments::has(std::string_view name) const {
  return std::any_of(given_.begin(), given_.end(), [&](const auto& g) { return g.first == name; });
}

std::string Arguments::value(std::string_view name, std::string_view otherwise) const {
  for (auto it = given_.rbegin(); it != given_.rend(); ++it) {
    if (it->first == name) return it->second;
  }
  return std::string(otherwise);
}

std::vector<std::string> Arguments::values(std::string_view name) const {
  std::vector<std::string> list;
  for (const auto& [key, value] : given_) {
    if (key == name) list.push_back(value);
  }
  return list;
}

char Arguments::output() const {
  const std::string o = value("output", "human");
  if (o == "json") return 'j';
  if (o == "human") return 'h';
  complain("--output must be used with human or json as argument.");
  return 0;
}

void set_program(const std::string& name) { program_name() = name; }

bool is_qemu_img() { return program_name() == "qemu-img"; }

int complain(const std::string& text) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", program_name().c_str(), text.c_str());
  return 1;
}

int usage(const std::string& text) {
  complain(text);
  std::fprintf(stderr, "Try '%s --help' for more information\n", program_name().c_str());
  return 1;
}

int complain(const Error& error) { return complain(error.text()); }

Result<std::shared_ptr<block::Node>> open_image(const std::string& path, const block::OpenOptions& options) {
  auto node = block::open(path, with_image_opts(path, options));
  if (!node && !path.starts_with("fat:") && access(path.c_str(), F_OK) != 0)  // scripts look for these words
    return Error{"Could not open '" + path + "': Could not open '" + path + "': " + std::strerror(errno), ""};
  if (!node) return Error{"Could not open '" + path + "': " + node.error().cause, node.error().fix};
  return node;
}

std::optional<u64> parse_size(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  u64 whole = 0;
  const auto exact = std::from_chars(text.data(), end, whole);
  const std::string suffix(rest, end);
  constexpr std::string_view kUnits = "bkmgtpe";
  const size_t unit = suffix.empty() ? 0 : kUnits.find(static_cast<char>(suffix[0] | 0x20));
  const bool fits = error == std::errc() && number >= 0 && suffix.size() <= 1 && unit != std::string_view::npos &&
                    std::ldexp(number, static_cast<int>(unit) * 10) < 9223372036854775808.0;
  if (fits && exact.ptr == rest) return whole << unit * 10;
  if (fits) return static_cast<u64>(std::ldexp(number, static_cast<int>(unit) * 10));
  complain("Invalid image size specified. You may use k, M, G, T, P or E suffixes for");
  complain("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
  return std::nullopt;
}

bool known_cache(const std::string& mode) {
  for (const char* known : {"none", "off", "writeback", "writethrough", "directsync", "unsafe"}) {
    if (mode == known) return true;
  }
  return mode.empty();
}

ChainExtent chain_extent(block::Node& top, u64 offset, u64 length) {
  ChainExtent c{.node = &top};
  for (;;) {
    c.extent = c.node->extent(offset, length);
    length = c.extent.length;
    if (c.extent.present) return c;
    block::Node* below = c.node->backing().get();
    const u64 size = below == nullptr ? 0 : below->size();
    if (offset >= size) {
      c.extent.zero = true;
      return c;
    }
    length = std::min(length, size - offset);
    c.node = below;
    c.depth++;
  }
}

}  // namespace doppel::app::img
