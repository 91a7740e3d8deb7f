#include "user/elf_file.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace doppel::user {
namespace {

class Fields {
 public:
  Fields(const u8* data, bool wide, bool big) : p_(data), wide_(wide), big_(big) {}
  u64 get(unsigned bytes) {
    u64 v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= u64{p_[big_ ? bytes - 1 - i : i]} << (8 * i);
    p_ += bytes;
    return v;
  }
  u16 half() { return static_cast<u16>(get(2)); }
  u32 word() { return static_cast<u32>(get(4)); }
  u64 xword() { return get(wide_ ? 8 : 4); }

 private:
  const u8* p_;
  bool wide_, big_;
};

struct CpuRow {
  u16 machine;
  const char* name;
};
constexpr CpuRow kCpus[] = {{2, "SPARC"},        {3, "i386"},     {4, "m68k"},        {8, "MIPS"},
                            {15, "PA-RISC"},     {18, "SPARC"},   {20, "PowerPC"},    {21, "PowerPC64"},
                            {22, "s390x"},       {40, "ARM"},     {42, "SuperH"},     {43, "SPARC64"},
                            {62, "x86-64"},      {94, "Xtensa"},  {164, "Hexagon"},   {183, "AArch64"},
                            {189, "MicroBlaze"}, {243, "RISC-V"}, {258, "LoongArch"}, {0x9026, "Alpha"}};

ElfSegment read_segment(const u8* data, const ElfFile& file) {
  Fields f(data, file.wide, file.big_endian);
  ElfSegment s;
  s.type = f.word();
  if (file.wide) s.flags = f.word();
  s.offset = f.xword();
  s.address = f.xword();
  f.xword();  // physical address
  s.file_size = f.xword();
  s.size = f.xword();
  if (!file.wide) s.flags = f.word();
  s.align = f.xword();
  return s;
}

Result<Unit> take_segment(int fd, const ElfSegment& s, ElfFile& file) {
  switch (s.type) {
    case kPtLoad: {
      const u64 end = s.address + s.size;
      if (s.file_size > s.size || end < s.address || (!file.wide && end > u64{1} << 32) || end > u64{1} << 47)
        return Error{"its segments are wrong", "it is damaged: get it anew"};
      if (s.size == 0) break;
      file.low = file.high ? std::min(file.low, align_down(s.address, 4096)) : align_down(s.address, 4096);
      file.high = std::max(file.high, align_up(end, 4096));
      break;
    }
    case kPtInterp: {
      if (s.file_size == 0 || s.file_size > 4096) return Error{"its interpreter's name is wrong", ""};
      std::string name(s.file_size, 0);
      if (pread(fd, name.data(), name.size(), static_cast<off_t>(s.offset)) != static_cast<ssize_t>(name.size()))
        return Error{"it ends before its interpreter's name", "it is damaged: get it anew"};
      file.interpreter = name.c_str();
      break;
    }
    case kPtMipsAbiflags: {
      u8 record[24];  // version, level and revision of the instruction set, three sizes of registers, fp_abi, ...
      if (file.machine == 8 && s.file_size >= sizeof record &&
          pread(fd, record, sizeof record, static_cast<off_t>(s.offset)) == sizeof record)
        file.float_abi = record[7];
      break;
    }
    case kPtGnuStack: file.stack_flags = static_cast<int>(s.flags); break;
    default: break;
  }
  return success();
}

}  // namespace

Result<ElfFile> read_elf(int fd) {
  u8 head[64] = {};
  const ssize_t got = pread(fd, head, sizeof head, 0);
  if (got < 4 || std::memcmp(head, "\177ELF", 4) != 0) return Error{"", ""};
  ElfFile file;
  file.wide = head[4] == 2;
  file.big_endian = head[5] == 2;
  if (got < (file.wide ? 64 : 52) || head[4] < 1 || head[4] > 2 || head[5] < 1 || head[5] > 2)
    return Error{"its ELF header is wrong", "it is damaged: get it anew"};
  Fields f(head + 16, file.wide, file.big_endian);
  file.type = f.half();
  file.machine = f.half();
  f.word();  // version
  file.entry = f.xword();
  file.headers = f.xword();
  f.xword();  // section headers
  file.flags = f.word();
  f.half();  // header's size
  file.header_size = f.half();
  const u16 count = f.half();
  if (file.type != kEtExec && file.type != kEtDyn) return Error{"it is not a program but an object or core file", ""};
  const u16 size = file.wide ? 56 : 32;
  if (count == 0 || count > 512 || file.header_size != size) return Error{"its program headers are wrong", ""};
  std::vector<u8> table(size_t{count} * size);
  if (pread(fd, table.data(), table.size(), static_cast<off_t>(file.headers)) != static_cast<ssize_t>(table.size()))
    return Error{"it ends before its program headers", "it is damaged: get it anew"};
  for (unsigned i = 0; i < count; i++) {
    file.segments.push_back(read_segment(table.data() + size_t{i} * size, file));
    if (auto s = take_segment(fd, file.segments.back(), file); !s) return s.error();
  }
  if (file.high == 0) return Error{"it has nothing to load", "it is damaged, or it is a file of debug symbols only"};
  return file;
}

std::string guest_of(const ElfFile& f) {
  constexpr u32 kAbi2 = 0x20;  // EF_MIPS_ABI2: n32
  if (f.machine == 3 && !f.wide && !f.big_endian) return "i386";
  if (f.machine == 62 && f.wide && !f.big_endian) return "x86_64";
  if (f.machine == 8 && !f.wide && !(f.flags & kAbi2)) return f.big_endian ? "mips" : "mipsel";
  if (f.machine == 8 && f.wide && !f.big_endian) return "mips64el";
  return "";
}

std::string cpu_name(const ElfFile& f) {
  std::string name = "CPU number " + std::to_string(f.machine);
  for (const CpuRow& r : kCpus)
    if (r.machine == f.machine) name = r.name;
  if (f.machine == 62 && !f.wide) name += " (x32)";
  if (f.machine == 8) name += f.wide ? "64" : f.flags & 0x20 ? " (n32)" : "";
  if (f.machine == 8 || f.machine == 40 || f.machine == 183 || f.machine == 21)
    name += f.big_endian ? ", big-endian" : ", little-endian";
  return name;
}

}  // namespace doppel::user
