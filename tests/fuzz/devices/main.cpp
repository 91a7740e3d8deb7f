// Fuzzes models of devices, without a machine around them: fuzz_devices [FAMILY...] [--seconds N] [--seed S]
// [--corpus DIR] [--keep] [--case FILE]
//
// Plays the corpus (DIR/FAMILY.txt, a case a line), then changes its cases for N seconds a family; what shows new
// branches (the `fuzz` preset tells) is changed further, and with --keep written back. A case that crashes, hangs for
// ten seconds of CPU time or makes a family complain is written to FAMILY.failed; --case plays it again. Last line: N
// passed, N failed.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cable.h"
#include "coverage.h"
#include "world.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

namespace doppel::fuzz {
namespace {

// Of CPU time, as the host may be busy; and of the clock, for who waits for ever.
constexpr unsigned kHangSeconds = 10, kStuckSeconds = 600;
constexpr long kMemoryKiB = 2 << 20;
constexpr size_t kCorpus = 80;  // cases kept for a family

struct Options {
  std::vector<std::string> names;
  double seconds = 1;
  u64 seed = 1;
  std::string corpus = "tests/fuzz/devices/corpus", one_case;
  bool keep = false;
};

// What a crash handler needs, made beforehand.
std::string current_name, current_text;

void save_current() {
  const int fd = ::open((current_name + ".failed").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return;
  if (::write(fd, current_text.data(), current_text.size()) < 0) std::perror("write");
  ::close(fd);
}

void on_signal(int number) {
  save_current();
  const char* what = number == SIGALRM || number == SIGPROF ? "\na case hangs\n" : "\na case died by a signal\n";
  if (::write(2, what, std::strlen(what)) < 0) std::perror("write");
  ::_exit(3);
}

void watch_for_hang(bool on) {
  itimerval t{};
  t.it_value.tv_sec = on ? kHangSeconds : 0;
  ::setitimer(ITIMER_PROF, &t, nullptr);
  ::alarm(on ? kStuckSeconds : 0);
}

void watch() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(save_current);
#else
  for (const int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::signal(s, on_signal);
#endif
  for (const int s : {SIGALRM, SIGPROF, SIGABRT}) ::signal(s, on_signal);
}

long peak_kib() {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  return u.ru_maxrss;
}

class Fuzzer {
 public:
  Fuzzer(const Family& family, const Options& o) : family_(family), o_(o), random_(o.seed) {}

  bool run() {
    current_name = family_.name;
    load();
    for (const Case& c : std::vector<Case>(std::move(corpus_))) {
      if (!play(c)) return false;
      if (coverage_new() != 0 || !coverage_available()) corpus_.push_back(c);
    }
    const size_t before = corpus_.size();
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::duration<double> time(o_.seconds);
    while (std::chrono::steady_clock::now() - start < time) {
      for (int i = 0; i < 32; i++) {
        if (!change_one()) return false;
      }
    }
    std::printf(
        "ok    fuzz/%s: %llu cases, %llu steps, %zu branches, %zu cases of the corpus and %zu more, peak %ld MiB\n",
        family_.name.c_str(), static_cast<unsigned long long>(cases_), static_cast<unsigned long long>(steps_),
        coverage_branches(), before, corpus_.size() - before, peak_kib() >> 10);
    std::fflush(stdout);
    if (o_.keep) save();
    return true;
  }
  bool play(const Case& c) {
    current_text = to_text(c) + "\n";
    watch_for_hang(true);
    std::string complaint;
    coverage_begin();
    {
      const auto world = family_.make();
      world->play(c);
      complaint = world->complaint();
    }
    watch_for_hang(false);
    cases_++;
    steps_ += c.size();
    if (complaint.empty() && peak_kib() > kMemoryKiB) complaint = "more than 2 GiB of memory are used";
    if (complaint.empty()) return true;
    save_current();
    std::printf("FAIL  fuzz/%s: %s; the case is in %s.failed\n", family_.name.c_str(), complaint.c_str(),
                family_.name.c_str());
    return false;
  }

 private:
  bool change_one() {
    static const Case kNone;
    const Case& base = pick(kNone);
    const Case c = mutated(base, pick(kNone), random_);
    if (!play(c)) return false;
    if (coverage_new() == 0) return true;
    return trim(c);
  }
  const Case& pick(const Case& none) {
    if (corpus_.empty() || random_() % 64 == 0) return none;
    return corpus_[random_() % 2 ? random_() % corpus_.size()
                                 : corpus_.size() - 1 - random_() % std::min<size_t>(corpus_.size(), 16)];
  }
  // Without the steps that its branches do not need.
  bool trim(Case c) {
    coverage_remember();
    for (size_t piece = std::max<size_t>(c.size() / 4, 1);; piece /= 2) {
      for (size_t at = 0; at + piece <= c.size() && c.size() > piece;) {
        Case shorter = c;
        const auto from = shorter.begin() + static_cast<std::ptrdiff_t>(at);
        shorter.erase(from, from + static_cast<std::ptrdiff_t>(piece));
        if (!play(shorter)) return false;
        coverage_new();
        if (coverage_keeps())
          c = std::move(shorter);
        else
          at += piece;
      }
      if (piece == 1) break;
    }
    corpus_.push_back(std::move(c));
    return true;
  }
  std::string file() const { return o_.corpus + "/" + family_.name + ".txt"; }
  void load() {
    std::ifstream in(file());
    for (std::string line; std::getline(in, line);) {
      if (line.empty() || line[0] == '#') continue;
      if (auto c = from_text(line))
        corpus_.push_back(std::move(*c));
      else
        std::fprintf(stderr, "%s: a line is no case: %.60s\n", file().c_str(), line.c_str());
    }
  }
  // Those that show most first, until all branches are shown or there are enough.
  void save() {
    std::vector<Case> left = corpus_, kept;
    std::stable_sort(left.begin(), left.end(), [](const Case& a, const Case& b) { return a.size() < b.size(); });
    coverage_forget();
    for (bool again = true; again && kept.size() < kCorpus;) {
      again = false;
      for (auto it = left.rbegin(); it != left.rend() && kept.size() < kCorpus; ++it) {
        play(*it);
        if (coverage_fresh_branches() < (kept.size() < kCorpus / 2 ? 8u : 1u)) continue;
        coverage_new();
        kept.push_back(*it);
      }
    }
    std::filesystem::create_directories(o_.corpus);
    std::ofstream out(file());
    for (const Case& c : kept) out << to_text(c) << "\n";
  }
  const Family& family_;
  const Options& o_;
  std::mt19937_64 random_;
  std::vector<Case> corpus_;
  u64 cases_ = 0, steps_ = 0;
};

int run(const Options& o) {
  unsigned passed = 0, failed = 0;
  for (const Family& f : families()) {
    if (!o.names.empty() && std::find(o.names.begin(), o.names.end(), f.name) == o.names.end()) continue;
    coverage_forget();
    Fuzzer fuzzer(f, o);
    bool good;
    if (o.one_case.empty()) {
      good = fuzzer.run();
    } else {
      std::ifstream in(o.one_case);
      const auto c = from_text({std::string{std::istreambuf_iterator<char>(in), {}}});
      current_name = f.name;
      good = c && fuzzer.play(*c);
    }
    ++(good ? passed : failed);
  }
  std::printf("%u passed, %u failed\n", passed, failed);
  return failed == 0 && passed != 0 ? 0 : 1;
}

int usage() {
  std::fprintf(
      stderr,
      "usage: fuzz_devices [FAMILY...] [--seconds N] [--seed S] [--corpus DIR] [--keep] [--case FILE]\nfamilies:");
  for (const Family& f : families()) std::fprintf(stderr, " %s", f.name.c_str());
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace
}  // namespace doppel::fuzz

int main(int argc, char** argv) {
  using namespace doppel::fuzz;
  Options o;
  for (int i = 1; i < argc; i++) {
    const std::string a = argv[i];
    const char* next = i + 1 < argc ? argv[i + 1] : nullptr;
    if (a == "--keep") {
      o.keep = true;
    } else if (a.starts_with("--") && next != nullptr) {
      if (a == "--seconds")
        o.seconds = std::atof(next);
      else if (a == "--seed")
        o.seed = std::strtoull(next, nullptr, 0);
      else if (a == "--corpus")
        o.corpus = next;
      else if (a == "--case")
        o.one_case = next;
      else
        return usage();
      i++;
    } else if (std::any_of(families().begin(), families().end(), [&](const Family& f) { return f.name == a; })) {
      o.names.push_back(a);
    } else {
      return usage();
    }
  }
  watch();
  int status = 1;
  network_loop().call([&] { status = run(o); });
  return status;
}
