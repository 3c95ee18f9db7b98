// What a call of the operating system that failed becomes.
#pragma once

#include <string>

#include "vialsight/status.h"

namespace vialsight::station {

// "WHAT: No such file or directory", with the Code that fits `error`, an errno.
[[nodiscard]] Status system_error(const std::string& what, int error);

}  // namespace vialsight::station
