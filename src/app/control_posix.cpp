#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/control.h"
#include "base/os/files.h"

namespace doppel::app {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string runtime_folder() {
  const char* given = std::getenv("XDG_RUNTIME_DIR");
  if (given != nullptr && *given == '/' && ::access(given, W_OK) == 0) return std::string(given) + "/doppel";
  return "/tmp/doppel-" + std::to_string(::getuid());
}

// Nobody else may have put something there.
Status make_folder(const std::string& folder) {
  ::mkdir(folder.c_str(), 0700);
  struct stat facts {};
  if (::lstat(folder.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode) || facts.st_uid != ::getuid() ||
      (facts.st_mode & 077) != 0)
    return Error{"'" + folder + "' is not this user's own folder", "remove it, or set XDG_RUNTIME_DIR"};
  return success();
}

class Entry final : public VmEntry {
 public:
  explicit Entry(RunningVm vm) : vm_(std::move(vm)) {}
  ~Entry() override {
    ::unlink(vm_.socket.c_str());
    ::unlink(file().c_str());
  }
  Status write() const {
    const Json j = {
        {"pid", vm_.pid}, {"file", vm_.file}, {"name", vm_.name}, {"folder", vm_.folder}, {"socket", vm_.socket}};
    return os::write_durably(file(), j.dump() + "\n");
  }
  const RunningVm& vm() const override { return vm_; }

 private:
  std::string file() const { return runtime_folder() + "/" + std::to_string(vm_.pid) + ".json"; }
  RunningVm vm_;
};

std::optional<RunningVm> read_entry(const fs::path& path) {
  const Json j = Json::parse(os::read_text(path.string()), nullptr, false);
  if (!j.is_object()) return std::nullopt;
  const auto text = [&](const char* key) {
    return j.contains(key) && j[key].is_string() ? j[key].get<std::string>() : "";
  };
  RunningVm vm{.pid = j.value("pid", Json(0)).is_number_integer() ? j["pid"].get<long>() : 0,
               .file = text("file"),
               .name = text("name"),
               .folder = text("folder"),
               .socket = text("socket")};
  const bool alive = vm.pid > 0 && (::kill(static_cast<pid_t>(vm.pid), 0) == 0 || errno == EPERM);
  if (alive && fs::exists(vm.socket)) return vm;
  if (!alive) {  // it was killed
    ::unlink(vm.socket.c_str());
    ::unlink(path.c_str());
  }
  return std::nullopt;
}

std::string whole(const std::string& path) {
  std::error_code ec;
  return fs::weakly_canonical(path, ec).string();
}

// A line-wise client.
class Client {
 public:
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }
  Status connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0 || path.size() >= sizeof address.sun_path) return Error{"can't reach the machine at " + path, ""};
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    // SAFETY: the address's own type is sockaddr_un.
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return Error{"can't reach the machine at " + path + ": " + std::strerror(errno), "is it still starting?"};
    return success();
  }
  bool send(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = ::send(fd_, text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<size_t>(n);
    }
    return true;
  }
  // The next object that is no event.
  std::optional<Json> answer() {
    for (;;) {
      const size_t end = buffer_.find('\n');
      if (end == std::string::npos) {
        char part[65536];
        const ssize_t n = ::read(fd_, part, sizeof part);
        if (n <= 0) return std::nullopt;
        buffer_.append(part, static_cast<size_t>(n));
        continue;
      }
      Json j = Json::parse(buffer_.substr(0, end), nullptr, false);
      buffer_.erase(0, end + 1);
      if (j.is_object() && !j.contains("event")) return j;
    }
  }

 private:
  int fd_ = -1;
  std::string buffer_;
};

}  // namespace

Result<std::unique_ptr<VmEntry>> announce(const std::string& file, const std::string& name, const std::string& folder) {
  const std::string place = runtime_folder();
  if (Status s = make_folder(place); !s) return s.error();
  const long pid = ::getpid();
  auto entry = std::make_unique<Entry>(RunningVm{.pid = pid,
                                                 .file = whole(file),
                                                 .name = name,
                                                 .folder = folder,
                                                 .socket = place + "/" + std::to_string(pid) + ".qmp"});
  if (Status s = entry->write(); !s) return s.error();
  return std::unique_ptr<VmEntry>(std::move(entry));
}

std::vector<RunningVm> running_vms() {
  std::vector<RunningVm> out;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(runtime_folder(), ec)) {
    if (e.path().extension() != ".json") continue;
    if (auto vm = read_entry(e.path())) out.push_back(std::move(*vm));
  }
  return out;
}

Result<std::optional<RunningVm>> find_running(const std::string& vm) {
  std::optional<RunningVm> found;
  const std::string path = whole(vm);
  for (RunningVm& r : running_vms()) {
    const bool same = r.file == path || (!r.name.empty() && r.name == vm) || fs::path(r.file).stem() == vm ||
                      std::to_string(r.pid) == vm;
    if (!same) continue;
    if (found)
      return Error{"several machines are called '" + vm + "': processes " + std::to_string(found->pid) + " and " +
                       std::to_string(r.pid),
                   "give the number of the process"};
    found = std::move(r);
  }
  return found;
}

Result<std::string> ask(const RunningVm& vm, const std::string& command,
                        const std::vector<ControlArgument>& arguments) {
  Client client;
  if (Status s = client.connect(vm.socket); !s) return s.error();
  Json request = {{"execute", command}, {"arguments", Json::object()}};
  for (const ControlArgument& a : arguments)
    request["arguments"][a.name] = a.is_switch ? Json(a.text == "on") : Json(a.text);
  const Error lost{"the machine (process " + std::to_string(vm.pid) + ") ended meanwhile", ""};
  if (!client.answer() || !client.send("{\"execute\": \"qmp_capabilities\"}\n") || !client.answer()) return lost;
  if (!client.send(request.dump() + "\n")) return lost;
  const auto answer = client.answer();
  if (!answer) return lost;
  if (answer->contains("error")) return Error{(*answer)["error"].value("desc", "the machine has refused"), ""};
  const auto value = answer->find("return");
  return value != answer->end() && value->is_string() ? value->get<std::string>() : std::string();
}

Status control(const RunningVm& vm, const std::string& command, const std::vector<ControlArgument>& arguments) {
  auto answer = ask(vm, command, arguments);
  return answer ? success() : Status(answer.error());
}

}  // namespace doppel::app
