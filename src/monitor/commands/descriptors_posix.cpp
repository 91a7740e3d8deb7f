#include <unistd.h>

#include "monitor/commands/descriptors.h"

namespace doppel::monitor {

void Descriptors::arrived(int fd) {
  const std::lock_guard guard(lock_);
  arrived_.push_back(fd);
  if (arrived_.size() > 64) {  // nobody asks for them
    ::close(arrived_.front());
    arrived_.pop_front();
  }
}

std::optional<int> Descriptors::next() {
  const std::lock_guard guard(lock_);
  if (arrived_.empty()) return std::nullopt;
  const int fd = arrived_.front();
  arrived_.pop_front();
  return fd;
}

void Descriptors::name(const std::string& name, int fd) {
  const std::lock_guard guard(lock_);
  const auto [it, fresh] = named_.emplace(name, fd);
  if (fresh) return;
  ::close(it->second);
  it->second = fd;
}

std::optional<int> Descriptors::take(const std::string& name) {
  const std::lock_guard guard(lock_);
  const auto it = named_.find(name);
  if (it == named_.end()) return std::nullopt;
  const int fd = it->second;
  named_.erase(it);
  return fd;
}

bool Descriptors::close(const std::string& name) {
  const auto fd = take(name);
  if (fd) ::close(*fd);
  return fd.has_value();
}

void Descriptors::forget() {
  const std::lock_guard guard(lock_);
  for (const int fd : arrived_) ::close(fd);
  for (const auto& [name, fd] : named_) ::close(fd);
  arrived_.clear();
  named_.clear();
}

}  // namespace doppel::monitor
