// QueuedSource: a source that triggers itself and whose frames a thread of its own reads, so that a pipe or a disk that
// stands still stops nobody else.
//
// The reading thread fills buffers ahead, those of two strips, and then waits for one to become free: a pipe waits with
// it. A strip comes when next() hands over its trigger: deadline and exposure count from there.
//
// Threads: the control thread calls what FrameSource has; the reading thread calls read_frame().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "station/file_descriptor.h"
#include "station/frame_source.h"
#include "station/pointer_queue.h"
#include "vialsight/layout.h"

namespace vialsight::station {

class QueuedSource : public FrameSource {
 public:
  ~QueuedSource() override;

  [[nodiscard]] Status start() final;
  void stop() final;
  [[nodiscard]] int wake_descriptor() const final { return ready_.get(); }
  [[nodiscard]] SourceEvent next() final;
  void strip_opened(std::uint64_t strip_id, Clock::time_point triggered) final;
  void strip_closed() final;
  [[nodiscard]] bool triggers_itself() const noexcept final { return true; }
  [[nodiscard]] SourceStatistics statistics() const noexcept final;

 protected:
  explicit QueuedSource(const Layout& layout) : layout_(layout) {}

  // A frame in memory of the queue; or how the source ended.
  struct Buffer {
    std::vector<std::byte> pixels;
    std::uint64_t strip_id = 0;
    int frame_index = 0;
    SourceEvent::Kind kind = SourceEvent::Kind::kNone;
    std::string text;  // of an error
  };

  // Reading thread, before the first frame: may open what start() should not wait for.
  [[nodiscard]] virtual Status open() = 0;
  // Reading thread. Fills a buffer that is large enough for a frame of the layout: kind kFrame, kEnd or kError.
  virtual void read_frame(Buffer& buffer) = 0;

  [[nodiscard]] const Layout& layout() const noexcept { return layout_; }
  // Readable once the thread shall end; what it waits for is polled together with this.
  [[nodiscard]] int stop_descriptor() const noexcept { return stop_.get(); }
  [[nodiscard]] bool stopping() const noexcept { return stopping_; }
  // Reading thread: waits, but not beyond stop().
  void wait_until(Clock::time_point moment) const;

 private:
  void run();
  void hand_over(Buffer& buffer);
  [[nodiscard]] Buffer* wait_for_free();
  [[nodiscard]] SourceEvent event_of(Buffer& buffer);
  void release() noexcept;

  Layout layout_;
  std::deque<Buffer> buffers_;
  PointerQueue<Buffer> free_{kMostBuffers};
  PointerQueue<Buffer> filled_{kMostBuffers};
  FileDescriptor ready_;  // counts filled buffers
  FileDescriptor freed_;  // counts free ones
  FileDescriptor stop_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> received_ = 0;
  std::uint64_t dropped_ = 0;
  Buffer* pending_ = nullptr;    // its trigger was handed over, the frame comes next
  std::vector<Buffer*> in_use_;  // of the open strip, or the one frame without
  bool is_open_ = false;
  std::thread thread_;

  static constexpr std::size_t kMostBuffers = 4096;
};

}  // namespace vialsight::station
