// Logging: `-d ITEM,...` and `-D FILE` as QEMU's. A line is written whole; any thread may log.
// Guest errors go to LogItem::GuestErrors (off unless asked for): a guest may do what it likes without filling a disk.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace doppel {

enum class LogItem : uint32_t {
  InAsm = 1 << 0,
  Ir = 1 << 1,
  IrOpt = 1 << 2,
  OutAsm = 1 << 3,
  Int = 1 << 4,
  Cpu = 1 << 5,
  GuestErrors = 1 << 6,
  Unimp = 1 << 7,
  Mmu = 1 << 8,
  Exec = 1 << 9,
  Trace = 1 << 10,
  Reset = 1 << 11,
  Ports = 1 << 12,
};

extern std::atomic<uint32_t> g_log_mask;  // the one global: a mask of LogItem, read inline
inline bool log_on(LogItem item) {
  return (g_log_mask.load(std::memory_order_relaxed) & static_cast<uint32_t>(item)) != 0;
}

// Parses "in_asm,int" (QEMU's names: in_asm op op_opt out_asm int cpu guest_errors unimp mmu exec cpu_reset; ours: ir
// ir_opt trace ports).
Result<uint32_t> parse_log_items(std::string_view list);
std::string log_items_help();
Status log_open(const std::string& path);  // empty: stderr
void log_set_mask(uint32_t mask);
void log_write(std::string_view text);  // raw text, as is
[[gnu::format(printf, 1, 2)]] void log_printf(const char* format, ...);

#define DOPPEL_LOG(item, ...)                                   \
  do {                                                          \
    if (::doppel::log_on(::doppel::LogItem::item)) [[unlikely]] \
      ::doppel::log_printf(__VA_ARGS__);                        \
  } while (0)

}  // namespace doppel
