// Scheduling: how the operating system runs what inspects.
#pragma once

#include <vector>

namespace vialsight {

// How the kernel schedules what inspects: the Inspector's thread and the threads of the inference library, in whichever
// process they are. Inspector::create refuses with kPermissionDenied, and says what to change, when it is not
// permitted.
struct Scheduling {
  int priority = 0;          // SCHED_FIFO, 1 to 99; 0: as the process that creates the Inspector
  std::vector<int> cpus;     // logical CPUs to stay on; empty: all
  bool lock_memory = false;  // mlockall: this process, and the worker, keep all memory resident
};

}  // namespace vialsight
