#include "app/img/copy.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <thread>

#include "app/img/arguments.h"
#include "base/page_vector.h"
#include "block/bytes.h"
#include "block/qcow2/compress.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

constexpr u64 kChunk = 2 << 20, kDetect = 4096;

struct Chunk {
  enum class What : u8 { Data, Zero, Skip };
  u64 number = 0, offset = 0, length = 0;  // on the target
  What what = What::Data;
  bool detect = true;  // the source may have zeroes in it
};

using block::is_zero;

class Copier {
 public:
  Copier(const CopyJob& job, Progress& progress) : job_(job), progress_(progress) {
    end_ = job.sources.empty() ? 0 : job.sources.back().start + job.sources.back().size;
  }

  CopyError run() {
    std::vector<std::thread> workers;
    for (unsigned i = 1; i < job_.threads; i++) workers.emplace_back([this] { work(); });
    work();
    for (std::thread& t : workers) t.join();
    return result_;
  }

 private:
  void work() {
    PageVector data;
    for (Chunk c; next(c);) {
      std::vector<u8> packed;
      if (c.what == Chunk::What::Data) {
        data.resize(c.length);
        const int error = read(c.offset, data);
        if (error != 0 && !job_.salvage) fail({error, true, c.offset});
        if (error != 0) std::fill(data.begin(), data.end(), u8{0});
        if (job_.sparse != 0 && is_zero(data)) {
          c.what = Chunk::What::Zero;
        } else if (job_.compress_to != nullptr) {
          packed = pack(data);
        }
      }
      if (!wait_for_turn(c)) return;
      if (const int error = write(c, data, packed)) fail({error, false, c.offset});
      finish_turn();
      progress_.add(c.length);
    }
  }

  std::vector<u8> pack(std::span<const u8> data) {
    const u64 size = job_.compress_to->cluster_size();
    if (data.size() == size) return block::qcow2::compress_cluster(job_.compress_to->compression(), data);
    std::vector<u8> whole(size);  // the disk's last cluster
    std::copy(data.begin(), data.end(), whole.begin());
    return block::qcow2::compress_cluster(job_.compress_to->compression(), whole);
  }

  // The next part of one kind; false: the end, or an error somewhere.
  bool next(Chunk& c) {
    const std::lock_guard hold(next_lock_);
    if (at_ >= end_ || failed()) return false;
    while (at_ >= job_.sources[source_].start + job_.sources[source_].size) source_++;
    const CopyJob::Part& part = job_.sources[source_];
    if (at_ >= extent_end_ || at_ < part.start) look(part);
    c = {.number = number_++, .offset = at_, .what = what_};
    u64 limit = what_ == Chunk::What::Data ? kChunk : extent_end_ - at_;
    if (job_.compress_to != nullptr) limit = std::min(limit, cluster_end(part));
    c.length = std::min(limit, extent_end_ - at_);
    if (job_.compress_to != nullptr && what_ == Chunk::What::Data) {
      // A compressed cluster is written whole, whatever kinds of parts the source has in it.
      c.length = std::min(cluster_end(part), end_ - at_);
    } else if (what_ == Chunk::What::Data && c.length == kChunk) {
      c.length -= (at_ + c.length) % kChunk;
    }
    at_ += c.length;
    return true;
  }

  u64 cluster_end(const CopyJob::Part&) const {
    const u64 size = job_.compress_to->cluster_size();
    return size - at_ % size;
  }

  void look(const CopyJob::Part& part) {
    const u64 inside = at_ - part.start;
    const ChainExtent e = chain_extent(*part.node, inside, part.size - inside);
    extent_end_ = at_ + std::max<u64>(e.extent.length, 1);
    if (e.extent.length == 0) extent_end_ = part.start + part.size;
    what_ = Chunk::What::Data;
    if (job_.target_has_backing && e.depth != 0) {
      what_ = Chunk::What::Skip;
    } else if (job_.target_has_backing && !e.extent.present) {
      what_ = Chunk::What::Skip;
    } else if (e.extent.zero) {
      what_ = job_.sparse == 0 ? Chunk::What::Data : Chunk::What::Zero;
    }
    if (job_.compress_to == nullptr || what_ == Chunk::What::Data) return;
    // Whole clusters only: a part of one is data for the compressor.
    const u64 size = job_.compress_to->cluster_size();
    if (at_ % size != 0 || (extent_end_ - at_ < size && extent_end_ != end_)) {
      what_ = Chunk::What::Data;
      extent_end_ = std::min(end_, align_down(at_, size) + size);
    } else if (extent_end_ != end_) {
      extent_end_ = align_down(extent_end_, size);
    }
  }

  int read(u64 offset, std::span<u8> data) {
    for (const CopyJob::Part& part : job_.sources) {
      if (data.empty() || offset < part.start || offset >= part.start + part.size) continue;
      const u64 n = std::min<u64>(data.size(), part.start + part.size - offset);
      if (const int error = block::read_sync(*part.node, offset - part.start, data.first(n))) return error;
      offset += n;
      data = data.subspan(n);
    }
    return 0;
  }

  int write(const Chunk& c, std::span<const u8> data, std::span<const u8> packed) {
    if (c.what == Chunk::What::Skip) return 0;
    if (c.what == Chunk::What::Zero) return zero(c.offset, c.length);
    if (!packed.empty()) return job_.compress_to->write_compressed(c.offset, packed);
    if (job_.sparse == 0 || job_.compress_to != nullptr) return block::write_sync(*job_.target, c.offset, data);
    return write_sparse(c.offset, data);
  }

  int zero(u64 offset, u64 length) {
    if (job_.target_is_zero && !job_.target_has_backing) return 0;
    return block::write_zeroes_sync(*job_.target, offset, length);
  }

  // Data and runs of zeroes that are at least `sparse` long.
  int write_sparse(u64 offset, std::span<const u8> data) {
    const u64 grain = std::max(job_.sparse, kDetect);
    size_t at = 0;
    while (at < data.size()) {
      size_t end = at;
      const bool zeroes = is_zero(data.subspan(at, std::min<u64>(grain, data.size() - at)));
      do {
        end = std::min<u64>(end + grain - (offset + end) % grain, data.size());
      } while (end < data.size() && is_zero(data.subspan(end, std::min<u64>(grain, data.size() - end))) == zeroes);
      const int error = zeroes ? zero(offset + at, end - at)
                               : block::write_sync(*job_.target, offset + at, data.subspan(at, end - at));
      if (error != 0) return error;
      at = end;
    }
    return 0;
  }

  bool wait_for_turn(const Chunk& c) {
    if (!job_.in_order) return !failed();
    std::unique_lock hold(turn_lock_);
    turn_of(c.number).wait(hold, [&] { return turn_ == c.number || result_.error != 0; });
    return result_.error == 0;
  }

  void finish_turn() {
    if (!job_.in_order) return;
    const std::lock_guard hold(turn_lock_);
    turn_of(++turn_).notify_one();
  }

  // Threads have neighbouring chunks, so that each waits alone.
  std::condition_variable& turn_of(u64 number) { return turn_changed_[number % turn_changed_.size()]; }

  void fail(const CopyError& e) {
    const std::lock_guard hold(turn_lock_);
    if (result_.error == 0) result_ = e;
    for (std::condition_variable& c : turn_changed_) c.notify_all();
  }

  bool failed() {
    const std::lock_guard hold(turn_lock_);
    return result_.error != 0;
  }

  const CopyJob& job_;
  Progress& progress_;
  u64 end_ = 0;
  std::mutex next_lock_;  // of the five below
  u64 at_ = 0, extent_end_ = 0, number_ = 0;
  size_t source_ = 0;
  Chunk::What what_ = Chunk::What::Data;
  std::mutex turn_lock_;
  std::array<std::condition_variable, 16> turn_changed_;
  u64 turn_ = 0;
  CopyError result_;
};

}  // namespace

// Twice the CPUs: some wait for the disk.
unsigned copy_threads(unsigned wanted) {
  return std::clamp(std::min(wanted, 2 * std::thread::hardware_concurrency()), 1u, 16u);
}

CopyError copy_disk(const CopyJob& job, Progress& progress) { return Copier(job, progress).run(); }

}  // namespace doppel::app::img
