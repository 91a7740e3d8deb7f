// Calls that are the host's own, once their arguments are: pass_through converts each by its kind.
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user {

s64 host_call(long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  long r = ::syscall(number, a, b, c, d, e, f);
  return r == -1 ? -errno : r;
}

namespace {

// What one call's arguments need besides their values.
struct Converted {
  std::array<u64, 8> value{};
  std::array<std::string, 2> paths;
  unsigned path_count = 0;
  alignas(16) std::array<std::array<u8, 256>, 4> structs;
  std::array<u8, 8> struct_of{};  // by argument: number of its copy + 1
  unsigned struct_count = 0;
};

s64 convert_struct(Thread& t, ArgKind kind, u64 va, unsigned index, Converted& c) {
  if (!va) return 0;
  StructKind s = struct_kind(kind);
  if (same_layout(t.abi(), s.members, s.host_size)) {
    if (is_out(kind)) t.process.map.prepare_write(va, s.host_size);
    c.value[index] = ptr(host(t, va));
    return 0;
  }
  auto& copy = c.structs[c.struct_count++];
  c.struct_of[index] = static_cast<u8>(c.struct_count);
  copy.fill(0);
  if (is_in(kind) && !fetch(t, va, s.members, copy.data())) return -EFAULT;
  c.value[index] = ptr(copy.data());
  return 0;
}

s64 convert_argument(Thread& t, const ArgKinds& kinds, const SyscallArgs& args, unsigned i, Converted& c) {
  c.value[i] = args[i];
  switch (class_of(kinds[i])) {
    case ArgClass::FLAGS: c.value[i] = flags_to_host(t.abi(), kinds[i], args[i]); return 0;
    case ArgClass::STRUCT: return convert_struct(t, kinds[i], args[i], i, c);
    case ArgClass::POINTER: break;
    default:
      if (kinds[i] == ArgKind::signal) c.value[i] = static_cast<u64>(t.abi().signal_to_host(static_cast<int>(args[i])));
      return 0;
  }
  if ((kinds[i] == ArgKind::path || kinds[i] == ArgKind::lpath) && args[i]) {
    std::string& path = c.paths[c.path_count++];
    s64 error = calls::read_path(t, args[i], path, kinds[i] == ArgKind::path);
    c.value[i] = ptr(path.c_str());
    return error;
  }
  if (kinds[i] == ArgKind::outbuf && args[i]) t.process.map.prepare_write(args[i], args[i + 1]);
  c.value[i] = ptr(host(t, args[i]));
  return 0;
}

}  // namespace

s64 pass_through(Thread& t, long number, const ArgKinds& kinds, PassMode mode, const SyscallArgs& args) {
  Converted c;
  for (unsigned i = 0; i < kinds.size() && kinds[i] != ArgKind::none; i++)
    if (s64 error = convert_argument(t, kinds, args, i, c)) return error;
  const auto& v = c.value;
  s64 r = mode == PassMode::Quick ? host_call(number, v[0], v[1], v[2], v[3], v[4], v[5])
                                  : t.blocking_call(number, v[0], v[1], v[2], v[3], v[4], v[5]);
  if (r < 0) return r;
  for (unsigned i = 0; i < kinds.size(); i++)
    if (c.struct_of[i] && is_out(kinds[i]) &&
        !put(t, args[i], struct_kind(kinds[i]).members, c.structs[c.struct_of[i] - 1u].data()))
      return -EFAULT;
  return r;
}

}  // namespace doppel::user
