// Inspector::Impl: the state of an Inspector and its worker thread.
//
// Two StripBuffers: the open (or last closed) strip's, and another, so that a batch of an earlier strip that overran
// its deadline keeps writing where nobody reads. There is one worker, hence at most one such batch, hence two are
// enough: open() takes the set the worker is not in. What is known of the strip is in slot_ (strip_slot.h): this keeps
// thread, lock and clock for it.
//
// A restartable backend (restartable_backend.h) that died takes the open strip with it. Until it is started again,
// warmed up and has passed the golden patches, nothing is inspected: frames are not queued, close() does not wait.
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
#include "base/home_process.h"
#include "base/time_source.h"
#include "inspector/frame_digest.h"
#include "inspector/inspector_buffers.h"
#include "inspector/inspector_cost.h"
#include "inspector/inspector_pipeline.h"
#include "inspector/strip_slot.h"
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
  Status score_patches(std::span<const float> patches, std::span<const std::size_t> regions, std::size_t batch_size,
                       const PatchResults& results);
  [[nodiscard]] std::optional<PatchImages> images(int frame, int vial, int region) const;
  Status map(int frame, int vial, int region, std::span<float> result) const;
  [[nodiscard]] const Bundle& bundle() const noexcept { return bundle_; }
  [[nodiscard]] std::size_t batch_size() const noexcept { return pipeline_->portion(); }
  // Elsewhere nothing of this may be called, not even the destructor.
  [[nodiscard]] const HomeProcess& home() const noexcept { return home_; }
  [[nodiscard]] Statistics statistics() const noexcept;
  [[nodiscard]] Health health() const;
  [[nodiscard]] bool ready() const noexcept { return ready_ && is_calibrated(); }
  [[nodiscard]] std::uint64_t heartbeat() const noexcept { return heartbeat_; }
  // The verdict for a strip that was never opened.
  StripVerdict not_ready(std::uint64_t strip_id);

 private:
  // A patch of the strip closed last, valid until the next open.
  struct ScoredPatch {
    const StripBuffers& buffers;
    std::size_t frame;
    std::size_t patch;  // within the frame
  };
  [[nodiscard]] std::optional<ScoredPatch> find_scored(int frame, int vial, int region) const;  // takes the lock itself

  // Slot (inspector_slot.cc). The methods from here on are called with mutex_ held, except where they say otherwise.
  [[nodiscard]] StripVerdict blank_verdict(std::uint64_t strip_id) const;  // needs no lock
  [[nodiscard]] bool is_calibrated() const noexcept { return !bundle_.thresholds(options_.level).empty(); }
  void start_slot(StripVerdict blank, Clock::time_point deadline) noexcept;
  [[nodiscard]] Status check_submit(int frame_index, const FrameView& frame) const;
  [[nodiscard]] Status check_stamp(int frame_index, const FrameStamp& stamp) const;
  [[nodiscard]] Status check_fresh(int frame_index, std::uint64_t digest) const;  // needs no lock
  Status copy_frame(int frame_index, const FrameView& frame, std::unique_lock<std::mutex>& lock);
  void count(const StripVerdict& verdict) noexcept;

  // Worker (inspector_worker.cc).
  void work();  // the thread; takes the lock itself
  [[nodiscard]] std::optional<StripSlot::Job> take_job() noexcept;
  void run_job(const StripSlot::Job& job, std::unique_lock<std::mutex>& lock);

  // Recovery of a restartable backend (inspector_recovery.cc).
  Status supervise(std::unique_lock<std::mutex>& lock);
  void recover(std::unique_lock<std::mutex>& lock);
  void lose_backend() noexcept;
  void note_fault(const Status& why) noexcept;

  HomeProcess home_;
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
  StripSlot slot_;                    // open, or closed last
  std::size_t set_ = 0;               // index into sets_, of slot_
  std::optional<std::size_t> busy_;   // the set the worker is in
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
