#include "monitor/commands/snapshots.h"

#include "migration/internal_snapshots.h"

namespace doppel::monitor {
namespace {
std::string said(const Status& s) { return s ? "" : "Error: " + s.error().text() + "\n"; }
}  // namespace

std::string savevm(Context& c, const Words& w) {
  return said(migration::save_snapshot(c.machine, w.size() > 1 ? w[1] : ""));
}

std::string loadvm(Context& c, const Words& w) {
  if (w.size() < 2) return "loadvm needs the name of a snapshot (info snapshots lists them)\n";
  return said(migration::load_snapshot(c.machine, w[1]));
}

std::string delvm(Context& c, const Words& w) {
  if (w.size() < 2) return "delvm needs the name of a snapshot (info snapshots lists them)\n";
  return said(migration::delete_snapshot(c.machine, w[1]));
}

std::string info_snapshots(Context& c, const Words&) {
  return migration::describe(migration::list_snapshots(c.machine));
}

}  // namespace doppel::monitor
