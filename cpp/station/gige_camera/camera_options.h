// The command line of vialsight-gige-camera.
#pragma once

#include <string>

#include "station/gige_camera/camera_line.h"
#include "station/gige_camera/strip_feed.h"
#include "vialsight/status.h"

namespace vialsight::station {

struct CameraOptions {
  std::string address = "127.0.0.1";
  std::string serial = "vialsight";
  std::string truth;
  StripFeed::Options feed;
  LineOptions line;
  int priority = 0;  // SCHED_FIFO; 0: none
  bool help = false;
};

[[nodiscard]] const char* camera_usage() noexcept;
// kInvalidArgument: names the option, what was expected and what came.
[[nodiscard]] Result<CameraOptions> parse_camera_options(int argc, const char* const* argv);

}  // namespace vialsight::station
