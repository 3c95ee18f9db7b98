// Inspector: strips in, verdicts out, by the deadline.
//
// A slot is open(strip_id, deadline) → submit(frame) for each frame → close(). submit copies the pixels and returns;
// one worker thread extracts, reconstructs and scores frame by frame while the next one is exposed. close returns at
// `deadline - margin` at the latest, whatever the backend does. ACCEPT only when all N patches of this strip were
// scored, finite, at or under their thresholds, and in time; anything else is REJECT with its reason.
//
// Threads: one control thread calls open/submit/close; statistics() may be called from any thread. Between open and
// close the library allocates nothing of its own. A call into the backend cannot be interrupted: a batch whose measured
// cost does not fit before the deadline is not started, and one that overruns is dropped when it ends, never counted
// for another strip.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vialsight/bundle.h"
#include "vialsight/decision.h"
#include "vialsight/export.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight {

using Clock = std::chrono::steady_clock;

struct InspectorOptions {
  Level level = Level::kStrip;     // which threshold set decides
  bool require_thresholds = true;  // false: only score_patches and reconstruct (calibration works so)
  int threads = 0;                 // of the backend inside one batch; 0: one per core
  // Scores count that exist this long before the deadline; close() waits no longer for them. The margin is for waking
  // up, deciding and returning: a verdict made after the deadline itself is a reject.
  std::chrono::microseconds margin{2000};
  // Module with the backend; empty: vialsight_tensorflow.so beside libvialsight.so.
  std::filesystem::path backend_module;
};

// Wall-clock time of one strip, in seconds. Stages overlap with the exposure of later frames.
struct StageTimes {
  double extract_s = 0.0;
  double infer_s = 0.0;
  double score_s = 0.0;
  double total_s = 0.0;             // open to verdict
  double after_last_frame_s = 0.0;  // last submit to verdict
};

struct StripVerdict {
  std::uint64_t strip_id = 0;
  Verdict verdict = Verdict::kReject;
  Reason reason = Reason::kNotReady;
  std::vector<float> scores;       // φ [F][V][R]; NaN where no score was made in time
  std::vector<double> thresholds;  // [R]
  std::vector<Verdict> vials;      // [V]
  StageTimes times;
  double slack_s = 0.0;  // deadline minus the time of the verdict; infinite without a deadline
};

struct Statistics {
  std::uint64_t strips = 0;  // verdicts returned; = accepted + sum of rejected
  std::uint64_t accepted = 0;
  std::uint64_t rejected[8] = {};  // by Reason
  std::uint64_t overruns = 0;      // batches that ended too late to count, after deadline - margin
  double batch_cost_s = 0.0;       // running estimate of one frame's extraction, inference and scoring
};

class VIALSIGHT_API Inspector {
 public:
  // Loads the backend, refuses graphs with operations outside the allow-list, warms up at the exact shapes and
  // re-scores the golden patches. kFailedPrecondition: no thresholds for options.level; kDataCorrupt: golden scores
  // differ; kUnsupported: operation not allowed; kBackendFault, kNotFound: the backend cannot be loaded or fails.
  [[nodiscard]] static Result<Inspector> create(const Bundle& bundle, const InspectorOptions& options = {});
  Inspector(Inspector&&) noexcept;
  Inspector& operator=(Inspector&&) noexcept;
  ~Inspector();  // waits for a batch that is running

  // Opens a slot. kFailedPrecondition: one is open already (it stays open), or no thresholds.
  [[nodiscard]] Status open(std::uint64_t strip_id, Clock::time_point deadline);
  // Hands over frame `frame_index` in [0, F); copies it. kFailedPrecondition: no open slot, or this index was submitted
  // before; kInvalidArgument: index or frame does not fit. Any error makes this strip a reject, whatever follows.
  [[nodiscard]] Status submit(int frame_index, const FrameView& frame);
  // Ends the slot. Without an open slot: kReject, kNotReady.
  [[nodiscard]] StripVerdict close();
  // open, submit all, close. Time_point::max() means no deadline.
  [[nodiscard]] StripVerdict inspect(std::uint64_t strip_id, std::span<const FrameView> frames,
                                     Clock::time_point deadline);

  // Scores `count` patches (count·P·P floats in [0, 1]) in batches of `batch_size` (0: one frame's patches); writes φ.
  // Optionally writes the reconstructions. Not for use while a slot is open (kFailedPrecondition). Allocates.
  [[nodiscard]] Status score_patches(std::span<const float> patches, std::size_t batch_size, std::span<float> scores,
                                     std::span<float> reconstructions = {});

  // Input patch and reconstruction (P·P floats each) of patch [frame][vial][region] of the strip closed last, valid
  // until the next open; nothing when that patch was not scored. What heatmaps are made from.
  struct PatchImages {
    std::span<const float> input;
    std::span<const float> reconstruction;
  };
  [[nodiscard]] std::optional<PatchImages> images(int frame, int vial, int region) const;

  [[nodiscard]] const Bundle& bundle() const noexcept;
  [[nodiscard]] Statistics statistics() const noexcept;

 private:
  friend struct InspectorAccess;  // src/inspector_access.h: injects clock and backend in tests
  struct Impl;
  explicit Inspector(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight
