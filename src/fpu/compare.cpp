// Soft float: comparison, MINSS/MAXSS, NaN tests (SDM vol. 1, 4.8.3 and 11.4.1; vol. 2, MINSS, COMISS).
#include "fpu/unpacked.h"

namespace doppel::fpu {
namespace {

Relation relate(const Unpacked& a, const Unpacked& b) {
  if (a.zero() && b.zero()) return Relation::Equal;
  if (a.zero()) return b.sign ? Relation::Greater : Relation::Less;
  if (b.zero() || a.sign != b.sign) return a.sign ? Relation::Less : Relation::Greater;
  // Same sign, neither zero: compare magnitudes; infinity is above all.
  int magnitude;
  if (a.inf() || b.inf())
    magnitude = int{a.inf()} - int{b.inf()};
  else if (a.exp != b.exp)
    magnitude = a.exp > b.exp ? 1 : -1;
  else
    magnitude = a.sig == b.sig ? 0 : a.sig > b.sig ? 1 : -1;
  if (magnitude == 0) return Relation::Equal;
  return (magnitude > 0) != a.sign ? Relation::Greater : Relation::Less;
}

// The operand itself, or the zero DAZ makes of it.
template <typename F>
F as_read(F v, const Unpacked& u) {
  return u.zero() ? zero_of<F>(u.sign) : v;
}

template <typename F>
F min_max(F x, F y, Relation wanted, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env);
  if (a.nan() || b.nan()) {
    env.flags |= kInvalid;
    return as_read(y, b);
  }
  note_denormals(a, b, env);
  return relate(a, b) == wanted ? as_read(x, a) : as_read(y, b);
}

}  // namespace

template <typename F>
Relation compare(F x, F y, bool signal_quiet_nan, Env& env) {
  const Unpacked a = unpack(x, env), b = unpack(y, env);
  if (a.nan() || b.nan()) {
    const bool quiet = (a.cls == Class::QuietNan || !a.nan()) && (b.cls == Class::QuietNan || !b.nan());
    if (!quiet || signal_quiet_nan) env.flags |= kInvalid;
    return Relation::Unordered;
  }
  note_denormals(a, b, env);
  return relate(a, b);
}

template <typename F>
F min_sse(F a, F b, Env& env) {
  return min_max(a, b, Relation::Less, env);
}
template <typename F>
F max_sse(F a, F b, Env& env) {
  return min_max(a, b, Relation::Greater, env);
}

template <typename F>
bool is_nan(F a) {
  const Class c = unpack(a, false).cls;
  return c == Class::QuietNan || c == Class::SignalingNan;
}
template <typename F>
bool is_signaling_nan(F a) {
  return unpack(a, false).cls == Class::SignalingNan;
}

#define INSTANTIATE(F)                            \
  template Relation compare<F>(F, F, bool, Env&); \
  template F min_sse<F>(F, F, Env&);              \
  template F max_sse<F>(F, F, Env&);              \
  template bool is_nan<F>(F);                     \
  template bool is_signaling_nan<F>(F);
INSTANTIATE(f32)
INSTANTIATE(f64)
INSTANTIATE(f80)
#undef INSTANTIATE

}  // namespace doppel::fpu
