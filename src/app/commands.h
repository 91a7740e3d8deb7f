// Doppel's own command line: run, qemu-system-*, doctor, list, explain, help.
#pragma once
namespace doppel::app {
int main_entry(int argc, char** argv);
}
