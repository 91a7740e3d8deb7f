#include "migration/migrator.h"

#include "migration/machine_state.h"

namespace doppel::migration {

using machine::RunState;

Migrator::~Migrator() { end(); }

void Migrator::end() {
  cancel();
  if (thread_.joinable()) thread_.join();
}

void Migrator::expect(bool run) {
  run_ = run;
  expecting_ = true;
  machine_.set_still(RunState::InMigrate);
}

void Migrator::enter(State state, const std::string& error) {
  {
    const std::lock_guard guard(lock_);
    progress_.state = state;
    progress_.error = error;
    progress_.milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_).count();
    if (out_) progress_.written = out_->written();
  }
  if (on_state) on_state(state);
}

void Migrator::begin() {
  if (thread_.joinable()) thread_.join();  // of the one before, which is over
  cancelled_ = false;
  start_ = std::chrono::steady_clock::now();
  {
    const std::lock_guard guard(lock_);
    progress_ = {.ram_bytes = machine_.ram() ? machine_.ram()->size : 0};
  }
  enter(State::Setup);
}

Status Migrator::send(const std::string& address, const TakeDescriptor& take) {
  if (progress().state == State::Setup || progress().state == State::Active)
    return Error{"There's a migration process in progress", "migrate_cancel ends it"};
  if (expecting_) return Error{"the machine waits for a state (-incoming)", "migrate-incoming brings it"};
  if (Status s = machine_.can_archive(); !s) return s;
  auto out = Outgoing::open(address, take, cancelled_);
  if (!out) return out.error();
  begin();
  thread_ = std::thread(
      [this, way = std::make_shared<std::unique_ptr<Outgoing>>(out.take())] { write_state(std::move(*way)); });
  return success();
}

void Migrator::write_state(std::unique_ptr<Outgoing> out) {
  {
    const std::lock_guard guard(lock_);
    out_ = out.get();
  }
  enter(State::Active);
  const Status s = machine_.while_stopped([&](bool& stay) -> Status {
    auto bytes = save_state(machine_, *out);
    if (!bytes) return bytes.error();
    if (Status closed = out->close(); !closed) return closed;
    if (cancelled_) return Error{"it was cancelled", ""};
    stay = true;
    return success();
  });
  if (s) machine_.set_still(RunState::PostMigrate);
  enter(s ? State::Completed : cancelled_ ? State::Cancelled : State::Failed, s ? "" : s.error().text());
  const std::lock_guard guard(lock_);
  out_ = nullptr;
}

Status Migrator::receive(const std::string& address, const TakeDescriptor& take) {
  if (!expecting_.exchange(false))
    return Error{"the machine does not wait for a state", "start it with -incoming defer"};
  auto in = Incoming::open(address, take);
  if (!in) {
    expecting_ = true;
    return in.error();
  }
  begin();
  thread_ = std::thread(
      [this, way = std::make_shared<std::unique_ptr<Incoming>>(in.take())] { read_state(std::move(*way)); });
  return success();
}

void Migrator::read_state(std::unique_ptr<Incoming> in) {
  enter(State::Active);
  Status s = in->receive();
  if (s) {
    s = machine_.while_stopped([&](bool&) -> Status {
      auto load = StateLoad::prepare(machine_, *in);
      if (!load) return load.error();
      return load->finish();
    });
  }
  if (s) machine_.set_still(RunState::Paused);
  enter(s ? State::Completed : State::Failed, s ? "" : s.error().text());
  if (s && run_) machine_.resume();
}

void Migrator::cancel() {
  if (progress().state == State::Setup || progress().state == State::Active) cancelled_ = true;
}

Migrator::Progress Migrator::progress() const {
  const std::lock_guard guard(lock_);
  Progress p = progress_;
  if (out_ && (p.state == State::Active || p.state == State::Setup)) {
    p.written = out_->written();
    p.milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_).count();
  }
  return p;
}

}  // namespace doppel::migration
