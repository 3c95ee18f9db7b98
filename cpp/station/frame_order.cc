#include "station/frame_order.h"

namespace vialsight::station {
namespace {

constexpr std::int64_t kNarrowIds = 65535;  // 0 is none

}  // namespace

void FrameOrder::open(Clock::time_point triggered) {
  triggered_ = triggered;
  last_exposed_ = Clock::time_point::min();
  next_index_ = 0;
  whole_ = 0;
  in_order_ = true;
}

void FrameOrder::close() {
  if (base_ && in_order_ && whole_ == frames_) {
    *base_ += frames_;
  } else {
    base_.reset();
  }
}

void FrameOrder::restart() {
  base_.reset();
  last_id_.reset();
  wide_ = false;
}

void FrameOrder::pass_by(std::uint64_t block_id) {
  const std::int64_t number = count_on(block_id);
  if (base_ && number >= *base_) base_.reset();
}

// The shorter way around is meant, so that ids may come out of order.
std::int64_t FrameOrder::count_on(std::uint64_t block_id) {
  wide_ = wide_ || block_id > kNarrowIds;
  std::int64_t step = last_id_ ? static_cast<std::int64_t>(block_id - *last_id_) : 0;
  if (!wide_ && step > kNarrowIds / 2) step -= kNarrowIds;
  if (!wide_ && step < -kNarrowIds / 2) step += kNarrowIds;
  last_id_ = block_id;
  last_number_ += step;
  return last_number_;
}

FramePlace FrameOrder::place(std::uint64_t block_id, Clock::time_point exposed, bool complete) {
  const std::int64_t number = count_on(block_id);
  if (exposed < triggered_ - tolerance_) {
    // More frames than strips have: ids no longer tell where the strip begins, unless it has begun already.
    if (base_ && number >= *base_ && next_index_ == 0) base_.reset();
    return {FramePlace::Kind::kEarlier, 0, 0};
  }
  if (!base_) base_ = number;
  return place_in_strip(number, exposed, complete);
}

FramePlace FrameOrder::place_in_strip(std::int64_t number, Clock::time_point exposed, bool complete) {
  const std::int64_t index = number - *base_;
  if (index < next_index_ || index >= frames_ || exposed <= last_exposed_) {
    in_order_ = false;
    return {FramePlace::Kind::kOutOfOrder, next_index_, next_index_};
  }
  const FramePlace place{FramePlace::Kind::kOfStrip, static_cast<int>(index), next_index_};
  next_index_ = place.index + 1;
  last_exposed_ = exposed;
  if (complete) ++whole_;
  return place;
}

}  // namespace vialsight::station
