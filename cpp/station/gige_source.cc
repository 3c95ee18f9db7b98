#include "station/gige_source.h"

#include <arv.h>

#include <chrono>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "station/device_clock.h"
#include "station/frame_order.h"
#include "station/gige_keeper.h"
#include "station/gige_options.h"

namespace vialsight::station {
namespace {

using Kind = SourceEvent::Kind;
using std::chrono::nanoseconds;

class GigeSource final : public FrameSource {
 public:
  GigeSource(const GigeOptions& options, const Layout& layout)
      : layout_(layout),
        keeper_(options, layout),
        order_(layout.frames, options.tolerance),
        description_("GigE camera " + options.camera + ", not found yet") {
    waiting_.reserve(static_cast<std::size_t>(options.buffers));
    in_use_.reserve(static_cast<std::size_t>(options.buffers));
  }

  [[nodiscard]] Status start() override;
  void stop() override { keeper_.stop(); }
  [[nodiscard]] int wake_descriptor() const override { return keeper_.wake_descriptor(); }
  [[nodiscard]] SourceEvent next() override;
  void strip_opened(std::uint64_t strip_id, Clock::time_point triggered) override;
  void strip_closed() override;
  [[nodiscard]] bool triggers_itself() const noexcept override { return false; }
  [[nodiscard]] std::string describe() const override { return description_; }
  [[nodiscard]] SourceStatistics statistics() const noexcept override { return statistics_; }

 private:
  [[nodiscard]] SourceEvent next_waiting();
  [[nodiscard]] SourceEvent event_of(GigeKeeper::Notice notice);
  [[nodiscard]] ArvBuffer* next_of_strip() noexcept;
  void let_wait(ArvBuffer* buffer);
  [[nodiscard]] SourceEvent event_of(ArvBuffer* buffer);
  [[nodiscard]] SourceEvent frame_event(ArvBuffer* buffer, const FramePlace& place, Clock::time_point exposed);
  [[nodiscard]] SourceEvent note(int from, int to, const char* why) const;
  [[nodiscard]] bool is_whole(ArvBuffer* buffer) const;
  void drop(ArvBuffer* buffer);

  const Layout layout_;
  GigeKeeper keeper_;
  FrameOrder order_;
  DeviceClock clock_;
  std::string description_;
  SourceStatistics statistics_;
  bool is_open_ = false;
  std::uint64_t strip_id_ = 0;
  std::vector<ArvBuffer*> waiting_;     // for a strip, in the order of their arrival
  std::vector<ArvBuffer*> in_use_;      // of the open strip
  std::optional<SourceEvent> pending_;  // before all that waits elsewhere
};

// describe() knows the camera from here on, where it is there.
Status GigeSource::start() {
  Status status = keeper_.start();
  if (!status.ok()) return status;
  if (auto notice = keeper_.next_notice()) pending_ = event_of(std::move(*notice));
  keeper_.wake();
  return status;
}

SourceEvent GigeSource::next() {
  SourceEvent event = next_waiting();
  if (event.kind != Kind::kNone) return event;
  keeper_.clear_wake();
  event = next_waiting();  // what came before that
  if (event.kind != Kind::kNone) keeper_.wake();
  return event;
}

SourceEvent GigeSource::next_waiting() {
  if (pending_) return *std::exchange(pending_, std::nullopt);
  if (auto notice = keeper_.next_notice()) return event_of(std::move(*notice));
  if (!is_open_) {
    while (ArvBuffer* buffer = keeper_.next_buffer()) let_wait(buffer);
    return {};
  }
  while (ArvBuffer* buffer = next_of_strip()) {
    SourceEvent event = event_of(buffer);
    if (event.kind != Kind::kNone) return event;
  }
  return {};
}

SourceEvent GigeSource::event_of(GigeKeeper::Notice notice) {
  if (notice.found) {
    order_.restart();
    clock_ = {};
    description_ = notice.text;
  }
  SourceEvent event;
  event.kind = notice.found ? Kind::kFound : Kind::kLost;
  event.text = std::move(notice.text);
  return event;
}

ArvBuffer* GigeSource::next_of_strip() noexcept {
  if (waiting_.empty()) return keeper_.next_buffer();
  ArvBuffer* buffer = waiting_.front();
  waiting_.erase(waiting_.begin());
  return buffer;
}

// One strip's frames at most: what came before is of a strip that was refused, or of none.
void GigeSource::let_wait(ArvBuffer* buffer) {
  waiting_.push_back(buffer);
  if (waiting_.size() <= static_cast<std::size_t>(layout_.frames)) return;
  ArvBuffer* oldest = next_of_strip();
  order_.pass_by(arv_buffer_get_frame_id(oldest));
  drop(oldest);
  keeper_.wake_keeper();
}

bool GigeSource::is_whole(ArvBuffer* buffer) const {
  return arv_buffer_get_status(buffer) == ARV_BUFFER_STATUS_SUCCESS &&
         arv_buffer_get_image_width(buffer) == layout_.frame_width &&
         arv_buffer_get_image_height(buffer) == layout_.frame_height;
}

SourceEvent GigeSource::event_of(ArvBuffer* buffer) {
  const bool whole = is_whole(buffer);
  const std::uint64_t id = arv_buffer_get_frame_id(buffer);
  if (!whole && id == 0) {  // its first packet was lost as well
    drop(buffer);
    return note(-1, -1, "packets of a frame were lost");
  }
  const Clock::time_point exposed =
      clock_.map(nanoseconds(arv_buffer_get_timestamp(buffer)), GigeBuffers::arrival(buffer));
  const FramePlace place = order_.place(id, exposed, whole);
  if (place.kind == FramePlace::Kind::kEarlier || !whole) {
    drop(buffer);
    return place.kind == FramePlace::Kind::kEarlier ? SourceEvent{}
                                                    : note(place.index, place.index, "packets were lost");
  }
  SourceEvent event = frame_event(buffer, place, exposed);
  if (place.missing_from >= place.index) return event;
  pending_ = std::move(event);
  return note(place.missing_from, place.index - 1, "the camera's count has a gap");
}

SourceEvent GigeSource::frame_event(ArvBuffer* buffer, const FramePlace& place, Clock::time_point exposed) {
  ++statistics_.frames_received;
  in_use_.push_back(buffer);
  std::size_t size = 0;
  const void* data = arv_buffer_get_data(buffer, &size);
  const bool deep = layout_.bit_depth > 8;
  SourceEvent event;
  event.kind = Kind::kFrame;
  event.pixels = {data, layout_.frame_width, layout_.frame_height,
                  static_cast<std::ptrdiff_t>(layout_.frame_width) * (deep ? 2 : 1),
                  deep ? PixelFormat::kGray16 : PixelFormat::kGray8};
  event.frame_index = place.index;
  event.strip_id = place.kind == FramePlace::Kind::kOfStrip ? strip_id_ : 0;
  event.exposed = exposed;
  event.token = arv_buffer_get_frame_id(buffer);
  return event;
}

SourceEvent GigeSource::note(int from, int to, const char* why) const {
  SourceEvent event;
  event.kind = Kind::kNote;
  if (from == to && from >= 0) event.text = "frame " + std::to_string(from) + " is missing: ";
  if (from < to) event.text = "frames " + std::to_string(from) + " to " + std::to_string(to) + " are missing: ";
  event.text += why;
  return event;
}

void GigeSource::drop(ArvBuffer* buffer) {
  ++statistics_.frames_dropped;
  keeper_.give_back(buffer);
  keeper_.wake_keeper();
}

void GigeSource::strip_opened(std::uint64_t strip_id, Clock::time_point triggered) {
  is_open_ = true;
  strip_id_ = strip_id;
  order_.open(triggered);
  if (!waiting_.empty()) keeper_.wake();
}

void GigeSource::strip_closed() {
  if (!is_open_) return;
  is_open_ = false;
  order_.close();
  if (pending_ && pending_->kind == Kind::kFrame) pending_.reset();  // its buffer goes back now
  for (ArvBuffer* buffer : in_use_) keeper_.give_back(buffer);
  in_use_.clear();
  keeper_.wake_keeper();
}

}  // namespace

Result<std::unique_ptr<FrameSource>> make_gige_source(const std::string& camera, const Layout& layout) {
  auto options = GigeOptions::parse(camera);
  if (!options.ok()) return options.status();
  if (options.value().buffers < 3 * layout.frames) options.value().buffers = 3 * layout.frames;
  return std::unique_ptr<FrameSource>(std::make_unique<GigeSource>(options.value(), layout));
}

}  // namespace vialsight::station
