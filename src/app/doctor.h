// `doppel doctor`: what works on this host, what not, why, and the fix.
#pragma once
#include <string>
namespace doppel::app {
std::string doctor();
}
