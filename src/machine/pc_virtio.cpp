#include "machine/pc_virtio.h"

#include <algorithm>
#include <cstdlib>

#include "hw/block/virtio_blk.h"
#include "hw/char/virtio_serial.h"
#include "hw/input/virtio_input.h"
#include "hw/misc/virtio_9p.h"
#include "hw/misc/virtio_balloon.h"
#include "hw/misc/virtio_rng.h"
#include "hw/net/virtio_net.h"

namespace doppel::machine {
namespace {

constexpr u32 kClassStorage = 0x010000, kClassEthernet = 0x020000, kClassOther = 0x00ff00, kClassSerial = 0x078000,
              kClassKeyboard = 0x090000, kClassMouse = 0x090200, kClassOtherInput = 0x098000;

struct Model {
  const char* name;
  const char* description;
  std::vector<std::string> properties;  // beside the common ones
};
std::vector<std::string> net_properties() {
  std::vector<std::string> all = {"netdev",        "mac",           "romfile",  "rombar", "bootindex", "mq",
                                  "rx_queue_size", "tx_queue_size", "host_mtu", "speed",  "duplex"};
  for (const std::string& name : hw::VirtioNet::feature_names()) all.push_back(name);
  return all;
}

const std::vector<Model>& models() {
  static const std::vector<Model> rows = {
      {"virtio-net", "virtio network card: netdev=, mac=, mq=, mrg_rxbuf=, bootindex=", net_properties()},
      {"virtio-blk",
       "virtio disk: drive=, num-queues=, serial=, bootindex=",
       {"drive", "num-queues", "queue-size", "serial", "bootindex", "discard", "write-zeroes", "config-wce",
        "write-cache", "werror", "rerror"}},
      {"virtio-scsi",
       "virtio SCSI adapter with a bus for scsi-hd and scsi-cd: num_queues=",
       {"num_queues", "virtqueue_size", "max_sectors", "cmd_per_lun"}},
      {"virtio-serial", "virtio console device with ports: max_ports=", {"max_ports"}},
      {"virtio-balloon",
       "virtio memory balloon: deflate-on-oom=, free-page-reporting=",
       {"deflate-on-oom", "free-page-reporting"}},
      {"virtio-9p", "virtio folder of the host: fsdev=, mount_tag=", {"fsdev", "mount_tag"}},
      {"virtio-keyboard", "virtio keyboard", {}},
      {"virtio-mouse", "virtio mouse", {}},
      {"virtio-tablet", "virtio tablet: a pointer without grab", {}},
      {"virtio-rng", "virtio random numbers: rng=, max-bytes=, period=", {"rng", "max-bytes", "period"}},
  };
  return rows;
}
const char* const kCommon[] = {"id",        "addr",          "bus",       "disable-legacy", "disable-modern", "vectors",
                               "event_idx", "indirect_desc", "ioeventfd", "packed",         "iommu_platform", "ats"};

const Model* find_model(const std::string& name) {
  for (const Model& m : models()) {
    if (name == m.name) return &m;
  }
  return nullptr;
}

u16 default_queues(const VirtioContext& context) { return static_cast<u16>(std::min<u32>(context.config.cpus, 64)); }

// Among the objects. Cards that come later have their names written into the configuration.
std::string card_path(const MachineConfig& config, const std::string& name) {
  const bool given = std::any_of(config.devices.begin(), config.devices.end(),
                                 [&](const DeviceConfig& d) { return PropertyReader(d).text("id") == name; });
  return (given ? "/machine/peripheral/" : "/machine/unattached/") + name;
}

bool strip(std::string& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.resize(text.size() - end.size());
  return true;
}
}  // namespace

std::optional<VirtioName> virtio_name(const std::string& driver) {
  VirtioName n{.model = driver};
  if (strip(n.model, "-pci-non-transitional"))
    n.legacy = false;
  else if (!strip(n.model, "-pci-transitional"))
    strip(n.model, "-pci");
  if (find_model(n.model) == nullptr) return std::nullopt;
  return n;
}

std::vector<std::string> virtio_names() {
  std::vector<std::string> names;
  for (const Model& m : models()) {
    for (const char* end : {"-pci", "-pci-transitional", "-pci-non-transitional"})
      names.push_back(std::string(m.name) + end);
  }
  names.insert(names.end(), {"virtconsole", "virtserialport"});
  return names;
}

bool is_virtio_port(const std::string& driver) { return driver == "virtconsole" || driver == "virtserialport"; }

std::vector<std::string> virtio_properties(const std::string& driver) {
  if (is_virtio_port(driver)) return {"chardev", "name", "nr", "bus", "id"};
  const auto name = virtio_name(driver);
  if (!name) return {};
  std::vector<std::string> all = find_model(name->model)->properties;
  all.insert(all.end(), std::begin(kCommon), std::end(kCommon));
  return all;
}

std::string virtio_help() {
  std::string text;
  for (const Model& m : models())
    text += std::string("name \"") + m.name + "-pci\", bus PCI, desc \"" + m.description + "\"\n";
  return text +
         "name \"virtconsole\", bus virtio-serial-bus, desc \"console on a virtio-serial: chardev=, nr=, bus=\"\n"
         "name \"virtserialport\", bus virtio-serial-bus, desc \"byte stream to the guest: chardev=, name=, nr=, "
         "bus=\"\n";
}

// --- properties

std::string PropertyReader::text(const std::string& key, const std::string& otherwise) const {
  const auto it = device_.properties.find(key);
  return it == device_.properties.end() ? otherwise : it->second;
}

void PropertyReader::fail(std::string cause, std::string fix) {
  if (!error_) error_ = Error{device_.driver + ": " + cause, std::move(fix)};
}

bool PropertyReader::is_on(const std::string& key, bool otherwise) {
  const std::string v = text(key, "auto");
  if (v == "auto") return otherwise;
  if (v == "on" || v == "yes" || v == "true" || v == "y") return true;
  if (v != "off" && v != "no" && v != "false" && v != "n") fail(key + "=" + v + " is neither on nor off", "");
  return false;
}

u64 PropertyReader::number(const std::string& key, u64 otherwise, u64 low, u64 high) {
  const std::string v = text(key);
  if (v.empty()) return otherwise;
  char* end = nullptr;
  const u64 n = std::strtoull(v.c_str(), &end, 0);
  if (*end != 0 || v[0] == '-' || n < low || n > high)
    fail(key + "=" + v + " is not a number from " + std::to_string(low) + " to " + std::to_string(high), "");
  return n;
}

void PropertyReader::must_be_off(const std::string& key) {
  if (is_on(key, false)) fail(key + "=on is not built yet", "leave it out");
}

// --- devices

Result<std::unique_ptr<hw::VirtioPci>> on_pci(PropertyReader& p, std::unique_ptr<hw::VirtioDevice> device,
                                              u32 class_code, unsigned vectors, std::vector<u8> rom) {
  const VirtioName name = virtio_name(p.device().driver).value_or(VirtioName{});
  hw::VirtioPci::Params pci{.device = std::move(device), .class_code = class_code, .rom = std::move(rom)};
  const bool input = name.model == "virtio-keyboard" || name.model == "virtio-mouse" || name.model == "virtio-tablet";
  pci.legacy = !input && !p.is_on("disable-legacy", !name.legacy);
  pci.modern = !p.is_on("disable-modern", !name.modern);
  pci.vectors = static_cast<unsigned>(p.number("vectors", vectors, 0, hw::PciMsix::kMaxVectors));
  if (p.is_on("packed", false)) pci.device->offer(hw::virtio::kRingPacked);
  for (const char* key : {"iommu_platform", "ats"}) p.must_be_off(key);
  if (!pci.legacy && !pci.modern)
    p.fail("disable-legacy=on and disable-modern=on leave nothing", "leave out one of them");
  if (const std::string bus = p.text("bus", "pci.0"); bus != "pci.0")
    p.fail("there is no PCI bus '" + bus + "'", "the board has pci.0");
  if (p.error()) return *p.error();
  return std::make_unique<hw::VirtioPci>(std::move(pci));
}

Result<std::unique_ptr<hw::VirtioPci>> make_virtio_disk(const VirtioContext& context, const VirtioDisk& disk) {
  PropertyReader p(disk.device);
  hw::VirtioBlk::Params b{.node = disk.place.disk(), .clock = context.clock, .device_lock = context.device_lock};
  b.serial = p.text("serial", disk.place.serial);
  b.policy = disk.place.policy;
  b.queues = static_cast<u16>(p.number("num-queues", default_queues(context), 1, 256));
  b.queue_size = static_cast<u16>(p.number("queue-size", 256, 4, 1024));
  if (!std::has_single_bit(b.queue_size)) p.fail("queue-size must be a power of two", "256 is the default");
  b.event_idx = p.is_on("event_idx", true);
  b.indirect = p.is_on("indirect_desc", true);
  b.discard = p.is_on("discard", true);
  b.write_zeroes = p.is_on("write-zeroes", true);
  b.config_wce = p.is_on("config-wce", true);
  b.write_cache = p.is_on("write-cache", true);
  b.read_only = disk.place.node->read_only();
  b.synchronous = context.repeatable();
  if (b.serial.size() > 20) p.fail("serial= is longer than 20 characters", "shorten it");
  if (p.error()) return *p.error();
  const unsigned vectors = b.queues + 1u;
  return on_pci(p, std::make_unique<hw::VirtioBlk>(std::move(b)), kClassStorage, vectors);
}

Result<std::unique_ptr<hw::VirtioPci>> make_virtio_nic(const VirtioContext& context, const NicConfig& nic,
                                                       std::shared_ptr<net::NicPort> port, std::vector<u8> rom) {
  const DeviceConfig device{nic.model, nic.properties};
  PropertyReader p(device);
  hw::VirtioNet::Params n{.port = port, .clock = context.clock, .device_lock = context.device_lock};
  for (const std::string& name : hw::VirtioNet::feature_names()) {
    if (!p.is_on(name, true)) n.features &= ~hw::VirtioNet::feature_by_name(name);
  }
  // Every back end takes frames of any number of queues: as many pairs as there are CPUs to use them.
  if (p.is_on("mq", false)) n.queue_pairs = static_cast<u16>(std::min<u32>(context.config.cpus, 8));
  n.rx_size = static_cast<u16>(p.number("rx_queue_size", 256, 256, 1024));
  n.tx_size = static_cast<u16>(p.number("tx_queue_size", 256, 256, 1024));
  if (!std::has_single_bit(n.rx_size) || !std::has_single_bit(n.tx_size))
    p.fail("rx_queue_size and tx_queue_size must be powers of two", "256 is the default");
  n.mtu = static_cast<u16>(p.number("host_mtu", 0, 68, 65535));
  n.speed = static_cast<u32>(p.number("speed", ~u32{0}, 0, 0x7fffffff));
  const std::string duplex = p.text("duplex");
  if (!duplex.empty() && duplex != "full" && duplex != "half")
    p.fail("duplex=" + duplex + " is neither full nor half", "");
  if (!duplex.empty()) n.duplex = duplex == "full";
  n.event_idx = p.is_on("event_idx", true);
  n.indirect = p.is_on("indirect_desc", true);
  n.filter_changed = [&config = context.config, tell = context.tell, name = port->name()] {
    tell(
        {.kind = MachineEvent::Kind::FilterChanged, .name = name, .path = card_path(config, name) + "/virtio-backend"});
  };
  if (p.error()) return *p.error();
  const unsigned vectors = 2u * n.queue_pairs + 2;
  return on_pci(p, std::make_unique<hw::VirtioNet>(std::move(n)), kClassEthernet, vectors, std::move(rom));
}

namespace {
Result<std::unique_ptr<hw::VirtioPci>> make_rng(const VirtioContext& context, PropertyReader& p) {
  hw::VirtioRng::Params r{.clock = context.clock};
  r.max_bytes = p.number("max-bytes", ~u64{0}, 1, ~u64{0} >> 1);
  r.period_ms = static_cast<u32>(p.number("period", 65536, 1, 1'000'000'000));
  r.event_idx = p.is_on("event_idx", true);
  r.indirect = p.is_on("indirect_desc", true);
  r.repeatable = context.repeatable();
  const std::string source = p.text("rng");
  if (!source.empty() && std::find(context.config.rng_sources.begin(), context.config.rng_sources.end(), source) ==
                             context.config.rng_sources.end())
    p.fail("there is no object '" + source + "'", "define it with -object rng-random,id=" + source);
  if (p.error()) return *p.error();
  return on_pci(p, std::make_unique<hw::VirtioRng>(r), kClassOther, 2);
}

// There is no transitional form of it.
Result<std::unique_ptr<hw::VirtioPci>> make_input(const VirtioContext& context, PropertyReader& p,
                                                  hw::VirtioInput::Kind kind, u32 class_code) {
  hw::VirtioInput::Params i{.clock = context.clock, .kind = kind};
  i.event_idx = p.is_on("event_idx", true);
  i.indirect = p.is_on("indirect_desc", true);
  if (p.error()) return *p.error();
  return on_pci(p, std::make_unique<hw::VirtioInput>(i), class_code, 2);
}

Result<std::unique_ptr<hw::VirtioPci>> make_9p(const VirtioContext& context, PropertyReader& p) {
  const std::string id = p.text("fsdev"), tag = p.text("mount_tag");
  const auto& all = context.config.shared_folders;
  const auto f = std::find_if(all.begin(), all.end(), [&](const SharedFolder& s) { return s.id == id; });
  if (f == all.end())
    return Error{id.empty() ? "virtio-9p needs fsdev=" : "there is no fsdev '" + id + "'",
                 "define it with -fsdev local,id=" + (id.empty() ? "fs0" : id) + ",path=DIR,security_model=none"};
  if (tag.empty() || tag.size() > 31)
    return Error{"virtio-9p needs mount_tag= of at most 31 characters", "mount_tag=share"};
  using Security = share::Folder::Model;
  const Security model = f->security_model == "passthrough"   ? Security::Passthrough
                         : f->security_model == "none"        ? Security::None
                         : f->security_model == "mapped-file" ? Security::MappedFile
                                                              : Security::Mapped;
  auto folder = share::Folder::open({.path = f->path, .model = model, .read_only = f->read_only});
  if (!folder.ok()) return folder.error();
  hw::Virtio9p::Params params{.clock = context.clock, .folder = folder.take(), .tag = tag};
  params.event_idx = p.is_on("event_idx", true);
  params.indirect = p.is_on("indirect_desc", true);
  if (p.error()) return *p.error();
  return on_pci(p, std::make_unique<hw::Virtio9p>(std::move(params)), kClassOther, 2);
}

Result<std::unique_ptr<hw::VirtioPci>> make_balloon(const VirtioContext& context, PropertyReader& p) {
  hw::VirtioBalloon::Params b{.clock = context.clock, .ram_bytes = context.config.ram_bytes};
  b.deflate_on_oom = p.is_on("deflate-on-oom", false);
  b.free_page_reporting = p.is_on("free-page-reporting", false);
  b.event_idx = p.is_on("event_idx", true);
  b.indirect = p.is_on("indirect_desc", true);
  b.release = [&memory = context.memory](u64 pa, u64 size) { memory.discard(pa, size); };
  if (p.error()) return *p.error();
  return on_pci(p, std::make_unique<hw::VirtioBalloon>(std::move(b)), kClassOther, 2);
}

// The ports of -device that belong to a console device: those that name its bus, or no bus and it is the first.
std::vector<hw::VirtioPort> ports_of(const VirtioContext& context, PropertyReader& p, u32 max_ports) {
  std::vector<hw::VirtioPort> ports;
  const DeviceConfig* first = nullptr;
  for (const DeviceConfig& d : context.config.devices) {
    const auto name = virtio_name(d.driver);
    if (first == nullptr && name && name->model == "virtio-serial") first = &d;
  }
  for (const DeviceConfig& d : context.config.devices) {
    if (!is_virtio_port(d.driver)) continue;
    PropertyReader q(d);
    const std::string bus = q.text("bus"), own = p.text("id");
    if (bus.empty() ? first != &p.device() : own.empty() || (bus != own + ".0" && bus != own)) continue;
    auto port = plan_port(context.config, d, ports, max_ports);
    if (!port.ok()) {
      p.fail(port.error().cause, port.error().fix);
      return {};
    }
    ports.push_back(port.take());
  }
  return ports;
}

Result<std::unique_ptr<hw::VirtioPci>> make_serial(const VirtioContext& context, PropertyReader& p) {
  hw::VirtioSerial::Params s{.clock = context.clock, .device_lock = context.device_lock};
  s.max_ports = static_cast<u32>(p.number("max_ports", hw::VirtioSerial::kMaxPorts, 1, hw::VirtioSerial::kMaxPorts));
  s.event_idx = p.is_on("event_idx", true);
  s.indirect = p.is_on("indirect_desc", true);
  s.ports = ports_of(context, p, s.max_ports);
  s.port_changed = [tell = context.tell](const hw::VirtioPort& port, bool open) {
    tell({.kind = MachineEvent::Kind::PortChanged, .name = port.id, .open = open});
  };
  if (p.error()) return *p.error();
  const unsigned vectors = s.max_ports + 1;
  return on_pci(p, std::make_unique<hw::VirtioSerial>(std::move(s)), kClassSerial, vectors);
}
}  // namespace

Result<hw::VirtioPort> plan_port(const MachineConfig& config, const DeviceConfig& device,
                                 const std::vector<hw::VirtioPort>& others, u32 max_ports) {
  const auto taken = [&](u32 n) {
    return std::any_of(others.begin(), others.end(), [&](const hw::VirtioPort& o) { return o.number == n; });
  };
  PropertyReader q(device);
  hw::VirtioPort port{.id = q.text("id"), .console = device.driver == "virtconsole", .name = q.text("name")};
  // Number 0 is for a console: drivers that know no ports have only that.
  port.number = port.console ? 0 : 1;
  while (port.number < max_ports && taken(port.number)) port.number++;
  port.number = static_cast<u32>(q.number("nr", port.number, port.console ? 0 : 1, max_ports - 1));
  if (taken(port.number) || port.number >= max_ports)
    q.fail("there is no port " + std::to_string(port.number) + " for it", "give another nr=");
  if (port.name.size() > 200) q.fail("the name is longer than 200 characters", "shorten it");
  const std::string id = q.text("chardev");  // without: a port with nobody at the other end
  const auto dev = config.chardevs.find(id);
  if (dev != config.chardevs.end())
    port.chardev = dev->second;
  else if (!id.empty())
    q.fail("there is no chardev '" + id + "'", "define it with -chardev socket,id=ID,... and add chardev=ID");
  if (q.error()) return *q.error();
  return port;
}

Result<std::unique_ptr<hw::VirtioPci>> make_virtio(const VirtioContext& context, const DeviceConfig& device) {
  PropertyReader p(device);
  const std::string model = virtio_name(device.driver)->model;
  if (model == "virtio-serial") return make_serial(context, p);
  if (model == "virtio-9p") return make_9p(context, p);
  using Kind = hw::VirtioInput::Kind;
  if (model == "virtio-keyboard") return make_input(context, p, Kind::Keyboard, kClassKeyboard);
  if (model == "virtio-mouse") return make_input(context, p, Kind::Mouse, kClassMouse);
  if (model == "virtio-tablet") return make_input(context, p, Kind::Tablet, kClassOtherInput);
  return model == "virtio-balloon" ? make_balloon(context, p) : make_rng(context, p);
}

}  // namespace doppel::machine
