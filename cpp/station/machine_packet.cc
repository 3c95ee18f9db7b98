#include "station/machine_packet.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace vialsight::station {
namespace {

static_assert(std::endian::native == std::endian::little, "packets are little-endian");

constexpr std::size_t kRequestBytes = 32;

template <typename T>
T get(std::span<const std::byte> packet, std::size_t offset) noexcept {
  T value{};
  std::memcpy(&value, packet.data() + offset, sizeof value);
  return value;
}

bool is_zero(std::byte byte) noexcept { return byte == std::byte{0}; }

}  // namespace

std::optional<MachineRequest> parse_machine_request(std::span<const std::byte> packet) noexcept {
  if (packet.size() != kMachinePacketBytes || get<std::uint32_t>(packet, 0) != kMachineMagic) return std::nullopt;
  const auto type = get<std::uint32_t>(packet, 4);
  MachineRequest request;
  request.strip_id = get<std::uint64_t>(packet, 8);
  request.time_ns = get<std::int64_t>(packet, 16);
  request.count = get<std::uint64_t>(packet, 24);
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const bool known = type == 1 || type == 2;
  const std::span<const std::byte> rest = packet.subspan(kRequestBytes);
  if (!known || request.strip_id > kLargest || request.count > kLargest || request.time_ns < 0) return std::nullopt;
  if (!std::all_of(rest.begin(), rest.end(), is_zero)) return std::nullopt;
  request.type = static_cast<MachineRequest::Type>(type);
  return request;
}

std::array<std::byte, kMachinePacketBytes> make_packet(const MachineReply& reply) noexcept {
  std::array<std::byte, kMachinePacketBytes> packet{};
  std::memcpy(packet.data(), &reply, sizeof reply);
  return packet;
}

}  // namespace vialsight::station
