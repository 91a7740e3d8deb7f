#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

#include "net/sockets.h"

namespace doppel::net {

Result<SocketAddress> inet_address(const std::string& host, u16 port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const std::string name = host.empty() ? "127.0.0.1" : host;
  const int failed = ::getaddrinfo(name.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (failed != 0 || list == nullptr)
    return Error{"can't resolve the host '" + name + "': " + ::gai_strerror(failed), "use an address"};
  SocketAddress a;
  std::memcpy(&a.storage, list->ai_addr, list->ai_addrlen);
  a.size = list->ai_addrlen;
  a.text = name + ":" + std::to_string(port);
  ::freeaddrinfo(list);
  return a;
}

Result<SocketAddress> unix_address(const std::string& path) {
  sockaddr_un u{};
  u.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof u.sun_path)
    return Error{"'" + path + "' is no path for a socket", "give 1 to 107 characters"};
  std::memcpy(u.sun_path, path.c_str(), path.size() + 1);
  SocketAddress a;
  std::memcpy(&a.storage, &u, sizeof u);
  a.size = sizeof u;
  a.text = path;
  return a;
}

Result<SocketAddress> address_property(const Properties& p, const std::string& prefix) {
  const std::string type = property(p, prefix + ".type", "inet");
  if (type == "unix") return unix_address(property(p, prefix + ".path"));
  if (type != "inet") return Error{prefix + ".type=" + type + " is not built", "use inet, unix or fd"};
  auto port = parse_port(prefix + ".port", property(p, prefix + ".port"));
  if (!port) return port.error();
  return inet_address(property(p, prefix + ".host"), *port);
}

}  // namespace doppel::net
