// Coprocessor 0 (vol. II-A and III).
#include "guest/mips/translate/translator.h"

namespace doppel::mips {

void tr_move_cp0(Translator& t, const Insn& in) {
  if (!t.require_cp0()) return;
  const bool wide = in.rs() & 1, from = in.rs() < 4;
  if (from) {
    const Value v = t.call(Helper::mfc0, {t.k32(in.rd()), t.k32(in.sel())});
    if (wide)
      t.set_gpr(in.rt(), v);
    else
      t.set_gpr32(in.rt(), t.b.trunc(Type::I32, v));
    return;
  }
  const Value value = wide || !t.wide() ? t.b.zext(Type::I64, t.gpr(in.rt())) : t.b.sext(Type::I64, t.gpr32(in.rt()));
  t.call(Helper::mtc0, {t.k32(in.rd()), t.k32(in.sel()), value});
  const bool status = in.rd() == 12 && in.sel() == 0;
  const bool cause = in.rd() == 13, space = in.rd() == 10, config = in.rd() == 16;
  if (status || cause || space || config) t.must_leave = true;
}

void tr_di_ei(Translator& t, const Insn& in) {
  if (!t.require_cp0()) return;
  const bool on = in.word & 0x20;
  const Value before = t.call(Helper::interrupt_enable, {t.k32(on)});
  t.set_gpr32(in.rt(), before);
}

// One set of shadow registers: the previous one is the current one.
void tr_pgpr(Translator& t, const Insn& in) {
  if (!t.require_cp0()) return;
  t.set_gpr(in.rd(), t.gpr(in.rt()));
}

void tr_tlb(Translator& t, const Insn& in) {
  if (!t.require_cp0()) return;
  switch (in.funct()) {
    case 1: t.call(Helper::tlb_read); break;
    case 2: t.call(Helper::tlb_write_indexed); break;
    case 6: t.call(Helper::tlb_write_random); break;
    default: t.call(Helper::tlb_probe); break;
  }
}

void tr_eret(Translator& t, const Insn&) {
  if (!t.require_cp0()) return;
  t.call(Helper::eret);
  t.b.exit_loop();
  t.ended = true;
}

void tr_wait(Translator& t, const Insn&) {
  if (!t.require_cp0()) return;
  t.call(Helper::wait);
  t.must_leave = true;
}

void tr_rdhwr(Translator& t, const Insn& in) {
  const Value v = t.call(Helper::rdhwr, {t.k32(in.rd())});
  if (t.wide() && in.rd() == 29)
    t.set_gpr(in.rt(), v);
  else
    t.set_gpr32(in.rt(), t.b.trunc(Type::I32, v));
}

}  // namespace doppel::mips
