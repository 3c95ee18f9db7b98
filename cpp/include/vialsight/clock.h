// Clock: the clock of deadlines and stamps. On Linux it is CLOCK_MONOTONIC, which no time server moves.
#pragma once

#include <chrono>

namespace vialsight {

using Clock = std::chrono::steady_clock;

}  // namespace vialsight
