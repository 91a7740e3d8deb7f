// The virtio SCSI adapter, its disk and its CD drive, through the rings.
#include "hw/block/virtio_scsi.h"

#include <thread>

#include "block/memory_node.h"
#include "device/virtio_bench.h"
#include "hw/block/scsi_cd.h"
#include "hw/block/scsi_disk.h"

namespace doppel::hw::test {
namespace {

constexpr u64 kAll = virtio::feature(2) | virtio::kIndirectDesc | virtio::kEventIdx;
using Cdb = std::vector<u8>;

struct Adapter : VirtioBench {
  struct Answer {
    u8 response = 0xee, status = 0xee, key = 0, asc = 0, ascq = 0;
    u32 residual = 0;
    std::vector<u8> data;
  };
  std::shared_ptr<block::MemoryNode> node = std::make_shared<block::MemoryNode>(u64{1} << 20);
  std::shared_ptr<block::MemoryNode> disc = std::make_shared<block::MemoryNode>(u64{1} << 20, true);
  VirtioScsi* adapter = nullptr;
  ScsiCd* cd = nullptr;

  explicit Adapter(bool synchronous = true) {
    for (size_t i = 0; i < disc->data.size(); i++) disc->data[i] = static_cast<u8>(i / 2048 * 3 + i);
    VirtioScsi::Params p{.clock = clock, .device_lock = synchronous ? nullptr : &lock, .queues = 2};
    p.units.push_back({0, 0, std::make_unique<ScsiDisk>(ScsiDisk::Params{.node = node, .serial = "serial 1"})});
    auto drive = std::make_unique<ScsiCd>(AtapiCd::Params{.node = disc});
    cd = drive.get();
    p.units.push_back({3, 1, std::move(drive)});
    adapter = &make<VirtioScsi>(std::move(p));
    start(kAll);
  }
  u64 submit(const Cdb& cdb, u8 target, u8 lun, std::vector<u8> data, Buffer& in) {
    std::vector<u8> header(51);
    header[0] = 1, header[1] = target, header[3] = lun;
    std::copy(cdb.begin(), cdb.end(), header.begin() + 19);
    std::vector<Buffer> chain = {out(header)};
    if (!data.empty()) chain.push_back(out(std::move(data)));
    const Buffer response = this->in(108);
    std::fill_n(at(response.address), 108, u8{0xee});
    chain.push_back(response);
    if (in.length != 0) chain.push_back(in = this->in(in.length));
    add(2, chain);
    kick(2);
    return response.address;
  }
  Answer answer(u64 response, const Buffer& in) {
    const u8* r = at(response);
    Answer a{.response = r[11], .status = r[10], .residual = load_le<u32>(r + 4)};
    if (load_le<u32>(r) >= 14) a.key = r[12 + 2], a.asc = r[12 + 12], a.ascq = r[12 + 13];
    if (in.length != 0) a.data.assign(at(in.address), at(in.address) + in.length - std::min(in.length, a.residual));
    return a;
  }
  Answer command(const Cdb& cdb, u32 room = 0, std::vector<u8> data = {}, u8 target = 0, u8 lun = 0) {
    Buffer in{0, room, true};
    const u64 response = submit(cdb, target, lun, std::move(data), in);
    return answer(response, in);
  }
  u8 manage(u32 subtype, u8 target, u8 lun) {
    std::vector<u8> request(24);
    store_le<u32>(&request[4], subtype);
    request[8] = 1, request[9] = target, request[11] = lun;
    const Buffer response = in(1);
    *at(response.address) = 0xee;
    add(0, {out(request), response});
    kick(0);
    return *at(response.address);
  }
};

std::vector<u8> pattern(size_t n, u8 seed = 1) {
  std::vector<u8> v(n);
  for (size_t i = 0; i < n; i++) v[i] = static_cast<u8>(i * 7 + i / 512 + seed);
  return v;
}

TEST(VirtioScsi, DiskReadsAndWritesBySixTenAndSixteen) {
  Adapter a;
  const auto data = pattern(1024);
  EXPECT_EQ(a.command({0x2a, 0, 0, 0, 0, 5, 0, 0, 2, 0}, 0, data).status, 0);
  EXPECT_TRUE(std::equal(data.begin(), data.end(), a.node->data.begin() + 5 * 512));
  for (const Cdb& cdb :
       {Cdb{0x08, 0, 0, 5, 2, 0}, Cdb{0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0}, Cdb{0xa8, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0},
        Cdb{0x88, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0}}) {
    const auto r = a.command(cdb, 1024);
    EXPECT_EQ(r.status, 0);
    EXPECT_EQ(r.residual, 0u);
    EXPECT_EQ(r.data, data);
  }
  const auto past = a.command({0x28, 0, 0, 0, 0x07, 0xff, 0, 0, 2, 0}, 1024);
  EXPECT_EQ(past.status, 2);
  EXPECT_EQ(past.key, 5);
  EXPECT_EQ(past.asc, 0x21);
  const auto more = a.command({0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0}, 512);  // more than there is room for
  EXPECT_EQ(more.response, 1);
  EXPECT_EQ(a.command({0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0}, 0, pattern(512)).key, 5);  // less than it says
}

TEST(VirtioScsi, DiskSaysWhatItIs) {
  Adapter a;
  auto r = a.command({0x12, 0, 0, 0, 96, 0}, 96);
  ASSERT_EQ(r.data.size(), 36u);
  EXPECT_EQ(std::string(r.data.begin() + 8, r.data.begin() + 14), "DOPPEL");
  r = a.command({0x12, 1, 0x80, 0, 96, 0}, 96);
  EXPECT_EQ(std::string(r.data.begin() + 4, r.data.end()), "serial 1");
  EXPECT_EQ(a.command({0x12, 1, 0x83, 0, 96, 0}, 96).status, 0);
  EXPECT_EQ(a.command({0x12, 1, 0xb0, 0, 96, 0}, 96).data.size(), 64u);
  EXPECT_EQ(a.command({0x12, 1, 0x99, 0, 96, 0}, 96).asc, 0x24);
  r = a.command({0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 8);
  EXPECT_EQ(r.data, (std::vector<u8>{0, 0, 7, 0xff, 0, 0, 2, 0}));
  r = a.command({0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32);
  EXPECT_EQ(r.data.size(), 32u);
  EXPECT_EQ(r.data[14], 0xc0);  // thin
  EXPECT_EQ(a.command({0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256).asc, 0x20);
}

TEST(VirtioScsi, WriteCacheIsAModePage) {
  Adapter a;
  EXPECT_EQ(a.command({0x1a, 8, 8, 0, 64, 0}, 64).data[4 + 2], 4);
  const unsigned before = a.node->flushes;
  std::vector<u8> select(4 + 20);
  select[4] = 8, select[5] = 18;
  EXPECT_EQ(a.command({0x15, 0x10, 0, 0, 24, 0}, 0, select).status, 0);
  EXPECT_EQ(a.command({0x1a, 8, 8, 0, 64, 0}, 64).data[4 + 2], 0);
  a.command({0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0}, 0, pattern(512));
  EXPECT_EQ(a.node->flushes, before + 1);
  EXPECT_EQ(a.command({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}).status, 0);
  EXPECT_EQ(a.node->flushes, before + 2);
}

TEST(VirtioScsi, UnmapsAndWritesTheSame) {
  Adapter a;
  std::fill(a.node->data.begin(), a.node->data.end(), u8{0x55});
  std::vector<u8> list(8 + 16);
  list[1] = 22, list[3] = 16;
  list[8 + 7] = 4, list[8 + 11] = 2;  // blocks 4 and 5
  EXPECT_EQ(a.command({0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, 0, list).status, 0);
  EXPECT_EQ(a.node->data[4 * 512 - 1], 0x55);
  EXPECT_EQ(a.node->data[4 * 512], 0);
  EXPECT_EQ(a.node->data[6 * 512 - 1], 0);
  EXPECT_EQ(a.node->data[6 * 512], 0x55);
  const auto block = pattern(512);
  EXPECT_EQ(a.command({0x41, 0, 0, 0, 0, 10, 0, 0, 3, 0}, 0, block).status, 0);
  EXPECT_TRUE(std::equal(block.begin(), block.end(), a.node->data.begin() + 12 * 512));
  EXPECT_EQ(a.command({0x93, 8, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0}, 0, std::vector<u8>(512)).status, 0);
  EXPECT_EQ(a.node->data[20 * 512], 0);
  list[8 + 4] = 9;  // past the end
  EXPECT_EQ(a.command({0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, 0, list).asc, 0x21);
}

TEST(VirtioScsi, ErrorsOfTheDiskAreSense) {
  Adapter a;
  a.node->fail_with = EIO;
  auto r = a.command({0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0}, 512);
  EXPECT_EQ(r.key, 3);
  EXPECT_EQ(r.asc, 0x11);
  EXPECT_EQ(r.residual, 512u);
  EXPECT_EQ(a.command({0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0}, 0, pattern(512)).asc, 0x0c);
  a.node->fail_with = ENOSPC;
  r = a.command({0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0}, 0, pattern(512));
  EXPECT_EQ(r.key, 7);
  EXPECT_EQ(r.ascq, 7);
}

TEST(VirtioScsi, UnitsThatAreNotThere) {
  Adapter a;
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 9).response, 3);
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 3, 0).asc, 0x25);
  EXPECT_EQ(a.command({0x12, 0, 0, 0, 96, 0}, 96, {}, 3, 0).data[0], 0x7f);
  const auto luns = a.command({0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, 64, {}, 3, 0);
  ASSERT_EQ(luns.data.size(), 24u);  // unit 0, to ask, and unit 1
  EXPECT_EQ(luns.data[3], 16);
  EXPECT_EQ(luns.data[17], 1);
}

TEST(VirtioScsi, CdReadsAndTellsOfAnotherDisc) {
  Adapter a;
  auto r = a.command({0x12, 0, 0, 0, 96, 0}, 96, {}, 3, 1);
  EXPECT_EQ(r.data[0], 5);
  EXPECT_EQ(r.data[2], 5);
  r = a.command({0x28, 0, 0, 0, 0, 7, 0, 0, 3, 0}, 3 * 2048, {}, 3, 1);
  EXPECT_EQ(r.status, 0);
  EXPECT_TRUE(std::equal(r.data.begin(), r.data.end(), a.disc->data.begin() + 7 * 2048));
  EXPECT_EQ(r.data.size(), 3 * 2048u);
  EXPECT_EQ(a.command({0x28, 0, 0, 0, 9, 0, 0, 0, 1, 0}, 2048, {}, 3, 1).asc, 0x21);
  ASSERT_TRUE(a.cd->drive().eject(false));
  r = a.command({0, 0, 0, 0, 0, 0}, 0, {}, 3, 1);
  EXPECT_EQ(r.key, 2);
  EXPECT_EQ(r.asc, 0x3a);
  a.cd->drive().insert(a.disc);
  const auto event = a.in(16);
  a.add(1, {event});
  a.adapter->medium_changed(3, 1);
  EXPECT_EQ(load_le<u32>(a.at(event.address)), 3u);
  EXPECT_EQ(a.at(event.address)[5], 3);
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 3, 1).key, 6);
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 3, 1).status, 0);
}

TEST(VirtioScsi, UnitsComeAndGo) {
  Adapter a;
  a.start(kAll | virtio::feature(1));
  const auto more = std::make_shared<block::MemoryNode>(u64{1} << 20);
  const auto unit = [&] { return std::make_unique<ScsiDisk>(ScsiDisk::Params{.node = more}); };
  const std::array events = {a.in(16), a.in(16), a.in(16)};
  a.add(1, {events[0]});
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 7, 2).response, 3);  // no such target
  a.adapter->plug({7, 2, unit()});
  EXPECT_EQ(load_le<u32>(a.at(events[0].address)), 1u);  // transport reset
  EXPECT_EQ(a.at(events[0].address)[5], 7);
  EXPECT_EQ(a.at(events[0].address)[7], 2);
  EXPECT_EQ(load_le<u32>(a.at(events[0].address) + 12), 1u);  // rescan
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 7, 2).status, 0);
  // Without a buffer the event is lost, and the next one says so.
  EXPECT_TRUE(a.adapter->unplug(7, 2));
  EXPECT_FALSE(a.adapter->unplug(7, 2));
  EXPECT_EQ(a.command({0, 0, 0, 0, 0, 0}, 0, {}, 7, 2).response, 3);
  EXPECT_EQ(a.used(1), 1);
  a.add(1, {events[1]});
  a.kick(1);
  EXPECT_EQ(load_le<u32>(a.at(events[1].address)), 0x80000000u);
  a.add(1, {events[2]});
  a.adapter->unplug(0, 0);
  EXPECT_EQ(load_le<u32>(a.at(events[2].address)), 1u);
  EXPECT_EQ(load_le<u32>(a.at(events[2].address) + 12), 2u);  // removed
}

TEST(VirtioScsi, ADriverThatDidNotAskHearsOfNoUnits) {
  Adapter a;
  const auto event = a.in(16);
  a.add(1, {event});
  a.adapter->unplug(0, 0);
  EXPECT_EQ(a.used(1), 0);
}

TEST(VirtioScsi, AUnitGoesWithRequestsInFlight) {
  Adapter a(false);
  for (u8 round = 0; round < 20; round++) {
    const std::lock_guard guard(a.lock);
    Adapter::Buffer in{0, 4096, true};
    const u64 response = a.submit({0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0}, 0, 0, {}, in);
    auto unit = a.adapter->unplug(0, 0);
    ASSERT_TRUE(unit);
    EXPECT_EQ(a.answer(response, in).response, 0);  // it ended first
    unit.reset();
    a.adapter->plug({0, 0, std::make_unique<ScsiDisk>(ScsiDisk::Params{.node = a.node})});
  }
}

TEST(VirtioScsi, ManagesTasks) {
  Adapter a;
  EXPECT_EQ(a.manage(0, 0, 0), 0);   // abort
  EXPECT_EQ(a.manage(5, 3, 1), 0);   // unit reset
  EXPECT_EQ(a.manage(5, 3, 4), 12);  // no such unit
  EXPECT_EQ(a.manage(5, 4, 0), 3);   // no such target
  EXPECT_EQ(a.manage(2, 0, 0), 11);  // rejected
}

TEST(VirtioScsi, ManyRequestsOnThreads) {
  Adapter a(false);
  a.node->data = pattern(1 << 20);
  std::vector<u64> responses;
  std::vector<Adapter::Buffer> buffers;
  {
    const std::lock_guard guard(a.lock);
    for (u8 i = 0; i < 16; i++) {
      Adapter::Buffer in{0, 4096, true};
      responses.push_back(a.submit({0x28, 0, 0, 0, 0, static_cast<u8>(i * 8), 0, 0, 8, 0}, 0, 0, {}, in));
      buffers.push_back(in);
    }
  }
  {
    const std::lock_guard guard(a.lock);
    a.device->sleep();
    a.device->sleep();
  }
  for (size_t i = 0; i < responses.size(); i++) {
    const auto r = a.answer(responses[i], buffers[i]);
    EXPECT_EQ(r.status, 0);
    EXPECT_TRUE(std::equal(r.data.begin(), r.data.end(), a.node->data.begin() + static_cast<long>(i) * 4096));
  }
  EXPECT_EQ(a.used(2), 16);
}

TEST(VirtioScsi, BearsNonsense) {
  Adapter a;
  a.fuzz(7, 3000, kAll);
}

}  // namespace
}  // namespace doppel::hw::test
