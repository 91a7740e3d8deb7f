// Factory: makes character devices from what the command line says and owns the I/O thread that serves them.
// Specs: "null", "file:PATH", "pipe:PATH", "pty", "ringbuf[:SIZE]", "stdio", "mon:stdio" (any spec after "mon:"),
// "tcp:HOST:PORT[,server=on|off][,wait=on|off][,nodelay=on][,reconnect=N]", "unix:PATH[,server=..]",
// "telnet:HOST:PORT,...", "chardev:ID", "vc" (a ring buffer until there are text consoles), "none" (no device: a null
// pointer). Options form: create("socket,id=a,path=/x,server=on,wait=off"). Threads: main thread before and after the
// machine runs; then the monitors', one at a time.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "chardev/chardev.h"
#include "chardev/mux.h"

namespace doppel::chardev {

class IoLoop;

class Factory {
 public:
  explicit Factory(Mux::Hooks hooks = {});
  ~Factory();  // flushes what can be written, restores the terminal, ends the I/O thread
  // `id`: the name for find(); may be empty. "mon:..." makes a mux with its first front end; further ones from
  // find_mux.
  Result<std::shared_ptr<Chardev>> open(std::string_view spec, const std::string& id = {});
  // "-chardev BACKEND,id=ID,key=value,..." with mux=on|off, logfile=.
  Result<std::shared_ptr<Chardev>> create(std::string_view options);
  std::shared_ptr<Chardev> find(const std::string& id) const;
  // Errors: there is none, or something uses it.
  Status remove(const std::string& id);
  // The mux behind a front end made by open or create; null if it has none.
  std::shared_ptr<Mux> find_mux(const std::shared_ptr<Chardev>& front) const;
  // The mux that owns the terminal, made on demand, so that serial and monitor share it (-nographic, -serial
  // mon:stdio).
  Result<std::shared_ptr<Mux>> stdio_mux();
  const std::map<std::string, std::shared_ptr<Chardev>>& all() const { return by_id_; }
  IoLoop& loop() { return *loop_; }

 private:
  struct Options;
  Result<std::shared_ptr<Chardev>> make(const Options& options);
  Result<std::shared_ptr<Chardev>> wrap(std::shared_ptr<Chardev> device, const Options& options);
  std::shared_ptr<IoLoop> loop_;
  Mux::Hooks hooks_;
  std::map<std::string, std::shared_ptr<Chardev>> by_id_;
  std::vector<std::pair<std::weak_ptr<Chardev>, std::shared_ptr<Mux>>> muxes_;
  std::shared_ptr<Chardev> stdio_;
  std::shared_ptr<Mux> stdio_mux_;
};

}  // namespace doppel::chardev
