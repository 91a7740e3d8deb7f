#include "share/server.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace doppel::share {
namespace {

constexpr u32 kMinMessage = 4096, kNoFid = ~u32{0};
constexpr size_t kMaxNames = 16, kMaxDepth = 512;
constexpr u32 kMagic = 0x01021997;  // V9FS_MAGIC
constexpr u64 kBasic = 0x7ff;       // attributes that Rgetattr gives
constexpr u32 kAtRemoveDir = 0x200;

// Linux's open flags on the wire; those that mean something here.
int host_flags(u32 wire) {
  int flags = static_cast<int>(wire & 3);
  if (wire & 0200) flags |= O_EXCL;
  if (wire & 01000) flags |= O_TRUNC;
  if (wire & 02000) flags |= O_APPEND;
  if (wire & 010000) flags |= O_DSYNC;
  if ((wire & 04010000) == 04010000) flags |= O_SYNC;
  if (wire & 0200000) flags |= O_DIRECTORY;
  return flags;
}

bool beneath(const Path& path, const Path& folder) {
  return path.size() >= folder.size() && std::equal(folder.begin(), folder.end(), path.begin());
}

}  // namespace

void Server::Fid::close() {
  if (listing) ::closedir(listing);
  listing = nullptr;
  listed_to = 0;
  file.reset();
  flags = -1;
}

void Server::reset() {
  fids_.clear();
  msize_ = 8192;
}

Server::Fid* Server::find(u32 number) {
  const auto it = fids_.find(number);
  return it == fids_.end() ? nullptr : it->second.get();
}

std::vector<u8> Server::handle(std::span<const u8> message, size_t room) {
  if (message.size() < kHeader || room < kHeader + 4) return {};
  WireReader in(message);
  in.number<u32>();
  const u8 type = in.number<u8>();
  const u16 tag = in.number<u16>();
  Answer out;
  out.number<u32>(0);
  out.number<u8>(static_cast<u8>(type + 1));
  out.number<u16>(tag);
  room_ = std::min<size_t>(room, type == kTversion ? kMaxMessage : msize_);
  int error = dispatch(type, in, out);
  if (error == 0 && !in.good()) error = EPROTO;
  if (error == 0 && out.out().size() > room_) error = EMSGSIZE;
  std::vector<u8>& bytes = out.out();
  if (error != 0) {
    bytes.resize(kHeader);
    bytes[4] = kRlerror;
    out.number<u32>(static_cast<u32>(error));
  }
  store_le<u32>(bytes.data(), static_cast<u32>(bytes.size()));
  return std::move(bytes);
}

int Server::dispatch(u8 type, WireReader& in, Answer& out) {
  switch (type) {
    case kTversion: return version(in, out);
    case kTattach: return attach(in, out);
    case kTwalk: return walk(in, out);
    case kTlopen: return open(in, out);
    case kTlcreate: return create(in, out);
    case kTread: return read(in, out);
    case kTwrite: return write(in, out);
    case kTreaddir: return read_folder(in, out);
    case kTgetattr: return get_attributes(in, out);
    case kTsetattr: return set_attributes(in);
    case kTmkdir:
    case kTmknod:
    case kTsymlink: return make(type, in, out);
    case kTlink: return link(in);
    case kTrename:
    case kTrenameat: return rename(type, in);
    case kTremove:
    case kTunlinkat: return remove(type, in);
    case kTstatfs: return fs_stat(in, out);
    case kTlock:
    case kTgetlock: return lock(type, in, out);
    case kTreadlink: {
      Fid* f = find(in.number<u32>());
      std::string target;
      if (!f) return EBADF;
      if (const int e = folder_->read_link(f->path, target)) return e;
      out.text(target);
      return 0;
    }
    case kTfsync: {
      Fid* f = find(in.number<u32>());
      if (!f || !f->file) return EBADF;
      return ::fsync(f->file.get()) == 0 ? 0 : errno;
    }
    case kTclunk: return clunk(in.number<u32>());
    case kTxattrwalk: return walk_attribute(in, out);
    case kTxattrcreate: return create_attribute(in);
    case kTflush: return 0;  // what it would flush has been answered
    default: return EOPNOTSUPP;
  }
}

// --- sessions and names

int Server::version(WireReader& in, Answer& out) {
  const u32 size = in.number<u32>();
  const bool known = in.text() == "9P2000.L";
  if (size < kMinMessage) return EMSGSIZE;
  fids_.clear();
  msize_ = std::min(size, kMaxMessage);
  out.number<u32>(msize_);
  out.text(known ? "9P2000.L" : "unknown");
  return 0;
}

Qid Server::qid_of(const struct stat& st) const {
  Qid q;
  q.type = S_ISDIR(st.st_mode) ? kQtDir : S_ISLNK(st.st_mode) ? kQtSymlink : 0;
  q.version = static_cast<u32>(st.st_mtim.tv_sec ^ st.st_mtim.tv_nsec ^ (st.st_size << 8));
  // Other file systems beneath the folder have numbers of their own.
  q.path = st.st_ino ^ (st.st_dev == folder_->device() ? 0 : (st.st_dev * 0x9e3779b97f4a7c15) & 0xffff000000000000);
  return q;
}

int Server::qid_of(const Path& path, Qid& qid) {
  struct stat st;
  if (const int e = folder_->stat(path, st)) return e;
  qid = qid_of(st);
  return 0;
}

int Server::attach(WireReader& in, Answer& out) {
  const u32 number = in.number<u32>();
  in.number<u32>();
  in.text();
  in.text();
  const u32 uid = in.number<u32>();
  if (find(number) || number == kNoFid) return EINVAL;
  Qid qid;
  if (const int e = qid_of(Path{}, qid)) return e;
  auto& fid = fids_[number] = std::make_unique<Fid>();
  fid->uid = uid == ~u32{0} ? 0 : uid;
  out.qid(qid);
  return 0;
}

// ".." of the root is the root. A walk that ends early answers with what it found, and makes no new name.
int Server::walk(WireReader& in, Answer& out) {
  Fid* from = find(in.number<u32>());
  const u32 number = in.number<u32>();
  const u16 count = in.number<u16>();
  if (!from || from->attribute) return EBADF;
  if (count > kMaxNames) return EINVAL;
  if (find(number) && find(number) != from) return EINVAL;
  if (fids_.size() >= kMaxFids) return EMFILE;
  Path path = from->path;
  std::vector<Qid> found;
  for (u16 i = 0; i < count; i++) {
    const std::string name = in.text();
    int e = 0;
    if (name == "..") {
      if (!path.empty()) path.pop_back();
    } else if (name != ".") {
      if (!Folder::good_name(name)) e = name.size() > NAME_MAX ? ENAMETOOLONG : ENOENT;
      if (path.size() >= kMaxDepth) e = ENAMETOOLONG;
      path.push_back(name);
    }
    Qid qid;
    if (e == 0) e = qid_of(path, qid);
    if (e != 0 && i == 0) return e;
    if (e != 0) break;
    found.push_back(qid);
  }
  if (!in.good()) return EPROTO;
  out.number<u16>(static_cast<u16>(found.size()));
  for (const Qid& q : found) out.qid(q);
  if (found.size() < count) return 0;
  auto fid = std::make_unique<Fid>();
  fid->path = std::move(path);
  fid->uid = from->uid;
  fids_[number] = std::move(fid);
  return 0;
}

int Server::child(u32 number, const std::string& name, Path& path) {
  Fid* f = find(number);
  if (!f || f->attribute) return EBADF;
  if (!Folder::good_name(name)) return name.size() > NAME_MAX ? ENAMETOOLONG : EINVAL;
  if (f->path.size() >= kMaxDepth) return ENAMETOOLONG;
  path = f->path;
  path.push_back(name);
  return 0;
}

// --- files

int Server::start(Fid& fid, int flags) {
  if (const int e = folder_->open_file(fid.path, flags, fid.file)) return e;
  fid.flags = flags & ~(O_TRUNC | O_EXCL);
  return 0;
}

int Server::open(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  const u32 flags = in.number<u32>();
  if (!f || f->attribute) return EBADF;
  if (f->flags >= 0) return EINVAL;
  if (!in.good()) return EPROTO;
  if (const int e = start(*f, host_flags(flags))) return e;
  struct stat st;
  if (const int e = folder_->stat(f->path, f->file.get(), st)) return e;
  out.qid(qid_of(st));
  out.number<u32>(0);
  return 0;
}

int Server::create(WireReader& in, Answer& out) {
  const u32 number = in.number<u32>();
  const std::string name = in.text();
  const u32 flags = in.number<u32>(), mode = in.number<u32>(), gid = in.number<u32>();
  Path path;
  if (!in.good()) return EPROTO;
  if (const int e = child(number, name, path)) return e;
  Fid& f = *find(number);
  if (f.flags >= 0) return EINVAL;
  Fd file;
  const int how = host_flags(flags) & ~O_DIRECTORY;
  if (const int e = folder_->create(path, how, mode, f.uid, gid, file)) return e;
  struct stat st;
  if (const int e = folder_->stat(path, file.get(), st)) return e;
  f.path = std::move(path);
  f.file = std::move(file);
  f.flags = how & ~(O_TRUNC | O_EXCL);
  out.qid(qid_of(st));
  out.number<u32>(0);
  return 0;
}

// How much of what was asked for fits the answer.
size_t Server::payload(u32 wanted, size_t overhead) const {
  return room_ <= overhead ? 0 : std::min<size_t>(wanted, room_ - overhead);
}

int Server::read(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  const u64 offset = in.number<u64>();
  const size_t size = payload(in.number<u32>(), kHeader + 4);
  if (f && f->attribute) return read_attribute(*f, offset, size, out);
  if (!f || !f->file) return EBADF;
  if (offset > static_cast<u64>(INT64_MAX)) return EINVAL;
  std::vector<u8>& bytes = out.out();
  bytes.resize(kHeader + 4 + size);
  const ssize_t n = ::pread(f->file.get(), &bytes[kHeader] + 4, size, static_cast<off_t>(offset));
  if (n < 0) return errno;
  bytes.resize(kHeader + 4 + static_cast<size_t>(n));
  store_le<u32>(&bytes[kHeader], static_cast<u32>(n));
  return 0;
}

int Server::write(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  const u64 offset = in.number<u64>();
  const auto data = in.bytes(in.number<u32>());
  if (!in.good()) return EPROTO;
  if (f && f->attribute) return write_attribute(*f, offset, data, out);
  if (!f || !f->file) return EBADF;
  if (offset > static_cast<u64>(INT64_MAX)) return EFBIG;
  const ssize_t n = ::pwrite(f->file.get(), data.data(), data.size(), static_cast<off_t>(offset));
  if (n < 0) return errno;
  out.number<u32>(static_cast<u32>(n));
  return 0;
}

int Server::read_folder(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  const u64 offset = in.number<u64>();
  const size_t size = payload(in.number<u32>(), kHeader + 4);
  if (!f || !f->file) return EBADF;
  if (!f->listing) {
    Fd own(::fcntl(f->file.get(), F_DUPFD_CLOEXEC, 0));
    if (!own) return errno;
    f->listing = ::fdopendir(own.get());
    if (!f->listing) return errno;
    own.release();
    f->listed_to = -1;
  }
  if (offset == 0)
    ::rewinddir(f->listing);
  else if (static_cast<long>(offset) != f->listed_to)
    ::seekdir(f->listing, static_cast<long>(offset));
  f->listed_to = static_cast<long>(offset);
  out.number<u32>(0);
  for (;;) {
    const long before = f->listed_to;
    errno = 0;
    const dirent* d = ::readdir(f->listing);
    if (!d) {
      if (errno != 0) return errno;
      break;
    }
    const std::string name = d->d_name;
    if (folder_->hidden(name)) {
      f->listed_to = d->d_off;
      continue;
    }
    if (out.out().size() - kHeader - 4 + 13 + 8 + 1 + 2 + name.size() > size) {
      ::seekdir(f->listing, before);
      break;
    }
    struct stat st {};
    st.st_ino = d->d_ino;
    st.st_dev = folder_->device();
    st.st_mode = DTTOIF(d->d_type);
    out.qid(qid_of(st));
    out.number<u64>(static_cast<u64>(d->d_off));
    // A plain file may stand for anything where attributes are mapped.
    out.number<u8>(folder_->mapped() && d->d_type == DT_REG ? u8{DT_UNKNOWN} : u8{d->d_type});
    out.text(name);
    f->listed_to = d->d_off;
  }
  store_le<u32>(&out.out()[kHeader], static_cast<u32>(out.out().size() - kHeader - 4));
  return 0;
}

// --- attributes

int Server::get_attributes(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  in.number<u64>();
  if (!f) return EBADF;
  struct stat st;
  if (const int e = f->file ? folder_->stat(f->path, f->file.get(), st) : folder_->stat(f->path, st)) return e;
  out.number<u64>(kBasic);
  out.qid(qid_of(st));
  out.number<u32>(st.st_mode);
  out.number<u32>(st.st_uid);
  out.number<u32>(st.st_gid);
  for (const u64 v : {u64{st.st_nlink}, u64{st.st_rdev}, static_cast<u64>(st.st_size), static_cast<u64>(st.st_blksize),
                      static_cast<u64>(st.st_blocks)})
    out.number<u64>(v);
  for (const timespec& t : {st.st_atim, st.st_mtim, st.st_ctim, timespec{}}) {
    out.number<u64>(static_cast<u64>(t.tv_sec));
    out.number<u64>(static_cast<u64>(t.tv_nsec));
  }
  out.number<u64>(0);  // generation
  out.number<u64>(0);  // data version
  return 0;
}

int Server::set_attributes(WireReader& in) {
  enum Valid : u32 {
    kMode = 1,
    kUid = 2,
    kGid = 4,
    kSize = 8,
    kAtime = 16,
    kMtime = 32,
    kAtimeSet = 128,
    kMtimeSet = 256
  };
  Fid* f = find(in.number<u32>());
  const u32 valid = in.number<u32>(), mode = in.number<u32>(), uid = in.number<u32>(), gid = in.number<u32>();
  const u64 size = in.number<u64>();
  timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  for (unsigned i = 0; i < 2; i++) {
    const u64 sec = in.number<u64>(), nsec = in.number<u64>();
    if ((valid & (kAtime << i)) == 0) continue;
    times[i].tv_nsec = UTIME_NOW;
    if (valid & (kAtimeSet << i))
      times[i] = {.tv_sec = static_cast<time_t>(sec), .tv_nsec = static_cast<long>(nsec % 1'000'000'000)};
  }
  if (!f) return EBADF;
  if (!in.good()) return EPROTO;
  int e = 0;
  if (valid & (kUid | kGid))
    e = folder_->set_owner(f->path, (valid & kUid) ? uid : ~u32{0}, (valid & kGid) ? gid : ~u32{0});
  if (e == 0 && (valid & kMode)) e = folder_->set_mode(f->path, mode);
  if (e == 0 && (valid & kSize)) {
    const bool open = f->file && (f->flags & O_ACCMODE) != O_RDONLY && size <= static_cast<u64>(INT64_MAX);
    e = !open ? folder_->set_size(f->path, size) : ::ftruncate(f->file.get(), static_cast<off_t>(size)) ? errno : 0;
  }
  if (e == 0 && (valid & (kAtime | kMtime))) e = folder_->set_times(f->path, times);
  return e;
}

int Server::fs_stat(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  if (!f) return EBADF;
  struct statvfs st;
  if (const int e = folder_->fs_stat(f->path, st)) return e;
  out.number<u32>(kMagic);
  out.number<u32>(static_cast<u32>(st.f_bsize));
  for (const u64 v :
       {u64{st.f_blocks}, u64{st.f_bfree}, u64{st.f_bavail}, u64{st.f_files}, u64{st.f_ffree}, u64{st.f_fsid}})
    out.number<u64>(v);
  out.number<u32>(static_cast<u32>(st.f_namemax));
  return 0;
}

// --- the tree

int Server::make(u8 type, WireReader& in, Answer& out) {
  const u32 number = in.number<u32>();
  const std::string name = in.text();
  const std::string target = type == kTsymlink ? in.text() : std::string();
  const u32 mode = type == kTsymlink ? 0 : in.number<u32>();
  const u32 major = type == kTmknod ? in.number<u32>() : 0, minor = type == kTmknod ? in.number<u32>() : 0;
  const u32 gid = in.number<u32>();
  Path path;
  if (!in.good()) return EPROTO;
  if (const int e = child(number, name, path)) return e;
  const u32 uid = find(number)->uid;
  int e = 0;
  if (type == kTmkdir) e = folder_->make_folder(path, mode, uid, gid);
  if (type == kTmknod) e = folder_->make_node(path, mode, makedev(major, minor), uid, gid);
  if (type == kTsymlink) e = folder_->make_link(path, target, uid, gid);
  Qid qid;
  if (e == 0) e = qid_of(path, qid);
  if (e == 0) out.qid(qid);
  return e;
}

int Server::link(WireReader& in) {
  const u32 folder = in.number<u32>();
  Fid* f = find(in.number<u32>());
  const std::string name = in.text();
  Path path;
  if (!f) return EBADF;
  if (!in.good()) return EPROTO;
  if (const int e = child(folder, name, path)) return e;
  return folder_->link(f->path, path);
}

void Server::moved(const Path& from, const Path& to) {
  for (auto& [number, f] : fids_) {
    if (!beneath(f->path, from)) continue;
    Path path = to;
    path.insert(path.end(), f->path.begin() + static_cast<std::ptrdiff_t>(from.size()), f->path.end());
    f->path = std::move(path);
  }
}

int Server::rename(u8 type, WireReader& in) {
  Path from, to;
  int e = 0;
  const u32 first = in.number<u32>();
  if (type == kTrename) {
    const u32 folder = in.number<u32>();
    const std::string name = in.text();
    Fid* f = find(first);
    if (!f) return EBADF;
    from = f->path;
    e = child(folder, name, to);
  } else {
    const std::string old_name = in.text();
    const u32 folder = in.number<u32>();
    const std::string name = in.text();
    e = child(first, old_name, from);
    if (e == 0) e = child(folder, name, to);
  }
  if (!in.good()) return EPROTO;
  if (e == 0 && from.empty()) e = EBUSY;
  if (e == 0) e = folder_->rename(from, to);
  if (e == 0) moved(from, to);
  return e;
}

int Server::remove(u8 type, WireReader& in) {
  const u32 number = in.number<u32>();
  if (type == kTunlinkat) {
    const std::string name = in.text();
    const u32 flags = in.number<u32>();
    Path path;
    if (!in.good()) return EPROTO;
    if (const int e = child(number, name, path)) return e;
    return folder_->remove(path, (flags & kAtRemoveDir) != 0);
  }
  Fid* f = find(number);
  if (!f) return EBADF;
  struct stat st;
  int e = folder_->stat(f->path, st);
  if (e == 0) e = folder_->remove(f->path, S_ISDIR(st.st_mode));
  fids_.erase(number);  // also when it fails
  return e;
}

int Server::lock(u8 type, WireReader& in, Answer& out) {
  constexpr u8 kSuccess = 0, kUnlocked = 2;
  if (!find(in.number<u32>())) return EBADF;
  if (type == kTlock) {
    out.number<u8>(kSuccess);
    return 0;
  }
  in.number<u8>();
  out.number<u8>(kUnlocked);
  out.number<u64>(in.number<u64>());
  out.number<u64>(in.number<u64>());
  out.number<u32>(in.number<u32>());
  out.text(in.text());
  return 0;
}

// --- state

void Server::archive(StateArchive& ar) {
  WireWriter w;
  w.number<u32>(static_cast<u32>(fids_.size()));
  for (const auto& [number, f] : fids_) {
    w.number<u32>(number);
    w.number<u32>(static_cast<u32>(f->flags));
    w.number<u32>(f->uid);
    w.number<u32>(static_cast<u32>(f->path.size()));
    for (const std::string& name : f->path) w.text(name);
  }
  ar.field("msize", msize_);
  ar.blob("names", w.out());
  if (!ar.loading()) archive_attributes(ar);
  if (!ar.loading()) return;
  msize_ = std::clamp(msize_, kMinMessage, kMaxMessage);
  fids_.clear();
  WireReader r(w.out());
  for (u32 left = std::min<u32>(r.number<u32>(), kMaxFids); left > 0 && r.good(); left--) {
    auto f = std::make_unique<Fid>();
    const u32 number = r.number<u32>();
    const int flags = static_cast<int>(r.number<u32>());
    f->uid = r.number<u32>();
    for (u32 n = r.number<u32>(); n > 0 && r.good(); n--) f->path.push_back(r.text());
    const bool good = std::all_of(f->path.begin(), f->path.end(), Folder::good_name) && f->path.size() <= kMaxDepth;
    if (!r.good() || !good) break;
    // A file that is gone: its name answers EBADF from now on.
    if (flags >= 0) start(*f, flags & (O_ACCMODE | O_APPEND));
    fids_[number] = std::move(f);
  }
  archive_attributes(ar);
}

}  // namespace doppel::share
