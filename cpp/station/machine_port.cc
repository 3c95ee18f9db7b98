#include "station/machine_port.h"

#include "station/log.h"

namespace vialsight::station {

bool MachinePort::accept() {
  if (!server_.accept()) return false;
  last_count_ = 0;
  return true;
}

std::optional<MachineRequest> MachinePort::next() {
  for (int i = 0; i < kMostRefusedAtOnce; ++i) {
    const auto packet = server_.receive();
    if (!packet) return std::nullopt;
    if (const auto request = parse_machine_request(*packet)) return request;
    if (refused_++ == 0)
      log_line("machine port: a packet that is no trigger and no acknowledgement was dropped; see docs");
  }
  return std::nullopt;
}

void MachinePort::send(const MachineReply& reply) {
  if (server_.has_client()) server_.send(make_packet(reply));
}

std::uint64_t MachinePort::lost_before(std::uint64_t count) noexcept {
  const std::uint64_t lost = last_count_ != 0 && count > last_count_ ? count - last_count_ - 1 : 0;
  last_count_ = count;
  return lost;
}

}  // namespace vialsight::station
