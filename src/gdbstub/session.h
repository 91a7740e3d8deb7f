// One debugger's session: packets of GDB's remote serial protocol (GDB manual, appendix E) about a Debuggee.
#pragma once
#include <atomic>
#include <optional>

#include "gdbstub/debuggee.h"
#include "gdbstub/packet.h"

namespace doppel::gdbstub {

class Session {
 public:
  // `ending`: a wake-up with it set ends the session.
  Session(Debuggee& debuggee, PacketPort& port, const std::atomic<bool>& ending)
      : debuggee_(debuggee), port_(port), ending_(ending) {}
  // Everything stands still when it begins and, but for Gone, when it returns.
  enum class End { Left, Ending, Gone };
  End run();

 private:
  std::optional<End> stopped();
  std::optional<End> handle(const std::string& packet);
  std::string answer(const std::string& packet);
  std::string query(const std::string& packet);
  std::string set_query(const std::string& packet);
  std::string transfer(const std::string& packet);
  std::string thread_packet(const std::string& packet);
  std::string register_packet(const std::string& packet);
  std::string memory_packet(const std::string& packet);
  std::string point_packet(const std::string& packet);
  std::string all_registers();
  std::string read_register(size_t number);
  bool write_register(size_t number, const std::string& bytes);
  void write_all(const std::string& bytes);
  size_t register_count();
  std::string thread_text(u64 thread);
  bool parse_thread(const std::string& text, size_t& at, u64& thread);  // 0: any or all
  std::string stop_text(const Stop& stop);
  void resume(std::vector<Action> actions);
  bool vcont(const std::string& packet);
  void clear_points();
  u64 current();

  Debuggee& debuggee_;
  PacketPort& port_;
  const std::atomic<bool>& ending_;
  u64 current_ = 0;  // 0: the first one
  bool running_ = false;
  bool processes_ = false;     // thread numbers with the process's
  bool tells_breaks_ = false;  // the debugger knows "swbreak" and "hwbreak"
  Stop latest_;
  std::vector<Point> points_;
  std::vector<u64> list_;  // what qsThreadInfo goes on with
};

}  // namespace doppel::gdbstub
