#include "app/objects.h"

#include <algorithm>

#include "crypto/secret.h"
#include "net/properties.h"

namespace doppel::app {
namespace {

Status take_memory_backend(Options& o, const KeyValues& values) {
  machine::MemoryBackend b;
  for (const auto& [key, value] : values) {
    if (key == "qom-type") {
      b.kind = value;
    } else if (key == "id") {
      b.id = value;
    } else if (key == "size") {
      auto size = parse_size(value, 1);
      if (!size) return size.error();
      b.size = *size;
    } else if (key == "mem-path" && b.kind == "memory-backend-file") {
      b.path = value;
    } else if (key == "share") {
      auto on = parse_switch("-object " + b.kind + " share", value);
      if (!on) return on.error();
      b.shared = *on;
    } else if (key == "x-use-canonical-path-for-ramblock-id" || key == "prealloc" || key == "dump" || key == "merge") {
      auto on = parse_switch("-object " + b.kind + " " + key, value);  // what the guest does not see
      if (!on) return on.error();
      if (*on && key == "prealloc")
        return Error{"-object " + b.kind + ": prealloc=on is not built yet", "leave it off"};
    } else {
      std::vector<std::string> known = {"id", "size", "share", "prealloc"};
      if (b.kind == "memory-backend-file") known.emplace_back("mem-path");
      return bad_property("object " + b.kind, key, known);
    }
  }
  if (b.id.empty() || b.size == 0) return Error{"-object " + b.kind + " needs id= and size=", "id=ram,size=512M"};
  if (b.kind == "memory-backend-file" && b.path.empty())
    return Error{"-object memory-backend-file needs mem-path=", "mem-path=/dev/shm/guest"};
  o.machine.memory_backends.push_back(b);
  return success();
}

// Sources of random numbers for virtio-rng: the host's own.
Status take_rng(Options& o, const KeyValues& p) {
  const std::string id = net::property(p, "id"), type = net::property(p, "qom-type");
  if (id.empty()) return Error{"-object " + type + " needs id=", "-object " + type + ",id=rng0"};
  for (const auto& [key, value] : p) {
    if (key == "qom-type" || key == "id") continue;
    if (key != "filename" || type == "rng-builtin")
      return Error{type + " has no property '" + key + "'", "leave it out"};
    if (value != "/dev/urandom" && value != "/dev/random")
      return Error{"rng-random: filename=" + value + " is not built yet", "use /dev/urandom"};
  }
  o.machine.rng_sources.push_back(id);
  return success();
}

Status take_dump(Options& o, const KeyValues& p) {
  o.dumps.push_back(p);
  std::erase_if(o.dumps.back(), [](const auto& kv) { return kv.first == "qom-type"; });
  return success();
}

Status take_secret(Options& o, const KeyValues& p) { return o.secrets->add(p); }

struct ObjectType {
  const char* name;
  Status (*take)(Options& o, const KeyValues& p);
};
constexpr ObjectType kTypes[] = {
    {"filter-dump", take_dump},
    {"memory-backend-file", take_memory_backend},
    {"memory-backend-ram", take_memory_backend},
    {"rng-builtin", take_rng},
    {"rng-random", take_rng},
    {"secret", take_secret},
};

}  // namespace

Status take_object(Options& o, const std::string& text) {
  const KeyValues p = parse_key_values(text, "qom-type");
  const std::string type = net::property(p, "qom-type");
  std::string all;
  for (const ObjectType& t : kTypes) {
    if (type == t.name) return t.take(o, p);
    all += std::string(all.empty() ? "" : ", ") + t.name;
  }
  return Error{"the object '" + type + "' is not built yet", "these are: " + all};
}

// There is no sound: only the back end that plays nothing.
Status take_audiodev(Options&, const std::string& text) {
  const KeyValues p = parse_key_values(text, "driver");
  const std::string driver = net::property(p, "driver");
  if (driver != "none")
    return Error{"-audiodev " + driver + " is not built yet: this machine has no sound", "use -audiodev none,id=ID"};
  if (net::property(p, "id").empty()) return Error{"-audiodev needs id=", "-audiodev none,id=audio0"};
  for (const auto& [key, value] : p) {
    if (key != "driver" && key != "id" && key != "timer-period" && !key.starts_with("in.") && !key.starts_with("out."))
      return bad_property("audiodev", key, {"id", "driver", "timer-period", "in.", "out."});
  }
  return success();
}

Status check_memory_backend(Options& o) {
  if (o.machine.memory_backend.empty()) return success();
  for (const machine::MemoryBackend& b : o.machine.memory_backends) {
    if (b.id != o.machine.memory_backend) continue;
    if (!o.memory_given) o.machine.ram_bytes = b.size;
    if (b.size == o.machine.ram_bytes) return success();
    return Error{"the memory back end '" + b.id + "' has " + std::to_string(b.size) + " bytes, and -m says " +
                     std::to_string(o.machine.ram_bytes),
                 "make them agree"};
  }
  return Error{"there is no memory back end '" + o.machine.memory_backend + "'",
               "define it with -object memory-backend-ram,id=" + o.machine.memory_backend + ",size=..."};
}

}  // namespace doppel::app
