// GigeOptions: what follows "gige:" on the command line of a station.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "vialsight/status.h"

namespace vialsight::station {

// "[CAMERA][,KEY=VALUE]…": "192.168.1.20,trigger=Line1,priority=40".
struct GigeOptions {
  std::string camera;     // IP address, or id as arv-tool shows it; empty: the first that answers
  std::string trigger;    // trigger source, such as Line1; empty: as the camera has it; "off": it runs free
  int packet = 0;         // bytes of a packet, headers included; 0: the largest that arrives
  int buffers = 16;       // frames
  int socket_buffer = 0;  // bytes; 0: three frames, and 4 MiB at least
  int priority = 0;       // SCHED_FIFO of the thread that receives; 0: as all others
  // How much before the machine's trigger a strip's first frame may be exposed: both see the same light barrier, but
  // neither PLC nor camera says so at once. Less than what lies between a strip's last frame and the next trigger.
  std::chrono::microseconds tolerance{20'000};

  // kInvalidArgument: names the key, what was expected and what came.
  [[nodiscard]] static Result<GigeOptions> parse(std::string_view text);
};

}  // namespace vialsight::station
