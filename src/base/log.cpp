#include "base/log.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>

#include "base/os/fd_sets.h"

namespace doppel {
std::atomic<uint32_t> g_log_mask{0};

namespace {
struct Row {
  const char* name;
  LogItem item;
  const char* help;
};
constexpr Row kRows[] = {
    {"in_asm", LogItem::InAsm, "show guest instructions of each translated region"},
    {"ir", LogItem::Ir, "show the IR of each translated region"},
    {"op", LogItem::Ir, "same as ir"},
    {"ir_opt", LogItem::IrOpt, "show the IR after optimisation"},
    {"op_opt", LogItem::IrOpt, "same as ir_opt"},
    {"out_asm", LogItem::OutAsm, "show the host code of each region"},
    {"int", LogItem::Int, "show interrupts and exceptions"},
    {"cpu", LogItem::Cpu, "show the CPU state before each region"},
    {"exec", LogItem::Exec, "show each region entered from the dispatcher"},
    {"guest_errors", LogItem::GuestErrors, "show what the guest does against the manuals"},
    {"unimp", LogItem::Unimp, "show uses of parts that are not modelled"},
    {"mmu", LogItem::Mmu, "show page walks and TLB flushes"},
    {"cpu_reset", LogItem::Reset, "show the CPU state at reset"},
    {"trace", LogItem::Trace, "show device events"},
    {"ports", LogItem::Ports, "show port I/O"},
};
std::mutex g_lock;
std::FILE* g_file = nullptr;
}  // namespace

Result<uint32_t> parse_log_items(std::string_view list) {
  uint32_t mask = 0;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view word = list.substr(0, comma);
    bool found = false;
    for (const Row& row : kRows) {
      if (word == row.name) {
        mask |= static_cast<uint32_t>(row.item);
        found = true;
      }
    }
    if (!found) return Error{"unknown log item '" + std::string(word) + "'", "-d help lists them", 1};
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return mask;
}

std::string log_items_help() {
  std::string text = "Log items (comma separated):\n";
  for (const Row& row : kRows)
    text += std::string(row.name) + std::string(16 - std::string_view(row.name).size(), ' ') + row.help + "\n";
  return text;
}

Status log_open(const std::string& path) {
  std::FILE* f = path.empty() ? stderr : os::open_stream(path, "w");
  if (!f) return Error{"can't open the log file " + path, "choose a folder that can be written, with -D FILE"};
  std::lock_guard lock(g_lock);
  g_file = f;
  return success();
}

void log_set_mask(uint32_t mask) { g_log_mask.store(mask, std::memory_order_relaxed); }

void log_write(std::string_view text) {
  std::lock_guard lock(g_lock);
  std::FILE* f = g_file ? g_file : stderr;
  std::fwrite(text.data(), 1, text.size(), f);
}

void log_printf(const char* format, ...) {
  char buffer[1024];
  va_list args;
  va_start(args, format);
  const int n = std::vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  if (n > 0) log_write({buffer, std::min<size_t>(static_cast<size_t>(n), sizeof buffer - 1)});
}
}  // namespace doppel
