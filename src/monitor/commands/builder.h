// Builder: makes what the command line can make, while the machine runs. The application has it, as it knows the
// options' words; commands give those on as "key=value,..." or as a JSON object, as -device and its like take them.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace doppel::monitor {

class Builder {
 public:
  virtual ~Builder() = default;
  // One call at a time (Services::change_lock).
  virtual Status add_device(const std::string& text) = 0;
  virtual Status add_netdev(const std::string& text) = 0;
  virtual Status add_object(const std::string& text) = 0;
  virtual Status remove_object(const std::string& id) = 0;
  virtual std::vector<std::pair<std::string, std::string>> objects() = 0;  // id, type
  virtual Status add_node(const std::string& text) = 0;                    // blockdev-add
  virtual Status remove_node(const std::string& name) = 0;
  virtual Status add_drive(const std::string& text) = 0;  // drive_add
};

}  // namespace doppel::monitor
