// Positive release: whatever goes wrong with a strip, it is not accepted, and its reason says what went wrong.
//
// A fault changes one thing in the plan of a good strip. Strips with one fault, with two and without any are mixed at
// random: good ones must be accepted, or these tests would prove nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <climits>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "strip_plan.h"

namespace vialsight::test {
namespace {

#ifdef VIALSIGHT_SANITIZED
constexpr int kScale = 50;  // sanitizers make these tests that much slower
#else
constexpr int kScale = 1;
#endif

constexpr Clock::duration kTick{1};

struct Fault {
  const char* name;
  Reason reason;
  std::function<void(StripPlan&, StripLine&)> apply;
};

// The strip's deadline: far away for a good one.
void set_slot(StripPlan& plan, const StripLine& line) { plan.deadline = line.clock->now() + kSlotTime; }

Fault view_fault(const char* name, std::function<void(FrameView&)> change) {
  return {name, Reason::kFrameInvalid, [change](StripPlan& plan, StripLine&) { plan.shots[0].change_view = change; }};
}

Fault stamp_fault(const char* name, std::function<void(FrameStamp&, const FrameStamp& right)> change) {
  return {name, Reason::kFrameStale, [change](StripPlan& plan, StripLine& line) {
            Shot& shot = plan.shots.back();
            const FrameStamp right{plan.strip_id, shot.index, line.clock->now()};
            if (!shot.stamp.has_value()) shot.stamp = right;
            change(*shot.stamp, right);
          }};
}

Fault index_fault(const char* name, int index) {
  return {name, Reason::kFrameInvalid, [index](StripPlan& plan, StripLine& line) {
            plan.shots.push_back({index, line.fresh_image(), std::nullopt, {}});
          }};
}

Fault flat_fault(const char* name, std::function<int(int white)> value) {
  return {name, Reason::kFrameInvalid, [value](StripPlan& plan, StripLine& line) {
            plan.shots[0].image.fill_all(value((1 << line.bit_depth()) - 1), line.next_number());
          }};
}

Fault backend_fault(const char* name, Behaviour behaviour, Reason reason) {
  return {name, reason, [behaviour](StripPlan& plan, StripLine& line) {
            plan.orders = {behaviour, line.draw(0, 1), static_cast<std::size_t>(line.draw(0, 3)), {}};
          }};
}

Fault late_fault(const char* name, std::function<void(StripPlan&, StripLine&)> change) {
  return {name, Reason::kDeadlineMissed, [change](StripPlan& plan, StripLine& line) {
            set_slot(plan, line);
            change(plan, line);
          }};
}

std::vector<Fault> frame_faults() {
  return {
      {"a frame is missing", Reason::kFrameMissing,
       [](StripPlan& plan, StripLine& line) {
         const int missing = line.draw(0, 1);
         std::erase_if(plan.shots, [missing](const Shot& shot) { return shot.index == missing; });
       }},
      {"all frames are missing", Reason::kFrameMissing, [](StripPlan& plan, StripLine&) { plan.shots.clear(); }},
      {"one index twice", Reason::kFrameInvalid,
       [](StripPlan& plan, StripLine&) { plan.shots[1].index = plan.shots[0].index; }},
      index_fault("a frame too many, its index again", 0),
      index_fault("a frame too many", 2),
      index_fault("a negative index", -1),
      index_fault("the largest index", INT_MAX),
      {"inspect with a frame too many", Reason::kFrameInvalid,
       [](StripPlan& plan, StripLine& line) {
         plan.as_one_call = true;
         plan.shots.push_back({2, line.fresh_image(), std::nullopt, {}});
       }},
      {"inspect without frames", Reason::kFrameMissing,
       [](StripPlan& plan, StripLine&) {
         plan.as_one_call = true;
         plan.shots.clear();
       }},
      view_fault("a frame that is too narrow", [](FrameView& view) { --view.width; }),
      view_fault("a frame that is too wide", [](FrameView& view) { ++view.width; }),
      view_fault("a frame without width", [](FrameView& view) { view.width = 0; }),
      view_fault("a frame that is too high", [](FrameView& view) { ++view.height; }),
      view_fault("a frame of negative height", [](FrameView& view) { view.height = -view.height; }),
      view_fault("a row stride that is too small", [](FrameView& view) { --view.row_stride_bytes; }),
      view_fault("a negative row stride", [](FrameView& view) { view.row_stride_bytes = -view.row_stride_bytes; }),
      view_fault("another pixel format",
                 [](FrameView& view) {
                   const bool wide = view.format == PixelFormat::kGray16;
                   view.format = wide ? PixelFormat::kGray8 : PixelFormat::kGray16;
                 }),
      view_fault("a pixel format that there is not",
                 [](FrameView& view) { view.format = static_cast<PixelFormat>(7); }),
      view_fault("no pixels", [](FrameView& view) { view.data = nullptr; }),
      flat_fault("a black frame", [](int) { return 0; }),
      flat_fault("a saturated frame", [](int white) { return white; }),
      flat_fault("a gray frame", [](int white) { return white / 2; }),
      {"one region covered", Reason::kFrameInvalid,
       [](StripPlan& plan, StripLine&) { plan.shots[1].image.fill(20, 15, 12, 12, 33); }},
  };
}

std::vector<Fault> freshness_faults() {
  return {
      {"the same pixels twice", Reason::kFrameStale,
       [](StripPlan& plan, StripLine&) { plan.shots[1].image = plan.shots[0].image; }},
      {"a frame of the last strip", Reason::kFrameStale,
       [](StripPlan& plan, StripLine& line) { plan.shots[0].image = line.accepted_images().back(); }},
      {"a frame of an earlier strip", Reason::kFrameStale,
       [](StripPlan& plan, StripLine& line) { plan.shots[1].image = line.accepted_images().front(); }},
      stamp_fault("stamped with the strip before",
                  [](FrameStamp& stamp, const FrameStamp& right) { stamp.strip_id = right.strip_id - 1; }),
      stamp_fault("stamped with the next strip",
                  [](FrameStamp& stamp, const FrameStamp& right) { stamp.strip_id = right.strip_id + 1; }),
      stamp_fault("stamped with another index",
                  [](FrameStamp& stamp, const FrameStamp& right) { stamp.frame_index = right.frame_index ^ 1; }),
      stamp_fault("exposed before open",
                  [](FrameStamp& stamp, const FrameStamp& right) { stamp.exposed = right.exposed - kTick; }),
      stamp_fault("exposed in the future",
                  [](FrameStamp& stamp, const FrameStamp& right) { stamp.exposed = right.exposed + kTick; }),
      {"swapped frames", Reason::kFrameStale,
       [](StripPlan& plan, StripLine& line) {
         for (Shot& shot : plan.shots) shot.stamp = FrameStamp{plan.strip_id, 1 - shot.index, line.clock->now()};
       }},
  };
}

std::vector<Fault> backend_faults() {
  return {
      backend_fault("the backend fails", Behaviour::kError, Reason::kBackendFault),
      backend_fault("the backend fails after writing", Behaviour::kErrorAfterAll, Reason::kBackendFault),
      backend_fault("the backend writes nothing", Behaviour::kWriteNothing, Reason::kScoreInvalid),
      backend_fault("the backend writes a part", Behaviour::kWritePart, Reason::kScoreInvalid),
      backend_fault("a reconstruction of NaN", Behaviour::kNan, Reason::kScoreInvalid),
      backend_fault("one pixel of NaN", Behaviour::kOnePixelNan, Reason::kScoreInvalid),
      backend_fault("an infinite reconstruction", Behaviour::kInfinity, Reason::kScoreInvalid),
      backend_fault("a reconstruction of -infinity", Behaviour::kMinusInfinity, Reason::kScoreInvalid),
      backend_fault("a defect in one patch", Behaviour::kNegative, Reason::kDefect),
      {"a score just above its threshold", Reason::kDefect,
       [](StripPlan& plan, StripLine& line) {  // the second region's, of either vial
         plan.orders = {Behaviour::kBlend, line.draw(0, 1), static_cast<std::size_t>(1 + 2 * line.draw(0, 1)), {}};
       }},
  };
}

std::vector<Fault> time_faults() {
  return {
      late_fault("the backend hangs",
                 [](StripPlan& plan, StripLine& line) {
                   plan.orders = {Behaviour::kHang, line.draw(0, 1), 4, {}};
                 }),
      late_fault("the backend is one tick too slow",
                 [](StripPlan& plan, StripLine&) {
                   plan.orders = {Behaviour::kSlow, 1, 4, plan.deadline - kSlotMargin + kTick};
                 }),
      late_fault("the verdict is one tick late",
                 [](StripPlan& plan, StripLine&) { plan.jump_before_close = kSlotTime + kTick; }),
      late_fault("the clock jumps forward between frames",
                 [](StripPlan& plan, StripLine& line) {
                   plan.jump_before_close = kSlotTime * line.draw(2, 1000);
                   plan.jump_after = static_cast<std::size_t>(line.draw(0, 1));
                 }),
      late_fault("the clock jumps back",
                 [](StripPlan& plan, StripLine& line) { plan.jump_before_close = -kSlotTime * line.draw(1, 1000); }),
      late_fault("a deadline in the past",
                 [](StripPlan& plan, StripLine& line) { plan.deadline = line.clock->now() - kTick; }),
      late_fault("the earliest deadline",
                 [](StripPlan& plan, StripLine&) { plan.deadline = Clock::time_point::min(); }),
      late_fault("a deadline within the margin",
                 [](StripPlan& plan, StripLine& line) { plan.deadline = line.clock->now() + kSlotMargin - kTick; }),
  };
}

std::vector<Fault> call_faults() {
  return {
      {"close without open", Reason::kNotReady,
       [](StripPlan& plan, StripLine&) {
         plan.opens = false;
         plan.shots.clear();
       }},
      {"frames and close without open", Reason::kNotReady, [](StripPlan& plan, StripLine&) { plan.opens = false; }},
      {"opened twice", Reason::kFrameStale, [](StripPlan& plan, StripLine&) { plan.opens_twice = true; }},
  };
}

std::vector<Fault> wide_faults() {
  return {
      {"a pixel above the bit depth", Reason::kFrameInvalid,
       [](StripPlan& plan, StripLine&) { plan.shots[1].image.set(25, 20, 4096); }},
      view_fault("pixels at an odd address",
                 [](FrameView& view) { view.data = static_cast<const std::byte*>(view.data) + 1; }),
      view_fault("an odd row stride", [](FrameView& view) { ++view.row_stride_bytes; }),
  };
}

class PositiveReleaseTest : public ::testing::TestWithParam<int> {
 protected:
  PositiveReleaseTest() {
    for (const auto& group : {frame_faults(), freshness_faults(), backend_faults(), time_faults(), call_faults()}) {
      faults.insert(faults.end(), group.begin(), group.end());
    }
    if (line.bit_depth() == 8) return;
    const std::vector<Fault> wide = wide_faults();
    faults.insert(faults.end(), wide.begin(), wide.end());
  }

  void expect_good() {
    const StripVerdict verdict = line.run(line.good_plan());
    ASSERT_EQ(verdict.verdict, Verdict::kAccept) << name_of(verdict.reason);
    ++accepted_;
  }
  // Runs a strip that must be rejected, and counts it.
  StripVerdict expect_rejected(const StripPlan& plan, const std::string& what) {
    // A batch that is left hanging ends during the next strip, which is a good one.
    const bool leave_running = plan.orders.behaviour == Behaviour::kHang && line.draw(0, 1) == 0;
    StripVerdict verdict = line.run(plan, leave_running);
    EXPECT_EQ(verdict.verdict, Verdict::kReject) << what;
    EXPECT_NE(verdict.reason, Reason::kNone) << what;
    EXPECT_EQ(verdict.vials.size(), 2U);
    EXPECT_LT(std::count(verdict.vials.begin(), verdict.vials.end(), Verdict::kAccept), 2) << what;
    ++rejected_[static_cast<std::size_t>(verdict.reason)];
    if (leave_running) expect_good();
    return verdict;
  }
  void expect_exact_counters() {
    const Statistics statistics = line.inspector().statistics();
    EXPECT_EQ(statistics.accepted, accepted_);
    std::uint64_t sum = accepted_;
    for (std::size_t reason = 0; reason < kReasonCount; ++reason) {
      EXPECT_EQ(statistics.rejected[reason], rejected_[reason]) << name_of(static_cast<Reason>(reason));
      sum += rejected_[reason];
    }
    EXPECT_EQ(statistics.strips, sum);
  }
  [[nodiscard]] const Fault& draw_fault() {
    return faults[static_cast<std::size_t>(line.draw(0, static_cast<int>(faults.size()) - 1))];
  }

  StripLine line{GetParam(), 7};
  std::vector<Fault> faults;

 private:
  std::uint64_t accepted_ = 0;
  std::array<std::uint64_t, kReasonCount> rejected_ = {};
};

// The boundary's other side: what is exactly at its threshold is accepted, so that "just above" means what it says.
TEST_P(PositiveReleaseTest, AScoreAtItsThresholdIsAccepted) {
  StripPlan plan = line.good_plan();
  plan.orders = {Behaviour::kBlend, 1, 2, {}};
  EXPECT_EQ(line.run(plan).verdict, Verdict::kAccept);
}

TEST_P(PositiveReleaseTest, EveryFaultGivesItsReason) {
  const int each = 600 / kScale;
  for (const Fault& fault : faults) {
    for (int i = 0; i < each; ++i) {
      expect_good();
      StripPlan plan = line.good_plan();
      fault.apply(plan, line);
      const StripVerdict verdict = expect_rejected(plan, fault.name);
      ASSERT_EQ(verdict.reason, fault.reason) << fault.name << ": got " << name_of(verdict.reason);
      const bool inspected = fault.reason == Reason::kDefect || fault.reason == Reason::kScoreInvalid;
      const auto good_vials = std::count(verdict.vials.begin(), verdict.vials.end(), Verdict::kAccept);
      ASSERT_LE(good_vials, inspected ? 1 : 0) << fault.name;
    }
  }
  expect_exact_counters();
}

// Faults hide each other, so that the reason may be either's; what matters is that nothing adds up to an accept.
TEST_P(PositiveReleaseTest, NoTwoFaultsMakeAnAccept) {
  std::map<Reason, int> seen;
  for (int i = 0; i < 20'000 / kScale; ++i) {
    if (line.draw(0, 3) == 0) expect_good();
    StripPlan plan = line.good_plan();
    const Fault& one = draw_fault();
    const Fault& other = draw_fault();
    one.apply(plan, line);
    if (plan.shots.size() > 1 && !plan.as_one_call) other.apply(plan, line);
    const StripVerdict verdict = expect_rejected(plan, std::string(one.name) + " and " + other.name);
    ++seen[verdict.reason];
    if (HasFailure()) return;
  }
  EXPECT_EQ(seen.size(),
            static_cast<std::size_t>(kReasonCount) - 2);  // each but kNone, and kNotLocated: nothing is located
  expect_exact_counters();
}

INSTANTIATE_TEST_SUITE_P(BitDepths, PositiveReleaseTest, ::testing::Values(8, 12),
                         [](const auto& depth) { return "Depth" + std::to_string(depth.param); });

}  // namespace
}  // namespace vialsight::test
