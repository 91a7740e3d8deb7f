#include "block/fat/volume.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace doppel::block::fat {
namespace {

constexpr u32 kCylinder = 16 * 63;
constexpr u32 kMax12 = 4084, kMax16 = 65524, kMax32 = 0x0ffffff5;  // clusters; more of them are another kind of FAT
constexpr u64 kMaxSectors = 0xffffffff / kCylinder * kCylinder;
constexpr u32 kSerial = 0x44504c01;

// The size of the table and the number of clusters agree with each other.
bool lay_out(Volume& v) {
  const u32 root = v.root_entries * static_cast<u32>(kEntry) / kSector;
  for (v.fat_sectors = 1;; v.fat_sectors++) {
    const u64 before = v.reserved + root + u64{2} * v.fat_sectors;
    if (before >= v.sectors) return false;
    v.clusters = static_cast<u32>((v.sectors - before) / v.cluster_sectors);
    const u64 bytes = ((u64{v.clusters} + 2) * v.bits + 7) / 8;
    if (bytes <= v.fat_sectors * kSector) break;
    v.fat_sectors = std::max(v.fat_sectors, static_cast<u32>(bytes / kSector) - 1);
  }
  const u32 most = v.bits == 12 ? kMax12 : v.bits == 16 ? kMax16 : kMax32;
  const u32 least = v.bits == 12 ? 1 : v.bits == 16 ? kMax12 + 1 : kMax16 + 1;
  v.clusters = std::min(v.clusters, most);
  return v.clusters >= least;
}

Volume floppy(unsigned bits) {
  Volume v{.bits = bits == 16 ? 16u : 12u, .floppy = true, .sectors = bits == 12 ? 2880u : 5760u, .heads = 2};
  v.track = bits == 12 ? 18 : 36;
  v.cluster_sectors = bits == 0 ? 2 : 1;
  v.root_entries = bits == 12 ? 224 : 240;
  return v;
}

Volume disk(unsigned bits, u64 sectors, u32 cluster_sectors) {
  Volume v{.bits = bits, .hidden = 63};
  v.sectors = static_cast<u32>(std::min(align_up(sectors, kCylinder), kMaxSectors) - v.hidden);
  v.cluster_sectors = cluster_sectors;
  if (bits == 32) v.reserved = 32, v.root_entries = 0;
  return v;
}

// Smallest first. Those of FAT32 have room for the content and some more.
std::vector<Volume> candidates(const Shape& shape, const std::function<u64(const Volume&)>& needed) {
  if (shape.floppy) return {floppy(shape.bits)};
  std::vector<Volume> out;
  if (shape.bits == 12) out.push_back(disk(12, 64 * kCylinder, 16));
  if (shape.bits == 16 || shape.bits == 0) {
    for (const u32 n : {16u, 32u, 64u}) out.push_back(disk(16, u64{1024} * kCylinder * n / 16, n));
  }
  if (shape.bits != 32 && shape.bits != 0) return out;
  for (const u32 n : {8u, 16u, 32u, 64u}) {
    Volume v = disk(32, u64{1024} * kCylinder, n);
    const u64 content = needed(v);
    if (content >= kMax32) continue;
    const u64 wanted = content * n / 10 * 11 + (u64{128} << 11) + content / 64;
    if (n < 64 && wanted > u64{n} << 21) continue;  // 8 GiB with clusters of 4 KiB, as mkfs has it
    v = disk(32, std::max<u64>(wanted, u64{1024} * kCylinder), n);
    out.push_back(v);
  }
  return out;
}

void put_chs(u8* to, u64 sector, const Volume& v) {
  const u64 cylinder = sector / (u64{v.heads} * v.track);
  if (cylinder > 1023) {
    to[0] = 0xfe, to[1] = 0xff, to[2] = 0xff;
    return;
  }
  to[0] = static_cast<u8>(sector / v.track % v.heads);
  to[1] = static_cast<u8>((sector % v.track + 1) | (cylinder >> 8 << 6));
  to[2] = static_cast<u8>(cylinder);
}

void sign(Sector& s) {
  s[510] = 0x55;
  s[511] = 0xaa;
}

}  // namespace

Result<Volume> choose_volume(const Shape& shape, const std::function<u64(const Volume&)>& needed) {
  for (Volume v : candidates(shape, needed)) {
    if (lay_out(v) && needed(v) <= v.clusters) return v;
  }
  const std::string name = shape.bits == 0 ? "a FAT disk" : "a FAT" + std::to_string(shape.bits) + " disk";
  if (shape.floppy)
    return Error{"its files don't fit on a floppy (2.88 MB, of FAT12 1.44 MB)", "use fat:DIR without 'floppy'"};
  return Error{"its files, or the names in its top folder, don't fit on " + name,
               shape.bits == 32 ? "a FAT32 disk holds 2 TiB" : "use fat:32:DIR"};
}

Sector partition_table(const Volume& v) {
  Sector s(kSector);
  store_le<u32>(&s[0x1b8], kSerial);
  u8* row = &s[0x1be];
  row[0] = 0x80;
  put_chs(row + 1, v.hidden, v);
  row[4] = v.bits == 12 ? 0x01 : v.bits == 16 ? 0x06 : 0x0c;
  put_chs(row + 5, u64{v.hidden} + v.sectors - 1, v);
  store_le<u32>(row + 8, v.hidden);
  store_le<u32>(row + 12, v.sectors);
  sign(s);
  return s;
}

Sector boot_sector(const Volume& v) {
  Sector s(kSector);
  const bool wide = v.bits == 32;
  const u8 code[] = {0xcd, 0x18, 0xeb, 0xfe};  // int 18h: this disk does not boot
  s[0] = 0xeb, s[1] = wide ? 0x58 : 0x3c, s[2] = 0x90;
  std::memcpy(&s[3], "DOPPEL  ", 8);
  store_le<u16>(&s[11], kSector);
  s[13] = static_cast<u8>(v.cluster_sectors);
  store_le<u16>(&s[14], static_cast<u16>(v.reserved));
  s[16] = 2;
  store_le<u16>(&s[17], static_cast<u16>(v.root_entries));
  if (v.sectors < 0x10000 && !wide) store_le<u16>(&s[19], static_cast<u16>(v.sectors));
  s[21] = v.floppy ? 0xf0 : 0xf8;
  if (!wide) store_le<u16>(&s[22], static_cast<u16>(v.fat_sectors));
  store_le<u16>(&s[24], static_cast<u16>(v.track));
  store_le<u16>(&s[26], static_cast<u16>(v.heads));
  store_le<u32>(&s[28], v.hidden);
  if (v.sectors >= 0x10000 || wide) store_le<u32>(&s[32], v.sectors);
  u8* more = &s[wide ? 64 : 36];
  if (wide) {
    store_le<u32>(&s[36], v.fat_sectors);
    store_le<u32>(&s[44], 2);  // the root's first cluster
    store_le<u16>(&s[48], 1);  // information sector
    store_le<u16>(&s[50], 6);  // copy of the boot sector
  }
  more[0] = v.floppy ? 0x00 : 0x80;
  more[2] = 0x29;
  store_le<u32>(more + 3, kSerial);
  std::memcpy(more + 7, "DOPPEL     ", 11);
  std::memcpy(more + 18, v.bits == 12 ? "FAT12   " : wide ? "FAT32   " : "FAT16   ", 8);
  std::memcpy(more + 26, code, sizeof code);
  sign(s);
  return s;
}

Sector information_sector(u32 free, u32 next) {
  Sector s(kSector);
  store_le<u32>(&s[0], 0x41615252);
  store_le<u32>(&s[484], 0x61417272);
  store_le<u32>(&s[488], free);
  store_le<u32>(&s[492], next);
  sign(s);
  return s;
}

void put_fat_entry(std::vector<u8>& fat, unsigned bits, u32 index, u32 value) {
  const u64 at = u64{index} * bits / 8;
  if (fat.size() < at + 4) fat.resize(std::max<u64>(at + 4, fat.size() + fat.size() / 2));
  if (bits == 32) return store_le<u32>(&fat[at], value & 0x0fffffff);
  if (bits == 16) return store_le<u16>(&fat[at], static_cast<u16>(value));
  const u16 old = load_le<u16>(&fat[at]);
  store_le<u16>(&fat[at],
                static_cast<u16>(index % 2 != 0 ? (old & 0x000f) | value << 4 : (old & 0xf000) | (value & 0xfff)));
}

}  // namespace doppel::block::fat
