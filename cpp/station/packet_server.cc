#include "station/packet_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "station/system_error.h"

namespace vialsight::station {
namespace {

bool may_connect(int client) noexcept {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace

Result<PacketServer> PacketServer::listen(const std::filesystem::path& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path) {
    return Status(Code::kInvalidArgument, "socket: expected a path of at most " +
                                              std::to_string(sizeof address.sun_path - 1) + " bytes, got '" + text +
                                              "'; use a shorter --dir");
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return system_error("socket", errno);
  ::unlink(text.c_str());
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  constexpr int kWaiting = 4;
  const bool listens = ::bind(listener.get(), generic, sizeof address) == 0 && ::chmod(text.c_str(), 0600) == 0 &&
                       ::listen(listener.get(), kWaiting) == 0;
  if (!listens) return system_error("socket: cannot listen at '" + text + "'", errno);
  return PacketServer(path, std::move(listener));
}

PacketServer::~PacketServer() {
  if (listener_.valid()) ::unlink(path_.c_str());
}

// Has closed its end, whatever it sent before.
bool PacketServer::client_has_gone() const noexcept {
  pollfd client{client_.get(), 0, 0};
  return has_client() && ::poll(&client, 1, 0) > 0 && (client.revents & (POLLHUP | POLLERR)) != 0;
}

bool PacketServer::accept() {
  FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.valid()) return false;
  if (client_has_gone()) drop();
  if (has_client() || !may_connect(client.get())) return false;
  client_ = std::move(client);
  return true;
}

std::optional<std::span<const std::byte>> PacketServer::receive() {
  if (!has_client()) return std::nullopt;
  const ssize_t size = ::recv(client_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (size <= 0) {  // an empty packet looks like the end, and nobody who means well sends one
    drop();
    return std::nullopt;
  }
  const auto count = static_cast<std::size_t>(size);
  return std::span<const std::byte>(buffer_).first(count > buffer_.size() ? 0 : count);
}

bool PacketServer::send(std::span<const std::byte> packet) {
  if (!has_client()) return false;
  const ssize_t sent = ::send(client_.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(packet.size())) return true;
  drop();
  return false;
}

}  // namespace vialsight::station
