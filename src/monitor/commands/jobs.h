// Jobs: commands that answer at once and go on beside the machine (QMP's snapshot-save and others). A job is listed by
// query-jobs until job-dismiss; JOB_STATUS_CHANGE tells of its steps.
#pragma once
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "monitor/commands/visit.h"

namespace doppel::monitor {

enum class JobStatus { undefined, created, running, waiting, pending, aborting, concluded, null };
enum class JobType { snapshot_load, snapshot_save, snapshot_delete };
template <>
struct EnumNames<JobStatus> {
  static constexpr const char* kType = "JobStatus";
  static std::vector<std::string_view> names() {
    return {"undefined", "created", "running", "waiting", "pending", "aborting", "concluded", "null"};
  }
};
template <>
struct EnumNames<JobType> {
  static constexpr const char* kType = "JobType";
  static std::vector<std::string_view> names() { return {"snapshot-load", "snapshot-save", "snapshot-delete"}; }
};

struct JobInfo {
  static constexpr const char* kType = "JobInfo";
  std::string id;
  JobType type{};
  JobStatus status{};
  s64 current_progress = 0, total_progress = 1;
  std::optional<std::string> error;
  template <class V>
  void visit(V& v) {
    v("id", id, "as its command named it");
    v("type", type, "the command");
    v("status", status);
    v("current-progress", current_progress, "of total-progress");
    v("total-progress", total_progress, "an estimate");
    v("error", error, "why it failed");
  }
};

class JobList {
 public:
  using Tell = std::function<void(const std::string& id, JobStatus status)>;
  ~JobList();
  // Starts `work` on a thread of its own. Error: the id is none, or in use.
  Status start(const std::string& id, JobType type, Tell tell, std::function<Status()> work);
  Status dismiss(const std::string& id, const Tell& tell);
  std::vector<JobInfo> list();

 private:
  struct Job {
    JobInfo info;
    std::thread thread;
  };
  void set(Job& job, const Tell& tell, JobStatus status);
  void run(Job& job, const Tell& tell, const std::function<Status()>& work);
  std::mutex lock_;
  std::list<Job> jobs_;
};

}  // namespace doppel::monitor
