// How many cores this thread may run on. Valid C++17: shared with the backend modules.
#pragma once

#include <sched.h>

#include <algorithm>
#include <thread>

namespace vialsight {

// Of those that the system, a container or Scheduling::cpus leaves to the calling thread; hardware_concurrency() counts
// the others, too.
[[nodiscard]] inline int cores_given() noexcept {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 0) return CPU_COUNT(&cpus);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));  // a machine of more than 1,024
}

// `threads`; 0 stands for one per core given.
[[nodiscard]] inline int threads_or_cores(int threads) noexcept { return threads > 0 ? threads : cores_given(); }

}  // namespace vialsight
