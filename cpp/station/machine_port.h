// MachinePort: triggers and acknowledgements of the machine's gateway in, signals out.
//
// Packets that are none of ours are dropped and counted; a gateway that takes no more packets is dropped, so that it
// never seems to have been told. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "station/machine_packet.h"
#include "station/packet_server.h"

namespace vialsight::station {

class MachinePort {
 public:
  explicit MachinePort(PacketServer server) noexcept : server_(std::move(server)) {}

  [[nodiscard]] const PacketServer& server() const noexcept { return server_; }
  [[nodiscard]] bool has_client() const noexcept { return server_.has_client(); }
  // Whether a new gateway is there.
  bool accept();
  // The next request that waits.
  [[nodiscard]] std::optional<MachineRequest> next();
  void send(const MachineReply& reply);
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

  // Of a trigger: how many the machine has sent that did not arrive, by its own running number. Once per trigger.
  [[nodiscard]] std::uint64_t lost_before(std::uint64_t count) noexcept;

 private:
  // Others may wait: the verdict comes first.
  static constexpr int kMostRefusedAtOnce = 16;

  PacketServer server_;
  std::uint64_t refused_ = 0;
  std::uint64_t last_count_ = 0;  // 0: none came on this connection
};

}  // namespace vialsight::station
