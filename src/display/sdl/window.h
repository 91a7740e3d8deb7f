// The SDL2 window: shows the machine's console, sends keys and mouse. Main thread. Keys by position (scan codes).
// Grab: Ctrl+Alt+G releases, a click takes it (relative mouse); the title says state and grab key. Closing asks the
// guest to power down, a second time ends it. Ctrl+Alt+F full screen, Ctrl+Alt+U resize to the guest's size.
#pragma once
#include <string>

#include "base/result.h"
#include "machine/machine.h"

namespace doppel::display {

bool sdl_display_available();  // a display server answers
// Runs until the machine exits. Error: no display, or SDL can't open a window (cause from SDL).
Status run_sdl_window(machine::Machine& machine, const std::string& title, bool full_screen);

}  // namespace doppel::display
