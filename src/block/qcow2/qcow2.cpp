#include "block/qcow2/qcow2.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "block/open.h"
#include "block/qcow2/snapshots.h"

namespace doppel::block::qcow2 {
namespace {

Result<std::shared_ptr<File>> open_data_file(const Header& h, const std::string& image, const OpenOptions& o) {
  if (h.data_file.empty())
    return Error{"'" + image + "' has an external data file but doesn't name it", "such images are not supported"};
  auto path = resolve_path(image, h.data_file);
  if (!path) return path.error();
  return open_file(*path, {o.read_only, o.shared ? Sharing::Shared : Sharing::Locked, o.unsafe, o.direct});
}

Result<std::shared_ptr<Node>> open_backing(const Header& h, const std::string& image, const OpenOptions& o, int depth) {
  auto path = resolve_path(image, h.backing_file);
  if (!path) return path.error();
  OpenOptions below{.read_only = true, .format = h.backing_format, .shared = o.shared, .caches = sizes_below(o.caches)};
  auto node = open_at_depth(*path, below, depth + 1);
  if (!node) return Error{"'" + image + "' needs its backing image: " + node.error().cause, node.error().fix};
  return node;
}

// An image that was not closed: the counts are made anew.
Status repair(Image& image) {
  const CheckResult r = check(image, Repair::All, [](const std::string&) {});
  if (r.corruptions == 0 && r.check_errors == 0 && image.set_dirty(false) == 0) return success();
  return Error{"'" + image.file().path() + "' was not closed and can't be repaired on the fly",
               "img check -r all '" + image.file().path() + "' shows what is wrong"};
}

}  // namespace

Result<std::string> resolve_path(const std::string& image, const std::string& name) {
  if (name.starts_with("file:")) return resolve_path(image, name.substr(5));
  const size_t colon = name.find(':'), slash = name.find('/');
  if (colon != std::string::npos && (slash == std::string::npos || colon < slash))
    return Error{"'" + image + "' refers to '" + name + "': only files are built",
                 "make it local and use img rebase -u"};
  if (name.starts_with('/')) return name;
  return (std::filesystem::path(image).parent_path() / name).string();
}

Qcow2::Qcow2(Image::Params p)
    : image_(std::move(p)),
      path_(image_.file().path()),
      backing_(image_.shared_backing()),
      writable_(image_.writable()) {}

Result<std::shared_ptr<Qcow2>> Qcow2::open_image(std::shared_ptr<File> file, const OpenOptions& o, int depth) {
  auto header = parse_header(*file);
  if (!header) return header.error();
  Header& h = *header;
  const std::string path = file->path();
  const bool writable = !o.read_only && !o.snapshot;
  if (h.crypt_method != 0 && !o.no_backing)
    return Error{"'" + path + "' is encrypted: that is not built yet", "decrypt it: qemu-img convert"};
  if (writable && o.repair && h.has(kCorrupt))
    return Error{"'" + path + "' is marked corrupt: it can't be written to",
                 "img check -r all '" + path + "', or read it with readonly=on"};
  const auto caches = cache_bounds(h, o.caches);
  if (!caches) return caches.error();
  Image::Params p{.file = std::move(file), .header = h, .caches = *caches, .writable = writable};
  if (h.has(kDataFile)) {
    auto data = open_data_file(h, path, o);
    if (!data) return data.error();
    p.data_file = data.take();
  }
  if (!h.backing_file.empty() && !o.no_backing) {
    auto backing = open_backing(h, path, o, depth);
    if (!backing) return backing.error();
    p.backing = backing.take();
  }
  auto node = std::shared_ptr<Qcow2>(new Qcow2(std::move(p)));
  Image& image = node->image_;
  if (h.has(kDataFile)) node->data_path_ = image.data_file().path();
  if (const int error = image.load())
    return Error{"can't read the tables of '" + path + "': " + std::strerror(error), ""};
  if (writable && o.repair) {
    if (Status s = node->prepare_to_write(); !s) return s.error();
  }
  node->keep_clean(std::chrono::seconds(caches->clean_seconds));
  return node;
}

Status Qcow2::prepare_to_write() {
  if (image_.header.has(kDirty)) {
    if (Status s = repair(image_); !s) return s.error();
  }
  auto bitmaps = load_bitmaps(image_);
  if (!bitmaps) return bitmaps.error();
  bitmaps_ = std::make_unique<BitmapTracker>(image_, bitmaps.take());
  if (bitmaps_->tracks())
    image_.on_write = [tracker = bitmaps_.get()](u64 offset, u64 length) { tracker->on_write(offset, length); };
  return success();
}

int Qcow2::close() {
  const std::lock_guard alone(gate_);
  if (!image_.writable()) return 0;
  const int stored = bitmaps_ ? bitmaps_->store() : 0;
  const int closed = image_.close();
  writable_ = false;
  return stored != 0 ? stored : closed;
}

Qcow2::~Qcow2() {
  keep_clean({});
  close();
}

void Qcow2::keep_clean(CacheCleaner::Interval interval) {
  if (cleaner_ != 0) CacheCleaner::instance().remove(cleaner_);
  cleaner_ = 0;
  if (interval.count() == 0) return;
  cleaner_ = CacheCleaner::instance().add(interval, [this] {
    const std::lock_guard alone(gate_);
    image_.drop_unused();
  });
}

int Qcow2::check_range(u64 offset, u64 length) const {
  if (!writable_) return EROFS;
  return offset > size() || length > size() - offset ? EIO : 0;
}

void Qcow2::read(u64 offset, std::span<u8> data, Completion done) { read_pieces(offset, {&data, 1}, std::move(done)); }

void Qcow2::read_pieces(u64 offset, Pieces data, Completion done) {
  const u64 length = size_of(data), n = offset < size() ? std::min<u64>(length, size() - offset) : 0;
  if (n != length) clear(slice(data, n, length - n));
  const std::shared_lock inside(gate_);
  done(n == length ? read_inside(offset, data) : read_inside(offset, slice(data, 0, n)));
}

// Only looking the bytes up needs the lock, and parts of compressed clusters, which are kept unpacked.
int Qcow2::read_inside(u64 offset, Pieces data) {
  for (u64 at = 0, left = size_of(data); left != 0;) {
    Piece piece;
    std::unique_lock hold(lock_);
    if (const int error = image_.lookup(offset + at, left, piece)) return error;
    const auto part = slice(data, at, piece.length);
    const bool packed = piece.kind == Kind::Compressed;
    const bool whole = packed && piece.length == image_.cluster_size() && part.size() == 1;
    if (!packed || whole) hold.unlock();
    const int error = whole ? image_.read_whole_compressed(piece.entry.entry, part.front())
                            : image_.read_piece(piece, offset + at, Pieces(part));
    if (error != 0) return error;
    at += piece.length;
    left -= piece.length;
  }
  return 0;
}

void Qcow2::write(u64 offset, std::span<const u8> data, Completion done) {
  // SAFETY: a write only reads what the pieces point to.
  const std::span<u8> piece(const_cast<u8*>(data.data()), data.size());
  write_pieces(offset, {&piece, 1}, std::move(done));
}

void Qcow2::write_pieces(u64 offset, Pieces data, Completion done) {
  const u64 length = size_of(data);
  u64 written = 0;
  int error = check_range(offset, length);
  if (error == 0) error = write_beside(offset, data, written);
  if (error != 0 || written == length) return done(error);
  std::vector<u8> buffer;
  const auto rest = slice(data, written, length - written);
  std::span<const u8> bytes = rest.front();
  if (rest.size() != 1) {
    buffer.resize(length - written);
    copy_out(rest, buffer);
    bytes = buffer;
  }
  {
    const std::lock_guard alone(gate_);
    error = image_.write(offset + written, bytes);
  }
  done(error);
}

// From the start on, as far as the tables agree to it.
int Qcow2::write_beside(u64 offset, Pieces data, u64& written) {
  const std::shared_lock inside(gate_);
  for (u64 left = size_of(data); left != 0;) {
    u64 host = 0, n = 0;
    std::unique_lock hold(lock_);
    if (const int error = image_.find_in_place(offset + written, left, host, n)) return error;
    if (n != 0) {
      hold.unlock();
      if (const int error = image_.data_file().write_pieces(host, slice(data, written, n))) return error;
    } else {
      u64 length = left;
      if (wait_for_others(hold, offset + written, length)) continue;
      if (const int error = write_new(hold, offset + written, slice(data, written, length), n)) return error;
      if (n == 0) return 0;
    }
    written += n;
    left -= n;
  }
  return 0;
}

// True: somebody fills the first cluster; it has been waited for. Else `length` becomes what nobody fills.
bool Qcow2::wait_for_others(std::unique_lock<std::mutex>& hold, u64 offset, u64& length) {
  const u64 size = image_.cluster_size();
  for (const Image::NewRun& run : filling_) {
    const u64 first = align_down(run.offset, size), end = align_up(run.offset + run.length, size);
    if (offset >= first && offset < end) {
      filled_.wait(hold);
      return true;
    }
    if (first > offset) length = std::min(length, first - offset);
  }
  return false;
}

// Into new clusters, other requests going on meanwhile. `done` 0: it has to be alone.
int Qcow2::write_new(std::unique_lock<std::mutex>& hold, u64 offset, Pieces data, u64& done) {
  Image::NewRun run;
  if (const int error = image_.begin_new(offset, size_of(data), run)) return error;
  if (run.old.empty()) return 0;
  done = run.length;
  const auto mine = filling_.insert(filling_.end(), std::move(run));
  hold.unlock();
  int error = image_.fill(*mine, slice(data, 0, done), [this](u64 at, std::span<u8> old) {
    return read_inside(at, {&old, 1});
  });
  hold.lock();
  error = image_.end_new(*mine, error);
  filling_.erase(mine);
  filled_.notify_all();
  return error;
}

void Qcow2::flush(Completion done) {
  {
    const std::shared_lock inside(gate_);
    std::unique_lock hold(lock_);
    const bool clean = image_.clean();
    hold.unlock();
    if (clean) return done(image_.barrier());
  }
  int error = 0;
  {
    const std::lock_guard alone(gate_);
    error = image_.flush();
  }
  done(error);
}

void Qcow2::discard(u64 offset, u64 length, Completion done) {
  int error = check_range(offset, length);
  if (error == 0) {
    const std::lock_guard alone(gate_);
    error = image_.discard(offset, length);
  }
  done(error);
}

void Qcow2::write_zeroes(u64 offset, u64 length, Completion done) {
  int error = check_range(offset, length);
  if (error == 0) {
    const std::lock_guard alone(gate_);
    error = image_.write_zeroes(offset, length);
  }
  done(error);
}

int Qcow2::write_compressed(u64 offset, std::span<const u8> packed) {
  const std::lock_guard alone(gate_);
  return image_.write_compressed(offset, packed);
}

Extent Qcow2::extent(u64 offset, u64 length) {
  const std::shared_lock inside(gate_);
  const std::lock_guard hold(lock_);
  Extent e{.length = offset < size() ? std::min(length, size() - offset) : 0};
  if (e.length == 0) return e;
  Piece piece;
  const u64 end = offset + e.length;
  u64 at = offset;
  // Joins what lookup gives slice by slice.
  for (bool first = true; at < end; first = false) {
    Piece next;
    if (image_.lookup(at, end - at, next) != 0) {
      if (first) return {.length = e.length, .data = true, .present = true};  // reading it gives the error
      break;
    }
    const bool follows = first || (next.kind == piece.kind && next.kind != Kind::Compressed &&
                                   (next.kind != Kind::Data || next.host == piece.host + (at - offset)));
    if (!follows) break;
    if (first) piece = next;
    at += next.length;
    if (next.kind == Kind::Compressed) break;
  }
  e.length = at - offset;
  e.present = piece.kind != Kind::Unallocated;
  e.zero = piece.kind == Kind::Zero;
  e.data = piece.kind == Kind::Data || piece.kind == Kind::Compressed;
  e.compressed = piece.kind == Kind::Compressed;
  if (piece.kind == Kind::Data || (piece.kind == Kind::Zero && piece.host != 0)) e.offset = piece.host;
  e.file = data_path_;
  return e;
}

Status Qcow2::resize(u64 size) {
  const std::lock_guard alone(gate_);
  if (!writable_) return Error{"'" + path_ + "' is opened read-only", ""};
  if (image_.header.bitmaps)
    return Error{"'" + path_ + "' has persistent bitmaps: it can't be resized", "remove the bitmaps first"};
  return image_.resize(align_up(size, 512));
}

Status Qcow2::set_backing(const std::string& file, const std::string& format) {
  const std::lock_guard alone(gate_);
  if (!file.empty() && (image_.header.autoclear & kRawDataFile) != 0)
    return Error{"'" + path_ + "' has a raw external data file: it can have no backing image", ""};
  image_.header.backing_file = file;
  image_.header.backing_format = file.empty() ? "" : format;
  if (const int error = image_.flush()) return Error{"can't write '" + path_ + "': " + std::strerror(error), ""};
  return image_.rewrite_header();
}

void Qcow2::replace_backing(std::shared_ptr<Node> node) {
  const std::lock_guard alone(gate_);
  backing_ = node;
  image_.set_backing(std::move(node));
}

ImageInfo Qcow2::info() const {
  const std::lock_guard alone(gate_);
  const Header& h = image_.header;
  ImageInfo i{.format = "qcow2",
              .virtual_size = h.size,
              .cluster_size = h.cluster_size(),
              .encrypted = h.crypt_method != 0,
              .dirty = h.has(kDirty),
              .backing_file = h.backing_file,
              .backing_format = h.backing_format};
  if (!h.backing_file.empty()) {
    auto full = resolve_path(path_, h.backing_file);
    i.full_backing_file = full ? full.take() : h.backing_file;
  }
  i.specific.push_back({"compat", std::string(h.version == 2 ? "0.10" : "1.1")});
  i.specific.push_back({"compression type", std::string(h.compression == Compression::Zstd ? "zstd" : "zlib")});
  if (h.version >= 3) i.specific.push_back({"lazy refcounts", (h.compatible & kLazyRefcounts) != 0});
  i.specific.push_back({"refcount bits", u64{1} << h.refcount_order});
  if (h.version >= 3) {
    if (!h.data_file.empty()) {
      i.specific.push_back({"data file", h.data_file});
      i.specific.push_back({"data file raw", (h.autoclear & kRawDataFile) != 0});
    }
    i.specific.push_back({"corrupt", h.has(kCorrupt)});
    i.specific.push_back({"extended l2", h.extended_l2()});
  }
  if (auto table = load_snapshots(image_); table) {
    for (const Snapshot& s : table->rows) i.snapshots.push_back(s.info);
  }
  if (auto bitmaps = load_bitmaps(image_); bitmaps && h.bitmaps) {
    i.bitmaps.emplace();
    for (const Bitmap& b : *bitmaps)
      i.bitmaps->push_back(
          {b.name, u64{1} << b.granularity_bits, (b.flags & Bitmap::kInUse) != 0, (b.flags & Bitmap::kAuto) != 0});
  }
  return i;
}

}  // namespace doppel::block::qcow2
