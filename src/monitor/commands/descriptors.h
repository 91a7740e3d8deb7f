// File descriptors that a client has passed: those that arrived and wait for getfd or add-fd, and those with a name.
// Closed with the client, but for what was taken.
#pragma once
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace doppel::monitor {

class Descriptors {
 public:
  ~Descriptors() { forget(); }
  void arrived(int fd);                        // I/O thread
  std::optional<int> next();                   // the oldest that arrived
  void name(const std::string& name, int fd);  // an older one of that name is closed
  std::optional<int> take(const std::string& name);
  bool close(const std::string& name);
  void forget();  // the client is gone

 private:
  std::mutex lock_;
  std::deque<int> arrived_;
  std::map<std::string, int> named_;
};

}  // namespace doppel::monitor
