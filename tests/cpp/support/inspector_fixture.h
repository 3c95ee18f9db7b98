// An Inspector on the small line of bundle_writer.h, with a fake clock and a fake backend.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "bundle_writer.h"
#include "fake_backend.h"
#include "fake_clock.h"
#include "inspector/inspector_access.h"
#include "temporary_folder.h"

namespace vialsight::test {

using std::chrono::milliseconds;

inline constexpr auto kMargin = milliseconds(2);
inline constexpr int kWarmUpBatches = 11;  // whole frames and vials tried, then two frames
inline constexpr int kGoldenBatches = 4;   // 16 golden patches in batches of V·R = 4

// A 40×30 image of dark stripes from one gray value on; patches carry markers in their first pixel.
class TestFrame {
 public:
  explicit TestFrame(unsigned char value = 20) : pixels_(40 * 30, value) {
    for (std::size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = static_cast<unsigned char>(value + i % 7);
  }
  // Marks the patch whose box begins at (x, y).
  TestFrame& mark(int x, int y, unsigned char marker) {
    pixels_[static_cast<std::size_t>(y * 40 + x)] = marker;
    return *this;
  }
  [[nodiscard]] FrameView view() const { return {pixels_.data(), 40, 30, 40, PixelFormat::kGray8}; }

 private:
  std::vector<unsigned char> pixels_;
};

class InspectorTest : public ::testing::Test {
 protected:
  InspectorTest() {
    options.margin = kMargin;
    options.require_fresh_frames = false;  // most tests inspect one image again and again
  }

  Result<Inspector> try_create() {
    Result<Bundle> bundle = load_bundle();
    if (!bundle.ok()) return bundle.status();
    const int edge = bundle.value().layout().patch_size;
    return InspectorAccess::create(bundle.value(), options,
                                   std::make_unique<FakeBackend>(script, edge, bundle.value().outputs()), clock);
  }
  Result<Bundle> load_bundle() {
    const auto path = folder_.path() / "small.vsb";
    std::filesystem::remove_all(path);
    writer.write(path);
    return Bundle::load(path);
  }
  Inspector create() { return try_create().value(); }

  [[nodiscard]] Clock::time_point after(Clock::duration duration) const { return clock->now() + duration; }
  static StripVerdict inspect_good(Inspector& inspector, std::uint64_t strip_id, Clock::time_point deadline) {
    const TestFrame frame;
    const std::array<FrameView, 2> frames = {frame.view(), frame.view()};
    return inspector.inspect(strip_id, frames, deadline);
  }

  BundleWriter writer;
  InspectorOptions options;
  std::shared_ptr<FakeClock> clock = std::make_shared<FakeClock>();
  std::shared_ptr<BackendScript> script = std::make_shared<BackendScript>(clock);

 private:
  TemporaryFolder folder_;
};

}  // namespace vialsight::test
