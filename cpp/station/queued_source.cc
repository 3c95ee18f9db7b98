#include "station/queued_source.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "station/snapshot_layout.h"
#include "station/system_error.h"

namespace vialsight::station {
namespace {

using Kind = SourceEvent::Kind;

constexpr std::size_t kStripsAhead = 2;

void add_one(const FileDescriptor& counter) noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(counter.get(), &one, sizeof one);
}

void take_one(const FileDescriptor& counter) noexcept {
  std::uint64_t one = 0;
  [[maybe_unused]] const ssize_t taken = ::read(counter.get(), &one, sizeof one);
}

}  // namespace

// What derives from this is gone already, and its thread with it: stop() was called.
QueuedSource::~QueuedSource() = default;

Status QueuedSource::start() {
  constexpr int kFlags = EFD_CLOEXEC | EFD_NONBLOCK;
  ready_ = FileDescriptor(::eventfd(0, kFlags | EFD_SEMAPHORE));
  freed_ = FileDescriptor(::eventfd(0, kFlags | EFD_SEMAPHORE));
  stop_ = FileDescriptor(::eventfd(0, kFlags));
  if (!ready_.valid() || !freed_.valid() || !stop_.valid()) return system_error("source: eventfd", errno);
  const std::size_t count = kStripsAhead * static_cast<std::size_t>(layout_.frames) + 1;
  in_use_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    Buffer& buffer = buffers_.emplace_back();
    buffer.pixels.resize(frame_bytes(layout_));
    free_.push(&buffer);
    add_one(freed_);
  }
  thread_ = std::thread([this] { run(); });
  return {};
}

void QueuedSource::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  add_one(stop_);
  thread_.join();
}

void QueuedSource::wait_until(Clock::time_point moment) const {
  while (!stopping_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(moment - Clock::now()).count();
    if (left <= 0) return;
    pollfd end{stop_.get(), POLLIN, 0};
    (void)::poll(&end, 1, static_cast<int>(left));
  }
}

QueuedSource::Buffer* QueuedSource::wait_for_free() {
  while (!stopping_) {
    pollfd waited[2] = {{freed_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    (void)::poll(waited, 2, -1);
    if (stopping_ || (waited[0].revents & POLLIN) == 0) continue;
    take_one(freed_);
    return free_.pop();
  }
  return nullptr;
}

void QueuedSource::hand_over(Buffer& buffer) {
  if (buffer.kind == Kind::kFrame) ++received_;
  filled_.push(&buffer);
  add_one(ready_);
}

void QueuedSource::run() {
  const Status opened = open();
  while (Buffer* buffer = wait_for_free()) {
    if (opened.ok()) {
      read_frame(*buffer);
    } else {
      buffer->kind = Kind::kError;
      buffer->text = opened.message();
    }
    if (stopping_) return;
    const bool goes_on = buffer->kind == Kind::kFrame;
    hand_over(*buffer);
    if (!goes_on) return;
  }
}

SourceEvent QueuedSource::event_of(Buffer& buffer) {
  SourceEvent event;
  event.kind = buffer.kind;
  event.strip_id = buffer.strip_id;
  event.frame_index = buffer.frame_index;
  event.exposed = Clock::now();
  event.pixels = {buffer.pixels.data(), layout_.frame_width, layout_.frame_height,
                  static_cast<std::ptrdiff_t>(static_cast<std::size_t>(layout_.frame_width) * bytes_per_pixel(layout_)),
                  layout_.bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8};
  if (buffer.kind == Kind::kError) event.text = buffer.text;
  return event;
}

SourceEvent QueuedSource::next() {
  if (pending_ != nullptr) {
    Buffer& buffer = *pending_;
    pending_ = nullptr;
    take_one(ready_);
    in_use_.push_back(&buffer);
    if (!is_open_) ++dropped_;  // its strip was refused
    return event_of(buffer);
  }
  Buffer* buffer = filled_.pop();
  if (buffer == nullptr) return {};
  take_one(ready_);
  if (!is_open_) release();
  if (buffer->kind != Kind::kFrame) return event_of(*buffer);
  if (buffer->frame_index == 0) {
    pending_ = buffer;
    add_one(ready_);  // the frame waits, too
    SourceEvent event;
    event.kind = Kind::kTrigger;
    event.strip_id = buffer->strip_id;
    event.exposed = Clock::now();
    return event;
  }
  in_use_.push_back(buffer);
  if (!is_open_) ++dropped_;
  return event_of(*buffer);
}

void QueuedSource::release() noexcept {
  for (Buffer* buffer : in_use_) {
    free_.push(buffer);
    add_one(freed_);
  }
  in_use_.clear();
}

void QueuedSource::strip_opened(std::uint64_t, Clock::time_point) {
  release();
  is_open_ = true;
}

void QueuedSource::strip_closed() {
  release();
  is_open_ = false;
}

SourceStatistics QueuedSource::statistics() const noexcept { return {received_.load(), dropped_}; }

}  // namespace vialsight::station
