// Who we are: version, name, UUID, guest architecture, accelerator.
#include "monitor/commands/version.h"

#include <algorithm>

#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class SysEmuTarget { i386, mips, mips64, mips64el, mipsel, x86_64 };
template <>
struct EnumNames<SysEmuTarget> {
  static constexpr const char* kType = "SysEmuTarget";
  static std::vector<std::string_view> names() { return {"i386", "mips", "mips64", "mips64el", "mipsel", "x86_64"}; }
};

namespace {

struct VersionTriple {
  static constexpr const char* kType = "VersionTriple";
  s64 major = kMajor, minor = kMinor, micro = kMicro;
  template <class V>
  void visit(V& v) {
    v("major", major);
    v("minor", minor);
    v("micro", micro);
  }
};
struct VersionInfo {
  static constexpr const char* kType = "VersionInfo";
  VersionTriple qemu;
  std::string package = kPackage;
  template <class V>
  void visit(V& v) {
    v("qemu", qemu, "the version of QEMU whose interface this is");
    v("package", package, "what it is really");
  }
};
Answer<VersionInfo> query_version(Context&, Empty&) { return VersionInfo{}; }

struct NameInfo {
  static constexpr const char* kType = "NameInfo";
  std::optional<std::string> name;
  template <class V>
  void visit(V& v) {
    v("name", name, "what -name said; left out if it was not given");
  }
};
Answer<NameInfo> query_name(Context& c, Empty&) {
  const std::string& name = c.machine.config().name;
  return name.empty() ? NameInfo{} : NameInfo{name};
}

struct UuidInfo {
  static constexpr const char* kType = "UuidInfo";
  std::string uuid;
  template <class V>
  void visit(V& v) {
    v("UUID", uuid, "the machine's UUID, zeroes if -uuid was not given");
  }
};
Answer<UuidInfo> query_uuid(Context& c, Empty&) {
  const std::string& uuid = c.machine.config().uuid;
  return UuidInfo{uuid.empty() ? "00000000-0000-0000-0000-000000000000" : uuid};
}

struct KvmInfo {
  static constexpr const char* kType = "KvmInfo";
  bool enabled = false, present = false;
  template <class V>
  void visit(V& v) {
    v("enabled", enabled, "whether KVM runs the guest");
    v("present", present, "whether this emulator has KVM support");
  }
};
Answer<KvmInfo> query_kvm(Context&, Empty&) { return KvmInfo{}; }

struct TargetInfo {
  static constexpr const char* kType = "TargetInfo";
  SysEmuTarget arch{};
  template <class V>
  void visit(V& v) {
    v("arch", arch, "the guest's architecture");
  }
};
Answer<TargetInfo> query_target(Context& c, Empty&) {
  const auto names = EnumNames<SysEmuTarget>::names();
  const auto at = std::find(names.begin(), names.end(), c.machine.config().target);
  return TargetInfo{static_cast<SysEmuTarget>(at - names.begin())};
}

constexpr Definition kRows[] = {
    command<&query_version>("query-version", "version of the interface and of the emulator"),
    command<&query_name>("query-name", "the machine's name"),
    command<&query_uuid>("query-uuid", "the machine's UUID"),
    command<&query_kvm>("query-kvm", "whether KVM is there and used"),
    command<&query_target>("query-target", "the guest's architecture"),
};

}  // namespace

Output version_value() {
  VersionInfo info;
  return Writer::write(info);
}
std::string version_text() {
  return std::to_string(kMajor) + "." + std::to_string(kMinor) + "." + std::to_string(kMicro) + " (" + kPackage + ")";
}

std::span<const Definition> version_commands() { return kRows; }

}  // namespace doppel::monitor
