// `doppel doctor`: what this host has and lacks for running guests, and how to mend it.
#pragma once
#include <string>

namespace doppel::app {

struct Diagnosis {
  std::string text;  // a line each: ok, note (something optional is missing) or no (a guest can't run without it)
  bool healthy = true;
};
Diagnosis doctor();

}  // namespace doppel::app
