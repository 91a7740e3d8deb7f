// What the commands of img share: options (as getopt_long takes them: anywhere, joined, shortened), messages, opening.
#pragma once
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "block/image_info.h"
#include "block/node.h"

namespace doppel::app::img {

// Names as they are called on the command line; a long name alone is given as it is.
struct OptionRow {
  std::string_view name;  // "f", or "output"
  bool takes_value = false;
  std::string_view same_as = {};  // of a long name: the short one it means
};

class Arguments {
 public:
  // On an error prints it; ok() is false then. -q, -U and --image-opts (image_opts.h) are known to all
  // commands.
  Arguments(const std::vector<std::string>& args, std::initializer_list<OptionRow> rows);
  bool ok() const { return ok_; }
  bool has(std::string_view name) const;
  std::string value(std::string_view name, std::string_view otherwise = {}) const;  // the last one
  std::vector<std::string> values(std::string_view name) const;
  const std::vector<std::string>& positional() const { return positional_; }
  const auto& given() const { return given_; }  // names and values in their order
  bool quiet() const { return has("q"); }
  // --output: 'j' or 'h'; 0: neither (printed).
  char output() const;

 private:
  bool take_image_opts();
  bool parse_long(const std::string& text, const std::vector<std::string>& args, size_t& at);
  bool parse_short(const std::string& text, const std::vector<std::string>& args, size_t& at);
  std::vector<OptionRow> rows_;
  std::vector<std::pair<std::string, std::string>> given_;
  std::vector<std::string> positional_;
  bool ok_ = true;
};

// Lines on stderr, begun with the program's name. Each returns 1.
void set_program(const std::string& name);
int complain(const std::string& text);
int usage(const std::string& text);  // and where help is
int complain(const Error& error);
// True for qemu-img's name: no extras.
bool is_qemu_img();

Result<std::shared_ptr<block::Node>> open_image(const std::string& path, const block::OpenOptions& options);
// "12k", "1.5G"; ~0 prints what is wrong and fails.
std::optional<u64> parse_size(const std::string& text);
using block::human_size;
bool known_cache(const std::string& mode);  // of -t and -T
constexpr const char* kUnknownCache = "Invalid cache option: ";

// The bytes at an offset across a chain of images: which layer has them.
struct ChainExtent {
  block::Extent extent;
  unsigned depth = 0;
  block::Node* node = nullptr;
};
ChainExtent chain_extent(block::Node& top, u64 offset, u64 length);

}  // namespace doppel::app::img
