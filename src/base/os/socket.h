// Blocking stream sockets for small servers (gdbstub): listen, accept, read with a wake-up, write.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::os {

class Listener {
 public:
  virtual ~Listener() = default;
  // Waits for a client; null after wake(). The returned connection shares the wake-up.
  virtual std::unique_ptr<class Connection> accept() = 0;
  virtual void wake() = 0;       // any thread: accept and read return
  virtual u16 port() const = 0;  // of TCP
  // In the child of a fork, which the listener is not for: nothing else may be called then.
  virtual void close_descriptors() = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;
  enum class Got { Data, Woken, Closed };
  // At least one byte, a wake-up, or the end.
  virtual Got read(std::span<u8> out, size_t& size) = 0;
  virtual bool write(std::span<const u8> data) = 0;
  virtual void close_descriptors() = 0;  // as of the listener
};

// Descriptors have high numbers and go with an execve: a single program's own have the low ones.
// TCP on `host` (empty: loopback... all names of it) and port (0: any), or a unix socket by path. The error names the
// holder of a taken port when the host tells.
Result<std::unique_ptr<Listener>> listen_tcp(const std::string& host, u16 port);
Result<std::unique_ptr<Listener>> listen_unix(const std::string& path);

}  // namespace doppel::os
