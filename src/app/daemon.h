// -daemonize and -pidfile. The process that was started waits until the machine is there and every socket listens, or
// until the other one has failed and said why.
#pragma once
#include <string>

#include "base/result.h"

namespace doppel::app {

class Daemon {
 public:
  // Forks: to be called before any thread is made. In the parent, the result is the status to exit with; in the child
  // (a session of its own) and without a fork it is -1.
  Result<int> detach();
  // In the child: the parent goes; standard input and output, and the folder, are given up.
  void ready();

 private:
  int pipe_ = -1;
};

// The process id in a file, which is locked as long as the process lives and removed with this object.
class PidFile {
 public:
  ~PidFile();
  // Errors: another process holds it; it can't be written.
  Status write(const std::string& path);

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace doppel::app
