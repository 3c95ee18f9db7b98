// PacketServer: one client at a time on a Unix socket that keeps packets apart (SOCK_SEQPACKET).
//
// Who connects must be of our own user, or root (SO_PEERCRED); a second client is turned away. Nothing here blocks.
// One thread.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>

#include "station/file_descriptor.h"
#include "vialsight/status.h"

namespace vialsight::station {

class PacketServer {
 public:
  static constexpr std::size_t kMostBytes = 8192;  // of a packet

  // Replaces what lies at `path`: whoever calls this knows that no other station lives. kInvalidArgument: too long.
  [[nodiscard]] static Result<PacketServer> listen(const std::filesystem::path& path);
  PacketServer(PacketServer&&) noexcept = default;
  PacketServer& operator=(PacketServer&&) = delete;
  ~PacketServer();  // takes the socket away

  // For poll(): of the listener, and of the client (-1: none).
  [[nodiscard]] int listener() const noexcept { return listener_.get(); }
  [[nodiscard]] int client() const noexcept { return client_.get(); }
  [[nodiscard]] bool has_client() const noexcept { return client_.valid(); }

  // Whether a new client is there.
  bool accept();
  // The next packet that waits, valid until the next call; one that was cut off is empty. Nothing: none waits, or the
  // client has gone, which has_client() then says.
  [[nodiscard]] std::optional<std::span<const std::byte>> receive();
  // False: it has gone, or takes nothing any more, and is dropped.
  bool send(std::span<const std::byte> packet);
  void drop() noexcept { client_.reset(); }

 private:
  [[nodiscard]] bool client_has_gone() const noexcept;
  PacketServer(std::filesystem::path path, FileDescriptor listener) noexcept
      : path_(std::move(path)), listener_(std::move(listener)) {}

  std::filesystem::path path_;  // empty: moved from
  FileDescriptor listener_;
  FileDescriptor client_;
  std::array<std::byte, kMostBytes> buffer_;
};

}  // namespace vialsight::station
