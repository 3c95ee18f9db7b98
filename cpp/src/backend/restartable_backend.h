// RestartableBackend: a backend that can die without its owner, and be started again (Isolation::kWorker).
//
// run() returns an error when it died or hangs, after which it touches no memory of the owner's; check() then says that
// it must be restarted. Whoever restarts it warms up and re-scores the golden patches before trusting it.
#pragma once

#include <span>

#include "backend/backend.h"

namespace vialsight {

// Where a backend reads patches and writes its outputs without copying.
struct PatchMemory {
  std::span<float> inputs;
  std::span<const std::span<float>> outputs;  // in the order of BackendOptions::outputs
};

// Any thread may call any of this: one inspects while another supervises.
class RestartableBackend : public Backend {
 public:
  // Ends what is left of it, and starts it anew; blocks while the inference library loads.
  [[nodiscard]] virtual Status restart() noexcept = 0;
  // Ok while it answers. Takes microseconds, or as long as a batch may when it does not.
  [[nodiscard]] virtual Status check() noexcept = 0;
  // run, check and restart return at once, now and from now on.
  virtual void cancel() noexcept = 0;
  // 0: not running.
  [[nodiscard]] virtual int pid() const noexcept = 0;
  // Room for two strips; stays where it is when the backend is restarted.
  [[nodiscard]] virtual PatchMemory memory() noexcept = 0;
};

}  // namespace vialsight
