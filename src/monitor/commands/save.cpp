// Memory: sizes, and dumps of it to files.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/os/fd_sets.h"
#include "monitor/commands/command.h"
#include "monitor/commands/guest_bytes.h"

namespace doppel::monitor {
namespace {

struct MemorySizes {
  static constexpr const char* kType = "MemoryInfo";
  u64 base = 0;
  std::optional<u64> plugged = 0;
  template <class V>
  void visit(V& v) {
    v("base-memory", base, "bytes of RAM that -m gave");
    v("plugged-memory", plugged, "bytes plugged in later");
  }
};
Answer<MemorySizes> sizes(Context& c, Empty&) { return MemorySizes{c.machine.config().ram_bytes, 0}; }

struct SaveVirtual {
  static constexpr const char* kType = "memsave-arg";
  u64 value = 0, size = 0;
  std::string file;
  std::optional<s64> cpu;
  template <class V>
  void visit(V& v) {
    v("val", value, "virtual address of the guest to begin at");
    v("size", size, "bytes");
    v("filename", file, "file to write");
    v("cpu-index", cpu, "the CPU through whose page tables it is read; 0 by default");
  }
};
struct SavePhysical {
  static constexpr const char* kType = "pmemsave-arg";
  u64 value = 0, size = 0;
  std::string file;
  template <class V>
  void visit(V& v) {
    v("val", value, "physical address of the guest to begin at");
    v("size", size, "bytes");
    v("filename", file, "file to write");
  }
};

Answer<Empty> save(Context& c, const GuestPlace& place, u64 size, const std::string& file) {
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  const std::unique_ptr<std::FILE, Close> out(os::open_stream(file, "w"));
  if (!out) return CommandError{"Could not open '" + file + "': " + std::strerror(errno)};
  std::vector<u8> buffer(size_t{1} << 16);
  for (u64 done = 0; done < size;) {
    const size_t n = static_cast<size_t>(std::min<u64>(buffer.size(), size - done));
    if (read_guest(c.machine, place.at(done), {buffer.data(), n}) < n)
      return CommandError{format("Invalid addr 0x%016llx/size %llu specified",
                                 static_cast<unsigned long long>(place.address),
                                 static_cast<unsigned long long>(size))};
    if (std::fwrite(buffer.data(), 1, n, out.get()) != n)
      return CommandError{"Could not write '" + file + "': " + std::strerror(errno)};
    done += n;
  }
  return Empty{};
}

Answer<Empty> memsave(Context& c, SaveVirtual& args) {
  const s64 cpu = args.cpu.value_or(0);
  if (cpu < 0 || static_cast<size_t>(cpu) >= c.machine.vcpus().size())
    return CommandError{"Parameter 'cpu-index' expects a CPU number"};
  return save(c, {args.value, static_cast<int>(cpu)}, args.size, args.file);
}
Answer<Empty> pmemsave(Context& c, SavePhysical& args) { return save(c, {args.value, -1}, args.size, args.file); }

constexpr Definition kRows[] = {
    command<&sizes>("query-memory-size-summary", "how much RAM the machine has"),
    command<&memsave>("memsave", "write virtual memory of the guest to a file"),
    command<&pmemsave>("pmemsave", "write physical memory of the guest to a file"),
};

}  // namespace

std::span<const Definition> save_commands() { return kRows; }

}  // namespace doppel::monitor
