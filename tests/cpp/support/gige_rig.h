// A camera and a source that takes its frames, in one process, on a loopback address of the process' own.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "frames.h"
#include "station/frame_source.h"
#include "station/gige_camera/fake_gige.h"
#include "station/gige_camera/loopback_address.h"
#include "station/gige_source.h"

namespace vialsight::test {

using station::Exposure;
using station::FakeGige;
using station::FrameSource;
using station::Pixels;
using station::SourceEvent;
using std::chrono::milliseconds;

// Tests that run at the same time differ in their process id.
inline std::string own_address() {
  const auto id = static_cast<unsigned>(::getpid());
  return "127." + std::to_string(1 + id / 62500 % 250) + "." + std::to_string(id / 250 % 250) + "." +
         std::to_string(1 + id % 250);
}

inline StreamFormat format_of(const Layout& layout) {
  return {layout.frame_width, layout.frame_height, layout.bit_depth, layout.frames};
}

// No two alike.
inline Pixels noise(const Layout& layout, unsigned seed) {
  const std::size_t depth = layout.bit_depth > 8 ? 2 : 1;
  const std::size_t count =
      static_cast<std::size_t>(layout.frame_width) * static_cast<std::size_t>(layout.frame_height);
  const std::uint32_t largest = (1U << static_cast<unsigned>(layout.bit_depth)) - 1;
  // Of as many pixels as fit at a time: the draws are most of what a test of large frames takes.
  const std::uint32_t mask = depth == 1 ? UINT32_MAX : largest * 0x10001U;
  std::mt19937 random(seed);
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(count * depth);
  for (std::size_t at = 0; at < pixels->size(); at += 4) {
    const std::uint32_t values = static_cast<std::uint32_t>(random()) & mask;
    std::memcpy(pixels->data() + at, &values, std::min<std::size_t>(4, pixels->size() - at));
  }
  return pixels;
}

inline bool shows(const FrameView& frame, const Pixels& pixels) {
  const std::size_t row = static_cast<std::size_t>(frame.width) * (frame.format == PixelFormat::kGray16 ? 2 : 1);
  if (row * static_cast<std::size_t>(frame.height) != pixels->size()) return false;
  for (int y = 0; y < frame.height; ++y) {
    const auto* line = static_cast<const std::uint8_t*>(frame.data) + y * frame.row_stride_bytes;
    if (std::memcmp(line, pixels->data() + static_cast<std::size_t>(y) * row, row) != 0) return false;
  }
  return true;
}

class GigeRig {
 public:
  explicit GigeRig(const Layout& layout) : layout_(layout), address_(own_address()) {
    EXPECT_TRUE(station::serve_on(address_).ok());
    camera_ = FakeGige::create(address_, "test", format_of(layout)).value();
  }
  GigeRig(const GigeRig&) = delete;
  GigeRig& operator=(const GigeRig&) = delete;
  ~GigeRig() {
    if (source_ != nullptr) source_->stop();
  }

  // Until its frames can come; what start() says when it fails.
  Status connect(const std::string& keys = {}) {
    source_ = station::make_gige_source(address_ + keys, layout_).value();
    Status status = source_->start();
    if (status.ok()) wait_for([this] { return camera_->acquiring(); });
    return status;
  }
  // Sends a strip's frames, kTick apart; returns when the first is exposed.
  Clock::time_point expose(const std::vector<Pixels>& frames) {
    const Clock::time_point start = soon();
    Clock::time_point time = start;
    for (const Pixels& pixels : frames) {
      camera_->expose({pixels, time, time, 0.0});
      time += FakeGige::kTick;
    }
    return start;
  }
  [[nodiscard]] static Clock::time_point soon() { return Clock::now() + 2 * FakeGige::kTick; }
  // The next event but kFound, or kNone when none comes for so long.
  SourceEvent next(milliseconds patience = milliseconds(5000)) {
    const Clock::time_point end = Clock::now() + patience;
    for (;;) {
      SourceEvent event = source_->next();
      if (event.kind == SourceEvent::Kind::kFound) continue;
      if (event.kind != SourceEvent::Kind::kNone || Clock::now() >= end) return event;
      const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
      pollfd input{source_->wake_descriptor(), POLLIN, 0};
      static_cast<void>(::poll(&input, 1, static_cast<int>(std::max<std::int64_t>(left, 0))));
    }
  }
  static void wait_for(const std::function<bool()>& condition, milliseconds patience = milliseconds(20'000)) {
    const Clock::time_point end = Clock::now() + patience;
    bool met = condition();
    while (!met && Clock::now() < end) {
      ::usleep(1000);
      met = condition();
    }
    EXPECT_TRUE(met) << "waited for " << patience.count() << " ms";
  }

  [[nodiscard]] FakeGige& camera() { return *camera_; }
  [[nodiscard]] FrameSource& source() { return *source_; }
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  Layout layout_;
  std::string address_;
  std::unique_ptr<FakeGige> camera_;
  std::unique_ptr<FrameSource> source_;
};

}  // namespace vialsight::test
