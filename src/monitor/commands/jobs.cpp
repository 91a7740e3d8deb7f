// The jobs, and the commands of QMP that start them and look after them.
#include "monitor/commands/jobs.h"

#include <algorithm>
#include <cctype>

#include "migration/internal_snapshots.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {

JobList::~JobList() {
  for (Job& job : jobs_) job.thread.join();
}

void JobList::set(Job& job, const Tell& tell, JobStatus status) {
  {
    const std::lock_guard guard(lock_);
    job.info.status = status;
  }
  tell(job.info.id, status);
}

void JobList::run(Job& job, const Tell& tell, const std::function<Status()>& work) {
  const Status done = work();
  if (!done) {
    const std::lock_guard guard(lock_);
    job.info.error = done.error().text();
  }
  for (const JobStatus step : {JobStatus::waiting, JobStatus::pending}) {
    if (done) set(job, tell, step);
  }
  if (!done) set(job, tell, JobStatus::aborting);
  {
    const std::lock_guard guard(lock_);
    job.info.current_progress = job.info.total_progress;
  }
  set(job, tell, JobStatus::concluded);
}

Status JobList::start(const std::string& id, JobType type, Tell tell, std::function<Status()> work) {
  const auto word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  };
  if (id.empty() || !std::isalpha(static_cast<unsigned char>(id[0])) || !std::all_of(id.begin(), id.end(), word))
    return Error{"Invalid job ID '" + id + "'", "a letter, then letters, digits, '-', '.', '_'"};
  Job* job = nullptr;
  {
    const std::lock_guard guard(lock_);
    for (const Job& j : jobs_) {
      if (j.info.id == id) return Error{"Job ID '" + id + "' already in use", "job-dismiss ends one that is over"};
    }
    job = &jobs_.emplace_back();
    job->info = {.id = id, .type = type, .error = {}};
  }
  set(*job, tell, JobStatus::created);
  set(*job, tell, JobStatus::running);
  const std::lock_guard guard(lock_);
  job->thread = std::thread([this, job, tell = std::move(tell), work = std::move(work)] { run(*job, tell, work); });
  return success();
}

Status JobList::dismiss(const std::string& id, const Tell& tell) {
  std::list<Job> gone;
  {
    const std::lock_guard guard(lock_);
    const auto job = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& j) { return j.info.id == id; });
    if (job == jobs_.end()) return Error{"Job not found", "query-jobs lists them"};
    if (job->info.status != JobStatus::concluded)
      return Error{"Job '" + id + "' is not over: it cannot accept command verb 'dismiss'",
                   "wait until it is concluded"};
    gone.splice(gone.begin(), jobs_, job);
  }
  gone.front().thread.join();
  tell(id, JobStatus::null);
  return success();
}

std::vector<JobInfo> JobList::list() {
  const std::lock_guard guard(lock_);
  std::vector<JobInfo> out;
  for (const Job& job : jobs_) out.push_back(job.info);
  return out;
}

namespace {

JobList::Tell teller(Context& c) {
  return
      [&events = c.services.events](const std::string& id, JobStatus status) { tell_job_status(events, id, status); };
}

struct SnapshotJob {
  static constexpr const char* kType = "snapshot-save-arg";
  std::string job_id, tag, vmstate;
  std::vector<std::string> devices;
  template <class V>
  void visit(V& v) {
    v("job-id", job_id, "name of the job");
    v("tag", tag, "name of the snapshot");
    v("vmstate", vmstate, "the disk of `devices` that holds the machine's state");
    v("devices", devices, "disks: names of nodes or drives");
  }
};
struct SnapshotDeleteJob {
  static constexpr const char* kType = "snapshot-delete-arg";
  std::string job_id, tag;
  std::vector<std::string> devices;
  template <class V>
  void visit(V& v) {
    v("job-id", job_id, "name of the job");
    v("tag", tag, "name of the snapshot");
    v("devices", devices, "disks: names of nodes or drives");
  }
};

using Action = Status (*)(machine::Machine&, const std::string&, const migration::ChosenDisks&);
Answer<Empty> start_job(Context& c, JobType type, const std::string& id, Action action, std::string tag,
                        migration::ChosenDisks disks) {
  Status s = c.services.jobs.start(id, type, teller(c),
                                   [&machine = c.machine, action, tag = std::move(tag), disks = std::move(disks)] {
                                     return action(machine, tag, disks);
                                   });
  if (!s) return s.error();
  return Empty{};
}

Answer<Empty> snapshot_save(Context& c, SnapshotJob& a) {
  return start_job(c, JobType::snapshot_save, a.job_id, &migration::save_snapshot_on, a.tag, {a.vmstate, a.devices});
}
Answer<Empty> snapshot_load(Context& c, SnapshotJob& a) {
  return start_job(c, JobType::snapshot_load, a.job_id, &migration::load_snapshot_on, a.tag, {a.vmstate, a.devices});
}
Answer<Empty> snapshot_delete(Context& c, SnapshotDeleteJob& a) {
  return start_job(c, JobType::snapshot_delete, a.job_id, &migration::delete_snapshot_on, a.tag, {"", a.devices});
}
Answer<std::vector<JobInfo>> query_jobs(Context& c, Empty&) { return c.services.jobs.list(); }

struct JobName {
  static constexpr const char* kType = "job-dismiss-arg";
  std::string id;
  template <class V>
  void visit(V& v) {
    v("id", id, "name of the job");
  }
};
Answer<Empty> job_dismiss(Context& c, JobName& args) {
  if (Status s = c.services.jobs.dismiss(args.id, teller(c)); !s) return s.error();
  return Empty{};
}

constexpr Definition kRows[] = {
    command<&job_dismiss>("job-dismiss", "forget a job that is concluded"),
    command<&query_jobs>("query-jobs", "all jobs, until they are dismissed"),
    command<&snapshot_delete>("snapshot-delete", "a job: delete a snapshot of the machine"),
    command<&snapshot_load>("snapshot-load", "a job: go back to a snapshot of the machine"),
    command<&snapshot_save>("snapshot-save", "a job: save the machine's state in a qcow2 disk and snapshots of others"),
};

}  // namespace

std::span<const Definition> job_commands() { return kRows; }

}  // namespace doppel::monitor
