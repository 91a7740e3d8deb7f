// Network: all cables of a machine: back ends by id, hubs, and the ports that cards are plugged in with. Made from the
// command line before the machine, and changed and asked by the monitor while it runs. Threads: any, without the device
// lock.
#pragma once
#include <map>
#include <optional>

#include "net/dump.h"
#include "net/hub.h"
#include "net/nic_port.h"
#include "net/properties.h"

namespace doppel::net {

class UserNat;

class Network {
 public:
  struct Hooks {
    OpenChardev open_chardev;                     // for guestfwd
    std::function<void(const std::string&)> say;  // a line for the user
  };
  explicit Network(Hooks hooks) : hooks_(std::move(hooks)) {}
  ~Network();  // cards are gone by then

  // `-netdev`: type= and id= among the properties; an empty id is made up. The result is the id.
  Result<std::string> add_backend(const Properties& p);
  // A port for a card: plugged into the back end `netdev` (empty: into nothing). `mac` empty: the next of
  // 52:54:00:12:34:xx.
  Result<std::shared_ptr<NicPort>> add_nic(const std::string& model, const std::string& name, const std::string& mac,
                                           const std::string& netdev);
  // A port of hub `number` for a card (netdev empty) or around the back end `netdev`. The result is the port's id.
  Result<std::string> add_hub_port(int number, const std::string& id, const std::string& netdev);
  // `-object filter-dump`: id=, netdev=, file=, maxlen=
  Status add_dump(const Properties& p);
  bool remove_dump(const std::string& id);
  // The card is gone: its port too, and what it was plugged into is free. False: there is none of that name.
  bool remove_nic(const std::string& name);
  // A card that is plugged into it has no cable from then on. Errors: no such back end, or part of a hub.
  Status remove_backend(const std::string& id);
  std::vector<std::string> unused();  // back ends that nothing is plugged into
  std::optional<MacAddress> mac_of(const std::string& nic);

  std::string info();       // info network
  std::string user_info();  // info usernet
  Status set_link(const std::string& name, bool up);
  Status hostfwd_add(const std::string& id, const std::string& rule, std::string& said);
  Status hostfwd_remove(const std::string& id, const std::string& rule);
  static std::string backends_help();

 private:
  Result<std::shared_ptr<Backend>> make(const std::string& type, const std::string& id, const Properties& p);
  Result<UserNat*> find_user(const std::string& id);
  std::string free_name(const std::string& stem);
  MacAddress free_mac() const;
  Result<std::string> add_hub_port_locked(int number, const std::string& id, const std::string& netdev);
  std::vector<std::string> unused_locked() const;
  struct Dump {
    std::string id, netdev;
    std::shared_ptr<PacketDump> file;
  };
  Hooks hooks_;
  std::mutex lock_;  // guards what is below; taken before the network thread is waited for, never on it
  Loop loop_;
  std::map<std::string, std::shared_ptr<Backend>> backends_;
  std::map<int, std::shared_ptr<Hub>> hubs_;
  std::vector<std::shared_ptr<NicPort>> nics_;
  std::vector<Dump> dumps_;
  std::map<std::string, int> names_;
};

Result<MacAddress> parse_mac(const std::string& text);

}  // namespace doppel::net
