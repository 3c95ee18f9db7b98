#include "station/gige_camera/station_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

namespace vialsight::station {
namespace {

constexpr std::size_t kPacketBytes = 64;
constexpr std::uint32_t kMagic = 0x314d5356;  // "VSM1"
constexpr std::uint32_t kTrigger = 1;
constexpr std::uint32_t kAcknowledge = 2;
constexpr std::uint32_t kSignals = 16;
constexpr std::chrono::milliseconds kLookAgain{200};

using Packet = std::array<std::uint8_t, kPacketBytes>;

// The machines this runs on are little-endian, as the packets are.
template <typename Number>
void put(Packet& packet, std::size_t at, Number number) {
  std::memcpy(packet.data() + at, &number, sizeof number);
}
template <typename Number>
Number get(const Packet& packet, std::size_t at) {
  Number number{};
  std::memcpy(&number, packet.data() + at, sizeof number);
  return number;
}

MachineSignals parse(const Packet& packet) {
  MachineSignals signals;
  signals.strip_id = get<std::uint64_t>(packet, 8);
  signals.heartbeat = get<std::uint64_t>(packet, 16);
  signals.ready = packet[24] != 0;
  signals.busy = packet[25] != 0;
  signals.result_valid = packet[26] != 0;
  signals.accept = packet[27] != 0;
  signals.reason = packet[28];
  signals.mode = packet[29];
  signals.hindrance = get<std::uint32_t>(packet, 32);
  return signals;
}

timespec until(Clock::time_point limit) {
  const auto left = std::max<std::chrono::nanoseconds>(limit - Clock::now(), std::chrono::nanoseconds(0));
  return {static_cast<time_t>(left.count() / 1'000'000'000), static_cast<long>(left.count() % 1'000'000'000)};
}

}  // namespace

void StationLink::connect(Clock::time_point now) {
  if (connected() || now < next_attempt_) return;
  next_attempt_ = now + kLookAgain;
  sockaddr_un address{};
  if (path_.empty() || path_.size() >= sizeof address.sun_path) {
    next_attempt_ = Clock::time_point::max();  // never there
    return;
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    socket_ = std::move(socket);
}

bool StationLink::send(std::uint32_t type, std::uint64_t strip_id, Clock::time_point time, std::uint64_t count) {
  if (!connected()) return false;
  Packet packet{};
  put(packet, 0, kMagic);
  put(packet, 4, type);
  put(packet, 8, strip_id);
  put(packet, 16, std::int64_t{std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count()});
  put(packet, 24, count);
  if (::send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size()))
    return true;
  if (errno != EAGAIN) socket_ = FileDescriptor();
  return false;
}

bool StationLink::trigger(std::uint64_t strip_id, Clock::time_point time, std::uint64_t count) {
  connect(Clock::now());
  return send(kTrigger, strip_id, time, count);
}

bool StationLink::acknowledge(std::uint64_t strip_id) { return send(kAcknowledge, strip_id, Clock::now(), 0); }

std::optional<MachineSignals> StationLink::receive() {
  Packet packet{};
  const ssize_t size = ::recv(socket_.get(), packet.data(), packet.size(), 0);
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) socket_ = FileDescriptor();
  const bool whole = size == static_cast<ssize_t>(packet.size());
  if (!whole || get<std::uint32_t>(packet, 0) != kMagic || get<std::uint32_t>(packet, 4) != kSignals)
    return std::nullopt;
  return parse(packet);
}

std::optional<MachineSignals> StationLink::wait(Clock::time_point limit) {
  connect(Clock::now());
  const Clock::time_point end = connected() ? limit : std::min(limit, next_attempt_);
  const timespec left = until(end);
  pollfd input{socket_.get(), POLLIN, 0};  // -1: only the time passes
  if (::ppoll(&input, 1, &left, nullptr) <= 0) return std::nullopt;
  return receive();
}

}  // namespace vialsight::station
