// Isolation: in which process the inference library runs, and how a worker process is looked after.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

namespace vialsight {

// Where the inference library runs.
enum class Isolation : std::uint8_t {
  kInProcess = 0,  // in this process: its abort is this process's abort
  kWorker = 1,     // in a supervised vialsight-worker: this process loads no inference library, and survives its faults
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

}  // namespace vialsight
