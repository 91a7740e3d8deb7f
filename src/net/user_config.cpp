// The properties of `-netdev user`, as QEMU has them: 10.0.2.0/24 with the gateway at .2, DNS at .3, DHCP from .15.
#include <algorithm>

#include "net/user_nat.h"

namespace doppel::net {
namespace {

constexpr const char* kKeys[] = {"ipv4",      "ipv6",    "net",       "host",       "restrict",    "hostname",
                                 "dhcpstart", "dns",     "dnssearch", "domainname", "tftp",        "tftp-server-name",
                                 "bootfile",  "hostfwd", "guestfwd",  "ipv6-net",   "ipv6-prefix", "ipv6-prefixlen",
                                 "ipv6-host", "ipv6-dns"};
constexpr u32 kHost = 2, kDns = 3, kDhcpStart = 15;

// "10.0.2.0/24", "10.0.2.0/255.255.255.0", "10.0.2.0"
Status parse_network(const std::string& text, UserConfig& c) {
  const size_t slash = text.find('/');
  auto network = parse_ipv4("net", text.substr(0, slash));
  if (!network) return network.error();
  u32 mask = 0xffffff00;
  if (slash != std::string::npos) {
    const std::string length = text.substr(slash + 1);
    if (length.find('.') != std::string::npos) {
      auto m = parse_ipv4("net", length);
      if (!m) return m.error();
      mask = ntohl(m->s_addr);
    } else {
      char* end = nullptr;
      const unsigned long bits = std::strtoul(length.c_str(), &end, 10);
      if (length.empty() || *end != 0 || bits < 4 || bits > 30)
        return Error{"net: '" + text + "' has no useful length", "write it as 10.0.2.0/24"};
      mask = ~u32{0} << (32 - bits);
    }
  }
  c.mask.s_addr = htonl(mask);
  c.network.s_addr = network->s_addr & c.mask.s_addr;
  return success();
}

Status parse_ipv4_part(const Properties& p, UserConfig& c) {
  if (Status s = parse_network(property(p, "net", "10.0.2.0/24"), c); !s) return s;
  const struct {
    const char* key;
    in_addr& address;
    u32 number;
  } rows[] = {{"host", c.host, kHost}, {"dns", c.dns, kDns}, {"dhcpstart", c.dhcp_start, kDhcpStart}};
  for (const auto& row : rows) {
    row.address.s_addr = c.network.s_addr | (htonl(row.number) & ~c.mask.s_addr);
    if (!has_property(p, row.key)) continue;
    auto a = parse_ipv4(row.key, property(p, row.key));
    if (!a) return a.error();
    if ((a->s_addr & c.mask.s_addr) != c.network.s_addr)
      return Error{std::string(row.key) + "=" + ipv4_text(*a) + " is not in the network " + ipv4_text(c.network),
                   "change it, or net="};
    row.address = *a;
  }
  if (c.host.s_addr == c.dns.s_addr) return Error{"dns and host are the same address", "leave one of them out"};
  return success();
}

Status parse_ipv6_part(const Properties& p, UserConfig& c) {
  std::string prefix = property(p, "ipv6-net", property(p, "ipv6-prefix", "fec0::"));
  std::string length = property(p, "ipv6-prefixlen", "64");
  if (const size_t slash = prefix.find('/'); slash != std::string::npos) {
    length = prefix.substr(slash + 1);
    prefix.resize(slash);
  }
  auto n = parse_ipv6("ipv6-net", prefix);
  if (!n) return n.error();
  c.prefix6 = *n;
  char* end = nullptr;
  const unsigned long bits = std::strtoul(length.c_str(), &end, 10);
  if (length.empty() || *end != 0 || bits < 1 || bits > 126)
    return Error{"ipv6-prefixlen=" + length + " is not a number from 1 to 126", ""};
  c.prefix6_length = static_cast<u8>(bits);
  const struct {
    const char* key;
    in6_addr& address;
    u8 number;
  } rows[] = {{"ipv6-host", c.host6, kHost}, {"ipv6-dns", c.dns6, kDns}};
  for (const auto& row : rows) {
    row.address = c.prefix6;
    row.address.s6_addr[15] |= row.number;
    if (!has_property(p, row.key)) continue;
    auto a = parse_ipv6(row.key, property(p, row.key));
    if (!a) return a.error();
    row.address = *a;
  }
  return success();
}

}  // namespace

Result<UserConfig> parse_user(const Properties& p) {
  if (has_property(p, "smb")) return Error{"smb= is not built", "use tftp=, or guestfwd= to a server of yours"};
  if (Status s = check_keys(p, "user", kKeys); !s) return s.error();
  UserConfig c;
  const struct {
    const char* key;
    bool& value;
  } switches[] = {{"restrict", c.restricted}, {"ipv4", c.ipv4}, {"ipv6", c.ipv6}};
  for (const auto& row : switches) {
    if (!has_property(p, row.key)) continue;
    auto on = parse_on_off(row.key, property(p, row.key));
    if (!on) return on.error();
    row.value = *on;
  }
  if (has_property(p, "ipv4") && c.ipv4 && !has_property(p, "ipv6")) c.ipv6 = false;  // the one that is asked for
  if (has_property(p, "ipv6") && c.ipv6 && !has_property(p, "ipv4")) c.ipv4 = false;
  if (!c.ipv4 && !c.ipv6) return Error{"neither ipv4 nor ipv6 is on", "leave one of them out"};
  if (Status s = parse_ipv4_part(p, c); !s) return s.error();
  if (Status s = parse_ipv6_part(p, c); !s) return s.error();
  c.hostname = property(p, "hostname");
  c.domain = property(p, "domainname");
  c.tftp = property(p, "tftp");
  c.tftp_server = property(p, "tftp-server-name");
  c.bootfile = property(p, "bootfile");
  for (const auto& [key, value] : p) {
    if (key == "dnssearch") c.dns_search.push_back(value);
    if (key == "guestfwd") c.guest_forwards.push_back(value);
    if (key != "hostfwd") continue;
    auto f = parse_forward(value);
    if (!f) return f.error();
    c.forwards.push_back(*f);
  }
  return c;
}

}  // namespace doppel::net
