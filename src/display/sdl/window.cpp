// The SDL2 window (SDL 2 wiki). One texture of the guest's size, scaled to the window; refresh 60 times a second at
// most, less when nothing changes. Traps: a grab must end when the window loses the focus, or the host's keyboard stays
// with the guest; keys held when the focus goes away are released in the guest.
#include "display/sdl/window.h"

#include <cstdlib>
#include <set>

#include "display/sdl/keymap.h"
#include "display/sdl/library.h"

namespace doppel::display {
namespace {

class Window {
 public:
  Window(const Sdl& sdl, machine::Machine& machine, const std::string& title)
      : sdl_(sdl), machine_(machine), title_(title.empty() ? "Doppel" : title + " - Doppel") {}
  ~Window() {
    if (texture_) sdl_.DestroyTexture(texture_);
    if (renderer_) sdl_.DestroyRenderer(renderer_);
    if (window_) sdl_.DestroyWindow(window_);
    sdl_.Quit();
  }

  Status open(bool full_screen) {
    sdl_.SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    sdl_.SetHint(SDL_HINT_GRAB_KEYBOARD, "1");
    if (sdl_.Init(SDL_INIT_VIDEO) != 0)
      return Error{std::string("SDL can't open a display: ") + sdl_.GetError(), "set DISPLAY, or use -nographic", 1};
    window_ = sdl_.CreateWindow(title_.c_str(), SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720, 400,
                                SDL_WINDOW_RESIZABLE);
    if (window_) renderer_ = sdl_.CreateRenderer(window_, -1, 0);
    if (!renderer_)
      return Error{std::string("SDL can't open a window: ") + sdl_.GetError(), "use -nographic or -display none", 1};
    sdl_.SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    sdl_.EventState(SDL_DROPFILE, SDL_DISABLE);
    if (full_screen) toggle_full_screen();
    update_title();
    return success();
  }

  void run() {
    Uint32 next = sdl_.GetTicks();
    while (!machine_.exited()) {
      SDL_Event e;
      const int wait = static_cast<int>(next) - static_cast<int>(sdl_.GetTicks());
      if (sdl_.WaitEventTimeout(&e, wait > 0 ? wait : 1)) {
        do {
          handle(e);
        } while (sdl_.PollEvent(&e));
      }
      if (static_cast<int>(sdl_.GetTicks() - next) < 0) continue;
      const bool changed = draw();
      next = sdl_.GetTicks() + (changed ? 16 : 33);
      if (machine_.pointer_is_absolute() != absolute_) follow_pointer_kind();
      if (machine_.state() != shown_state_) update_title();
    }
  }

 private:
  void update_title() {
    shown_state_ = machine_.state();
    std::string text = title_;
    if (shown_state_ != machine::RunState::Running) text += " [Stopped]";
    if (closing_) text += " [Power off requested: close again to end]";
    text += grabbed_                         ? " - press Ctrl+Alt+G to release the mouse"
            : machine_.pointer_is_absolute() ? ""
                                             : " - click to use the mouse";
    sdl_.SetWindowTitle(window_, text.c_str());
  }

  bool draw() {
    Console* console = machine_.console();
    if (!console) return false;
    const bool changed = console->refresh(surface_) || exposed_;
    if (!changed || surface_.width == 0 || surface_.height == 0) return false;
    const int w = static_cast<int>(surface_.width), h = static_cast<int>(surface_.height);
    if (!texture_ || w != width_ || h != height_) {
      if (texture_) sdl_.DestroyTexture(texture_);
      texture_ = sdl_.CreateTexture(renderer_, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING, w, h);
      width_ = w;
      height_ = h;
      if (!full_screen_ && !resized_) sdl_.SetWindowSize(window_, w, h);
      sdl_.RenderSetLogicalSize(renderer_, w, h);
    }
    if (!texture_) return false;
    sdl_.UpdateTexture(texture_, nullptr, surface_.pixels.data(), w * 4);
    sdl_.SetRenderDrawColor(renderer_, 0, 0, 0, 255);
    sdl_.RenderClear(renderer_);
    sdl_.RenderCopy(renderer_, texture_, nullptr, nullptr);
    sdl_.RenderPresent(renderer_);
    exposed_ = false;
    return true;
  }

  void grab(bool on) {
    if (on == grabbed_) return;
    grabbed_ = on;
    sdl_.SetRelativeMouseMode(on ? SDL_TRUE : SDL_FALSE);
    sdl_.SetWindowGrab(window_, on ? SDL_TRUE : SDL_FALSE);
    update_title();
  }

  // The guest has begun or ceased to take positions: then it draws its pointer where the host's is.
  void follow_pointer_kind() {
    absolute_ = machine_.pointer_is_absolute();
    if (absolute_) grab(false);
    sdl_.ShowCursor(absolute_ ? SDL_DISABLE : SDL_ENABLE);
    update_title();
  }

  void toggle_full_screen() {
    full_screen_ = !full_screen_;
    sdl_.SetWindowFullscreen(window_, full_screen_ ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    exposed_ = true;
  }

  void release_keys() {
    for (const u32 key : down_) machine_.key(key, false);
    down_.clear();
  }

  // Ctrl+Alt chords of the window itself.
  bool chord(const SDL_KeyboardEvent& k) {
    const auto mod = k.keysym.mod;  // then, not now: they may be up again
    if (!(mod & KMOD_CTRL) || !(mod & KMOD_ALT)) return false;
    switch (k.keysym.scancode) {
      case SDL_SCANCODE_G:
        if (k.state == SDL_PRESSED) {
          release_keys();
          grab(!grabbed_);
        }
        return true;
      case SDL_SCANCODE_F:
        if (k.state == SDL_PRESSED) {
          release_keys();
          toggle_full_screen();
        }
        return true;
      case SDL_SCANCODE_U:
        if (k.state == SDL_PRESSED && width_ > 0) {
          release_keys();
          resized_ = false;
          sdl_.SetWindowSize(window_, width_, height_);
        }
        return true;
      default: return false;
    }
  }

  void key(const SDL_KeyboardEvent& k) {
    if (chord(k)) return;
    const u32 code = key_of_scancode(k.keysym.scancode);
    if (code == 0) return;
    const bool pressed = k.state == SDL_PRESSED;
    if (pressed)
      down_.insert(code);
    else
      down_.erase(code);
    machine_.key(code, pressed);
  }

  void pointer(int dx, int dy, int x, int y, int wheel) {
    if (machine_.pointer_is_absolute()) {
      if (width_ > 0)
        machine_.pointer_absolute(x * 32767 / std::max(width_ - 1, 1), y * 32767 / std::max(height_ - 1, 1), wheel,
                                  buttons_);
    } else if (grabbed_) {
      machine_.pointer_relative(dx, dy, wheel, buttons_);
    }
  }

  void button(const SDL_MouseButtonEvent& b) {
    const bool pressed = b.state == SDL_PRESSED;
    if (pressed && !grabbed_ && !machine_.pointer_is_absolute()) {
      grab(true);
      return;
    }
    const u32 bit = b.button == SDL_BUTTON_LEFT     ? kButtonLeft
                    : b.button == SDL_BUTTON_RIGHT  ? kButtonRight
                    : b.button == SDL_BUTTON_MIDDLE ? kButtonMiddle
                    : b.button == SDL_BUTTON_X1     ? kButtonSide
                                                    : kButtonExtra;
    buttons_ = pressed ? buttons_ | bit : buttons_ & ~bit;
    pointer(0, 0, b.x, b.y, 0);
  }

  void close() {
    if (closing_ || machine_.state() != machine::RunState::Running || !machine_.config().acpi) {
      machine_.request_quit(machine::ShutdownCause::HostWindow, 0);
      return;
    }
    closing_ = true;
    machine_.request_powerdown();
    update_title();
  }

  void handle(const SDL_Event& e) {
    switch (e.type) {
      case SDL_KEYDOWN:
      case SDL_KEYUP: key(e.key); break;
      case SDL_MOUSEMOTION: pointer(e.motion.xrel, e.motion.yrel, e.motion.x, e.motion.y, 0); break;
      case SDL_MOUSEBUTTONDOWN:
      case SDL_MOUSEBUTTONUP: button(e.button); break;
      case SDL_MOUSEWHEEL: {
        int x = 0, y = 0;
        sdl_.GetMouseState(&x, &y);
        pointer(0, 0, x, y, -e.wheel.y);
        break;
      }
      case SDL_QUIT: close(); break;
      case SDL_WINDOWEVENT:
        if (e.window.event == SDL_WINDOWEVENT_FOCUS_LOST) {
          release_keys();
          grab(false);
        }
        if (e.window.event == SDL_WINDOWEVENT_EXPOSED || e.window.event == SDL_WINDOWEVENT_SIZE_CHANGED)
          exposed_ = true;
        if (e.window.event == SDL_WINDOWEVENT_RESIZED && !full_screen_ &&
            (e.window.data1 != width_ || e.window.data2 != height_))
          resized_ = true;
        break;
      default: break;
    }
  }

  const Sdl& sdl_;
  machine::Machine& machine_;
  std::string title_;
  SDL_Window* window_ = nullptr;
  SDL_Renderer* renderer_ = nullptr;
  SDL_Texture* texture_ = nullptr;
  Surface surface_;
  std::set<u32> down_;
  u32 buttons_ = 0;
  int width_ = 0, height_ = 0;
  bool grabbed_ = false, absolute_ = false, full_screen_ = false, closing_ = false, exposed_ = true, resized_ = false;
  machine::RunState shown_state_ = machine::RunState::Prelaunch;
};

}  // namespace

bool sdl_display_available() {
  const char* driver = std::getenv("SDL_VIDEODRIVER");
  if (driver && *driver) return true;
  const char* x = std::getenv("DISPLAY");
  const char* wayland = std::getenv("WAYLAND_DISPLAY");
  return (x && *x) || (wayland && *wayland);
}

Status run_sdl_window(machine::Machine& machine, const std::string& title, bool full_screen) {
  auto sdl = load_sdl();
  if (!sdl) return sdl.error();
  Window window(**sdl, machine, title);
  if (Status s = window.open(full_screen); !s) return s;
  window.run();
  return success();
}

}  // namespace doppel::display
