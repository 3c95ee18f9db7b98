// Late is late on the real clock, too. The one test that asserts on a measured duration: that close() returns is what a
// machine stands on. 50 ms are for a machine whose processors do other things; the library's own share is microseconds.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "bundle_writer.h"
#include "inspector/inspector_access.h"
#include "strip_plan.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

#ifdef VIALSIGHT_SANITIZED
constexpr int kSlots = 100;
#else
constexpr int kSlots = 2000;
#endif
constexpr milliseconds kSlot{5};
constexpr milliseconds kMostLateness{50};
constexpr microseconds kSlowest{20'000};  // four slots

// Reconstructs a patch as itself, after any time up to kSlowest.
class SlowBackend final : public Backend {
 public:
  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override {
    if (slow_)
      std::this_thread::sleep_for(microseconds(std::uniform_int_distribution<int>(0, kSlowest.count())(random_)));
    constexpr std::size_t kPixels = 12 * 12;
    std::copy(patches, patches + count * kPixels, outputs[0]);
    slow_ = ++batches_ >= kBatchesOfCreate;
    return {};
  }

 private:
  // The warm-up and the golden patches run fast, or no batch would ever be expected to fit into a slot.
  static constexpr int kBatchesOfCreate = 6;

  std::mt19937 random_{3};
  int batches_ = 0;
  bool slow_ = false;
};

TEST(WallClockTest, CloseReturnsByItsDeadlineWhateverTheBackendDoes) {
  const TemporaryFolder folder;
  BundleWriter().write(folder.path() / "small.vsb");
  InspectorOptions options;
  options.margin = milliseconds(1);
  Inspector inspector = InspectorAccess::create(Bundle::load(folder.path() / "small.vsb").value(), options,
                                                std::make_unique<SlowBackend>(), std::make_shared<SteadyTimeSource>())
                            .value();
  Clock::duration latest = Clock::duration::min();
  int accepted = 0;
  for (int slot = 0; slot < kSlots; ++slot) {
    const auto strip = static_cast<std::uint64_t>(slot);
    const Clock::time_point deadline = Clock::now() + kSlot;
    ASSERT_TRUE(inspector.open(strip, deadline).ok());
    ASSERT_TRUE(inspector.submit(0, StripImage(8, 2 * strip).view()).ok());
    ASSERT_TRUE(inspector.submit(1, StripImage(8, 2 * strip + 1).view()).ok());
    const StripVerdict verdict = inspector.close();
    const Clock::duration lateness = Clock::now() - deadline;
    latest = std::max(latest, lateness);
    ASSERT_LE(lateness, kMostLateness) << "slot " << slot;
    const bool in_time = verdict.slack_s >= 0.0;
    ASSERT_TRUE(in_time || verdict.verdict == Verdict::kReject) << "slot " << slot;
    if (verdict.verdict == Verdict::kAccept) ++accepted;
  }
  const Statistics statistics = inspector.statistics();
  EXPECT_EQ(statistics.accepted, static_cast<std::uint64_t>(accepted));
  EXPECT_EQ(statistics.accepted + statistics.rejected[static_cast<std::size_t>(Reason::kDeadlineMissed)],
            statistics.strips);
  EXPECT_GT(statistics.overruns, 0U);  // or the backend was not slow
  RecordProperty("latest_us", std::to_string(std::chrono::duration_cast<microseconds>(latest).count()));
}

// An upper bound only: a busy machine makes it wake less often, never more.
TEST(IdleTest, AnIdleInspectorSleeps) {
  const TemporaryFolder folder;
  BundleWriter().write(folder.path() / "small.vsb");
  const Inspector inspector =
      InspectorAccess::create(Bundle::load(folder.path() / "small.vsb").value(), {}, std::make_unique<SlowBackend>(),
                              std::make_shared<SteadyTimeSource>())
          .value();
  const std::uint64_t before = inspector.heartbeat();
  const Clock::time_point started = Clock::now();
  std::this_thread::sleep_for(milliseconds(200));
  // Ten times a second, and a few for good measure.
  const auto tenths = static_cast<std::uint64_t>((Clock::now() - started) / milliseconds(100));
  EXPECT_LE(inspector.heartbeat() - before, tenths + 10);
}

}  // namespace
}  // namespace vialsight::test
