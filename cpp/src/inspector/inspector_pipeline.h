// FramePipeline: one frame to the scores of its patches. Extraction, reconstruction and scoring in the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/time_source.h"
#include "vialsight/inspector.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight {

// Where the n patches of a batch lie: n·P·P, n·P·P and n floats.
struct PatchBuffers {
  std::span<float> inputs;
  std::span<float> reconstructions;
  std::span<float> scores;
};

enum class FrameOutcome : std::uint8_t { kScored, kInvalid, kFault };

// Thread-safe: callers take turns, since the backend runs one batch at a time. Does not allocate, except for the text
// of an error.
class FramePipeline {
 public:
  [[nodiscard]] static Result<std::unique_ptr<FramePipeline>> create(const Layout& layout,
                                                                     std::unique_ptr<Backend> backend,
                                                                     std::shared_ptr<TimeSource> time);

  // Fills `buffers` (V·R patches) from `frame` and adds to `times`. kInvalid: pixels above the bit depth, or a patch of
  // one gray value. `error`, if given, receives the reason of a failure.
  FrameOutcome process(const FrameView& frame, const PatchBuffers& buffers, StageTimes& times,
                       Status* error = nullptr) noexcept;
  // Reconstructs and scores `scores.size()` ≥ 1 patches.
  Status score(std::span<const float> patches, std::span<float> reconstructions, std::span<float> scores,
               StageTimes& times) noexcept;

 private:
  FramePipeline(const Layout& layout, PatchExtractor extractor, std::unique_ptr<Backend> backend,
                std::shared_ptr<TimeSource> time);

  Status extract(const FrameView& frame, std::span<float> patches, StageTimes& times);
  Status score_locked(std::span<const float> patches, std::span<float> reconstructions, std::span<float> scores,
                      StageTimes& times);
  Status score_patch(std::span<const float> patch, std::span<const float> reconstruction, float& score);

  int patch_size_;
  PatchExtractor extractor_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<TimeSource> time_;
  std::mutex mutex_;  // guards the backend and both scratch buffers
  std::vector<float> extraction_scratch_;
  std::vector<double> ssim_scratch_;
};

}  // namespace vialsight
