#include "block/qcow2/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <array>

namespace doppel::block::qcow2 {
namespace {

constexpr int kWindowBits = -12;  // raw deflate
// A third faster than zlib's default level on programs and text, for one per cent more bytes.
constexpr int kLevel = 4;
constexpr size_t kSample = 4096;

size_t deflate_into(std::span<const u8> in, std::span<u8> out, int level) {  // 0: it doesn't fit
  z_stream z{};
  if (deflateInit2(&z, level, Z_DEFLATED, kWindowBits, 9, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
  z.next_in = const_cast<u8*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  const bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
  deflateEnd(&z);
  return whole ? out.size() - z.avail_out : 0;
}

// Noise (media, archives, encrypted files) takes as long to deflate as anything and gets no smaller. Its bytes are
// evenly spread; a quick try on a sample tells it from a pattern that is evenly spread too.
bool is_noise(std::span<const u8> in) {
  if (in.size() < 2 * kSample) return false;
  std::array<u16, 256> count{};
  const size_t step = in.size() / kSample;
  for (size_t i = 0; i < kSample; i++) count[in[i * step]]++;
  u64 squares = 0;  // evenly spread: 4,096 / 256 of each, so 65,536 and a little
  for (const u16 n : count) squares += u64{n} * n;
  if (squares > 75000) return false;
  std::array<u8, kSample> out;
  return deflate_into(in.first(kSample), std::span(out).first(kSample * 31 / 32), 1) == 0 &&
         deflate_into(in.last(kSample), std::span(out).first(kSample * 31 / 32), 1) == 0;
}

std::vector<u8> deflate_cluster(std::span<const u8> in) {
  if (is_noise(in)) return {};
  std::vector<u8> out(in.size() - 1);
  out.resize(deflate_into(in, out, kLevel));
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
