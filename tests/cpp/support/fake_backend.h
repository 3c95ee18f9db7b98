// A backend that does what a test says. It reconstructs a patch as itself (φ = 0) and gives maps of zeros, unless a
// patch's first pixel is a marker.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "fake_clock.h"

namespace vialsight::test {

inline constexpr unsigned char kDefectMarker = 255;  // reconstructed as its negative: φ > 0.5 for dark patches
inline constexpr unsigned char kNanMarker = 254;     // reconstructed as NaN
inline constexpr unsigned char kMapMarker = 253;     // one pixel of every map is 1

// Shared by a test and the backend inside its Inspector. Atomic: the worker reads while the test writes.
struct BackendScript {
  explicit BackendScript(std::shared_ptr<FakeClock> fake_clock) : clock(std::move(fake_clock)) {}

  std::shared_ptr<FakeClock> clock;
  std::atomic<Clock::rep> cost_ticks = 0;  // of one batch, on the fake clock
  std::atomic<bool> fails = false;
  std::atomic<bool> held = false;  // batches wait inside run() while this is true
  std::atomic<int> entered = 0;    // batches begun
  std::atomic<int> ended = 0;
  std::atomic<std::size_t> last_count = 0;
  std::atomic<float> map_offset = 0.0F;  // added to every pixel of every map
  std::atomic<bool> alive = true;

  void set_cost(Clock::duration cost) noexcept { cost_ticks = cost.count(); }
  void wait_for_batch(int number) const noexcept {
    while (entered.load() < number) std::this_thread::yield();
  }
};

class FakeBackend final : public Backend {
 public:
  FakeBackend(std::shared_ptr<BackendScript> script, int patch_size, std::vector<OutputSpec> outputs)
      : script_(std::move(script)),
        pixels_(static_cast<std::size_t>(patch_size) * static_cast<std::size_t>(patch_size)),
        outputs_(std::move(outputs)) {}
  ~FakeBackend() override { script_->alive = false; }

  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override {
    script_->last_count = count;
    ++script_->entered;
    while (script_->held) std::this_thread::yield();
    script_->clock->advance(Clock::duration(script_->cost_ticks));
    const bool fails = script_->fails;
    for (std::size_t output = 0; output < outputs_.size() && !fails; ++output) {
      for (std::size_t i = 0; i < count; ++i) {
        write(outputs_[output], patches + i * pixels_, outputs[output] + i * outputs_[output].pixels());
      }
    }
    ++script_->ended;
    return fails ? Status(Code::kBackendFault, "told to") : Status();
  }

 private:
  void write(const OutputSpec& output, const float* patch, float* target) const noexcept {
    if (output.role == OutputRole::kReconstruction) return reconstruct(patch, target);
    // In the middle of the map's first row.
    std::fill_n(target, output.pixels(), script_->map_offset.load());
    if (patch[0] == static_cast<float>(kMapMarker) / 255.0F) target[output.width / 2] += 1.0F;
  }
  void reconstruct(const float* patch, float* target) const noexcept {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const float marker = patch[0];
    std::transform(patch, patch + pixels_, target, [marker](float value) {
      if (marker == static_cast<float>(kNanMarker) / 255.0F) return kNan;
      return marker == static_cast<float>(kDefectMarker) / 255.0F ? 1.0F - value : value;
    });
  }

  std::shared_ptr<BackendScript> script_;
  std::size_t pixels_;
  std::vector<OutputSpec> outputs_;
};

}  // namespace vialsight::test
