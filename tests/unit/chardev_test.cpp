// Character devices: option syntax, ring buffer, file, sockets, pty, and the mux with its escape keys.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "chardev/devices.h"
#include "chardev/factory.h"
#include "chardev/options.h"

namespace doppel::chardev {
namespace {

std::span<const u8> bytes(std::string_view s) { return {reinterpret_cast<const u8*>(s.data()), s.size()}; }

// A front end that keeps what it gets, up to a limit that can grow.
struct Sink {
  std::mutex lock;
  std::string data;
  size_t limit = 1 << 20;
  int breaks = 0;
  Chardev::FrontEnd front() {
    return {[this] {
              std::lock_guard g(lock);
              return limit - std::min(limit, data.size());
            },
            [this](std::span<const u8> d) {
              std::lock_guard g(lock);
              data.append(d.begin(), d.end());
            },
            [this] {
              std::lock_guard g(lock);
              breaks++;
            }};
  }
  std::string get() {
    std::lock_guard g(lock);
    return data;
  }
};

template <typename Fn>
bool eventually(Fn&& fn) {
  for (int i = 0; i < 2000; i++) {
    if (fn()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

std::string temp(const char* name) {
  return (std::filesystem::temp_directory_path() / ("doppel_" + std::to_string(getpid()) + "_" + name)).string();
}

int connect_unix(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

std::string read_some(int fd, size_t want) {
  std::string out;
  char b[256];
  while (out.size() < want) {
    const ssize_t n = ::read(fd, b, sizeof b);
    if (n <= 0) break;
    out.append(b, static_cast<size_t>(n));
  }
  return out;
}

TEST(CharOptions, Syntax) {
  const OptionList o = parse_options("tcp:h:1,server=on,nowait,path=a,,b,flag");
  EXPECT_EQ(o.head, "tcp:h:1");
  EXPECT_EQ(o.get("server"), "on");
  EXPECT_EQ(o.get("wait"), "off");
  EXPECT_EQ(o.get("path"), "a,b");
  EXPECT_EQ(o.get("flag"), "on");
  EXPECT_FALSE(parse_options("x,server=maybe").flag("server", false).ok());
}

TEST(CharFactory, Errors) {
  Factory f;
  EXPECT_FALSE(f.open("nonsense").ok());
  EXPECT_EQ(f.open("nonsense").error().exit_status, 1);
  EXPECT_FALSE(f.open("tcp:nowhere").ok());
  EXPECT_FALSE(f.open("file:/nonexistent/folder/x").ok());
  EXPECT_FALSE(f.open("unix:/nonexistent/folder/x").ok());
  EXPECT_FALSE(f.open("null,id=a,colour=red").ok());
  EXPECT_FALSE(f.open("chardev:none").ok());
  EXPECT_FALSE(f.create("socket,path=/x").ok());
  EXPECT_TRUE(f.open("none").ok());
  EXPECT_EQ(*f.open("none"), nullptr);
  EXPECT_TRUE(f.create("null,id=a").ok());
  EXPECT_FALSE(f.create("null,id=a").ok());
  EXPECT_EQ(*f.open("chardev:a"), f.find("a"));
}

TEST(CharFactory, FileKeepsOrderAndIsFlushedAtTheEnd) {
  const std::string path = temp("file");
  {
    Factory f;
    auto dev = f.open("file:" + path);
    ASSERT_TRUE(dev.ok()) << dev.error().text();
    for (int i = 0; i < 1000; i++) (*dev)->write(bytes(std::to_string(i) + "\n"));
  }
  std::ifstream in(path);
  for (int i = 0; i < 1000; i++) {
    std::string line;
    ASSERT_TRUE(std::getline(in, line));
    ASSERT_EQ(line, std::to_string(i));
  }
  std::filesystem::remove(path);
}

TEST(CharFactory, LogFileCopiesOutput) {
  const std::string path = temp("log");
  {
    Factory f;
    auto dev = f.create("ringbuf,id=r,logfile=" + path);
    ASSERT_TRUE(dev.ok());
    (*dev)->write(bytes("hello"));
  }
  std::ifstream in(path);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(text, "hello");
  std::filesystem::remove(path);
}

TEST(CharRing, KeepsTheLastBytesAndFeedsInput) {
  RingBuffer ring(4);
  ring.write(bytes("abcdef"));
  EXPECT_EQ(ring.take(), "cdef");
  EXPECT_EQ(ring.take(), "");
  Sink sink;
  sink.limit = 2;
  ring.attach(sink.front());
  ring.type("xyz");
  EXPECT_EQ(sink.get(), "xy");
  sink.limit = 10;
  ring.type("!");
  EXPECT_EQ(sink.get(), "xyz!");
}

TEST(CharSocket, UnixServerBothWaysAndReconnect) {
  const std::string path = temp("sock");
  Factory f;
  auto dev = f.open("unix:" + path + ",server=on,wait=off");
  ASSERT_TRUE(dev.ok()) << dev.error().text();
  Sink sink;
  sink.limit = 4;
  (*dev)->attach(sink.front());
  (*dev)->write(bytes("lost"));  // nobody there yet
  for (int round = 0; round < 2; round++) {
    int fd = connect_unix(path);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, "ping-pong", 9), 9);
    ASSERT_TRUE(eventually([&] { return sink.get() == "ping"; })) << sink.get();  // flow control: no more room
    {
      std::lock_guard g(sink.lock);
      sink.limit = 9;
    }
    (*dev)->accept_input();
    ASSERT_TRUE(eventually([&] { return sink.get() == "ping-pong"; }));
    (*dev)->write(bytes("answer"));
    EXPECT_EQ(read_some(fd, 6), "answer");
    ::close(fd);
    {
      std::lock_guard g(sink.lock);
      sink.data.clear();
      sink.limit = 4;
    }
    (*dev)->accept_input();  // there is room again
  }
}

TEST(CharSocket, TcpServerAndClientOfOurOwn) {
  Factory f;
  auto server = f.open("tcp:127.0.0.1:0,server=on,wait=off");
  ASSERT_TRUE(server.ok()) << server.error().text();
  std::string address = (*server)->description();  // tcp:127.0.0.1:PORT,server=on
  address = address.substr(0, address.find(','));
  Sink a, b;
  (*server)->attach(a.front());
  auto client = f.open(address);
  ASSERT_TRUE(client.ok()) << client.error().text();
  (*client)->attach(b.front());
  const std::string big(300'000, 'x');
  (*client)->write(bytes(big));
  ASSERT_TRUE(eventually([&] { return a.get().size() == big.size(); })) << a.get().size();
  (*server)->write(bytes("ok"));
  ASSERT_TRUE(eventually([&] { return b.get() == "ok"; }));
  EXPECT_FALSE(f.open("tcp:127.0.0.1:1").ok());
}

TEST(CharSocket, TelnetHidesCommands) {
  Factory f;
  auto server = f.open("telnet:127.0.0.1:0,server=on,wait=off");
  ASSERT_TRUE(server.ok());
  std::string address = (*server)->description().substr(7);
  address = "tcp:" + address.substr(0, address.find(','));
  Sink a, b;
  (*server)->attach(a.front());
  auto client = f.open(address);
  ASSERT_TRUE(client.ok());
  (*client)->attach(b.front());
  (*client)->write(
      bytes(std::string_view("a\xff\xfd\x01"
                             "b\xff\xff"
                             "c\xff\xf3\r\0d",
                             13)));
  ASSERT_TRUE(eventually([&] {
    return a.get() ==
               "ab\xff"
               "c\rd" &&
           a.breaks == 1;
  })) << a.get();
  ASSERT_TRUE(eventually([&] { return b.get().size() == 12; }));
  (*server)->write(bytes("\xff"));
  ASSERT_TRUE(eventually([&] { return b.get().size() == 14; }));
}

TEST(CharPty, BothWays) {
  Factory f;
  auto dev = f.open("pty");
  ASSERT_TRUE(dev.ok()) << dev.error().text();
  Sink sink;
  (*dev)->attach(sink.front());
  const int fd = ::open((*dev)->description().substr(4).c_str(), O_RDWR | O_NOCTTY);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "in", 2), 2);
  EXPECT_TRUE(eventually([&] { return sink.get() == "in"; }));
  (*dev)->write(bytes("out"));
  EXPECT_EQ(read_some(fd, 3), "out");
  ::close(fd);
}

TEST(CharMux, EscapeKeysAndFocus) {
  auto ring = std::make_shared<RingBuffer>(10'000);
  int quits = 0, saves = 0, shown = 0;
  auto mux = Mux::create(ring, {[&] { quits++; }, [&] { saves++; }});
  Sink serial, monitor;
  auto s = mux->add_front("serial0");
  auto m = mux->add_front("monitor", [&](bool on) { shown += on ? 1 : 0; });
  s->attach(serial.front());
  m->attach(monitor.front());
  ring->type("ls\n");
  EXPECT_EQ(serial.get(), "ls\n");
  ring->type(
      "\x01"
      "c");
  ring->type("info\n");
  EXPECT_EQ(monitor.get(), "info\n");
  EXPECT_EQ(shown, 1);
  ring->type(
      "\x01"
      "c"
      "\x01\x01"
      "\x01"
      "b");
  EXPECT_EQ(serial.get(), "ls\n\x01");
  EXPECT_EQ(serial.breaks, 1);
  ring->type(
      "\x01"
      "s"
      "\x01"
      "x");
  EXPECT_EQ(saves, 1);
  EXPECT_EQ(quits, 1);
  ring->take();
  ring->type(
      "\x01"
      "h");
  EXPECT_NE(ring->take().find("[serial0]"), std::string::npos);
  s->write(bytes("from serial "));
  m->write(bytes("from monitor"));
  EXPECT_EQ(ring->take(), "from serial from monitor");
  // A front end that takes nothing does not stop the escape keys.
  {
    std::lock_guard g(serial.lock);
    serial.limit = 0;
  }
  for (int i = 0; i < 100; i++) ring->type(std::string(100, 'z'));
  ring->type(
      "\x01"
      "x");
  EXPECT_EQ(quits, 2);
}

}  // namespace
}  // namespace doppel::chardev
