// What the command line says of a back end: keys and values in order (hostfwd and others may come more than once), and
// the small parsers that back ends share. Errors name the key.
#pragma once
#include <netinet/in.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::net {

using Properties = std::vector<std::pair<std::string, std::string>>;

std::string property(const Properties& p, std::string_view key, std::string otherwise = {});
bool has_property(const Properties& p, std::string_view key);
// Error for a key that is not in `known` ("type" and "id" always are).
Status check_keys(const Properties& p, const std::string& type, std::span<const char* const> known);
Result<bool> parse_on_off(std::string_view key, const std::string& value);
Result<u16> parse_port(std::string_view what, const std::string& text);
Result<in_addr> parse_ipv4(std::string_view what, const std::string& text);
Result<in6_addr> parse_ipv6(std::string_view what, const std::string& text);
std::string ipv4_text(in_addr a);

// HOST:PORT as sockets have it; an empty host is the loopback address.
struct HostPort {
  std::string host;
  u16 port = 0;
};
Result<HostPort> parse_host_port(std::string_view what, const std::string& text);

// [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT. An empty host address is loopback (write 0.0.0.0 for all), an
// empty guest address the first one that DHCP gives out.
struct Forward {
  bool udp = false;
  in_addr host{}, guest{};
  u16 host_port = 0, guest_port = 0;
  std::string text() const;
};
Result<Forward> parse_forward(const std::string& text, bool with_guest = true);

}  // namespace doppel::net
