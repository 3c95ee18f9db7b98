// WorkerBackend: the backend behind Isolation::kWorker. Owns the vialsight-worker and the memory shared with it.
//
// States: running (process_ holds it) or not. A worker that dies, does not answer in time or answers nonsense is killed
// and reaped before run() returns, so that it cannot touch memory that is used again. Nothing of it is trusted but the
// numbers it writes, and those are checked as any score is. The socket carries one request at a time: callers take
// turns.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/restartable_backend.h"
#include "backend/worker_memory.h"
#include "backend/worker_process.h"
#include "backend/worker_protocol.h"
#include "vialsight/isolation.h"
#include "vialsight/scheduling.h"

namespace vialsight {

struct WorkerRequirements {
  BackendOptions backend;
  std::filesystem::path module;  // empty: the default
  Scheduling scheduling;
  WorkerOptions options;
  std::size_t patches_per_strip;
  std::size_t patches_per_batch;
};

class WorkerBackend final : public RestartableBackend {
 public:
  // Starts the worker and waits until it is able to run. What its backend reports; kNotFound: no program or module;
  // kBackendFault: it died or was not ready in time.
  [[nodiscard]] static Result<std::unique_ptr<WorkerBackend>> create(const WorkerRequirements& requirements);
  ~WorkerBackend() override = default;

  // Copies, in portions of a batch, what does not lie in memory().
  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override;
  Status restart() noexcept override;
  Status check() noexcept override;
  void cancel() noexcept override;
  [[nodiscard]] int pid() const noexcept override { return pid_; }
  [[nodiscard]] PatchMemory memory() noexcept override;

 private:
  struct Memories {
    SharedMemory inputs;
    SharedMemory outputs;
    SharedMemory model;
  };
  struct Launch {
    std::filesystem::path program;
    std::vector<std::string> arguments;
    WorkerOptions options;
    std::size_t pixels;  // of a patch
    std::vector<OutputSpec> outputs;
    std::size_t strips_patches;  // of two strips; a batch follows
    std::size_t batch_patches;
  };

  WorkerBackend(Launch launch, Memories memories, FileDescriptor cancelled);

  Status start();
  Status run_portion(const float* patches, std::size_t count);
  [[nodiscard]] std::optional<std::size_t> place_of_targets(std::size_t count) const;
  void clear_batch();
  void copy_batch(std::size_t count);
  Status exchange(WorkerRequest request, std::chrono::milliseconds timeout);
  Status wait_for_reply(std::uint64_t sequence, std::chrono::milliseconds timeout);
  Status receive(std::uint64_t sequence);
  Status lose(const std::string& what);

  std::mutex mutex_;  // guards all below, except what cancel() and pid() use
  Launch launch_;
  Memories memories_;
  std::vector<std::span<float>> blocks_;  // of each output, two strips and a batch
  std::vector<std::span<float>> strips_;  // of each output, the strips only
  std::vector<float*> targets_;           // where the outputs of the portion shall go
  FileDescriptor cancelled_;              // eventfd, readable once cancel() was called
  std::optional<WorkerProcess> process_;
  std::uint64_t sequence_ = 0;
  std::atomic<int> pid_ = 0;
};

}  // namespace vialsight
