#include "station/picture_taker.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "vialsight/heatmap.h"

namespace vialsight::station {
namespace {

constexpr std::chrono::seconds kLiveEvery{1};

}  // namespace

PictureTaker::PictureTaker(const Inspector& inspector, PicturePool& pool, SnapshotWriter& snapshot)
    : inspector_(inspector), pool_(pool), snapshot_(snapshot), map_(inspector.bundle().layout().pixels_per_patch()) {
  patches_.reserve(inspector.bundle().layout().patches_per_strip());
}

void PictureTaker::begin(StripEntry& entry, const std::vector<TakenFrame>& frames, bool wants_pictures) {
  entry_ = &entry;
  frames_ = &frames;
  pictures_ = nullptr;
  done_ = 0;
  patches_.clear();
  phase_ = Phase::kReady;
  entry.pictures = PictureFate::kNone;
  if (!wants_pictures || frames.empty()) return;
  pictures_ = pool_.take();
  if (pictures_ == nullptr) return leave_out(PictureFate::kNoneFree);
  entry.pictures = PictureFate::kKept;
  phase_ = Phase::kFrames;
}

void PictureTaker::leave_out(PictureFate fate) noexcept {
  if (pictures_ != nullptr) pool_.put_back(std::exchange(pictures_, nullptr));
  entry_->pictures = fate;
  ++left_out_;
}

// By how much a score lies above its threshold; thresholds may be negative, so that a ratio would say nothing.
void PictureTaker::find_rejected_patches() {
  const Layout& layout = inspector_.bundle().layout();
  const StripVerdict& verdict = entry_->verdict;
  const auto regions = static_cast<int>(layout.region_count());
  const auto vials = static_cast<int>(layout.vial_count());
  if (verdict.thresholds.size() != layout.region_count()) return;
  for (std::size_t i = 0; i < verdict.scores.size(); ++i) {
    const auto place = static_cast<int>(i);
    const int region = place % regions;
    const float score = verdict.scores[i];
    const double threshold = verdict.thresholds[static_cast<std::size_t>(region)];
    if (!std::isfinite(score) || !patch_is_defective(score, threshold)) continue;
    patches_.push_back({place / (regions * vials), place / regions % vials, region, score,
                        static_cast<float>(static_cast<double>(score) - threshold)});
  }
  const std::size_t count = std::min(patches_.size(), kMaxMaps);
  std::partial_sort(patches_.begin(), patches_.begin() + static_cast<std::ptrdiff_t>(count), patches_.end(),
                    [](const Patch& a, const Patch& b) { return a.excess > b.excess; });
  patches_.resize(count);
}

void PictureTaker::take_map(const Patch& patch) {
  if (!inspector_.map(patch.frame, patch.vial, patch.region, map_).ok()) return;
  const auto scale = inspector_.bundle().heatmap_scale(static_cast<std::size_t>(patch.region));
  const auto [low, high] = std::minmax_element(map_.begin(), map_.end());
  const HeatmapScale shown = scale.value_or(HeatmapScale{*low, *high});
  if (!heatmap(map_, scale, map_).ok()) return;
  MapHead& head = pictures_->map_heads[pictures_->maps];
  head = {};
  head.frame = static_cast<std::uint32_t>(patch.frame);
  head.vial = static_cast<std::uint32_t>(patch.vial);
  head.region = static_cast<std::uint32_t>(patch.region);
  head.score = patch.score;
  head.vmin = shown.vmin;
  head.vmax = shown.vmax;
  constexpr float kLargest = 255.0F;
  std::transform(map_.begin(), map_.end(), pictures_->map(pictures_->maps), [](float value) {
    return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * kLargest));
  });
  ++pictures_->maps;
}

void PictureTaker::step() {
  if (phase_ == Phase::kFrames) {
    const TakenFrame& frame = (*frames_)[done_++];
    pictures_->add_frame(frame.index, frame.pixels);
    if (done_ < frames_->size()) return;
    find_rejected_patches();
    done_ = 0;
    phase_ = patches_.empty() ? Phase::kReady : Phase::kMaps;
  } else if (phase_ == Phase::kMaps) {
    take_map(patches_[done_++]);
    if (done_ == patches_.size()) phase_ = Phase::kReady;
  } else if (phase_ == Phase::kShowFrames || phase_ == Phase::kShowMaps) {
    step_show();
  } else if (phase_ == Phase::kLive) {
    step_live();
  }
}

void PictureTaker::abandon() noexcept {
  if (phase_ == Phase::kFrames) leave_out(PictureFate::kNoTime);
  if (phase_ == Phase::kFrames || phase_ == Phase::kMaps) {
    phase_ = Phase::kReady;
  } else if (phase_ != Phase::kReady && phase_ != Phase::kIdle) {
    snapshot_.end_pictures();
    phase_ = Phase::kIdle;
  }
}

void PictureTaker::recorded(std::uint64_t seq, bool shows) {
  seq_ = seq;
  done_ = 0;
  if (seq == 0 && pictures_ != nullptr) pool_.put_back(std::exchange(pictures_, nullptr));
  phase_ = Phase::kIdle;
  if (!shows) return;
  if (pictures_ == nullptr) return begin_live();
  // The spool writer has them now, and gives them back some time; until this thread takes them again, they stay.
  snapshot_.begin_pictures(seq, entry_->strip_id);
  phase_ = Phase::kShowFrames;
}

void PictureTaker::step_show() {
  if (phase_ == Phase::kShowFrames) {
    const TakenFrame& frame = (*frames_)[done_++];
    snapshot_.write_frame(frame.index, frame.pixels);
    if (done_ == frames_->size()) phase_ = Phase::kShowMaps;
    return;
  }
  for (std::size_t i = 0; i < pictures_->maps; ++i) snapshot_.write_map(pictures_->map_heads[i], pictures_->map(i));
  snapshot_.end_pictures();
  begin_live();
}

void PictureTaker::begin_live() {
  const Clock::time_point now = Clock::now();
  done_ = 0;
  phase_ = Phase::kIdle;
  if (frames_->empty() || now - last_live_ < kLiveEvery) return;
  last_live_ = now;
  snapshot_.begin_live(seq_, entry_->strip_id);
  phase_ = Phase::kLive;
}

void PictureTaker::step_live() {
  const TakenFrame& frame = (*frames_)[done_++];
  snapshot_.write_frame(frame.index, frame.pixels);
  if (done_ < frames_->size()) return;
  snapshot_.end_pictures();
  phase_ = Phase::kIdle;
}

}  // namespace vialsight::station
