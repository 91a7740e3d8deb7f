// Memory in pieces, and the ways through a buffer of nodes and files that only know whole runs.
#include "block/pieces.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "block/file.h"
#include "block/node.h"

namespace doppel::block {

u64 size_of(Pieces pieces) {
  u64 size = 0;
  for (const std::span<u8>& p : pieces) size += p.size();
  return size;
}

// Compares the bytes with themselves, shifted, after a short look at the start.
bool is_zero(std::span<const u8> data) {
  const size_t head = std::min<size_t>(data.size(), 16);
  for (size_t i = 0; i < head; i++) {
    if (data[i] != 0) return false;
  }
  return data.size() <= head || std::memcmp(data.data(), data.data() + head, data.size() - head) == 0;
}

void clear(Pieces pieces) {
  for (const std::span<u8>& p : pieces) std::fill(p.begin(), p.end(), u8{0});
}

void copy_in(Pieces to, std::span<const u8> from) {
  for (const std::span<u8>& p : to) {
    const size_t n = std::min(p.size(), from.size());
    std::copy_n(from.begin(), n, p.begin());
    from = from.subspan(n);
  }
}

void copy_out(Pieces from, std::span<u8> to) {
  for (const std::span<u8>& p : from) {
    const size_t n = std::min(p.size(), to.size());
    std::copy_n(p.begin(), n, to.begin());
    to = to.subspan(n);
  }
}

std::vector<std::span<u8>> slice(Pieces pieces, u64 at, u64 length) {
  std::vector<std::span<u8>> out;
  for (const std::span<u8>& p : pieces) {
    if (length == 0) break;
    if (at >= p.size()) {
      at -= p.size();
      continue;
    }
    const u64 n = std::min<u64>(length, p.size() - at);
    out.push_back(p.subspan(at, n));
    length -= n;
    at = 0;
  }
  return out;
}

void Node::read_pieces(u64 offset, Pieces data, Completion done) {
  if (data.size() == 1) return read(offset, data.front(), std::move(done));
  const u64 size = size_of(data);
  const std::shared_ptr<u8[]> buffer(new u8[size]);
  read(offset, {buffer.get(), size}, [buffer, size, data, done = std::move(done)](int error) {
    if (error == 0) copy_in(data, {buffer.get(), size});
    done(error);
  });
}

void Node::write_pieces(u64 offset, Pieces data, Completion done) {
  if (data.size() == 1) return write(offset, data.front(), std::move(done));
  const u64 size = size_of(data);
  const std::shared_ptr<u8[]> buffer(new u8[size]);
  copy_out(data, {buffer.get(), size});
  write(offset, {buffer.get(), size}, [buffer, done = std::move(done)](int error) { done(error); });
}

int File::read_pieces(u64 offset, Pieces data) {
  for (const std::span<u8>& p : data) {
    if (const int error = read(offset, p)) return error;
    offset += p.size();
  }
  return 0;
}

int File::write_pieces(u64 offset, Pieces data) {
  for (const std::span<u8>& p : data) {
    if (const int error = write(offset, p)) return error;
    offset += p.size();
  }
  return 0;
}

}  // namespace doppel::block
