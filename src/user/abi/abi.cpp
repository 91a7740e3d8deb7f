#include "user/abi.h"

#include "user/abi/frame.h"

namespace doppel::user {
namespace {

std::vector<const Abi*> all() { return {&i386_abi(), &x86_64_abi(), &mips_abi(), &mipsel_abi(), &mips64el_abi()}; }

}  // namespace

const Abi* find_abi(const std::string& name) {
  for (const Abi* a : all())
    if (a->name == name) return a;
  return nullptr;
}

std::vector<std::string> abi_names() {
  std::vector<std::string> names;
  for (const Abi* a : all()) names.push_back(a->name);
  return names;
}

}  // namespace doppel::user
