// Source: the Linux kernel's Documentation/networking/tuntap.rst. A frame of the queue is preceded by the header of
// virtio's network device (Virtual I/O Device Specification 1.1, 5.1.6), 10 bytes, which says what is left to do.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "net/tap.h"

namespace doppel::net {
namespace {

struct VirtioHeader {
  u8 flags = 0, type = 0;
  u16 header_size = 0, segment_size = 0, checksum_start = 0, checksum_offset = 0;
};
static_assert(sizeof(VirtioHeader) == 10);
enum : u8 { kNeedsChecksum = 1, kDataValid = 2 };
enum : u8 { kNone = 0, kTcp4 = 1, kUdp = 3, kTcp6 = 4, kEcn = 0x80 };

class Tap final : public Backend {
 public:
  Tap(std::string id, Loop& loop, int fd, std::string name, std::string down)
      : Backend(std::move(id), loop), fd_(fd), name_(std::move(name)), down_(std::move(down)) {}
  ~Tap() override {
    loop().remove(*this);
    ::close(fd_);
    if (!down_.empty()) run_script(down_, name_);
  }
  std::string info() const override { return "type=tap,ifname=" + name_; }
  bool takes_offload() const override { return true; }
  void before_wait(PollSet& set) override { index_ = can_deliver() ? set.add(fd_, POLLIN) : 0; }
  void after_wait(const PollSet& set) override {
    if (index_ == 0 || set.ready(index_) == 0) return;
    for (int i = 0; i < 64 && can_deliver(); i++) {
      if (!read_one()) return;
    }
  }
  static int run_script(const std::string& script, const std::string& name) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execl(script.c_str(), script.c_str(), name.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    int status = -1;
    if (pid < 0 || ::waitpid(pid, &status, 0) < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 protected:
  void transmit(Packet&& p) override {
    VirtioHeader h;
    const Offload& o = p.offload;
    if (o.needs_checksum) {
      h.flags = kNeedsChecksum;
      h.checksum_start = o.checksum_start;
      h.checksum_offset = o.checksum_offset;
    }
    if (o.segmentation == Segmentation::Tcp4 || o.segmentation == Segmentation::Tcp6) {
      h.type = o.segmentation == Segmentation::Tcp4 ? kTcp4 : kTcp6;
      h.header_size = o.header_size;
      h.segment_size = o.segment_size;
    }
    iovec parts[2] = {{&h, sizeof h}, {p.data.data(), p.data.size()}};
    if (::writev(fd_, parts, 2) < 0) return;  // the interface is down: the frame is lost, as on a cable
  }

 private:
  bool read_one() {
    VirtioHeader h;
    std::vector<u8> buffer(kMaxPacket);
    iovec parts[2] = {{&h, sizeof h}, {buffer.data(), buffer.size()}};
    const ssize_t n = ::readv(fd_, parts, 2);
    if (n < static_cast<ssize_t>(sizeof h + kEthernetHeader)) return n > 0;
    buffer.resize(static_cast<size_t>(n) - sizeof h);
    Packet p(std::move(buffer));
    p.offload.needs_checksum = (h.flags & kNeedsChecksum) != 0;
    p.offload.checksum_valid = (h.flags & (kNeedsChecksum | kDataValid)) != 0;
    p.offload.checksum_start = h.checksum_start;
    p.offload.checksum_offset = h.checksum_offset;
    p.offload.header_size = h.header_size;
    p.offload.segment_size = h.segment_size;
    const u8 type = h.type & static_cast<u8>(~kEcn);
    if (type == kTcp4) p.offload.segmentation = Segmentation::Tcp4;
    if (type == kTcp6) p.offload.segmentation = Segmentation::Tcp6;
    deliver(std::move(p));
    return true;
  }
  int fd_;
  std::string name_, down_;
  size_t index_ = 0;
};

Result<int> open_interface(std::string& name) {
  if (name.size() >= IFNAMSIZ)
    return Error{"ifname=" + name + " is too long for an interface", "give at most 15 characters"};
  const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return Error{"can't open /dev/net/tun: " + std::string(std::strerror(errno)),
                 "tap needs the kernel's tun module and the right to use it; -netdev user needs neither"};
  ifreq r{};
  r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  std::strncpy(r.ifr_name, name.empty() ? "tap%d" : name.c_str(), IFNAMSIZ - 1);
  if (::ioctl(fd, TUNSETIFF, &r) != 0) {
    const int error = errno;
    ::close(fd);
    return Error{
        "can't use the interface '" + (name.empty() ? "tap%d" : name) + "': " + std::strerror(error),
        error == EPERM ? "make it with ip tuntap add mode tap user $USER, or run as root" : "choose another ifname="};
  }
  name = r.ifr_name;
  return fd;
}

}  // namespace

Result<std::shared_ptr<Backend>> make_tap(std::string id, Loop& loop, const Properties& p) {
  static constexpr const char* kKeys[] = {"ifname", "script", "downscript", "fd", "vhost", "sndbuf", "queues"};
  if (Status s = check_keys(p, "tap", kKeys); !s) return s.error();
  std::string name = property(p, "ifname");
  int fd = -1;
  if (has_property(p, "fd")) {
    fd = std::atoi(property(p, "fd").c_str());
    ifreq r{};
    if (::ioctl(fd, TUNGETIFF, &r) != 0)
      return Error{"fd=" + property(p, "fd") + " is no tap interface", "give an open descriptor of /dev/net/tun"};
    name = r.ifr_name;
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
  } else {
    auto opened = open_interface(name);
    if (!opened) return opened.error();
    fd = *opened;
  }
  int header = sizeof(VirtioHeader);
  ::ioctl(fd, TUNSETVNETHDRSZ, &header);
  ::ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
  const std::string up = property(p, "script", "no"), down = property(p, "downscript", "no");
  if (up != "no" && !up.empty() && Tap::run_script(up, name) != 0) {
    ::close(fd);
    return Error{"the script " + up + " failed for the interface " + name, "run it by hand, or use script=no"};
  }
  auto tap = std::make_shared<Tap>(std::move(id), loop, fd, name, down == "no" ? "" : down);
  loop.add(*tap);
  return std::shared_ptr<Backend>(std::move(tap));
}

}  // namespace doppel::net
