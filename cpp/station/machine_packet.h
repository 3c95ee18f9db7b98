// Packets between the machine's gateway and the station: 64 bytes, little-endian, filled up with zeros.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vialsight::station {

inline constexpr std::size_t kMachinePacketBytes = 64;
inline constexpr std::uint32_t kMachineMagic = 0x314d5356;  // "VSM1"

// Machine to station: u32 magic, u32 type, u64 strip id, i64 time, u64 count.
struct MachineRequest {
  enum class Type : std::uint32_t { kTrigger = 1, kAcknowledge = 2 };

  Type type = Type::kTrigger;
  std::uint64_t strip_id = 0;  // at most 2^63 - 1, so that databases can hold it
  std::int64_t time_ns = 0;    // CLOCK_MONOTONIC of the event; 0: now
  std::uint64_t count = 0;     // the machine's own running number of triggers, from 1
};

// Nothing where it is no such packet.
[[nodiscard]] std::optional<MachineRequest> parse_machine_request(std::span<const std::byte> packet) noexcept;

// Station to machine.
struct MachineReply {
  std::uint32_t magic = kMachineMagic;
  std::uint32_t type = 16;
  std::uint64_t strip_id = 0;
  std::uint64_t heartbeat = 0;
  std::uint8_t ready = 0;
  std::uint8_t busy = 0;
  std::uint8_t result_valid = 0;
  std::uint8_t accept = 0;
  std::uint8_t reason = 0;
  std::uint8_t mode = 0;
  std::uint16_t zero = 0;
  std::uint32_t hindrance = 0;
  std::uint32_t zero_too = 0;
  std::uint64_t triggers = 0;
  std::uint64_t accepted = 0;

  friend bool operator==(const MachineReply&, const MachineReply&) = default;
};
static_assert(sizeof(MachineReply) == 56);

[[nodiscard]] std::array<std::byte, kMachinePacketBytes> make_packet(const MachineReply& reply) noexcept;

}  // namespace vialsight::station
