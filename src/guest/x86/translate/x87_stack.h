// x87 instructions as IR ops (xf_*) instead of helper calls. Each function gives true when it has translated the
// instruction; false: it has emitted nothing, and the caller's helper form is the way (see x87_stack.cpp for when).
#pragma once
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

enum class X87Format : u8;

// The mode has all x87 exceptions masked, and no register stands in the way: ops may be used.
inline bool x87_by_ops(const Translator& t) { return !(t.mode & (kModeX87Exc | kModeX87Step)); }

bool x87_op_arith(Translator& t, unsigned op, unsigned i, bool to_sti, bool pop);
bool x87_op_arith_mem(Translator& t, unsigned op, X87Format format);
bool x87_op_compare(Translator& t, unsigned i, unsigned pops, bool quiet);
bool x87_op_compare_mem(Translator& t, X87Format format, bool pop);
bool x87_op_comi(Translator& t, unsigned i, bool pop, bool quiet);
bool x87_op_load(Translator& t, X87Format format);
bool x87_op_load_st(Translator& t, unsigned i);
bool x87_op_store(Translator& t, X87Format format, bool pop, bool truncate);
bool x87_op_store_st(Translator& t, unsigned i, bool pop);
bool x87_op_exchange(Translator& t, unsigned i);
bool x87_op_cmov(Translator& t, unsigned i, Cond condition);
bool x87_op_constant(Translator& t, unsigned which);
bool x87_op_unary(Translator& t, u8 modrm);
bool x87_op_load_control(Translator& t);
bool x87_op_store_word(Translator& t, bool control);  // FNSTCW, FNSTSW

}  // namespace doppel::x86
