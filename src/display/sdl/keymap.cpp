#include "display/sdl/keymap.h"

#include <array>

namespace doppel::display {
namespace {

struct Row { SDL_Scancode code; Key key; };
constexpr Row kRows[] = {
    {SDL_SCANCODE_A, Key::a}, {SDL_SCANCODE_B, Key::b}, {SDL_SCANCODE_C, Key::c}, {SDL_SCANCODE_D, Key::d}, {SDL_SCANCODE_E, Key::e},
    {SDL_SCANCODE_F, Key::f}, {SDL_SCANCODE_G, Key::g}, {SDL_SCANCODE_H, Key::h}, {SDL_SCANCODE_I, Key::i}, {SDL_SCANCODE_J, Key::j},
    {SDL_SCANCODE_K, Key::k}, {SDL_SCANCODE_L, Key::l}, {SDL_SCANCODE_M, Key::m}, {SDL_SCANCODE_N, Key::n}, {SDL_SCANCODE_O, Key::o},
    {SDL_SCANCODE_P, Key::p}, {SDL_SCANCODE_Q, Key::q}, {SDL_SCANCODE_R, Key::r}, {SDL_SCANCODE_S, Key::s}, {SDL_SCANCODE_T, Key::t},
    {SDL_SCANCODE_U, Key::u}, {SDL_SCANCODE_V, Key::v}, {SDL_SCANCODE_W, Key::w}, {SDL_SCANCODE_X, Key::x}, {SDL_SCANCODE_Y, Key::y},
    {SDL_SCANCODE_Z, Key::z}, {SDL_SCANCODE_1, Key::k1}, {SDL_SCANCODE_2, Key::k2}, {SDL_SCANCODE_3, Key::k3}, {SDL_SCANCODE_4, Key::k4},
    {SDL_SCANCODE_5, Key::k5}, {SDL_SCANCODE_6, Key::k6}, {SDL_SCANCODE_7, Key::k7}, {SDL_SCANCODE_8, Key::k8}, {SDL_SCANCODE_9, Key::k9},
    {SDL_SCANCODE_0, Key::k0}, {SDL_SCANCODE_RETURN, Key::ret}, {SDL_SCANCODE_ESCAPE, Key::esc}, {SDL_SCANCODE_BACKSPACE, Key::backspace},
    {SDL_SCANCODE_TAB, Key::tab}, {SDL_SCANCODE_SPACE, Key::spc}, {SDL_SCANCODE_MINUS, Key::minus}, {SDL_SCANCODE_EQUALS, Key::equal},
    {SDL_SCANCODE_LEFTBRACKET, Key::bracket_left}, {SDL_SCANCODE_RIGHTBRACKET, Key::bracket_right}, {SDL_SCANCODE_BACKSLASH, Key::backslash},
    {SDL_SCANCODE_NONUSHASH, Key::backslash}, {SDL_SCANCODE_SEMICOLON, Key::semicolon}, {SDL_SCANCODE_APOSTROPHE, Key::apostrophe},
    {SDL_SCANCODE_GRAVE, Key::grave_accent}, {SDL_SCANCODE_COMMA, Key::comma}, {SDL_SCANCODE_PERIOD, Key::dot}, {SDL_SCANCODE_SLASH, Key::slash},
    {SDL_SCANCODE_CAPSLOCK, Key::caps_lock}, {SDL_SCANCODE_F1, Key::f1}, {SDL_SCANCODE_F2, Key::f2}, {SDL_SCANCODE_F3, Key::f3},
    {SDL_SCANCODE_F4, Key::f4}, {SDL_SCANCODE_F5, Key::f5}, {SDL_SCANCODE_F6, Key::f6}, {SDL_SCANCODE_F7, Key::f7}, {SDL_SCANCODE_F8, Key::f8},
    {SDL_SCANCODE_F9, Key::f9}, {SDL_SCANCODE_F10, Key::f10}, {SDL_SCANCODE_F11, Key::f11}, {SDL_SCANCODE_F12, Key::f12},
    {SDL_SCANCODE_PRINTSCREEN, Key::print}, {SDL_SCANCODE_SCROLLLOCK, Key::scroll_lock}, {SDL_SCANCODE_PAUSE, Key::pause},
    {SDL_SCANCODE_INSERT, Key::insert}, {SDL_SCANCODE_HOME, Key::home}, {SDL_SCANCODE_PAGEUP, Key::pgup}, {SDL_SCANCODE_DELETE, Key::delete_},
    {SDL_SCANCODE_END, Key::end}, {SDL_SCANCODE_PAGEDOWN, Key::pgdn}, {SDL_SCANCODE_RIGHT, Key::right}, {SDL_SCANCODE_LEFT, Key::left},
    {SDL_SCANCODE_DOWN, Key::down}, {SDL_SCANCODE_UP, Key::up}, {SDL_SCANCODE_NUMLOCKCLEAR, Key::num_lock}, {SDL_SCANCODE_KP_DIVIDE, Key::kp_divide},
    {SDL_SCANCODE_KP_MULTIPLY, Key::kp_multiply}, {SDL_SCANCODE_KP_MINUS, Key::kp_subtract}, {SDL_SCANCODE_KP_PLUS, Key::kp_add},
    {SDL_SCANCODE_KP_ENTER, Key::kp_enter}, {SDL_SCANCODE_KP_1, Key::kp_1}, {SDL_SCANCODE_KP_2, Key::kp_2}, {SDL_SCANCODE_KP_3, Key::kp_3},
    {SDL_SCANCODE_KP_4, Key::kp_4}, {SDL_SCANCODE_KP_5, Key::kp_5}, {SDL_SCANCODE_KP_6, Key::kp_6}, {SDL_SCANCODE_KP_7, Key::kp_7},
    {SDL_SCANCODE_KP_8, Key::kp_8}, {SDL_SCANCODE_KP_9, Key::kp_9}, {SDL_SCANCODE_KP_0, Key::kp_0}, {SDL_SCANCODE_KP_PERIOD, Key::kp_decimal},
    {SDL_SCANCODE_NONUSBACKSLASH, Key::less}, {SDL_SCANCODE_APPLICATION, Key::menu}, {SDL_SCANCODE_KP_EQUALS, Key::kp_equals},
    {SDL_SCANCODE_INTERNATIONAL1, Key::ro}, {SDL_SCANCODE_INTERNATIONAL2, Key::hiragana}, {SDL_SCANCODE_INTERNATIONAL3, Key::yen},
    {SDL_SCANCODE_INTERNATIONAL4, Key::henkan}, {SDL_SCANCODE_INTERNATIONAL5, Key::muhenkan}, {SDL_SCANCODE_LCTRL, Key::ctrl},
    {SDL_SCANCODE_LSHIFT, Key::shift}, {SDL_SCANCODE_LALT, Key::alt}, {SDL_SCANCODE_LGUI, Key::meta_l}, {SDL_SCANCODE_RCTRL, Key::ctrl_r},
    {SDL_SCANCODE_RSHIFT, Key::shift_r}, {SDL_SCANCODE_RALT, Key::alt_r}, {SDL_SCANCODE_RGUI, Key::meta_r}, {SDL_SCANCODE_POWER, Key::power},
    {SDL_SCANCODE_SLEEP, Key::sleep}, {SDL_SCANCODE_AUDIOMUTE, Key::audiomute}, {SDL_SCANCODE_MUTE, Key::audiomute},
    {SDL_SCANCODE_VOLUMEUP, Key::volumeup}, {SDL_SCANCODE_AUDIONEXT, Key::audionext}, {SDL_SCANCODE_AUDIOPREV, Key::audioprev},
    {SDL_SCANCODE_AUDIOSTOP, Key::audiostop}, {SDL_SCANCODE_AUDIOPLAY, Key::audioplay}};

}  // namespace

u32 key_of_scancode(SDL_Scancode code) {
  static const auto table = [] {
    std::array<u32, SDL_NUM_SCANCODES> t{};
    for (const Row& r : kRows) t[r.code] = static_cast<u32>(r.key);
    return t;
  }();
  return code >= 0 && code < SDL_NUM_SCANCODES ? table[code] : 0;
}

}  // namespace doppel::display
