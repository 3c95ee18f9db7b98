// InspectorOptions: what a line may choose about its Inspector. The defaults are the safe ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "vialsight/decision.h"

namespace vialsight {

// Where the inference library runs.
enum class Isolation : std::uint8_t {
  kInProcess = 0,  // in this process: its abort is this process's abort
  kWorker = 1,     // in a supervised vialsight-worker: this process loads no inference library, and survives its faults
};

// How the kernel schedules what inspects: the Inspector's thread and the threads of the inference library, in whichever
// process they are. Inspector::create refuses with kPermissionDenied, and says what to change, when it is not
// permitted.
struct Scheduling {
  int priority = 0;          // SCHED_FIFO, 1 to 99; 0: as the process that creates the Inspector
  std::vector<int> cpus;     // logical CPUs to stay on; empty: all
  bool lock_memory = false;  // mlockall: this process, and the worker, keep all memory resident
};

struct WorkerOptions {
  // The program; empty: vialsight-worker beside libvialsight.so.
  std::filesystem::path program;
  // A batch that takes longer, or a worker that does not answer for as long, is killed and started again. Longer than
  // any batch; a strip's deadline is another matter, and does not wait for this.
  std::chrono::milliseconds batch_timeout{2000};
  // Loading the inference library and preparing the graph.
  std::chrono::milliseconds start_timeout{120'000};
};

struct InspectorOptions {
  Level level = Level::kStrip;     // which threshold set decides
  bool require_thresholds = true;  // false: only score_patches and reconstruct (calibration works so)
  int threads = 0;                 // of the backend inside one batch; 0: one per core
  // Scores count that exist this long before the deadline; close() waits no longer for them. The margin is for waking
  // up, deciding and returning: a verdict made after the deadline itself is a reject.
  std::chrono::microseconds margin{2000};
  // A frame whose pixels equal, every one, those of another frame of this strip or of the last 64 strips is stale: no
  // camera takes the same image twice. False where recorded images are inspected again.
  bool require_fresh_frames = true;
  // Module with the backend; empty: vialsight_tensorflow.so beside libvialsight.so.
  std::filesystem::path backend_module;
  Scheduling scheduling;
  Isolation isolation = Isolation::kInProcess;
  WorkerOptions worker;  // for Isolation::kWorker
};

}  // namespace vialsight
