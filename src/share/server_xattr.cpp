// Extended attributes in 9P2000.L: a fid that stands for one is read or written like a file; what was written is set
// when the fid is clunked.
#include <algorithm>
#include <cerrno>

#include "share/server.h"

namespace doppel::share {

// An empty name: the list of all names.
int Server::walk_attribute(WireReader& in, Answer& out) {
  Fid* f = find(in.number<u32>());
  const u32 number = in.number<u32>();
  const std::string name = in.text();
  if (!in.good()) return EPROTO;
  if (!f || f->attribute) return EBADF;
  if (number == ~u32{0} || find(number)) return EINVAL;
  if (fids_.size() >= kMaxFids) return EMFILE;
  auto fid = std::make_unique<Fid>();
  fid->path = f->path;
  fid->uid = f->uid;
  fid->attribute = std::make_unique<Fid::Attribute>();
  fid->attribute->name = name;
  auto& value = fid->attribute->value;
  const int e = name.empty() ? folder_->list_attributes(f->path, value) : folder_->get_attribute(f->path, name, value);
  if (e != 0) return e;
  out.number<u64>(value.size());
  fids_[number] = std::move(fid);
  return 0;
}

// The fid itself becomes the attribute. A size of 0 takes the attribute away.
int Server::create_attribute(WireReader& in) {
  Fid* f = find(in.number<u32>());
  const std::string name = in.text();
  const u64 size = in.number<u64>();
  const u32 flags = in.number<u32>();
  if (!in.good()) return EPROTO;
  if (!f || f->attribute || f->flags >= 0) return EBADF;
  if (size > Folder::kMaxAttribute) return E2BIG;
  if (name.empty() || flags > 2) return EINVAL;
  if (folder_->read_only()) return EROFS;
  f->attribute = std::make_unique<Fid::Attribute>(
      Fid::Attribute{.name = name, .value = {}, .writing = true, .size = size, .flags = flags});
  return 0;
}

int Server::read_attribute(const Fid& fid, u64 offset, size_t size, Answer& out) const {
  const auto& value = fid.attribute->value;
  if (fid.attribute->writing) return EBADF;
  const size_t from = std::min<u64>(offset, value.size()), n = std::min(size, value.size() - from);
  out.number<u32>(static_cast<u32>(n));
  const auto start = value.begin() + static_cast<std::ptrdiff_t>(from);
  out.out().insert(out.out().end(), start, start + static_cast<std::ptrdiff_t>(n));
  return 0;
}

int Server::write_attribute(Fid& fid, u64 offset, std::span<const u8> data, Answer& out) const {
  Fid::Attribute& a = *fid.attribute;
  if (!a.writing) return EBADF;
  if (offset > a.value.size()) return EINVAL;
  if (offset > a.size || data.size() > a.size - offset) return ENOSPC;
  a.value.resize(std::max<size_t>(a.value.size(), offset + data.size()));
  std::copy(data.begin(), data.end(), a.value.begin() + static_cast<std::ptrdiff_t>(offset));
  out.number<u32>(static_cast<u32>(data.size()));
  return 0;
}

int Server::clunk(u32 number) {
  const auto it = fids_.find(number);
  if (it == fids_.end()) return EBADF;
  const std::unique_ptr<Fid> fid = std::move(it->second);
  fids_.erase(it);
  if (!fid->attribute || !fid->attribute->writing) return 0;
  const Fid::Attribute& a = *fid->attribute;
  if (a.value.size() != a.size) return EINVAL;  // not all of it was written
  const int remove = a.size == 0 ? Folder::kRemoveAttribute : 0;
  return folder_->set_attribute(fid->path, a.name, a.value, static_cast<int>(a.flags) | remove);
}

// Behind the names, in the order of their numbers: those that are attributes.
void Server::archive_attributes(StateArchive& ar) {
  WireWriter w;
  for (const auto& [number, f] : fids_) {
    if (!f->attribute) continue;
    const Fid::Attribute& a = *f->attribute;
    w.number<u32>(number);
    w.text(a.name);
    w.number<u8>(a.writing);
    w.number<u64>(a.size);
    w.number<u32>(a.flags);
    w.number<u32>(static_cast<u32>(a.value.size()));
    w.out().insert(w.out().end(), a.value.begin(), a.value.end());
  }
  ar.blob("attributes", w.out());
  if (!ar.loading()) return;
  WireReader r(w.out());
  while (r.good() && r.left() != 0) {
    Fid* f = find(r.number<u32>());
    Fid::Attribute a;
    a.name = r.text();
    a.writing = r.number<u8>() != 0;
    a.size = r.number<u64>();
    a.flags = r.number<u32>();
    const auto value = r.bytes(r.number<u32>());
    if (!r.good() || !f || a.size > Folder::kMaxAttribute || value.size() > Folder::kMaxAttribute || a.flags > 2)
      return;
    a.value.assign(value.begin(), value.end());
    f->attribute = std::make_unique<Fid::Attribute>(std::move(a));
  }
}

}  // namespace doppel::share
