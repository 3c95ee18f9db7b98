// ChallengeRun: how far a challenge has come.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "station/challenge_kit.h"
#include "station/control_command.h"
#include "station/snapshot_layout.h"
#include "station/station.h"

namespace vialsight::station {

struct Station::ChallengeRun {
  ChallengeRun(ChallengeKit the_kit, const Layout& layout, ControlCommand the_command)
      : kit(std::move(the_kit)),
        command(std::move(the_command)),
        pixels(static_cast<std::size_t>(layout.frames), std::vector<std::byte>(frame_bytes(layout))),
        frame_count(static_cast<std::size_t>(layout.frames)) {}

  // Of the strips that an Inspector remembers, by which it knows frames again.
  static constexpr int kRemembered = 64;

  ChallengeKit kit;
  ControlCommand command;                      // that started it
  std::vector<std::vector<std::byte>> pixels;  // of the frames of one strip
  std::size_t frame_count;
  int forgotten = 0;       // strips of noise that were inspected in between
  std::size_t strip = 0;   // that is loaded, or inspected
  std::size_t loaded = 0;  // frames of it
  std::size_t submitted = 0;
  bool unrecorded = false;  // one of them found no room in the spool
};

}  // namespace vialsight::station
