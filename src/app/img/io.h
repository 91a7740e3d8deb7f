// `doppel img io` (by name: qemu-io): single requests on an image, from -c options or from stdin. Commands, output and
// exit statuses are qemu-io's. io.cpp: the program; io_transfer.cpp: the commands that move bytes.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "block/node.h"

namespace doppel::app::img {

int io_main(const std::string& program, const std::vector<std::string>& args);

// The image in use, and what a command may change.
struct IoSession {
  std::shared_ptr<block::Node> node;
  std::string path;
  block::OpenOptions options;
  bool done = false;  // quit
};

// One line, split into words: [0] is the command. False: it failed, and said so.
using IoWords = std::vector<std::string>;
bool io_read(IoSession& s, const IoWords& words);
bool io_write(IoSession& s, const IoWords& words);
bool io_discard(IoSession& s, const IoWords& words);

// Options of a command, as getopt takes them ("qvP:"): given ones by letter, the rest in `rest`. False: said what is
// wrong.
struct IoOptions {
  std::string letters;              // in order
  std::vector<std::string> values;  // of each, empty without one
  std::vector<std::string> rest;
  bool has(char letter) const { return letters.find(letter) != std::string::npos; }
  std::string value(char letter) const;
};
constexpr size_t kMany = 1024;
bool io_parse(const IoWords& words, const std::string& known, size_t least, size_t most, IoOptions& out);
bool io_number(const std::string& text, u64& number);  // says what is wrong
std::string io_size(double bytes);                     // "512 bytes", "1.500 KiB"

// "wrote 512/512 bytes at offset 0" and the line of rates.
class IoReport {
 public:
  IoReport() : start_(std::chrono::steady_clock::now()) {}
  void print(const char* what, u64 offset, u64 bytes, bool machine) const;

 private:
  std::chrono::steady_clock::time_point start_;
};

}  // namespace doppel::app::img
