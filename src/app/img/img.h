// `doppel img` (by name: qemu-img): commands on disk images. Options, output and exit codes are qemu-img's.
#pragma once
#include <string>
#include <vector>

namespace doppel::app::img {

int main(const std::string& program, const std::vector<std::string>& args);

// One function a command; each returns the exit status. A file a command or two: img_<command>.cpp.
int check(const std::vector<std::string>& args);
int commit(const std::vector<std::string>& args);
int compact(const std::vector<std::string>& args);
int compare(const std::vector<std::string>& args);
int bitmap(const std::vector<std::string>& args);
int convert(const std::vector<std::string>& args);
int create(const std::vector<std::string>& args);
int dd(const std::vector<std::string>& args);
int info(const std::vector<std::string>& args);
int map(const std::vector<std::string>& args);
int measure(const std::vector<std::string>& args);
int rebase(const std::vector<std::string>& args);
int resize(const std::vector<std::string>& args);
int snapshot(const std::vector<std::string>& args);

}  // namespace doppel::app::img
