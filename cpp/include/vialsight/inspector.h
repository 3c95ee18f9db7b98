// Inspector: strips in, verdicts out, by the deadline.
//
// A slot is open(strip_id, deadline) → submit(frame) for each frame → close(). submit copies the pixels and returns;
// one worker thread extracts, reconstructs and scores frame by frame while the next one is exposed. close returns at
// `deadline - margin` at the latest, whatever the backend does. ACCEPT only when all N patches of this strip were
// scored, finite, at or under their thresholds, and in time; anything else is REJECT with its reason.
//
// Threads: one control thread calls open/submit/close; statistics, health, ready and heartbeat may be called from any
// thread. Several Inspectors may share a Bundle. Between open and close the library allocates nothing of its own,
// except the text of an error. A call into the backend cannot be interrupted: a batch whose measured cost does not fit
// before the deadline is not started, and one that overruns is dropped when it ends, never counted for another strip.
//
// Processes: an Inspector works in the process that made it. In one that came of a fork it refuses everything at once,
// as one that was moved from does, and usable() says so; destroyed there, it leaves threads and worker to the parent,
// which goes on. Fork first and create afterwards, or start the child with exec, which inherits nothing of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "vialsight/bundle.h"
#include "vialsight/clock.h"
#include "vialsight/decision.h"
#include "vialsight/export.h"
#include "vialsight/inspector_options.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"
#include "vialsight/strip_verdict.h"

namespace vialsight {

// What camera and trigger know of a frame; with it, a frame of another strip, or out of its order, is not inspected.
struct FrameStamp {
  std::uint64_t strip_id = 0;
  int frame_index = 0;
  Clock::time_point exposed;  // between open and submit
};

// Where the results of n patches go; K = Score::components of the bundle.
struct PatchResults {
  std::span<float> scores;                    // φ [n]
  std::span<float> components;                // [n][K]
  std::span<const std::span<float>> outputs;  // in the order of Bundle::outputs, [n][h][w] each
};

class VIALSIGHT_API Inspector {
 public:
  // Loads the backend, refuses graphs with operations outside the allow-list, warms up at the exact shapes and
  // re-scores the golden patches. kFailedPrecondition: no thresholds for options.level; kDataCorrupt: golden scores
  // differ; kUnsupported: operation not allowed; kBackendFault, kNotFound: the backend cannot be loaded or fails;
  // kPermissionDenied: options.scheduling.
  [[nodiscard]] static Result<Inspector> create(const Bundle& bundle, const InspectorOptions& options = {});
  Inspector(Inspector&&) noexcept;
  Inspector& operator=(Inspector&&) noexcept;
  ~Inspector();  // waits for a batch that is running; a worker is stopped at once; after a fork: does neither

  // Ok where this Inspector works. kFailedPrecondition: it was moved from, or this process came of a fork; then open,
  // submit, score_patches and map return this status, inspect and close a reject (kNotReady), and the others nothing.
  [[nodiscard]] Status usable() const;

  // Opens a slot. kFailedPrecondition: no thresholds; or one is open already, which stays open and becomes a reject
  // (kFrameStale), because nobody can tell of which strip the frames are that follow.
  [[nodiscard]] Status open(std::uint64_t strip_id, Clock::time_point deadline);
  // Hands over frame `frame_index` in [0, F); copies it. kFailedPrecondition: no open slot, or this index was submitted
  // before; kInvalidArgument: index or frame does not fit, or the frame is stale
  // (InspectorOptions::require_fresh_frames). Any error makes this strip a reject, whatever follows.
  [[nodiscard]] Status submit(int frame_index, const FrameView& frame);
  // The same, and kInvalidArgument when the stamp is not of this strip, this index and this slot.
  [[nodiscard]] Status submit(int frame_index, const FrameView& frame, const FrameStamp& stamp);
  // Ends the slot. Without an open slot: kReject, kNotReady.
  [[nodiscard]] StripVerdict close();
  // open, submit all, close. Time_point::max() means no deadline.
  [[nodiscard]] StripVerdict inspect(std::uint64_t strip_id, std::span<const FrameView> frames,
                                     Clock::time_point deadline);

  // Scores as many patches (P·P floats in [0, 1] each) as results.scores has room for, in batches of `batch_size` (0:
  // one frame's patches). Components and outputs may be empty: then they are not given. Patch i is of region
  // regions[i]; `regions` empty: of i modulo R, as a frame's patches lie. Values beyond what resampling overshoots are
  // refused (kInvalidArgument). Not for use while a slot is open (kFailedPrecondition). Allocates.
  [[nodiscard]] Status score_patches(std::span<const float> patches, std::span<const std::size_t> regions,
                                     std::size_t batch_size, const PatchResults& results);

  // Input patch and reconstruction (P·P floats each; none where the network has no such output) of patch
  // [frame][vial][region] of the strip closed last, valid until the next open; nothing when it was not scored.
  struct PatchImages {
    std::span<const float> input;
    std::span<const float> reconstruction;
  };
  [[nodiscard]] std::optional<PatchImages> images(int frame, int vial, int region) const;
  // Its map (Score::map) as P·P floats, resampled where the map's own size is another: what heatmaps are made from.
  // Waits for a batch that is running. kNotFound: it was not scored; kInvalidArgument: `result` has another size.
  [[nodiscard]] Status map(int frame, int vial, int region, std::span<float> result) const;

  [[nodiscard]] const Bundle& bundle() const noexcept;
  // So many patches the network gets at a time on the line: a frame's V·R, or one vial's R, whichever was faster when
  // this was made. 0: not usable.
  [[nodiscard]] std::size_t batch_size() const noexcept;
  [[nodiscard]] Statistics statistics() const noexcept;
  [[nodiscard]] Health health() const;
  // Health::ready and Health::heartbeat by themselves, without allocating. Not ready: a worker is being started again,
  // and strips are rejected at once, kNotReady.
  [[nodiscard]] bool ready() const noexcept;
  [[nodiscard]] std::uint64_t heartbeat() const noexcept;

 private:
  friend struct InspectorAccess;  // src/inspector/inspector_access.h: injects clock and backend in tests
  struct Impl;
  explicit Inspector(std::unique_ptr<Impl> impl) noexcept;
  [[nodiscard]] Impl* reach() const noexcept;  // null: not usable
  [[nodiscard]] Status refusal(const char* call) const;
  void leave() noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight
