// The note NT_GNU_BUILD_ID of the program that runs (the first one that dl_iterate_phdr(3) names).
#include <elf.h>
#include <link.h>

#include <cstring>

#include "base/bits.h"
#include "base/os/build_id.h"

namespace doppel::os {

std::string build_id() {
  std::string id;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        for (int i = 0; i < info->dlpi_phnum; i++) {
          const auto& p = info->dlpi_phdr[i];
          if (p.p_type != PT_NOTE) continue;
          // SAFETY: a segment of our own file, mapped.
          const auto* at = reinterpret_cast<const unsigned char*>(info->dlpi_addr + p.p_vaddr);
          const auto* end = at + p.p_memsz;
          while (at + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) note;
            std::memcpy(&note, at, sizeof note);
            const auto* name = at + sizeof note;
            const auto* data = name + align_up(size_t{note.n_namesz}, 4);
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
              static_cast<std::string*>(out)->assign(reinterpret_cast<const char*>(data), note.n_descsz);
            at = data + align_up(size_t{note.n_descsz}, 4);
          }
        }
        return 1;
      },
      &id);
  return id;
}

}  // namespace doppel::os
