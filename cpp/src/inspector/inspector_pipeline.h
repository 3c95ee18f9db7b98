// FramePipeline: one frame to the scores of its patches. Locating (where the bundle does) in the calling thread;
// extraction and scoring patch by patch in the threads given; between them the network, which has the same threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/team.h"
#include "base/time_source.h"
#include "scoring/bilinear_resize.h"
#include "vialsight/inspector.h"
#include "vialsight/locator.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight {

// Where the patches of one frame lie, [V][R], and what is found of them.
struct PatchBuffers {
  std::span<float> inputs;
  PatchResults results;
};

enum class FrameOutcome : std::uint8_t { kScored, kInvalid, kNotLocated, kFault };

// What is found out of one frame besides its scores.
struct FrameReport {
  StageTimes times;
  Location location;  // kNotSearched where the bundle does not locate
  Status error;       // why it was not scored
};

// Thread-safe: callers take turns, since the backend runs one batch at a time. Does not allocate, except for the text
// of an error.
class FramePipeline {
 public:
  [[nodiscard]] static Result<std::unique_ptr<FramePipeline>> create(const Bundle& bundle,
                                                                     std::unique_ptr<Backend> backend,
                                                                     std::shared_ptr<TimeSource> time, int threads);

  // So many of a frame's patches the network gets at a time: V·R, or one vial's R. Other numbers of patches it gets as
  // they come.
  void set_portion(std::size_t patches) noexcept { portion_ = patches; }
  [[nodiscard]] std::size_t portion() const noexcept { return portion_; }

  // Fills `buffers` (V·R patches) and a fresh `report` from `frame`. kInvalid: pixels above the bit depth, or a patch
  // of one gray value.
  FrameOutcome process(const FrameView& frame, const PatchBuffers& buffers, FrameReport& report) noexcept;
  // The same work on a frame that shows no product: it is reduced as ever, the product is looked for in the first
  // golden frame, and the patches are cut as it lies there. Allocates.
  FrameOutcome rehearse(const FrameView& frame, const PatchBuffers& buffers, FrameReport& report) noexcept;
  // Locates a frame made by reduce_frame. kFailedPrecondition: the bundle does not locate.
  Result<Location> locate_reduced(std::span<const float> reduced) noexcept;
  // Scores as many patches as `results` has room for, at least one; all of `results` is given. Patch i is of region
  // regions[i], or i modulo R where `regions` is empty.
  Status score(std::span<const float> patches, std::span<const std::size_t> regions, const PatchResults& results,
               StageTimes& times) noexcept;
  // The map of one patch, resampled to P·P.
  Status map(const PatchData& data, std::size_t region, std::span<float> result) noexcept;

 private:
  // What create() has made of the bundle.
  struct Parts {
    PatchExtractor extractor;
    std::vector<Score> scores;  // one for each thread
    std::optional<Locator> locator;
    std::unique_ptr<Backend> backend;
    std::shared_ptr<TimeSource> time;
  };
  FramePipeline(const Bundle& bundle, Parts parts);

  FrameOutcome locate(const FrameView& frame, FrameReport& report);
  FrameOutcome locate_golden(const FrameView& frame, FrameReport& report);
  FrameOutcome extract_and_score(const FrameView& frame, const PatchBuffers& buffers, FrameReport& report);
  Status extract(const FrameView& frame, std::span<float> patches, FrameReport& report);
  Status infer(std::span<const float> patches, const PatchResults& results);
  Status run_portion(std::span<const float> patches, std::size_t first, std::size_t count, const PatchResults& results);
  Status extract_patch(const FrameView& frame, const Pose* pose, std::size_t index, std::span<float> patch,
                       std::size_t member);
  Status score_patch(std::size_t index, std::span<const float> patches, std::span<const std::size_t> regions,
                     const PatchResults& results, std::size_t member);
  Status score_all(std::span<const float> patches, std::span<const std::size_t> regions, const PatchResults& results);
  Status score_locked(std::span<const float> patches, std::span<const std::size_t> regions, const PatchResults& results,
                      StageTimes& times);
  Status map_locked(const PatchData& data, std::size_t region, std::span<float> result);

  Bundle bundle_;
  std::size_t pixels_;   // of a patch
  std::size_t regions_;  // R
  std::vector<OutputSpec> specs_;
  PatchExtractor extractor_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<TimeSource> time_;
  std::mutex mutex_;  // guards all that follows, and the backend
  // What a member of the team works with.
  struct Desk {
    Score score;
    std::vector<float> extraction_scratch;
    std::vector<std::span<const float>> outputs;  // of the patch at hand
  };
  std::vector<Desk> desks_;
  Team team_;
  std::optional<Locator> locator_;
  std::size_t portion_;
  std::vector<float*> targets_;           // where the backend shall write each output
  std::optional<BilinearResize> resize_;  // of maps that are not P·P
  std::vector<float> own_map_;
  std::vector<double> wide_map_;
  std::vector<double> resized_map_;
};

}  // namespace vialsight
