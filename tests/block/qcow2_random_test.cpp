// Random requests on every kind of image against a plain array, with check in between; and the power cut: whatever
// sectors written since the last flush are missing, check finds no corruption, and what was flushed is there.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "block/qcow2/compact.h"
#include "block/qcow2_images.h"

namespace doppel::block::qcow2 {
namespace {

constexpr u64 kSector = 512;

// A disk of sectors that each hold one number, and what each may hold after a power cut.
class Model {
 public:
  explicit Model(u64 sectors) : now(sectors), may_(sectors) {}
  void set(u64 first, u64 number, u32 stamp, bool is_hint) {
    for (u64 i = first; i < first + number; i++) {
      if (is_hint && !may_[i].empty()) may_[i].push_back(now[i]);
      may_[i].push_back(stamp);
      now[i] = stamp;
    }
  }
  void flushed() {
    for (size_t i = 0; i < may_.size(); i++) may_[i].clear();
    stable = now;
  }
  bool allows(u64 sector, u32 stamp) const {
    if (stable[sector] == stamp) return true;
    return std::find(may_[sector].begin(), may_[sector].end(), stamp) != may_[sector].end();
  }
  std::vector<u32> now, stable;

 private:
  std::vector<std::vector<u32>> may_;
};

std::vector<u8> sectors_of(u32 stamp, u64 number) {
  std::vector<u8> data(number * kSector);
  for (u64 i = 0; i < data.size(); i += 4) store_le<u32>(&data[i], stamp);
  return data;
}

// Each kind of image has requests of its own.
u64 seed_for(const ImageKind& kind, u64 seed) {
  for (const char c : std::string_view(kind.name)) seed = seed * 31 + static_cast<u8>(c);
  return seed;
}

class RandomRun {
 public:
  RandomRun(const ImageKind& kind, u64 seed)
      : kind_(kind), random_(seed_for(kind, seed)), sectors_(disk_size() / kSector), model_(sectors_) {
    CreateOptions o = kind.options;
    o.size = disk_size();
    file_ = std::make_shared<RecordingFile>();
    EXPECT_TRUE(create(*file_, o));
    if (kind.backing) {
      auto base = std::make_shared<MemoryNode>(disk_size() / 2 + 3 * kSector, true);
      for (u64 s = 0; s < base->size() / kSector; s++) {
        const auto data = sectors_of(1000000 + static_cast<u32>(s), 1);
        std::copy(data.begin(), data.end(), base->data.begin() + static_cast<std::ptrdiff_t>(s * kSector));
        model_.now[s] = 1000000 + static_cast<u32>(s);
      }
      backing_ = base;
    }
    model_.flushed();
    // Caches that hold nearly nothing, some, all.
    if (seed_for(kind, seed) % 3 == 0) options_.caches = {.l2 = 0, .refcounts = 0, .l2_entry = 512};
    if (seed_for(kind, seed) % 3 == 1) options_.caches = {.clean_seconds = 0};
    node_ = open_memory(file_, backing_, options_);
    EXPECT_NE(node_, nullptr);
  }

  u64 disk_size() const {
    return std::max<u64>(kind_.options.cluster_bits != 0 ? u64{40} << kind_.options.cluster_bits : 2 << 20, 200 << 10) +
           kSector;
  }
  u64 below(u64 limit) { return random_() % limit; }

  void step() {
    const u64 first = below(sectors_);
    u64 number = 1 + below(below(4) == 0 ? 400 : 20);
    number = std::min(number, sectors_ - first);
    const u32 stamp = ++stamp_;
    switch (below(20)) {
      case 0:
        ASSERT_EQ(write_zeroes_sync(*node_, first * kSector, number * kSector), 0);
        return model_.set(first, number, 0, false);
      case 1: return discard(first, number);
      case 2: ASSERT_EQ(flush_sync(*node_), 0); return model_.flushed();
      case 3:
      case 4: return compressed(first, stamp);
      case 5: return snapshot();
      case 6: return below(3) == 0 ? compact() : compare(first, number);
      default:
        std::vector<u8> data = sectors_of(stamp, number);
        ASSERT_EQ(write_sync(*node_, first * kSector, Pieces(in_pieces(data))), 0);
        model_.set(first, number, stamp, false);
    }
  }

  // Whole or cut at any bytes.
  std::vector<std::span<u8>> in_pieces(std::span<u8> data) {
    std::vector<std::span<u8>> out;
    while (!data.empty()) {
      const size_t n = below(2) == 0 ? data.size() : 1 + below(data.size());
      out.push_back(data.first(n));
      data = data.subspan(n);
    }
    return out;
  }

  // A discarded sector reads as zero, as before or as the backing image's; what it is is read back.
  void discard(u64 first, u64 number) {
    ASSERT_EQ(discard_sync(*node_, first * kSector, number * kSector), 0);
    std::vector<u8> data(number * kSector);
    ASSERT_EQ(read_sync(*node_, first * kSector, data), 0);
    for (u64 i = 0; i < number; i++) {
      const u32 stamp = load_le<u32>(&data[i * kSector]);
      ASSERT_TRUE(stamp == 0 || stamp == model_.now[first + i]) << "discarded sector " << first + i << " has " << stamp;
      model_.set(first + i, 1, stamp, true);
    }
  }

  void compressed(u64 sector, u32 stamp) {
    const u64 cluster = node_->cluster_size(), at = align_down(sector * kSector, cluster);
    if (at + cluster > disk_size()) return;
    const auto packed = compress_cluster(node_->compression(), sectors_of(stamp, cluster / kSector));
    if (packed.empty()) return;
    ASSERT_EQ(node_->write_compressed(at, packed), 0);
    model_.set(at / kSector, cluster / kSector, stamp, false);
  }

  void snapshot() {
    if (below(6) != 0) return;
    if (snapshots_.size() < 3 && below(2) == 0) {
      const std::string name = "s" + std::to_string(stamp_);
      const Status s = node_->locked([&](Image& image) { return create_snapshot(image, name); });
      if (kind_.options.refcount_order <= 1 && !s) return;  // too narrow for one more
      ASSERT_TRUE(s) << s.error().text();
      snapshots_.emplace_back(name, model_.now);
      return model_.flushed();
    }
    if (snapshots_.empty()) return;
    const size_t which = below(snapshots_.size());
    if (below(2) == 0) {
      const Status s = node_->locked([&](Image& image) { return apply_snapshot(image, snapshots_[which].first); });
      if (kind_.options.refcount_order <= 1 && !s) return;
      ASSERT_TRUE(s) << s.error().text();
      model_.now = snapshots_[which].second;
      return model_.flushed();
    }
    const Status s = node_->locked([&](Image& image) { return delete_snapshot(image, snapshots_[which].first); });
    ASSERT_TRUE(s) << s.error().text();
    snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(which));
    model_.flushed();
  }

  // A hint for the disk's content: no sector changes.
  void compact() {
    CompactResult r;
    if (below(2) == 0) discard(0, sectors_ / 2);
    ASSERT_EQ(node_->locked([&](Image& image) {
      return qcow2::compact(
          image, [](u64) {}, r);
    }),
              0)
        << kind_.name;
    moved += r.moved;
    model_.flushed();
    compare(0, sectors_);
  }

  void compare(u64 first, u64 number) {
    std::vector<u8> data(number * kSector);
    ASSERT_EQ(read_sync(*node_, first * kSector, data), 0);
    for (u64 i = 0; i < number; i++) {
      for (const u64 at : {u64{0}, kSector - 4})
        ASSERT_EQ(load_le<u32>(&data[i * kSector + at]), model_.now[first + i])
            << kind_.name << ": sector " << first + i;
    }
  }

  void reopen() {
    ASSERT_EQ(node_->close(), 0);
    node_.reset();
    CheckResult r;
    const std::string text = findings(file_, &r);
    ASSERT_EQ(text, "") << kind_.name;
    ASSERT_EQ(r.corruptions + r.leaks + r.check_errors, 0u);
    node_ = open_memory(file_, backing_, options_);
    ASSERT_NE(node_, nullptr);
  }

  // `steps` requests, the power cut somewhere among their writes, `cuts` times over.
  void power_cuts(unsigned steps, unsigned cuts) {
    file_->start_recording();
    std::vector<Model> states{model_};
    std::vector<size_t> ends{0};
    for (unsigned i = 0; i < steps; i++) {
      step();
      states.push_back(model_);
      ends.push_back(file_->log.size());
    }
    std::vector<size_t> flushes;  // before one, the most is open
    for (size_t i = 0; i < file_->log.size(); i++) {
      if (file_->log[i].what == RecordingFile::What::Flush && i != 0 &&
          file_->log[i - 1].what != RecordingFile::What::Flush)
        flushes.push_back(i);
    }
    for (unsigned i = 0; i < cuts && !::testing::Test::HasFailure(); i++) {
      const bool late = !flushes.empty() && below(4) != 0;
      cut(late ? flushes[below(flushes.size())] : below(file_->log.size() + 1), states, ends);
    }
  }

  u64 moved = 0;  // clusters, by compact()

  // For other programs to look at: NAME.qcow2, NAME.raw and perhaps NAME.base.
  void save(const std::string& folder) {
    ASSERT_EQ(node_->close(), 0);
    const auto put = [&](const char* suffix, const std::vector<u8>& bytes) {
      std::ofstream out(folder + "/" + kind_.name + suffix, std::ios::binary);
      out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    };
    std::vector<u8> disk;
    for (const u32 stamp : model_.now) {
      const auto sector = sectors_of(stamp, 1);
      disk.insert(disk.end(), sector.begin(), sector.end());
    }
    put(".qcow2", file_->bytes);
    put(".raw", disk);
    if (kind_.backing) put(".base", static_cast<MemoryNode&>(*backing_).data);
  }

 private:
  // Lines that mean harm. Version 2 can't mark itself dirty while a snapshot changes counts and flags: there the flags
  // may disagree with the counts, which costs a copy or nothing.
  u64 harm(const std::string& text) const {
    u64 lines = 0;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      const bool flag = line.find("OFLAG_COPIED") != std::string::npos;
      if (!line.starts_with("Leaked") && !(flag && kind_.options.version == 2)) lines++;
    }
    return lines;
  }

  void cut(size_t at, const std::vector<Model>& states, const std::vector<size_t>& ends) {
    // The last request that was over, and the one that was under way.
    const size_t under_way = static_cast<size_t>(std::lower_bound(ends.begin(), ends.end(), at) - ends.begin());
    const Model &before = states[under_way == 0 ? 0 : under_way - 1], &after = states[under_way];
    auto copy = std::make_shared<RecordingFile>("cut.qcow2", file_->cut_off(at, random_));
    auto header = parse_header(*copy);
    ASSERT_TRUE(header) << header.error().text();
    CheckResult r;
    const std::string text = findings(copy, &r);
    if (!header->has(kDirty)) {
      ASSERT_EQ(harm(text) + r.check_errors, 0u)
          << kind_.name << " cut at " << at << " of " << file_->log.size() << ":\n"
          << text;
    }
    auto node = open_memory(copy, backing_);
    ASSERT_NE(node, nullptr) << kind_.name << " cut at " << at;
    std::vector<u8> data(sectors_ * kSector);
    ASSERT_EQ(read_sync(*node, 0, data), 0);
    for (u64 s = 0; s < sectors_; s++) {
      const u32 stamp = load_le<u32>(&data[s * kSector]);
      ASSERT_TRUE(before.allows(s, stamp) || after.allows(s, stamp) || after.now[s] == stamp)
          << kind_.name << " cut at " << at << ": sector " << s << " holds " << stamp << ", flushed was "
          << before.stable[s];
    }
    ASSERT_EQ(write_sync(*node, 0, std::span(data).first(8192)), 0);
    ASSERT_EQ(node->close(), 0);
    ASSERT_EQ(harm(findings(copy, &r)) + r.check_errors, 0u) << kind_.name << ": after going on";
  }

  const ImageKind& kind_;
  std::mt19937_64 random_;
  u64 sectors_;
  Model model_;
  std::shared_ptr<RecordingFile> file_;
  std::shared_ptr<Node> backing_;
  std::shared_ptr<Qcow2> node_;
  OpenOptions options_;
  std::vector<std::pair<std::string, std::vector<u32>>> snapshots_;
  u32 stamp_ = 0;
};

// DOPPEL_TEST_FULL=1: twenty times as many seeds, and cuts for each; a larger number: so many.
unsigned effort() {
  const char* full = std::getenv("DOPPEL_TEST_FULL");
  const int n = full != nullptr ? std::atoi(full) : 0;
  return n <= 0 ? 1 : n == 1 ? 20 : static_cast<unsigned>(n);
}

TEST(Qcow2Random, AgreesWithAnArray) {
  for (const ImageKind& kind : image_kinds()) {
    for (u64 seed = 1; seed <= effort(); seed++) {
      RandomRun run(kind, seed);
      for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 100 && !HasFailure(); i++) run.step();
        if (!HasFailure()) run.compare(0, run.disk_size() / kSector);
        if (!HasFailure()) run.reopen();
        if (!HasFailure()) run.compare(0, run.disk_size() / kSector);
        if (HasFailure()) FAIL() << kind.name << " seed " << seed;
      }
      if (const char* folder = std::getenv("DOPPEL_TEST_IMAGES")) run.save(folder);
    }
  }
}

TEST(Qcow2PowerCut, LosesNothingThatWasFlushed) {
  u64 cuts = 0, moved = 0;
  for (const ImageKind& kind : image_kinds()) {
    for (u64 seed = 1; seed <= effort() && !HasFailure(); seed++) {
      RandomRun run(kind, seed);
      run.power_cuts(60, 40 * effort());
      cuts += 40 * effort();
      moved += run.moved;
      if (HasFailure()) FAIL() << kind.name << " seed " << seed;
    }
  }
  EXPECT_GT(moved, 0u);
  std::printf("power cuts: %llu, in %zu kinds of images; nothing that was flushed was lost, no corruption\n",
              static_cast<unsigned long long>(cuts), image_kinds().size());
}

}  // namespace
}  // namespace doppel::block::qcow2
