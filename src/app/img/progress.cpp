#include "app/img/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "app/img/arguments.h"

namespace doppel::app::img {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(100), kPatience = std::chrono::milliseconds(500);
constexpr size_t kBar = 30;

}  // namespace

Progress::Style Progress::style(const Arguments& a) {
  if (a.has("json")) return Style::Json;
  if (a.quiet()) return Style::None;
  if (a.has("p")) return Style::Percent;
  return !is_qemu_img() && isatty(STDERR_FILENO) != 0 ? Style::Bar : Style::None;
}

Progress::Progress(Style style, u64 total) : style_(style), total_(total), start_(Clock::now()), shown_(start_) {
  if (style_ == Style::Percent || style_ == Style::Json) show();
}

Progress::~Progress() {
  if (style_ == Style::Percent) std::puts("");
  if (style_ == Style::Bar && shown_ != start_) std::fputs("\n", stderr);
}

void Progress::add(u64 bytes) {
  const std::lock_guard hold(lock_);
  done_ += bytes;
  const auto now = Clock::now();
  if (style_ == Style::None || now - shown_ < kInterval) return;
  if (style_ == Style::Bar && now - start_ < kPatience) return;  // short work shows nothing
  shown_ = now;
  show();
}

void Progress::finish() {
  const std::lock_guard hold(lock_);
  done_ = total_;
  finished_ = true;
  if (style_ != Style::None && (style_ != Style::Bar || shown_ != start_)) show();
}

void Progress::show() {
  const double part =
      total_ == 0 ? (finished_ ? 1 : 0) : std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  if (style_ == Style::Percent) {
    std::printf("    (%3.2f/100%%)\r", part * 100);
    std::fflush(stdout);
    return;
  }
  if (style_ == Style::Json) {
    std::printf("{\"done\": %llu, \"total\": %llu, \"percent\": %.2f}\n", static_cast<unsigned long long>(done_),
                static_cast<unsigned long long>(total_), part * 100);
    std::fflush(stdout);
    return;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double left = part > 0 ? seconds / part - seconds : 0;
  const auto filled = static_cast<size_t>(part * kBar);
  const std::string bar = std::string(filled, '#') + std::string(kBar - filled, '.');
  std::fprintf(stderr, "\r[%s] %3.0f%%  %s of %s  %d:%02d left ", bar.c_str(), part * 100, human_size(done_).c_str(),
               human_size(total_).c_str(), static_cast<int>(left) / 60, static_cast<int>(left) % 60);
  std::fflush(stderr);
}

}  // namespace doppel::app::img
