// Notes for whoever looks after the station, on stderr.
#pragma once

#include <string_view>

namespace vialsight::station {

// One line; left out where nobody takes it, so that a terminal or pipe that stands still stops nothing.
void log_line(std::string_view text) noexcept;

}  // namespace vialsight::station
