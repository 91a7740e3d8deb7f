#include "net/properties.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <span>

#include "base/nearest.h"

namespace doppel::net {

std::string property(const Properties& p, std::string_view key, std::string otherwise) {
  for (const auto& [k, v] : p) {
    if (k == key) otherwise = v;  // the last one counts
  }
  return otherwise;
}

bool has_property(const Properties& p, std::string_view key) {
  return std::any_of(p.begin(), p.end(), [&](const auto& kv) { return kv.first == key; });
}

Status check_keys(const Properties& p, const std::string& type, std::span<const char* const> known) {
  for (const auto& [key, value] : p) {
    if (key == "type" || key == "id") continue;
    const std::string& k = key;
    if (std::any_of(known.begin(), known.end(), [&](const char* name) { return k == name; })) continue;
    std::string all;
    for (const char* name : known) all += (all.empty() ? "" : ", ") + std::string(name);
    const std::string near = nearest(key, {known.begin(), known.end()});
    return Error{"the network back end '" + type + "' has no property '" + key + "'",
                 !near.empty() ? "did you mean '" + near + "'?"
                 : all.empty() ? "it has none"
                               : "it has: " + all};
  }
  return success();
}

Result<bool> parse_on_off(std::string_view key, const std::string& value) {
  if (value == "on" || value == "yes" || value == "y" || value == "true") return true;
  if (value == "off" || value == "no" || value == "n" || value == "false") return false;
  return Error{std::string(key) + "=" + value + " is neither on nor off", ""};
}

Result<u16> parse_port(std::string_view what, const std::string& text) {
  char* end = nullptr;
  const unsigned long v = std::strtoul(text.c_str(), &end, 10);
  if (text.empty() || *end != 0 || text[0] == '-' || v > 65535)
    return Error{std::string(what) + ": '" + text + "' is no port number", "write a number from 0 to 65535"};
  return static_cast<u16>(v);
}

Result<in_addr> parse_ipv4(std::string_view what, const std::string& text) {
  in_addr a{};
  if (inet_pton(AF_INET, text.c_str(), &a) != 1)
    return Error{std::string(what) + ": '" + text + "' is no IPv4 address", "write it as 10.0.2.2"};
  return a;
}

Result<in6_addr> parse_ipv6(std::string_view what, const std::string& text) {
  in6_addr a{};
  if (inet_pton(AF_INET6, text.c_str(), &a) != 1)
    return Error{std::string(what) + ": '" + text + "' is no IPv6 address", "write it as fec0::2"};
  return a;
}

std::string ipv4_text(in_addr a) {
  char text[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &a, text, sizeof text);
  return text;
}

Result<HostPort> parse_host_port(std::string_view what, const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return Error{std::string(what) + ": '" + text + "' has no port", "write HOST:PORT"};
  auto port = parse_port(what, text.substr(colon + 1));
  if (!port) return port.error();
  return HostPort{text.substr(0, colon), *port};
}

std::string Forward::text() const {
  return std::string(udp ? "udp:" : "tcp:") + ipv4_text(host) + ":" + std::to_string(host_port) + "-" +
         (guest.s_addr ? ipv4_text(guest) : "") + ":" + std::to_string(guest_port);
}

Result<Forward> parse_forward(const std::string& text, bool with_guest) {
  const Error bad{"'" + text + "' is no port forwarding rule",
                  with_guest ? "write tcp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT, such as tcp::2222-:22"
                             : "write tcp:[HOSTADDR]:HOSTPORT, such as tcp::2222"};
  Forward f;
  std::string rest = text;
  if (const size_t colon = rest.find(':'); colon != std::string::npos && rest.find('.') > colon) {
    const std::string protocol = rest.substr(0, colon);
    if (protocol != "tcp" && protocol != "udp" && !protocol.empty()) return bad;
    f.udp = protocol == "udp";
    rest.erase(0, colon + 1);
  }
  const auto side = [&](const std::string& part, in_addr& address, u16& port, u32 otherwise) -> Status {
    const size_t colon = part.find(':');
    if (colon == std::string::npos) return bad;
    address.s_addr = otherwise;
    if (colon != 0) {
      auto a = parse_ipv4("hostfwd", part.substr(0, colon));
      if (!a) return a.error();
      address = *a;
    }
    auto p = parse_port("hostfwd", part.substr(colon + 1));
    if (!p) return p.error();
    port = *p;
    return success();
  };
  const size_t dash = rest.find('-');
  if ((dash != std::string::npos) != with_guest) return bad;
  if (Status s = side(rest.substr(0, dash), f.host, f.host_port, htonl(INADDR_LOOPBACK)); !s) return s.error();
  if (!with_guest) return f;
  if (Status s = side(rest.substr(dash + 1), f.guest, f.guest_port, 0); !s) return s.error();
  if (f.guest_port == 0) return bad;
  return f;
}

}  // namespace doppel::net
