#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "chardev/fd_stream.h"

namespace doppel::chardev {
namespace {
bool ready(int fd, short events, int timeout) {
  pollfd p{fd, events, 0};
  return ::poll(&p, 1, timeout) > 0 && p.revents != 0;
}
// A pipe that polls as writable takes this many bytes without blocking (PIPE_BUF).
constexpr size_t kChunk = 4096;
constexpr size_t kMostDescriptors = 16;  // passed and not taken; further ones are closed
}  // namespace

struct FdStream::Poll {
  uv_poll_t handle;
  std::weak_ptr<FdStream> stream;
  int active = 0;
};

std::shared_ptr<FdStream> FdStream::open(const std::shared_ptr<IoLoop>& loop, Options options, Handlers handlers) {
  std::shared_ptr<FdStream> s(new FdStream(loop, options, std::move(handlers)));
  loop->post([s] { s->start(); });
  return s;
}

FdStream::FdStream(const std::shared_ptr<IoLoop>& loop, Options options, Handlers handlers)
    : loop_(loop), o_(options), h_(std::move(handlers)) {}

FdStream::~FdStream() {
  for (const int fd : descriptors_) ::close(fd);
  if (o_.companion_fd >= 0) ::close(o_.companion_fd);
  if (!o_.owned) return;
  if (o_.read_fd >= 0) ::close(o_.read_fd);
  if (o_.write_fd >= 0 && o_.write_fd != o_.read_fd) ::close(o_.write_fd);
}

FdStream::Poll* FdStream::make_poll(int fd) {
  auto* poll = new Poll;
  const int flags = ::fcntl(fd, F_GETFL);
  if (uv_poll_init(loop_->uv(), &poll->handle, fd) != 0) {  // a regular file
    delete poll;
    return nullptr;
  }
  ::fcntl(fd, F_SETFL, flags);  // libuv made it non-blocking for everyone who shares it
  poll->handle.data = poll;
  poll->stream = weak_from_this();
  return poll;
}

void FdStream::start() {
  if (finished_) return;
  if (o_.read_fd >= 0) {
    read_poll_ = make_poll(o_.read_fd);
    file_ = read_poll_ == nullptr;
  }
  if (o_.write_fd >= 0) write_poll_ = o_.write_fd == o_.read_fd ? read_poll_ : make_poll(o_.write_fd);
  if (file_) read_file();
  update();
}

void FdStream::update() {
  auto set = [](Poll* p, int events) {
    if (p == nullptr || p->active == events) return;
    p->active = events;
    if (events == 0) {
      uv_poll_stop(&p->handle);
      return;
    }
    uv_poll_start(&p->handle, events, [](uv_poll_t* h, int status, int now) {
      const auto s = static_cast<Poll*>(h->data)->stream.lock();
      if (!s || s->finished_) return;
      // libuv has stopped the poll: the other end is gone, with things of ours unread (POLLERR).
      if (status < 0) return s->failed(h);
      if (now & UV_WRITABLE) s->flush();
      if (!s->finished_ && (now & UV_READABLE)) s->readable();
      if (!s->finished_) s->update();
    });
  };
  const int r = want_read_ ? UV_READABLE : 0, w = want_write_ ? UV_WRITABLE : 0;
  if (read_poll_ == write_poll_) {
    set(read_poll_, r | w);
  } else {
    set(read_poll_, r);
    set(write_poll_, w);
  }
}

void FdStream::failed(uv_poll_t* h) {
  const bool read_side = read_poll_ != nullptr && h == &read_poll_->handle;
  if (o_.read_fd == o_.write_fd || (read_side && o_.write_fd < 0)) return finish(true);
  (read_side ? want_read_ : want_write_) = false;
  (read_side ? read_poll_ : write_poll_)->active = 0;
  if (read_side) {
    input_ended_ = true;
    return;
  }
  const std::lock_guard guard(lock_);
  dead_ = true;
  out_.clear();
  unsent_ = 0;
}

void FdStream::readable() {
  const size_t room = h_.room();
  if (room == 0) {
    want_read_ = false;  // until accept_input
    return;
  }
  if (!ready(o_.read_fd, POLLIN, 0)) return;
  u8 buffer[kChunk];
  const ssize_t n = receive({buffer, std::min(room, sizeof buffer)});
  if (n > 0) {
    h_.input({buffer, static_cast<size_t>(n)});
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    want_read_ = false;
    if (o_.read_fd == o_.write_fd || o_.write_fd < 0) {
      finish(true);
    } else {
      input_ended_ = true;  // stdin is at its end: output goes on
    }
  }
}

ssize_t FdStream::receive(std::span<u8> buffer) {
  if (!o_.receive_fds) return ::read(o_.read_fd, buffer.data(), buffer.size());
  iovec io{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = ::recvmsg(o_.read_fd, &message, MSG_CMSG_CLOEXEC);
  if (n < 0) return n;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      if (descriptors_.size() < kMostDescriptors)
        descriptors_.push_back(fd);
      else
        ::close(fd);
    }
  }
  return n;
}

std::vector<int> FdStream::take_descriptors() { return std::exchange(descriptors_, {}); }

size_t FdStream::pending() {
  const std::lock_guard guard(lock_);
  return out_.size() + unsent_;
}

void FdStream::read_file() {
  if (finished_ || !want_read_) return;
  readable();
  if (!finished_ && want_read_) loop_->post([self = shared_from_this()] { self->read_file(); });
}

bool FdStream::flush() {
  for (;;) {
    if (sent_ == sending_.size()) {
      sending_.clear();
      sent_ = 0;
      std::lock_guard guard(lock_);
      sending_.swap(out_);
      unsent_ = sending_.size();
      if (sending_.empty()) {
        flush_posted_ = false;
        want_write_ = false;
        return true;
      }
    }
    if (!ready(o_.write_fd, POLLOUT, 0)) break;
    const ssize_t n = ::write(o_.write_fd, sending_.data() + sent_, std::min(kChunk, sending_.size() - sent_));
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      {
        std::lock_guard guard(lock_);
        dead_ = true;  // nobody reads any more
        out_.clear();
        unsent_ = 0;
      }
      sending_.clear();
      sent_ = 0;
      want_write_ = false;
      if (o_.read_fd == o_.write_fd) finish(true);
      return true;
    }
    sent_ += static_cast<size_t>(n);
    const std::lock_guard guard(lock_);
    unsent_ -= static_cast<size_t>(n);
  }
  want_write_ = true;
  return false;
}

void FdStream::write(std::span<const u8> data) {
  if (o_.write_fd < 0) return;
  std::lock_guard guard(lock_);
  if (dead_ || out_.size() + data.size() > o_.limit) return;
  out_.insert(out_.end(), data.begin(), data.end());
  if (flush_posted_) return;
  flush_posted_ = true;
  loop_->post([self = shared_from_this()] {
    if (self->finished_) return;
    self->flush();
    if (!self->finished_) self->update();
  });
}

void FdStream::accept_input() {
  loop_->post([weak = weak_from_this()] {
    const auto s = weak.lock();
    if (s && !s->finished_) s->h_.room();  // a mux hands on what it holds when it is asked for room
    if (!s || s->finished_ || s->o_.read_fd < 0 || s->want_read_ || s->input_ended_) return;
    s->want_read_ = true;
    if (s->file_)
      s->read_file();
    else
      s->update();
  });
}

void FdStream::finish(bool tell) {
  if (finished_) return;
  finished_ = true;
  {
    std::lock_guard guard(lock_);
    dead_ = true;
    out_.clear();
    unsent_ = 0;
  }
  auto drop = [this](Poll*& p) {
    if (p == nullptr) return;
    // The descriptor stays open until libuv has let go of it.
    auto* self = new std::shared_ptr<FdStream>(shared_from_this());
    struct Closing {
      Poll* poll;
      std::shared_ptr<FdStream>* self;
    };
    p->handle.data = new Closing{p, self};
    uv_close(reinterpret_cast<uv_handle_t*>(&p->handle),
             [](uv_handle_t* h) {  // SAFETY: uv_poll_t begins with a uv_handle_t
               auto* c = static_cast<Closing*>(h->data);
               delete c->self;
               delete c->poll;
               delete c;
             });
    p = nullptr;
  };
  if (write_poll_ == read_poll_) write_poll_ = nullptr;
  drop(read_poll_);
  drop(write_poll_);
  if (tell && h_.closed) h_.closed();
}

void FdStream::close() {
  loop_->post([self = shared_from_this()] { self->finish(false); });
}

void FdStream::drain(int milliseconds) {
  loop_->call([this, milliseconds] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (!finished_ && o_.write_fd >= 0 && !flush()) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      if (left <= 0 || !ready(o_.write_fd, POLLOUT, static_cast<int>(left))) return;
    }
  });
}

}  // namespace doppel::chardev
