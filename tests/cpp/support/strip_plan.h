// A strip as a test plans it: a good one, in which faults then change something; and the line that runs it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "bundle_writer.h"
#include "inspector/inspector_access.h"
#include "ordered_backend.h"
#include "temporary_folder.h"
#include "vialsight/ssim.h"

namespace vialsight::test {

inline constexpr int kFrameWidth = 40;
inline constexpr int kFrameHeight = 30;
inline constexpr auto kSlotTime = std::chrono::milliseconds(100);
inline constexpr auto kSlotMargin = std::chrono::milliseconds(2);
inline constexpr auto kFarAway = std::chrono::hours(100);

// An image of the small line, of 8 or 12 bits. All four patches show the same pattern; beside them stands a number, by
// which each image differs from all others, as the noise of a camera would make it.
class StripImage {
 public:
  StripImage(int bit_depth, std::uint64_t number) : wide_(bit_depth > 8), bytes_(kFrameWidth * kFrameHeight * size()) {
    for (int y = 0; y < kFrameHeight; ++y) {
      for (int x = 0; x < kFrameWidth; ++x) set(x, y, pattern(x % 20, y % 15));
    }
    write_number(number);
  }
  static int pattern(int x, int y) noexcept { return 20 + (x * 7 + y * 13 + x * y) % 97; }

  void set(int x, int y, int value) noexcept {
    const auto wide = static_cast<std::uint16_t>(value);
    const auto narrow = static_cast<std::uint8_t>(value);
    const std::size_t at = static_cast<std::size_t>(y * kFrameWidth + x) * size();
    std::memcpy(&bytes_[at], wide_ ? static_cast<const void*>(&wide) : static_cast<const void*>(&narrow), size());
  }
  void fill(int x, int y, int width, int height, int value) noexcept {
    for (int row = y; row < y + height; ++row) {
      for (int column = x; column < x + width; ++column) set(column, row, value);
    }
  }
  // All but the number, which makes it fresh.
  void fill_all(int value, std::uint64_t number) noexcept {
    fill(0, 0, kFrameWidth, kFrameHeight, value);
    write_number(number);
  }
  [[nodiscard]] FrameView view() const noexcept {
    return {bytes_.data(), kFrameWidth, kFrameHeight, static_cast<std::ptrdiff_t>(kFrameWidth * size()),
            wide_ ? PixelFormat::kGray16 : PixelFormat::kGray8};
  }

 private:
  [[nodiscard]] std::size_t size() const noexcept { return wide_ ? 2 : 1; }
  void write_number(std::uint64_t number) noexcept {
    for (int byte = 0; byte < 8; ++byte) set(12 + byte, 0, static_cast<int>(number >> (8 * byte)) & 0xff);
  }

  bool wide_;
  std::vector<std::uint8_t> bytes_;
};

// One call of submit.
struct Shot {
  int index;
  StripImage image;
  std::optional<FrameStamp> stamp;
  std::function<void(FrameView&)> change_view;  // of the image; may be empty

  [[nodiscard]] FrameView view() const {
    FrameView result = image.view();
    if (change_view) change_view(result);
    return result;
  }
};

struct StripPlan {
  std::uint64_t strip_id = 0;
  Clock::time_point deadline;
  std::vector<Shot> shots;
  Orders orders;
  bool opens = true;
  bool opens_twice = false;
  bool as_one_call = false;               // inspect() in place of open, submit, close
  Clock::duration jump_before_close{};    // of the clock
  std::optional<std::size_t> jump_after;  // this shot the clock jumps, in place of before close
};

// An Inspector on the small line with a clock and a backend that do what a plan says.
class StripLine {
 public:
  explicit StripLine(int bit_depth, std::uint32_t seed) : random(seed), bit_depth_(bit_depth) {
    Layout layout = small_layout();
    layout.bit_depth = bit_depth;
    BundleWriter writer(layout);
    // The first region's is met exactly by a blended patch, the second's is the next number below.
    const double exact = static_cast<double>(blended_score());
    writer.manifest["thresholds"]["strip"] = {exact, std::nextafter(exact, 0.0)};
    writer.write(folder_.path() / "small.vsb");
    InspectorOptions options;
    options.margin = kSlotMargin;
    inspector_.emplace(InspectorAccess::create(Bundle::load(folder_.path() / "small.vsb").value(), options,
                                               std::make_unique<OrderedBackend>(orders_, layout.pixels_per_patch()),
                                               clock)
                           .value());
  }
  StripLine(const StripLine&) = delete;
  StripLine& operator=(const StripLine&) = delete;
  ~StripLine() { orders_->release(); }  // or the Inspector would wait for ever

  [[nodiscard]] int draw(int minimum, int maximum) {
    return std::uniform_int_distribution<int>(minimum, maximum)(random);
  }
  [[nodiscard]] std::uint64_t next_number() noexcept { return ++images_; }
  [[nodiscard]] StripImage fresh_image() { return {bit_depth_, next_number()}; }
  [[nodiscard]] int bit_depth() const noexcept { return bit_depth_; }
  [[nodiscard]] Inspector& inspector() noexcept { return *inspector_; }
  // Of the strips accepted last; the newest is at the back.
  [[nodiscard]] const std::vector<StripImage>& accepted_images() const noexcept { return accepted_images_; }

  // A strip that must be accepted; with stamps, or without.
  [[nodiscard]] StripPlan good_plan() {
    StripPlan plan;
    plan.strip_id = ++strips_;
    plan.deadline = draw(0, 1) == 0 ? Clock::time_point::max() : clock->now() + kFarAway;
    const bool stamped = draw(0, 1) == 0;
    for (int index = 0; index < 2; ++index) {
      plan.shots.push_back({index, fresh_image(), std::nullopt, {}});
      if (stamped) plan.shots.back().stamp = FrameStamp{plan.strip_id, index, clock->now()};
    }
    return plan;
  }

  // Runs it; whatever of it is still in the backend afterwards has come to its end, unless `leave_running`.
  StripVerdict run(const StripPlan& plan, bool leave_running = false) {
    StripVerdict verdict = run_slot(plan);
    clock->skip_waits_of_this_thread(false);
    orders_->release();
    if (verdict.reason == Reason::kDeadlineMissed && !leave_running) settle();
    if (verdict.verdict == Verdict::kReject) return verdict;
    for (const Shot& shot : plan.shots) accepted_images_.push_back(shot.image);
    if (accepted_images_.size() > kRemembered)
      accepted_images_.erase(accepted_images_.begin(), accepted_images_.end() - kRemembered);
    return verdict;
  }

  std::mt19937 random;
  std::shared_ptr<JumpingClock> clock = std::make_shared<JumpingClock>();

 private:
  void submit(const Shot& shot) {
    (void)(shot.stamp.has_value() ? inspector_->submit(shot.index, shot.view(), *shot.stamp)
                                  : inspector_->submit(shot.index, shot.view()));
  }
  // Until the worker has looked for a frame once more: no batch of a closed strip is running any longer.
  void settle() const {
    const std::uint64_t heartbeat = inspector_->heartbeat();
    while (inspector_->heartbeat() == heartbeat) std::this_thread::yield();
  }
  StripVerdict run_slot(const StripPlan& plan) {
    // Or a batch of an earlier strip, rejected before it ended, would carry out what this one's is told to.
    if (plan.orders.behaviour != Behaviour::kGood) settle();
    orders_->begin_strip(plan.orders);
    clock->skip_waits_of_this_thread(plan.orders.behaviour == Behaviour::kHang);
    if (plan.as_one_call) {
      std::vector<FrameView> views;
      for (const Shot& shot : plan.shots) views.push_back(shot.view());
      return inspector_->inspect(plan.strip_id, views, plan.deadline);
    }
    if (plan.opens) {
      EXPECT_TRUE(inspector_->open(plan.strip_id, plan.deadline).ok());
    }
    if (plan.opens && plan.opens_twice) {
      EXPECT_FALSE(inspector_->open(plan.strip_id + 1, plan.deadline).ok());
    }
    for (std::size_t i = 0; i < plan.shots.size(); ++i) {
      submit(plan.shots[i]);
      if (plan.jump_after == i) clock->advance(plan.jump_before_close);
    }
    if (!plan.jump_after.has_value()) clock->advance(plan.jump_before_close);
    StripVerdict verdict = inspector_->close();
    if (plan.jump_before_close < Clock::duration::zero()) clock->advance(-plan.jump_before_close);
    return verdict;
  }
  // φ of a patch that the backend blends.
  [[nodiscard]] float blended_score() const {
    constexpr int kEdge = 12;
    std::vector<float> patch;
    for (int i = 0; i < kEdge * kEdge; ++i) {
      const auto value = static_cast<float>(StripImage::pattern(i % kEdge, i / kEdge));
      patch.push_back(value / static_cast<float>((1 << bit_depth_) - 1));
    }
    std::vector<float> blended(patch.size());
    std::transform(patch.begin(), patch.end(), blended.begin(), blend);
    std::vector<double> scratch(ssim_scratch_size(kEdge, kEdge));
    double similarity = 0.0;
    EXPECT_TRUE(ssim(patch, blended, kEdge, kEdge, scratch, similarity).ok());
    return static_cast<float>(1.0 - similarity);
  }

  static constexpr std::ptrdiff_t kRemembered = 8;

  int bit_depth_;
  std::uint64_t images_ = 0;
  std::uint64_t strips_ = 0;
  TemporaryFolder folder_;
  std::shared_ptr<BackendOrders> orders_ = std::make_shared<BackendOrders>(clock);
  std::vector<StripImage> accepted_images_;
  std::optional<Inspector> inspector_;
};

}  // namespace vialsight::test
