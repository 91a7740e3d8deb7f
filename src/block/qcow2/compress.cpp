#include "block/qcow2/compress.h"

#include <zlib.h>
#include <zstd.h>

namespace doppel::block::qcow2 {
namespace {

constexpr int kWindowBits = -12;  // raw deflate

std::vector<u8> deflate_cluster(std::span<const u8> in) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, 9, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::vector<u8> out(in.size() - 1);
  z.next_in = const_cast<u8*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  const bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
  out.resize(whole ? out.size() - z.avail_out : 0);
  deflateEnd(&z);
  return out;
}

bool inflate_cluster(std::span<const u8> in, std::span<u8> out) {
  z_stream z{};
  z.next_in = const_cast<u8*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  if (inflateInit2(&z, kWindowBits) != Z_OK) return false;
  const int result = inflate(&z, Z_FINISH);
  inflateEnd(&z);
  // Z_BUF_ERROR with all output there: only the end of the stream was not looked at.
  return z.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK);
}

std::vector<u8> zstd_cluster(std::span<const u8> in) {
  std::vector<u8> out(in.size() - 1);
  const size_t n = ZSTD_compress(out.data(), out.size(), in.data(), in.size(), ZSTD_CLEVEL_DEFAULT);
  out.resize(ZSTD_isError(n) ? 0 : n);
  return out;
}

bool unzstd_cluster(std::span<const u8> in, std::span<u8> out) {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  if (context == nullptr) return false;
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  bool ok = true;
  while (ok && to.pos < to.size) {
    const size_t at = to.pos, used = from.pos;
    const size_t result = ZSTD_decompressStream(context, &to, &from);
    ok = !ZSTD_isError(result) && (to.pos != at || from.pos != used);
  }
  ZSTD_freeDCtx(context);
  return ok;
}

}  // namespace

std::vector<u8> compress_cluster(Compression kind, std::span<const u8> cluster) {
  return kind == Compression::Zstd ? zstd_cluster(cluster) : deflate_cluster(cluster);
}

bool decompress_cluster(Compression kind, std::span<const u8> in, std::span<u8> out) {
  return kind == Compression::Zstd ? unzstd_cluster(in, out) : inflate_cluster(in, out);
}

}  // namespace doppel::block::qcow2
