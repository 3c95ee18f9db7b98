#include "station/gige_options.h"

#include <charconv>
#include <cmath>
#include <system_error>

namespace vialsight::station {
namespace {

// GigE Vision asks for 576 bytes at least; a packet of UDP holds 65535 at most.
constexpr int kSmallestPacket = 576;
constexpr int kLargestPacket = 65535;
constexpr int kFewestBuffers = 16;
constexpr int kMostBuffers = 1024;
constexpr int kLargestSocketBuffer = 1 << 30;
constexpr int kHighestPriority = 99;
constexpr double kLongestToleranceMs = 1000.0;

Status invalid(std::string_view key, std::string_view expected, std::string_view got) {
  return {Code::kInvalidArgument, "--source gige: " + std::string(key) + ": expected " + std::string(expected) +
                                      ", got \"" + std::string(got) + "\""};
}

template <typename Number>
Status read(std::string_view key, std::string_view text, Number low, Number high, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && number >= low && number <= high) return {};
  return invalid(key, "a number from " + std::to_string(low) + " to " + std::to_string(high), text);
}

Status set(GigeOptions& options, std::string_view key, std::string_view value) {
  if (key == "trigger") {
    options.trigger = value;
    return value.empty() ? invalid(key, "a trigger source, such as Line1, or off", value) : Status();
  }
  if (key == "packet") return read(key, value, kSmallestPacket, kLargestPacket, options.packet);
  if (key == "buffers") return read(key, value, kFewestBuffers, kMostBuffers, options.buffers);
  if (key == "socket_buffer") return read(key, value, 1, kLargestSocketBuffer, options.socket_buffer);
  if (key == "priority") return read(key, value, 0, kHighestPriority, options.priority);
  if (key == "tolerance_ms") {
    double ms = 0.0;
    const Status status = read(key, value, 0.0, kLongestToleranceMs, ms);
    options.tolerance = std::chrono::microseconds(std::llround(ms * 1e3));
    return status;
  }
  return invalid(key, "trigger, packet, buffers, socket_buffer, priority or tolerance_ms as a key", key);
}

std::string_view take_part(std::string_view& text) {
  const std::size_t comma = text.find(',');
  const std::string_view part = text.substr(0, comma);
  text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  return part;
}

}  // namespace

Result<GigeOptions> GigeOptions::parse(std::string_view text) {
  GigeOptions options;
  options.camera = take_part(text);
  while (!text.empty()) {
    const std::string_view part = take_part(text);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) return invalid(part, "KEY=VALUE", part);
    if (Status status = set(options, part.substr(0, equals), part.substr(equals + 1)); !status.ok()) return status;
  }
  return options;
}

}  // namespace vialsight::station
