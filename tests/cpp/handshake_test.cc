#include "vialsight/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <random>
#include <thread>
#include <utility>

#include "inspector/handshake_snapshot.h"
#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

constexpr auto kNoDeadline = Clock::time_point::max();

std::uint64_t sum_of_rejected(const HandshakeCounters& counters) {
  return std::accumulate(std::begin(counters.rejected), std::end(counters.rejected), std::uint64_t{0});
}

std::uint64_t rejected(const Handshake& handshake, Reason reason) {
  return handshake.counters().rejected[static_cast<std::size_t>(reason)];
}

bool is_exact(const HandshakeCounters& counters) {
  return counters.triggers == counters.accepted + sum_of_rejected(counters) + counters.in_flight;
}

class HandshakeTest : public InspectorTest {
 protected:
  void submit_all(Handshake& handshake) const {
    EXPECT_TRUE(handshake.submit(0, frame_.view()).ok());
    EXPECT_TRUE(handshake.submit(1, frame_.view()).ok());
  }
  StripVerdict run_strip(Handshake& handshake, std::uint64_t strip_id) const {
    EXPECT_TRUE(handshake.trigger(strip_id, kNoDeadline).ok());
    submit_all(handshake);
    return handshake.finish();
  }
  // What a PLC sees, apart from the heartbeat, which goes on by itself.
  static Signals seen(const Handshake& handshake) {
    Signals signals = handshake.signals();
    signals.heartbeat = 0;
    return signals;
  }

  TestFrame frame_;
  Inspector inspector_ = create();
  Handshake handshake_ = Handshake::create(inspector_).value();
};

TEST(Signals, ZeroedAreNotReadyAndNothingValid) {
  const Signals zeroed{};
  EXPECT_FALSE(zeroed.ready || zeroed.busy || zeroed.result_valid || zeroed.accept);
}

TEST_F(HandshakeTest, IsReadyAtFirst) {
  EXPECT_EQ(seen(handshake_), (Signals{.ready = true}));
  EXPECT_EQ(handshake_.counters(), HandshakeCounters{});
}

TEST_F(HandshakeTest, AnAcceptedStripGoesThroughAllSignals) {
  ASSERT_TRUE(handshake_.trigger(7, kNoDeadline).ok());
  EXPECT_EQ(seen(handshake_), (Signals{.busy = true, .strip_id = 7}));
  EXPECT_EQ(handshake_.counters().in_flight, 1U);
  submit_all(handshake_);
  EXPECT_EQ(seen(handshake_), (Signals{.busy = true, .strip_id = 7})) << "no result before finish";
  const StripVerdict verdict = handshake_.finish();
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.strip_id, 7U);
  EXPECT_EQ(verdict.scores.size(), 8U);
  EXPECT_EQ(seen(handshake_), (Signals{.result_valid = true, .accept = true, .strip_id = 7}));
  ASSERT_TRUE(handshake_.acknowledge(7).ok());
  EXPECT_EQ(seen(handshake_), (Signals{.ready = true}));
  EXPECT_EQ(handshake_.counters(), (HandshakeCounters{.triggers = 1, .accepted = 1}));
}

TEST_F(HandshakeTest, ARejectedStripGivesItsReason) {
  ASSERT_TRUE(handshake_.trigger(8, kNoDeadline).ok());
  EXPECT_TRUE(handshake_.submit(1, frame_.view()).ok());
  EXPECT_EQ(handshake_.finish().reason, Reason::kFrameMissing);
  EXPECT_EQ(seen(handshake_), (Signals{.result_valid = true, .reason = Reason::kFrameMissing, .strip_id = 8}));
  EXPECT_EQ(rejected(handshake_, Reason::kFrameMissing), 1U);
  EXPECT_TRUE(is_exact(handshake_.counters()));
}

TEST_F(HandshakeTest, ADefectiveStripIsRejected) {
  ASSERT_TRUE(handshake_.trigger(8, kNoDeadline).ok());
  EXPECT_TRUE(handshake_.submit(0, TestFrame().mark(0, 0, kDefectMarker).view()).ok());
  EXPECT_TRUE(handshake_.submit(1, frame_.view()).ok());
  EXPECT_EQ(handshake_.finish().reason, Reason::kDefect);
  EXPECT_FALSE(handshake_.signals().accept);
  EXPECT_EQ(rejected(handshake_, Reason::kDefect), 1U);
}

TEST_F(HandshakeTest, AStampedFrameOfAnotherStripIsRefused) {
  ASSERT_TRUE(handshake_.trigger(8, kNoDeadline).ok());
  EXPECT_TRUE(handshake_.submit(0, frame_.view(), FrameStamp{8, 0, clock->now()}).ok());
  const Status status = handshake_.submit(1, frame_.view(), FrameStamp{9, 1, clock->now()});
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("strip 9"));
  EXPECT_EQ(handshake_.finish().reason, Reason::kFrameStale);
}

TEST_F(HandshakeTest, ATriggerWhileBusyRejectsBothStrips) {
  ASSERT_TRUE(handshake_.trigger(1, kNoDeadline).ok());
  const Signals before = seen(handshake_);
  const Status status = handshake_.trigger(2, kNoDeadline);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "trigger: strip 2 is refused and counts as rejected: strip 1 is still busy; finish it "
            "first");
  EXPECT_EQ(seen(handshake_), before);
  EXPECT_EQ(rejected(handshake_, Reason::kNotReady), 1U);
  EXPECT_EQ(handshake_.counters().triggers, 2U);
  EXPECT_TRUE(is_exact(handshake_.counters()));
  submit_all(handshake_);
  EXPECT_EQ(handshake_.finish().reason, Reason::kFrameStale) << "its frames may be the other's";
  EXPECT_EQ(seen(handshake_), (Signals{.result_valid = true, .reason = Reason::kFrameStale, .strip_id = 1}));
  EXPECT_TRUE(is_exact(handshake_.counters()));
}

TEST_F(HandshakeTest, ATriggerBeforeTheAcknowledgementKeepsTheResult) {
  (void)run_strip(handshake_, 1);
  const Signals before = seen(handshake_);
  const Status status = handshake_.trigger(2, kNoDeadline);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("the result of strip 1 was not acknowledged"));
  EXPECT_EQ(seen(handshake_), before);
  EXPECT_EQ(rejected(handshake_, Reason::kNotReady), 1U);
  EXPECT_EQ(handshake_.submit(0, frame_.view()).code(), Code::kFailedPrecondition);
}

TEST_F(HandshakeTest, AnInspectorThatIsNotReadyRefusesTriggers) {
  writer.remove_calibration();
  options.require_thresholds = false;
  Inspector uncalibrated = create();
  Handshake handshake = Handshake::create(uncalibrated).value();
  EXPECT_FALSE(handshake.signals().ready);
  const Status status = handshake.trigger(3, kNoDeadline);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("the Inspector is not ready"));
  EXPECT_EQ(seen(handshake), Signals{});
  EXPECT_EQ(rejected(handshake, Reason::kNotReady), 1U);
  EXPECT_TRUE(is_exact(handshake.counters()));
}

TEST_F(HandshakeTest, ASlotOpenedByAnotherRefusesTheTrigger) {
  ASSERT_TRUE(inspector_.open(50, kNoDeadline).ok());
  const Status status = handshake_.trigger(1, kNoDeadline);
  EXPECT_THAT(status.message(), HasSubstr("strip 50 is still open"));
  EXPECT_EQ(rejected(handshake_, Reason::kNotReady), 1U);
  EXPECT_FALSE(handshake_.signals().busy);
}

TEST_F(HandshakeTest, ASlotClosedByAnotherIsARejectOfTheTriggeredStrip) {
  ASSERT_TRUE(handshake_.trigger(1, kNoDeadline).ok());
  submit_all(handshake_);
  EXPECT_EQ(inspector_.close().verdict, Verdict::kAccept);
  const StripVerdict verdict = handshake_.finish();
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.strip_id, 1U);
  EXPECT_EQ(seen(handshake_), (Signals{.result_valid = true, .reason = Reason::kNotReady, .strip_id = 1}));
}

TEST_F(HandshakeTest, TheVerdictOfAnotherStripIsNoAccept) {
  ASSERT_TRUE(handshake_.trigger(1, kNoDeadline).ok());
  (void)inspector_.close();
  ASSERT_TRUE(inspector_.open(2, kNoDeadline).ok());
  submit_all(handshake_);
  EXPECT_EQ(handshake_.finish().verdict, Verdict::kReject);
  EXPECT_FALSE(handshake_.signals().accept);
  EXPECT_EQ(handshake_.counters().accepted, 0U);
}

TEST_F(HandshakeTest, SubmitWithoutATriggerNamesTheMistake) {
  const FrameStamp stamp{1, 0, clock->now()};
  for (const Status& status : {handshake_.submit(0, frame_.view()), handshake_.submit(0, frame_.view(), stamp)}) {
    EXPECT_EQ(status.code(), Code::kFailedPrecondition);
    EXPECT_EQ(status.message(), "submit: no strip is busy; trigger one first");
  }
}

TEST_F(HandshakeTest, FinishWithoutABusyStripRejectsAndCountsNothing) {
  EXPECT_EQ(handshake_.finish().reason, Reason::kNotReady);
  (void)run_strip(handshake_, 1);
  const Signals before = seen(handshake_);
  EXPECT_EQ(handshake_.finish().verdict, Verdict::kReject) << "not the result again";
  EXPECT_EQ(seen(handshake_), before);
  EXPECT_EQ(handshake_.counters().triggers, 1U);
  EXPECT_EQ(inspector_.statistics().strips, 1U);
}

TEST_F(HandshakeTest, AcknowledgeWithoutAResultNamesTheMistake) {
  EXPECT_EQ(handshake_.acknowledge(1).message(), "acknowledge: strip 1 has no valid result; finish it first");
  ASSERT_TRUE(handshake_.trigger(1, kNoDeadline).ok());
  EXPECT_EQ(handshake_.acknowledge(1).code(), Code::kFailedPrecondition);
  EXPECT_TRUE(handshake_.signals().busy);
}

TEST_F(HandshakeTest, AcknowledgingAnotherStripKeepsTheResult) {
  (void)run_strip(handshake_, 1);
  const Status status = handshake_.acknowledge(2);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.message(), "acknowledge: expected strip 1, whose result is shown, got strip 2");
  EXPECT_TRUE(handshake_.signals().accept);
  EXPECT_TRUE(handshake_.acknowledge(1).ok());
  EXPECT_FALSE(handshake_.signals().accept);
  EXPECT_EQ(handshake_.acknowledge(1).code(), Code::kFailedPrecondition) << "once";
}

TEST_F(HandshakeTest, HeartbeatIsTheInspectors) {
  const std::uint64_t first = handshake_.signals().heartbeat;
  while (handshake_.signals().heartbeat == first) std::this_thread::yield();
  EXPECT_LE(handshake_.signals().heartbeat, inspector_.heartbeat());
}

TEST_F(HandshakeTest, DestroyedWhileBusyItLeavesNoOpenSlot) {
  {
    Handshake other = Handshake::create(inspector_).value();
    ASSERT_TRUE(other.trigger(1, kNoDeadline).ok());
  }
  EXPECT_EQ(run_strip(handshake_, 2).verdict, Verdict::kAccept);
}

TEST_F(HandshakeTest, AMovedFromOneSaysSo) {
  ASSERT_TRUE(handshake_.trigger(1, kNoDeadline).ok());
  Handshake moved = std::move(handshake_);
  // NOLINTBEGIN(bugprone-use-after-move)
  EXPECT_THAT(handshake_.trigger(2, kNoDeadline).message(), HasSubstr("was moved from"));
  EXPECT_THAT(handshake_.submit(0, frame_.view()).message(), HasSubstr("was moved from"));
  EXPECT_THAT(handshake_.submit(0, frame_.view(), FrameStamp{}).message(), HasSubstr("was moved from"));
  EXPECT_THAT(handshake_.acknowledge(1).message(), HasSubstr("was moved from"));
  EXPECT_EQ(handshake_.finish().verdict, Verdict::kReject);
  EXPECT_EQ(handshake_.signals(), Signals{});
  EXPECT_EQ(handshake_.counters(), HandshakeCounters{});
  // NOLINTEND(bugprone-use-after-move)
  submit_all(moved);
  EXPECT_EQ(moved.finish().verdict, Verdict::kAccept);
}

// A PLC's view while the control thread does everything in any order.
TEST_F(HandshakeTest, EverySnapshotIsConsistent) {
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread plc([&] {
    while (!stop) {
      const Signals signals = handshake_.signals();
      const int states = int{signals.ready} + int{signals.busy} + int{signals.result_valid};
      if (states > 1 || (signals.accept && !(signals.result_valid && signals.strip_id % 2 == 0))) ++wrong;
      if (!is_exact(handshake_.counters())) ++wrong;
    }
  });
  std::minstd_rand random(5);
  std::uint64_t accepted = 0;
  std::uint64_t triggers = 0;
  std::uint64_t strip_id = 0;
  for (int step = 0; step < 3000; ++step) {
    switch (random() % 4) {
      case 0:
        ++triggers;
        if (!handshake_.trigger(strip_id + 1, kNoDeadline).ok()) break;
        ++strip_id;
        if (strip_id % 2 == 0) submit_all(handshake_);  // the odd ones lack frames
        break;
      case 1:
        accepted += handshake_.finish().verdict == Verdict::kAccept ? 1U : 0U;
        break;
      default:
        (void)handshake_.acknowledge(strip_id);
    }
  }
  stop = true;
  plc.join();
  EXPECT_EQ(wrong, 0);
  const HandshakeCounters counters = handshake_.counters();
  EXPECT_EQ(counters.triggers, triggers);
  EXPECT_EQ(counters.accepted, accepted);
  EXPECT_GT(accepted, 0U);
  EXPECT_GT(rejected(handshake_, Reason::kFrameMissing), 0U);
  EXPECT_GT(rejected(handshake_, Reason::kNotReady), 0U);
}

TEST(Snapshot, IsReadWhole) {
  struct Wide {
    std::uint64_t values[9] = {};
  };
  Snapshot<Wide> snapshot;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    Wide wide;
    for (std::uint64_t i = 1; !stop; ++i) {
      for (std::uint64_t& value : wide.values) value = i;
      snapshot.write(wide);
    }
  });
  std::uint64_t last = 0;
  bool whole = true;
  for (int i = 0; i < 20000; ++i) {
    const Wide wide = snapshot.read();
    for (const std::uint64_t value : wide.values) whole &= value == wide.values[0];
    whole &= wide.values[0] >= last;
    last = wide.values[0];
  }
  stop = true;
  writer.join();
  EXPECT_TRUE(whole);
}

}  // namespace
}  // namespace vialsight::test
