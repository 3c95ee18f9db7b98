// StationLink: what a machine has of its inspector, the socket run/machine.sock of a station.
//
// Packets of 64 bytes, little-endian, filled up with zeros:
//   to the station    u32 magic "VSM1"; u32 type, 1 trigger or 2 acknowledge; u64 strip id; i64 CLOCK_MONOTONIC of the
//                     event in ns, 0: now; u64 the machine's own count of triggers, from 1
//   from the station  u32 magic; u32 type 16; u64 strip id; u64 heartbeat; u8 ready, busy, result valid, accept,
//   reason,
//                     mode; u16 0; u32 hindrance; u32 0; u64 triggers; u64 accepted
// A station that is not there yet, or went away, is looked for every 200 ms. One thread; nothing blocks but wait().
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "station/file_descriptor.h"
#include "vialsight/clock.h"
#include "vialsight/decision.h"

namespace vialsight::station {

// What the station last said.
struct MachineSignals {
  std::uint64_t strip_id = 0;
  std::uint64_t heartbeat = 0;
  bool ready = false;
  bool busy = false;
  bool result_valid = false;
  bool accept = false;
  std::uint8_t reason = 0;  // a Reason, where it is below kReasonCount
  std::uint8_t mode = 0;
  std::uint32_t hindrance = 0;
};

class StationLink {
 public:
  explicit StationLink(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] bool connected() const noexcept { return socket_.valid(); }
  // False: not connected, or the station takes nothing now.
  bool trigger(std::uint64_t strip_id, Clock::time_point time, std::uint64_t count);
  bool acknowledge(std::uint64_t strip_id);
  // What the station says until `limit`, one packet at a time; nothing when it says nothing.
  [[nodiscard]] std::optional<MachineSignals> wait(Clock::time_point limit);

 private:
  void connect(Clock::time_point now);
  bool send(std::uint32_t type, std::uint64_t strip_id, Clock::time_point time, std::uint64_t count);
  [[nodiscard]] std::optional<MachineSignals> receive();

  std::string path_;
  FileDescriptor socket_;
  Clock::time_point next_attempt_{};
};

}  // namespace vialsight::station
