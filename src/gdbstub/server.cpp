#include "gdbstub/server.h"

#include "gdbstub/session.h"

namespace doppel::gdbstub {

Server::Server(Debuggee& debuggee, std::unique_ptr<os::Listener> listener)
    : debuggee_(debuggee), listener_(std::move(listener)) {}

void Server::start() {
  thread_ = std::thread([this] { serve(); });
}

Server::~Server() {
  ending_.store(true);
  listener_->wake();
  if (thread_.joinable()) thread_.join();
}

void Server::serve() {
  while (!ending_.load()) {
    std::unique_ptr<os::Connection> c = listener_->accept();
    if (!c) continue;
    connection_.store(c.get());
    PacketPort port(std::move(c));
    debuggee_.attach();
    debuggee_.pause();
    Session session(debuggee_, port, ending_);
    const Session::End end = session.run();
    connection_.store(nullptr);
    debuggee_.detach();
    if (end == Session::End::Left) debuggee_.resume({Action{}});
  }
}

void Server::abandon() {
  if (os::Connection* c = connection_.load()) c->close_descriptors();
  listener_->close_descriptors();
}

}  // namespace doppel::gdbstub
