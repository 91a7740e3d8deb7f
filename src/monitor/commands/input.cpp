// Keys and pointers.
#include <chrono>
#include <thread>

#include "display/input_event.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class QKeyCode : u32 {};  // display::Key's numbers
template <>
struct EnumNames<QKeyCode> {
  static constexpr const char* kType = "QKeyCode";
  static std::vector<std::string_view> names() {
    std::vector<std::string_view> out;
    for (u32 i = 0; i < static_cast<u32>(display::Key::Count); i++) out.push_back(display::key_name(i));
    return out;
  }
};
enum class KeyValueKind { number, qcode };
template <>
struct EnumNames<KeyValueKind> {
  static constexpr const char* kType = "KeyValueKind";
  static std::vector<std::string_view> names() { return {"number", "qcode"}; }
};
enum class InputKind { key, button, relative, absolute };
template <>
struct EnumNames<InputKind> {
  static constexpr const char* kType = "InputEventKind";
  static std::vector<std::string_view> names() { return {"key", "btn", "rel", "abs"}; }
};
enum class InputButton { left, middle, right, wheel_up, wheel_down, side, extra };
template <>
struct EnumNames<InputButton> {
  static constexpr const char* kType = "InputButton";
  static std::vector<std::string_view> names() {
    return {"left", "middle", "right", "wheel-up", "wheel-down", "side", "extra"};
  }
};
enum class InputAxis { x, y };
template <>
struct EnumNames<InputAxis> {
  static constexpr const char* kType = "InputAxis";
  static std::vector<std::string_view> names() { return {"x", "y"}; }
};

namespace {

struct KeyValue {
  static constexpr const char* kType = "KeyValue";
  KeyValueKind type{};
  u32 number = 0;
  QKeyCode code{};
  template <class V>
  void visit(V& v) {
    v.tag("type", type);
    v.branch(KeyValueKind::number, number, "scan code of set 1; 0x80 and up: with the prefix e0");
    v.branch(KeyValueKind::qcode, code, "name of the key");
  }
  Answer<u32> key() const {
    if (type == KeyValueKind::qcode) return static_cast<u32>(code);
    const auto found = display::key_from_name(format("0x%x", number));
    if (!found) return CommandError{format("There is no key with the scan code 0x%x", number)};
    return *found;
  }
};

struct SendKey {
  static constexpr const char* kType = "send-key-arg";
  std::vector<KeyValue> keys;
  std::optional<u32> hold;
  template <class V>
  void visit(V& v) {
    v("keys", keys, "pressed in this order, released in the other");
    v("hold-time", hold, "milliseconds until they are released; 100 by default, 5000 at most");
  }
};
Answer<Empty> send_key(Context& c, SendKey& args) {
  if (args.keys.size() > 16) return CommandError{"Parameter 'keys' takes at most 16 keys"};
  std::vector<u32> keys;
  for (const KeyValue& k : args.keys) {
    auto key = k.key();
    if (!key) return key.error();
    keys.push_back(*key);
  }
  for (const u32 k : keys) c.machine.key(k, true);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::min(args.hold.value_or(100), 5000u)));
  for (size_t i = keys.size(); i-- > 0;) c.machine.key(keys[i], false);
  return Empty{};
}

struct KeyEvent {
  static constexpr const char* kType = "InputKeyEvent";
  KeyValue key;
  bool down = false;
  template <class V>
  void visit(V& v) {
    v("key", key);
    v("down", down, "pressed or released");
  }
};
struct ButtonEvent {
  static constexpr const char* kType = "InputBtnEvent";
  InputButton button{};
  bool down = false;
  template <class V>
  void visit(V& v) {
    v("button", button);
    v("down", down, "pressed or released");
  }
};
struct MoveEvent {
  static constexpr const char* kType = "InputMoveEvent";
  InputAxis axis{};
  s32 value = 0;
  template <class V>
  void visit(V& v) {
    v("axis", axis);
    v("value", value, "steps (rel), or 0 to 32767 over the screen (abs)");
  }
};
struct InputEvent {
  static constexpr const char* kType = "InputEvent";
  InputKind type{};
  KeyEvent key;
  ButtonEvent button;
  MoveEvent relative, absolute;
  template <class V>
  void visit(V& v) {
    v.tag("type", type);
    v.branch(InputKind::key, key);
    v.branch(InputKind::button, button);
    v.branch(InputKind::relative, relative);
    v.branch(InputKind::absolute, absolute);
  }
};
struct SendEvents {
  static constexpr const char* kType = "input-send-event-arg";
  std::optional<std::string> device;
  std::optional<s64> head;
  std::vector<InputEvent> events;
  template <class V>
  void visit(V& v) {
    v("device", device, "not supported: there is one display");
    v("head", head, "only 0");
    v("events", events, "taken together: a pointer moves once");
  }
};

u32 button_bit(InputButton b) {
  switch (b) {
    case InputButton::left: return display::kButtonLeft;
    case InputButton::middle: return display::kButtonMiddle;
    case InputButton::right: return display::kButtonRight;
    case InputButton::side: return display::kButtonSide;
    case InputButton::extra: return display::kButtonExtra;
    default: return 0;
  }
}

// What the pointer is to do by one list of events.
struct Motion {
  int dx = 0, dy = 0, wheel = 0;
  std::optional<int> x, y;
  bool any = false;
  void take(const InputEvent& e, PointerState& state) {
    if (e.type == InputKind::key) return;
    any = true;
    if (e.type == InputKind::button) {
      const u32 bit = button_bit(e.button.button);
      state.buttons = e.button.down ? state.buttons | bit : state.buttons & ~bit;
      if (e.button.down && e.button.button == InputButton::wheel_up) wheel++;
      if (e.button.down && e.button.button == InputButton::wheel_down) wheel--;
    } else if (e.type == InputKind::relative) {
      (e.relative.axis == InputAxis::x ? dx : dy) += std::clamp(e.relative.value, -32768, 32767);
    } else {
      (e.absolute.axis == InputAxis::x ? x : y) = std::clamp(e.absolute.value, 0, 32767);
    }
  }
};

Answer<Empty> send_events(Context& c, SendEvents& args) {
  if (args.device || args.head.value_or(0) != 0)
    return CommandError{"There is one display: leave out 'device', and 'head' is 0"};
  if (c.machine.vcpus().empty()) return CommandError{"This machine has no input devices"};
  std::vector<u32> keys;
  for (const InputEvent& e : args.events) {
    if (e.type != InputKind::key) continue;
    auto key = e.key.key.key();
    if (!key) return key.error();
    keys.push_back(*key);
  }
  const std::lock_guard guard(c.services.change_lock);
  PointerState& pointer = c.services.pointer;
  Motion motion;
  size_t next = 0;
  for (const InputEvent& e : args.events) {
    if (e.type == InputKind::key) c.machine.key(keys[next++], e.key.down);
    motion.take(e, pointer);
  }
  if (motion.x) pointer.x = *motion.x;
  if (motion.y) pointer.y = *motion.y;
  if (motion.x || motion.y)
    c.machine.pointer_absolute(pointer.x, pointer.y, motion.wheel, pointer.buttons);
  else if (motion.any)
    c.machine.pointer_relative(motion.dx, motion.dy, motion.wheel, pointer.buttons);
  return Empty{};
}

struct MouseInfo {
  static constexpr const char* kType = "MouseInfo";
  std::string name;
  s64 index = 0;
  bool current = true, absolute = false;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("index", index);
    v("current", current, "whether it gets what the pointer does");
    v("absolute", absolute, "whether it takes positions, not steps");
  }
};
Answer<std::vector<MouseInfo>> query_mice(Context& c, Empty&) {
  if (!c.machine.has_device("mouse")) return std::vector<MouseInfo>{};
  return std::vector<MouseInfo>{{"QEMU PS/2 Mouse", 2, true, c.machine.pointer_is_absolute()}};
}

constexpr Definition kRows[] = {
    command<&send_key>("send-key", "press keys together, and release them"),
    command<&send_events>("input-send-event", "send keys, buttons and movements"),
    command<&query_mice>("query-mice", "the pointing devices"),
};

}  // namespace

std::span<const Definition> input_commands() { return kRows; }

}  // namespace doppel::monitor
