// Images that commands make: formats, their -o options, and the line that says what is made.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "block/node.h"
#include "block/qcow2/create.h"

namespace doppel::app::img {

// What can be written: raw and qcow2.
bool can_create(const std::string& format);
// A format that is read only here, or no format at all: prints which, returns 1.
int refuse_format(const std::string& format, const std::string& before = {});

struct NewImage {
  std::string path, format = "raw";
  u64 size = 0;
  bool has_size = false;
  block::qcow2::CreateOptions qcow2;
  block::qcow2::Preallocation raw_preallocation = block::qcow2::Preallocation::Off;
  // As given, for the line; refcount bits and cluster size may be values that check_new_image refuses.
  std::string compat, preallocation;
  u64 cluster_size = 65536, refcount_bits = 16;
};

// -o key=value,...: false: printed what is wrong. "help" prints the options; `done` is set then.
bool parse_options(NewImage& image, const std::vector<std::string>& options, bool& done);
void print_formatting(const NewImage& image);
// Values into qcow2 options. Error: what is wrong.
Status check_new_image(NewImage& image);
// Makes the file. `unsafe`: nothing is flushed.
Status create_image(NewImage& image, bool unsafe);

}  // namespace doppel::app::img
