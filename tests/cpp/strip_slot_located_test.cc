// A StripSlot whose frames are located.
#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "strip_slot_fixture.h"

namespace vialsight::test {
namespace {

Location found_at(const Pose& pose) { return {true, NotFound::kNone, pose, 0.001, 1.0, 5}; }

// Poses may lie 2 pixels and 0.01 rad apart.
class StripSlotLocatedTest : public StripSlotTest {
 protected:
  StripSlotLocatedTest() {
    model.apart_px = 2.0;
    model.apart_turn = 0.01;
    slot = StripSlot(2, &model);
  }
  void open(bool ready = true) {
    StripVerdict prepared = blank(++strips);
    prepared.locations.resize(2);
    slot.open(std::move(prepared), {at({}), at(milliseconds(100)), kStripMargin, ready});
  }
  void finish_at(const Location& where, FrameOutcome outcome = FrameOutcome::kScored) {
    location = where;
    finish(take(), outcome);
  }
  void finish_lost(NotFound reason = NotFound::kResidual) {
    finish_at({false, reason, {1.0, 2.0, 0.0}, 0.5, 1.0, 30}, FrameOutcome::kNotLocated);
  }
  // Of a strip whose frames are all found.
  StripVerdict close_found(const Pose& first, const Pose& second) {
    open();
    submit_both();
    finish_at(found_at(first));
    finish_at(found_at(second));
    return close();
  }

  LocatorModel model;
};

TEST_F(StripSlotLocatedTest, AcceptsFramesThatAgree) {
  const StripVerdict verdict = close_found({10.0, -4.0, 0.005}, {12.0, -6.0, -0.005});
  EXPECT_EQ(verdict.verdict, Verdict::kAccept) << name_of(verdict.reason);
  ASSERT_EQ(verdict.locations.size(), 2U);
  EXPECT_EQ(verdict.locations[0].pose, (Pose{10.0, -4.0, 0.005}));
  EXPECT_EQ(verdict.locations[1].pose, (Pose{12.0, -6.0, -0.005}));
  EXPECT_EQ(verdict.locations[1].steps, 5);
}

TEST_F(StripSlotLocatedTest, FramesThatDisagreeAreNotLocated) {
  for (const Pose& other : {Pose{2.001, 0.0, 0.0}, Pose{0.0, -2.001, 0.0}, Pose{0.0, 0.0, 0.0101}, Pose{kNan, 0.0, 0.0},
                            Pose{0.0, 0.0, kNan}}) {
    const StripVerdict verdict = close_found({}, other);
    expect_rejected(verdict, Reason::kNotLocated);
    EXPECT_TRUE(verdict.locations[0].found && verdict.locations[1].found);
    EXPECT_EQ(verdict.scores[2], 0.1F) << "scored all the same";
  }
}

// The first agrees with both, the second and the third do not.
TEST_F(StripSlotLocatedTest, EveryPairMustAgree) {
  layout.frames = 3;
  slot = StripSlot(3, &model);
  StripVerdict prepared = blank(1);
  prepared.locations.resize(3);
  slot.open(std::move(prepared), {at({}), at(milliseconds(100)), kStripMargin, true});
  submit_both();
  submit(2);
  for (const double dx : {0.0, 1.5, -1.5}) finish_at(found_at({dx, 0.0, 0.0}));
  expect_rejected(close(), Reason::kNotLocated);
}

TEST_F(StripSlotLocatedTest, AFrameThatIsNotFound) {
  open();
  submit_both();
  finish_at(found_at({}));
  finish_lost(NotFound::kOutsideReach);
  EXPECT_EQ(slot.state(1), FrameState::kNotLocated);
  EXPECT_FALSE(slot.has_unfinished_frames());
  const StripVerdict verdict = close();
  expect_rejected(verdict, Reason::kNotLocated);
  EXPECT_TRUE(std::isnan(verdict.scores[2]));
  EXPECT_EQ(verdict.locations[1].reason, NotFound::kOutsideReach);
  EXPECT_EQ(verdict.locations[1].pose, (Pose{1.0, 2.0, 0.0}));
}

// Scores of patches that were cut nobody knows where.
TEST_F(StripSlotLocatedTest, ScoresWithoutALocationDoNotCount) {
  open();
  submit_both();
  finish_at(found_at({}));
  finish_at(Location());
  const StripVerdict verdict = close();
  expect_rejected(verdict, Reason::kNotLocated);
  EXPECT_TRUE(std::isnan(verdict.scores[2]));
}

TEST_F(StripSlotLocatedTest, FramesThatNobodyLookedAtSaySo) {
  open();
  submit_both();
  finish_at(found_at({}));
  (void)slot.take(false);
  const StripVerdict verdict = close();
  expect_rejected(verdict, Reason::kDeadlineMissed);
  EXPECT_TRUE(verdict.locations[0].found);
  EXPECT_EQ(verdict.locations[1].reason, NotFound::kNotSearched);
}

TEST_F(StripSlotLocatedTest, ALostFrameThatEndsLateKeepsItsName) {
  open();
  submit_both();
  finish_at(found_at({}));
  location = {false, NotFound::kContrast, {}, 0.0, 0.0, 0};
  finish(take(), FrameOutcome::kNotLocated, {}, at(milliseconds(95)));
  expect_rejected(close(), Reason::kNotLocated);
}

TEST_F(StripSlotLocatedTest, NotLocatedComesAfterMissingAndBeforeFault) {
  open();
  submit(0);
  finish_lost();
  expect_rejected(close(), Reason::kFrameMissing);
  open();
  submit_both();
  finish_lost();
  finish_at(found_at({}), FrameOutcome::kFault);
  slot.lose_backend();
  expect_rejected(close(at(milliseconds(101))), Reason::kNotLocated);
}

// So it is when only one of them could be scored.
TEST_F(StripSlotLocatedTest, DisagreementIsNamedBeforeAFault) {
  open();
  submit_both();
  finish_at(found_at({}));
  finish_at(found_at({20.0, 0.0, 0.0}), FrameOutcome::kFault);
  expect_rejected(close(), Reason::kNotLocated);
}

TEST_F(StripSlotLocatedTest, NothingOutlivesItsStrip) {
  open();
  submit_both();
  const StripSlot::Job earlier = take();
  (void)close();
  open();
  location = found_at({50.0, 0.0, 0.0});
  finish(earlier);
  submit_both();
  finish_at(found_at({}));
  finish_at(found_at({}));
  EXPECT_EQ(close().verdict, Verdict::kAccept);
}

}  // namespace
}  // namespace vialsight::test
