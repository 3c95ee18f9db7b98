// StripSlot: what is known of one strip from open to close, and the verdict that follows from it.
//
// A frame:  kMissing ─submit─ kSubmitted ─take─ kRunning ─finish─ kScored
//                    │                    └ kLate           ├ kLate, kInvalid
//                    └ kFault                               └ kNotLocated, kFault
//
// submit gives kFault at once, and lose_backend gives it to every kSubmitted frame, when there is no backend for the
// strip: it was opened while there was none, or lost it. A slot never becomes better: flags are set by what goes wrong
// and cleared by the next open alone.
//
// Times:   open ── submits ── limit = deadline - margin ── deadline
// A score counts when its batch ended by the limit, which is also the last moment to wait for one; a verdict counts
// when it is made between open and the deadline.
//
// Invariant: close accepts only when every frame is kScored, no flag is set, the time is within open and deadline,
// every score is finite and at or under its threshold, and the product lies in all frames alike. The generation, which
// counts the strips, tells the result of this strip's frame from that of an earlier strip's, which is dropped.
//
// No thread, no lock, no clock: the owner guards it and says what time it is. Only the constructor allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inspector/inspector_pipeline.h"
#include "vialsight/clock.h"
#include "vialsight/decision.h"
#include "vialsight/layout.h"
#include "vialsight/locator.h"
#include "vialsight/strip_verdict.h"

namespace vialsight {

enum class FrameState : std::uint8_t {
  kMissing,     // not submitted
  kSubmitted,   // waiting for the worker
  kRunning,     // the worker is at it
  kScored,      // in time
  kLate,        // not started, or not ended, in time
  kInvalid,     // its pixels do not fit the layout
  kNotLocated,  // the product was not found in it
  kFault,       // the backend failed
};

class StripSlot {
 public:
  struct Opening {
    Clock::time_point now;
    Clock::time_point deadline;  // time_point::max(): none
    Clock::duration margin;      // not negative
    bool ready;                  // there is a backend
  };
  // A frame that is being scored.
  struct Job {
    std::uint64_t generation;
    std::size_t frame;
    Clock::time_point limit;

    [[nodiscard]] bool is_late(Clock::time_point ended) const noexcept { return ended > limit; }
  };
  // What has become of it.
  struct Finished {
    FrameOutcome outcome;
    StageTimes times;
    Location location;
    Clock::time_point ended;
    std::span<const float> scores;      // φ [V][R]
    std::span<const float> components;  // [V][R][K]
  };

  // `locator` says how far the poses of a strip's frames may differ, and outlives this; null: nothing is located.
  explicit StripSlot(std::size_t frames, const LocatorModel* locator = nullptr);

  // `blank` is the verdict to fill: its scores [F][V][R] and those of components all NaN, its thresholds [R], its vials
  // [V], its locations [F] where the product is located.
  void open(StripVerdict blank, const Opening& opening) noexcept;
  [[nodiscard]] StripVerdict close(Clock::time_point now, const Layout& layout) noexcept;

  // A submit that does not fit; one of another moment, or none can tell of which strip.
  void refuse() noexcept { refused_ = true; }
  void mark_stale() noexcept { stale_ = true; }
  // Takes a frame that is kMissing; whether there is something to do for the worker.
  bool submit(std::size_t frame, Clock::time_point now) noexcept;

  [[nodiscard]] bool has_next() const noexcept { return is_inspectable() && taken_ < queued_; }
  // The next frame in the order of submission, has_next() given. Nothing when its batch does not fit before the limit.
  std::optional<Job> take(bool fits) noexcept;
  void finish(const Job& job, const Finished& result) noexcept;
  // The backend died.
  void lose_backend() noexcept;

  [[nodiscard]] bool is_open() const noexcept { return open_; }
  [[nodiscard]] bool has_unfinished_frames() const noexcept;
  [[nodiscard]] FrameState state(std::size_t frame) const noexcept { return states_[frame]; }
  [[nodiscard]] std::uint64_t strip_id() const noexcept { return verdict_.strip_id; }
  [[nodiscard]] Clock::time_point opened() const noexcept { return opening_.now; }
  [[nodiscard]] Clock::time_point limit() const noexcept { return limit_; }

 private:
  [[nodiscard]] bool is_inspectable() const noexcept { return open_ && opening_.ready && !lost_; }
  [[nodiscard]] bool any_frame(FrameState state) const noexcept;
  [[nodiscard]] bool is_late(Clock::time_point now) const noexcept;
  [[nodiscard]] bool found_poses_agree() const noexcept;
  [[nodiscard]] Reason reason_at(Clock::time_point now, Verdict decided) const noexcept;
  void note_times(Clock::time_point now) noexcept;

  const LocatorModel* locator_;
  bool open_ = false;
  bool lost_ = false;     // the backend died while it was open
  bool refused_ = false;  // see refuse
  bool stale_ = false;    // see mark_stale
  Opening opening_{};
  Clock::time_point limit_;
  std::optional<Clock::time_point> last_submit_;
  std::uint64_t generation_ = 0;    // 0: no strip yet
  std::vector<FrameState> states_;  // [F]
  std::vector<std::size_t> queue_;  // [F], of which the first queued_ are frames in the order of submission
  std::size_t queued_ = 0;
  std::size_t taken_ = 0;  // of them, by the worker
  StripVerdict verdict_;
};

}  // namespace vialsight
