// InspectorOptions: what a line may choose about its Inspector. The defaults are the safe ones.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "vialsight/decision.h"
#include "vialsight/isolation.h"
#include "vialsight/scheduling.h"

namespace vialsight {

struct InspectorOptions {
  Level level = Level::kStrip;     // which threshold set decides
  bool require_thresholds = true;  // false: only score_patches and reconstruct (calibration works so)
  int threads = 0;                 // of the network, and of our own work on patches; 0: one per core given
  // Scores count that exist this long before the deadline; close() waits no longer for them. The margin is for waking
  // up, deciding and returning: a verdict made after the deadline itself is a reject.
  std::chrono::microseconds margin{2000};
  // A frame whose pixels equal, every one, those of another frame of this strip or of the last 64 strips is stale: no
  // camera takes the same image twice. False where recorded images are inspected again.
  bool require_fresh_frames = true;
  // Module with the backend; empty: vialsight_tensorflow.so beside libvialsight.so.
  std::filesystem::path backend_module;
  // Where the network runs: "cpu", "gpu:0" (TensorFlow only), or empty: the first GPU that TensorFlow has, else the
  // CPU.
  std::string device;
  Scheduling scheduling;
  Isolation isolation = Isolation::kInProcess;
  WorkerOptions worker;  // for Isolation::kWorker
};

}  // namespace vialsight
