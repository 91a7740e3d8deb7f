// Work on the machine's memory as it is now, while the machine goes on: by a copy of the process (fork), whose memory
// the host copies page by page as either of the two writes.
#pragma once
#include <functional>
#include <string>

#include "base/result.h"

namespace doppel::migration {

// Runs `work` in a copy of the process: no other thread is there, no descriptor but those it opens, and what it changes
// nobody sees but in files. The copy holds `lock_file` until it is done, and leaves an error's text there. False: the
// process can't be copied (in a sandbox, say), and nothing was done.
bool run_in_copy(const std::string& lock_file, const std::function<Status()>& work);

// Until the copy that holds `lock_file` is done; its error. Without such a file there is nothing to wait for. `busy` is
// called when it takes time.
Status wait_for_copy(const std::string& lock_file, const std::function<void()>& busy);

}  // namespace doppel::migration
