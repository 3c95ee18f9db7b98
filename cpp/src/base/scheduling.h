// How the kernel schedules the calling thread, and every thread that it creates from then on.
#pragma once

#include <string>
#include <vector>

#include "vialsight/scheduling.h"
#include "vialsight/status.h"

namespace vialsight {

// kInvalidArgument: a priority or a CPU that cannot be.
[[nodiscard]] Status check_scheduling(const Scheduling& scheduling);

// True when `scheduling` asks for anything.
[[nodiscard]] bool is_wanted(const Scheduling& scheduling) noexcept;

// Pins the calling thread, sets its priority, locks the memory of the process; threads inherit the first two.
// kPermissionDenied: the operating system refuses, and what to change; kInvalidArgument: no such CPU here.
[[nodiscard]] Status apply_scheduling(const Scheduling& scheduling);

}  // namespace vialsight
