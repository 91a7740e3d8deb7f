#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "app/img/arguments.h"
#include "app/img/io.h"
#include "base/page_vector.h"
#include "block/qcow2/compress.h"
#include "block/qcow2/qcow2.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

constexpr u64 kMaxRequest = 0x7ffffe00;
constexpr u8 kFill = 0xcd;  // of writes without a pattern

bool parse_pattern(const std::string& text, u8& pattern) {
  char* end = nullptr;
  const unsigned long value = std::strtoul(text.c_str(), &end, 0);
  if (end == text.c_str() || *end != 0 || value > 255) {
    std::printf("%s is not a valid pattern byte\n", text.c_str());
    return false;
  }
  pattern = static_cast<u8>(value);
  return true;
}

// off len [len..]: vectors are one request.
bool parse_range(const IoOptions& o, u64& offset, u64& length) {
  length = 0;
  if (!io_number(o.rest[0], offset)) return false;
  for (size_t i = 1; i < o.rest.size(); i++) {
    u64 n = 0;
    if (!io_number(o.rest[i], n)) return false;
    length += n;
    if (n <= kMaxRequest && length <= kMaxRequest) continue;
    std::printf("length cannot exceed %llu, given %s\n", static_cast<unsigned long long>(kMaxRequest),
                o.rest[i].c_str());
    return false;
  }
  return true;
}

bool failed(const char* what, int error) {
  std::printf("%s failed: %s\n", what, std::strerror(error));
  return false;
}

// Of read and write: one length.
bool too_many(const IoWords& words, const IoOptions& o) {
  if ((words[0] != "read" && words[0] != "write") || o.rest.size() <= 2) return false;
  std::fprintf(stderr, "bad argument count %zu to %s, expected 2 arguments\n", words.size() - 1, words[0].c_str());
  return true;
}

void dump(std::span<const u8> data, u64 offset) {
  for (size_t at = 0; at < data.size(); at += 16) {
    std::printf("%08llx:  ", static_cast<unsigned long long>(offset) + at);
    const auto row = data.subspan(at, std::min<size_t>(16, data.size() - at));
    for (const u8 b : row) std::printf("%02x ", b);
    std::printf(" ");
    for (const u8 b : row) std::printf("%c", std::isalnum(b) != 0 ? b : '.');
    std::printf("\n");
  }
}

int write_packed(block::Node& node, u64 offset, std::span<const u8> data) {
  auto* image = dynamic_cast<block::qcow2::Qcow2*>(&node);
  if (image == nullptr) return ENOTSUP;
  const u64 cluster = image->cluster_size();
  if (image->read_only()) return EROFS;
  if (offset > node.size() || data.size() > node.size() - offset) return EIO;
  for (u64 at = 0; at < data.size(); at += cluster) {
    const u64 n = std::min(cluster, data.size() - at);
    if ((offset + at) % cluster != 0 || (n != cluster && offset + at + n != node.size())) return EINVAL;
    std::vector<u8> whole(cluster);
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(at), n, whole.begin());
    const auto packed = block::qcow2::compress_cluster(image->compression(), whole);
    const int error = packed.empty() ? block::write_sync(node, offset + at, data.subspan(at, n))
                                     : image->write_compressed(offset + at, packed);
    if (error != 0) return error;
  }
  return 0;
}

// The bytes of a file, over and over.
bool fill_from(const std::string& path, std::span<u8> data) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  if (!in.good() && bytes.empty()) {
    std::printf("%s: %s\n", path.c_str(), std::strerror(errno != 0 ? errno : EIO));
    return false;
  }
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<u8>(bytes[i % bytes.size()]);
  return true;
}

// What of read's -P, -s and -l is to be compared.
bool compare(const IoOptions& o, u64 offset, std::span<const u8> data) {
  u8 pattern = 0;
  u64 from = 0, length = 0;
  if (!parse_pattern(o.value('P'), pattern)) return false;
  if (o.has('s') && !io_number(o.value('s'), from)) return false;
  if (o.has('l') && !io_number(o.value('l'), length)) return false;
  if (from > data.size() || (o.has('l') && length > data.size() - from)) {
    std::printf("pattern verification range exceeds end of read data\n");
    return false;
  }
  const auto part = data.subspan(from, o.has('l') ? length : data.size() - from);
  if (std::all_of(part.begin(), part.end(), [&](u8 b) { return b == pattern; })) return true;
  std::printf("Pattern verification failed at offset %llu, %zu bytes\n", static_cast<unsigned long long>(offset) + from,
              part.size());
  return false;
}

}  // namespace

bool io_read(IoSession& s, const IoWords& words) {
  IoOptions o;
  u64 offset = 0, length = 0;
  if (!io_parse(words, "abCiqvpP:s:l:", 2, kMany, o) || too_many(words, o) || !parse_range(o, offset, length))
    return false;
  if (o.has('b')) return complain("-b is not built yet"), false;
  if (!o.has('P') && (o.has('s') || o.has('l'))) {
    std::printf("%s option only valid if -P is specified\n", o.has('s') ? "-s" : "-l");
    return false;
  }
  const IoReport report;
  PageVector data(length);
  if (offset > s.node->size() || length > s.node->size() - offset) return failed("read", EIO);
  if (const int error = block::read_sync(*s.node, offset, data)) return failed("read", error);
  const bool same = !o.has('P') || compare(o, offset, data);
  if (!o.has('q')) {
    if (o.has('v')) dump(data, offset);
    report.print("read", offset, length, o.has('C'));
  }
  return same || words[0] == "aio_read";
}

bool io_write(IoSession& s, const IoWords& words) {
  IoOptions o;
  u64 offset = 0, length = 0;
  if (!io_parse(words, "bcCfinqupzP:s:", 2, kMany, o) || too_many(words, o)) return false;
  if (o.has('b')) return complain("-b is not built yet"), false;
  if (o.has('z') + o.has('P') + o.has('s') > 1) {
    std::printf("Only one of -z, -P, and -s can be specified at the same time\n");
    return false;
  }
  if ((o.has('n') || o.has('u')) && !o.has('z')) {
    std::printf("%s requires -z to be specified\n", o.has('n') ? "-n" : "-u");
    return false;
  }
  if (!parse_range(o, offset, length)) return false;
  if (s.node->read_only()) return complain("Block node is read-only"), false;
  u8 pattern = kFill;
  if (o.has('P') && !parse_pattern(o.value('P'), pattern)) return false;
  PageVector data(o.has('z') ? 0 : length, pattern);
  if (o.has('s') && !fill_from(o.value('s'), data)) return false;
  const IoReport report;
  int error = o.has('z')   ? block::write_zeroes_sync(*s.node, offset, length)
              : o.has('c') ? write_packed(*s.node, offset, data)
                           : block::write_sync(*s.node, offset, data);
  if (error == 0 && o.has('f')) error = block::flush_sync(*s.node);
  if (error != 0) return failed(words[0].starts_with("aio_") ? "aio_write" : words[0].c_str(), error);
  if (!o.has('q')) report.print("wrote", offset, length, o.has('C'));
  return true;
}

bool io_discard(IoSession& s, const IoWords& words) {
  IoOptions o;
  u64 offset = 0, length = 0;
  if (!io_parse(words, "Cq", 2, 2, o) || !parse_range(o, offset, length)) return false;
  if (s.node->read_only()) return complain("Block node is read-only"), false;
  const IoReport report;
  if (const int error = block::discard_sync(*s.node, offset, length)) return failed("discard", error);
  if (!o.has('q')) report.print("discard", offset, length, o.has('C'));
  return true;
}

}  // namespace doppel::app::img
