// Inspector::Impl: the state of an Inspector and its worker thread.
//
// Two StripBuffers: the open (or last closed) strip's, and another, so that a batch of an earlier strip that overran
// its deadline keeps writing where nobody reads. There is one worker, hence at most one such batch, hence two are
// enough: open() takes the set the worker is not in. A slot's generation tells the worker, when a batch ends, whether
// the strip it belongs to is still open; the result of any other is dropped.
//
// A restartable backend (restartable_backend.h) that died takes the open strip with it. Until it is started again,
// warmed up and has passed the golden patches, nothing is inspected: frames are not queued, close() does not wait.
//
// Times of a slot:   open ── submits ── limit = deadline - margin ── deadline
// A score counts when its batch ended by `limit`, which is also the last moment close() waits for; a verdict counts
// when it is made by `deadline`. The margin is for waking up, deciding and returning.
//
// Threads: control thread (open, submit, close, score_patches, images), worker (work), any (statistics). `mutex_`
// guards all that both sides touch, except the buffers' contents: those belong to the control thread until a frame is
// kSubmitted, to the worker until it is kScored, and to the control thread again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backend/restartable_backend.h"
#include "base/time_source.h"
#include "inspector/frame_digest.h"
#include "inspector/inspector_buffers.h"
#include "inspector/inspector_cost.h"
#include "inspector/inspector_pipeline.h"
#include "vialsight/inspector.h"

namespace vialsight {

struct Inspector::Impl {
 public:
  // What create() has prepared and measured.
  struct Parts {
    Bundle bundle;
    InspectorOptions options;
    std::shared_ptr<TimeSource> time;
    std::unique_ptr<FramePipeline> pipeline;
    RestartableBackend* restartable;  // of the pipeline; null: its backend lives and dies with this process
    BatchCost cost;
  };

  explicit Impl(Parts parts);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  Status open(std::uint64_t strip_id, Clock::time_point deadline);
  // `stamp` may be null.
  Status submit(int frame_index, const FrameView& frame, const FrameStamp* stamp);
  StripVerdict close();
  StripVerdict inspect(std::uint64_t strip_id, std::span<const FrameView> frames, Clock::time_point deadline);
  Status score_patches(std::span<const float> patches, std::size_t batch_size, std::span<float> scores,
                       std::span<float> reconstructions);
  [[nodiscard]] std::optional<PatchImages> images(int frame, int vial, int region) const;
  [[nodiscard]] const Bundle& bundle() const noexcept { return bundle_; }
  [[nodiscard]] Statistics statistics() const noexcept;
  [[nodiscard]] Health health() const;
  [[nodiscard]] bool ready() const noexcept { return ready_ && is_calibrated(); }
  [[nodiscard]] std::uint64_t heartbeat() const noexcept { return heartbeat_; }
  // The verdict for a strip that was never opened.
  StripVerdict not_ready(std::uint64_t strip_id);

 private:
  struct Slot {
    bool open = false;
    bool unready = false;          // opened while the backend was being started again
    bool lost = false;             // the backend died while it was open
    bool refused = false;          // a submit of this strip returned an error
    bool stale = false;            // one did because the frame is of another moment
    std::uint64_t generation = 0;  // counts the strips; 0: none yet
    std::size_t set = 0;           // index into sets_
    Clock::time_point deadline;
    Clock::time_point limit;  // deadline - margin
    Clock::time_point opened;
    std::optional<Clock::time_point> last_submit;
    StageTimes times;
  };
  // A frame the worker has taken.
  struct Job {
    std::uint64_t generation;
    std::size_t set;
    std::size_t frame;
    Clock::time_point limit;
  };

  // Slot (inspector_slot.cc). The methods from here on are called with mutex_ held, except where they say otherwise.
  [[nodiscard]] StripVerdict blank_verdict(std::uint64_t strip_id) const;  // needs no lock
  [[nodiscard]] bool is_calibrated() const noexcept { return !bundle_.thresholds(options_.level).empty(); }
  [[nodiscard]] Clock::time_point limit_of(Clock::time_point deadline) const noexcept;
  void start_slot(Clock::time_point deadline);
  [[nodiscard]] Status check_submit(int frame_index, const FrameView& frame) const;
  [[nodiscard]] Status check_stamp(int frame_index, const FrameStamp& stamp) const;
  [[nodiscard]] Status check_fresh(int frame_index, std::uint64_t digest) const;  // needs no lock
  Status copy_frame(int frame_index, const FrameView& frame, std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool is_inspectable() const noexcept { return slot_.open && !slot_.unready && !slot_.lost; }
  [[nodiscard]] bool has_unfinished_frames() const noexcept;
  [[nodiscard]] bool any_frame(FrameState state) const noexcept;
  [[nodiscard]] Reason reason_at(Clock::time_point now, Verdict decided) const noexcept;
  [[nodiscard]] bool all_scores_finite() const noexcept;
  void collect_scores() noexcept;
  void conclude(Clock::time_point now) noexcept;
  void count(const StripVerdict& verdict) noexcept;

  // Worker (inspector_worker.cc).
  void work();  // the thread; takes the lock itself
  [[nodiscard]] std::optional<std::size_t> next_frame() const noexcept;
  [[nodiscard]] std::optional<Job> take_job(std::size_t frame) noexcept;
  void run_job(const Job& job, std::unique_lock<std::mutex>& lock);
  void finish_job(const Job& job, FrameOutcome outcome, const StageTimes& times, Clock::time_point ended) noexcept;

  // Recovery of a restartable backend (inspector_recovery.cc).
  Status supervise(std::unique_lock<std::mutex>& lock);
  void recover(std::unique_lock<std::mutex>& lock);
  void lose_backend() noexcept;
  void note_fault(const Status& why) noexcept;

  Bundle bundle_;
  InspectorOptions options_;
  std::shared_ptr<TimeSource> time_;
  std::unique_ptr<FramePipeline> pipeline_;
  RestartableBackend* restartable_;
  StripBuffers sets_[2];
  RecentFrames recent_;  // control thread only

  mutable std::mutex mutex_;
  std::condition_variable work_;      // a frame was submitted, or stop_
  std::condition_variable progress_;  // a frame was finished
  Slot slot_;
  StripVerdict verdict_;             // of the open slot, its vectors allocated by open()
  std::vector<std::size_t> queue_;   // frames of the open slot in the order of submission; capacity F
  std::size_t taken_ = 0;            // of queue_, by the worker
  std::optional<std::size_t> busy_;  // the set the worker is in
  BatchCost cost_;
  Statistics statistics_;
  std::string last_fault_;
  std::uint64_t restarts_ = 0;
  Clock::time_point retry_at_;     // when the next attempt to restart may begin
  Clock::duration retry_after_{};  // grows with every failed attempt
  bool stop_ = false;
  std::atomic<bool> ready_ = true;
  std::atomic<std::uint64_t> heartbeat_ = 0;

  std::thread worker_;  // last: starts when all the rest exists
};

}  // namespace vialsight
