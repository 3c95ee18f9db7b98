// The command line of vialsight-station.
#pragma once

#include <chrono>
#include <span>
#include <string>

#include "vialsight/inspector_options.h"
#include "vialsight/status.h"

namespace vialsight::station {

struct StationOptions {
  std::string bundle;
  std::string folder;  // --dir
  std::string name;
  std::string source = "stream";
  double slot_ms = 500.0;
  double budget_ms = 480.0;
  double margin_ms = 2.0;
  Isolation isolation = Isolation::kWorker;
  int threads = 0;
  Scheduling scheduling;
  Level level = Level::kStrip;
  std::string packet_bytes;    // of GigE Vision; empty: as the source says
  std::string backend_module;  // for tests
  std::string worker;          // for tests
  bool self_acknowledge = false;
  bool start_in_production = false;
  int ring_strips = 1024;
  int kept_pictures = 8;
  bool wants_help = false;

  [[nodiscard]] InspectorOptions inspector() const;
};

// kInvalidArgument: what was expected, what came, and where to look.
[[nodiscard]] Result<StationOptions> parse_options(std::span<const char* const> arguments);

[[nodiscard]] const char* help_text() noexcept;

[[nodiscard]] std::chrono::nanoseconds nanoseconds_of(double milliseconds) noexcept;

}  // namespace vialsight::station
