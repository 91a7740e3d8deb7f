// Decodes and translates one SSE or MMX instruction, without the rest of the frontend.
#pragma once
#include <gtest/gtest.h>

#include <cstdio>

#include "guest/x86/translate/translator.h"

namespace doppel::x86::test {

constexpr u64 kMode =
    kModeCs64 | kModeSs32 | kModePe | kModeFlatData | kModeFlatCode | kModeLma | kModeOsfxsr | kModeFlatFsGs;

struct Code {
  u8 bytes[16] = {};
  unsigned size = 0;
  Code() = default;
  Code(std::initializer_list<unsigned> list) {
    for (const unsigned b : list) put(b);
  }
  void put(unsigned b) { bytes[size++] = static_cast<u8>(b); }
};
inline std::string hex(const Code& c) {
  std::string text;
  char b[4];
  for (unsigned i = 0; i < c.size; ++i) {
    std::snprintf(b, sizeof b, "%02x ", c.bytes[i]);
    text += b;
  }
  return text;
}

inline CpuModel model_with_everything() {
  CpuModel m;
  for (u32& f : m.features) f = ~u32{0};
  return m;
}

inline TranslateFn handler_of(Mnemonic m) {
  switch (m) {
#define M(name, handler) \
  case Mnemonic::name:   \
    return handler;
#include "guest/x86/decode/mnemonics_sse.inc"
#undef M
    default: return nullptr;
  }
}

inline void translate_one(const Code& c, u64 mode, const Decoder& decoder, const CpuModel& model, ir::Region& region) {
  region.clear();
  region.mode = mode;
  region.layout = &kLayout;
  region.helpers = &kHelpers;
  guest::TranslateRequest request;
  request.mode = mode;
  Translator t(request, decoder, model, region);
  Insn in;
  ASSERT_EQ(decoder.decode(c.bytes, c.size, 0, mode, in), DecodeStatus::Ok) << hex(c);
  ASSERT_EQ(in.length, c.size) << hex(c);
  t.insn = &in;
  t.b.insn(0, in.length);
  handler_of(in.mnemonic)(t, in);
  if (!t.ended) t.b.exit_direct(in.length, true);
  ASSERT_EQ(ir::verify(region), "") << ir::dump(region);
}

}  // namespace doppel::x86::test
