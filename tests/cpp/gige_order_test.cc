#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "station/device_clock.h"
#include "station/frame_order.h"

namespace vialsight::station {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = FramePlace::Kind;

const Clock::time_point kStart(seconds(1000));
constexpr milliseconds kSlot{500};
constexpr milliseconds kBetween{40};

// Strips of three frames, 40 ms apart, the first of them with the trigger.
class FrameOrderTest : public ::testing::Test {
 protected:
  void open(int strip) {
    trigger_ = kStart + strip * kSlot;
    order_.open(trigger_);
  }
  FramePlace place(std::uint64_t id, int frame, bool complete = true) {
    return order_.place(id, trigger_ + frame * kBetween, complete);
  }
  void expect_frame(std::uint64_t id, int frame, int index, int missing_from) {
    const FramePlace got = place(id, frame);
    EXPECT_EQ(got.kind, Kind::kOfStrip) << "id " << id;
    EXPECT_EQ(got.index, index) << "id " << id;
    EXPECT_EQ(got.missing_from, missing_from) << "id " << id;
  }
  void pass_whole(int strip, std::uint64_t first_id) {
    open(strip);
    for (int i = 0; i < 3; ++i) expect_frame(first_id + static_cast<std::uint64_t>(i), i, i, i);
    order_.close();
  }

  FrameOrder order_{3, milliseconds(5)};
  Clock::time_point trigger_;
};

TEST_F(FrameOrderTest, WholeStripsFollowEachOther) {
  for (int strip = 0; strip < 5; ++strip) pass_whole(strip, 10 + 3 * static_cast<std::uint64_t>(strip));
}

TEST_F(FrameOrderTest, IdsOf16BitsBeginAgainAt1) {
  open(0);
  expect_frame(65534, 0, 0, 0);
  expect_frame(65535, 1, 1, 1);
  expect_frame(1, 2, 2, 2);
  order_.close();
  pass_whole(1, 2);
}

TEST_F(FrameOrderTest, AGapOverTheEndOf16BitsIsAGap) {
  pass_whole(0, 65532);
  open(1);
  expect_frame(65535, 0, 0, 0);
  expect_frame(2, 2, 2, 1);  // 1 is missing
}

TEST_F(FrameOrderTest, IdsOf64BitsGoOn) {
  pass_whole(0, 65534);  // 65534, 65535, 65536
  pass_whole(1, 65537);
  pass_whole(2, 65540);
}

TEST_F(FrameOrderTest, TheFirstFrameMissingIsToldByTheStripBefore) {
  pass_whole(0, 10);
  open(1);
  expect_frame(14, 1, 1, 0);
  expect_frame(15, 2, 2, 2);
}

TEST_F(FrameOrderTest, AfterAStripThatWasNotWholeTheFirstExposedAfterTheTriggerIsTheFirst) {
  pass_whole(0, 10);
  open(1);
  expect_frame(13, 0, 0, 0);
  expect_frame(15, 2, 2, 1);
  order_.close();
  pass_whole(2, 30);  // the camera was started again, or missed triggers
}

TEST_F(FrameOrderTest, AFrameThatArrivesLateIsOfTheStripBefore) {
  open(0);
  expect_frame(10, 0, 0, 0);
  expect_frame(11, 1, 1, 1);
  order_.close();
  open(1);
  EXPECT_EQ(order_.place(12, kStart + 2 * kBetween, true).kind, Kind::kEarlier);
  expect_frame(13, 0, 0, 0);
  expect_frame(14, 1, 1, 1);
  expect_frame(15, 2, 2, 2);
}

TEST_F(FrameOrderTest, AFrameMoreThanStripsHaveMakesItLookAtTimesAgain) {
  pass_whole(0, 10);
  open(1);
  EXPECT_EQ(order_.place(13, kStart + 6 * kBetween, true).kind, Kind::kEarlier) << "exposed between the strips";
  expect_frame(14, 0, 0, 0);
  expect_frame(15, 1, 1, 1);
  expect_frame(16, 2, 2, 2);
}

TEST_F(FrameOrderTest, FramesOfARefusedTriggerMakeItLookAtTimesAgain) {
  pass_whole(0, 10);
  for (const std::uint64_t id : {13U, 14U, 15U}) order_.pass_by(id);
  pass_whole(2, 16);
}

TEST_F(FrameOrderTest, AFrameOfTheStripBeforeThatPassesByChangesNothing) {
  pass_whole(0, 10);
  order_.pass_by(12);
  open(1);
  expect_frame(14, 1, 1, 0);
}

TEST_F(FrameOrderTest, AnOlderIdIsOutOfOrder) {
  pass_whole(0, 10);
  open(1);
  expect_frame(14, 1, 1, 0);
  EXPECT_EQ(place(13, 2).kind, Kind::kOutOfOrder);
}

TEST_F(FrameOrderTest, TheSameIdTwiceIsOutOfOrder) {
  open(0);
  expect_frame(10, 0, 0, 0);
  EXPECT_EQ(place(10, 1).kind, Kind::kOutOfOrder);
}

TEST_F(FrameOrderTest, ExposedBeforeTheFrameBeforeIsOutOfOrder) {
  open(0);
  expect_frame(10, 1, 0, 0);
  EXPECT_EQ(place(11, 0).kind, Kind::kOutOfOrder);
}

TEST_F(FrameOrderTest, AFourthFrameIsOutOfOrder) {
  open(0);
  for (int i = 0; i < 3; ++i) expect_frame(10 + static_cast<std::uint64_t>(i), i, i, i);
  EXPECT_EQ(place(13, 3).kind, Kind::kOutOfOrder);
}

TEST_F(FrameOrderTest, AStripWithAFrameOutOfOrderTellsNothingOfTheNext) {
  open(0);
  for (int i = 0; i < 3; ++i) expect_frame(10 + static_cast<std::uint64_t>(i), i, i, i);
  EXPECT_EQ(place(13, 3).kind, Kind::kOutOfOrder);
  order_.close();
  pass_whole(1, 14);
}

TEST_F(FrameOrderTest, AnIncompleteFrameHasItsPlaceAndMakesNoWholeStrip) {
  open(0);
  expect_frame(10, 0, 0, 0);
  EXPECT_EQ(place(11, 1, false).index, 1);
  expect_frame(12, 2, 2, 2);
  EXPECT_EQ(order_.count(), 2);
  order_.close();
  pass_whole(1, 20);
}

TEST_F(FrameOrderTest, ExposedALittleBeforeTheTriggerIsOfTheStrip) {
  open(0);
  EXPECT_EQ(order_.place(10, trigger_ - milliseconds(4), true).kind, Kind::kOfStrip);
  order_.restart();
  open(1);
  EXPECT_EQ(order_.place(10, trigger_ - milliseconds(6), true).kind, Kind::kEarlier);
}

TEST_F(FrameOrderTest, AnotherConnectionCountsAnew) {
  pass_whole(0, 70000);
  order_.restart();
  pass_whole(1, 65534 - 1);
  open(2);
  expect_frame(1, 0, 0, 0);  // behind 65535, of 16 bits again
}

std::chrono::nanoseconds since_start(Clock::time_point time) { return time - kStart; }

TEST(DeviceClock, TakesTheFrameThatArrivedFastestAsTheMeasure) {
  DeviceClock clock;
  const auto expose = [&](milliseconds at, milliseconds delay) {
    return since_start(clock.map(at, kStart + at + delay));
  };
  EXPECT_EQ(expose(milliseconds(0), milliseconds(30)), milliseconds(30)) << "nothing better is known";
  EXPECT_EQ(expose(milliseconds(100), milliseconds(3)), milliseconds(103));
  EXPECT_EQ(expose(milliseconds(200), milliseconds(700)), milliseconds(203)) << "held up in the network";
}

TEST(DeviceClock, FollowsADriftBothWays) {
  for (const double drift : {100e-6, -100e-6}) {
    DeviceClock clock;
    for (int i = 0; i < 3600; ++i) {
      const Clock::time_point exposed = kStart + i * milliseconds(500);
      const auto device = std::chrono::nanoseconds(
          static_cast<std::int64_t>(static_cast<double>(since_start(exposed).count()) * (1.0 + drift)));
      const auto error = clock.map(device, exposed + milliseconds(1)) - exposed;
      EXPECT_LE(error, milliseconds(1)) << "frame " << i;
      EXPECT_GE(error, milliseconds(-2)) << "frame " << i;
    }
  }
}

TEST(DeviceClock, ForgetsWhatItKnewBeforeTheLineStoodStill) {
  DeviceClock clock;
  static_cast<void>(clock.map(seconds(1), kStart + seconds(1)));
  // Ten minutes later, the device's clock is 60 ms behind.
  const Clock::time_point exposed = kStart + seconds(600);
  EXPECT_EQ(clock.map(seconds(600) - milliseconds(60), exposed), exposed);
}

TEST(DeviceClock, TakesAClockThatWasSetBackForANewOne) {
  DeviceClock clock;
  static_cast<void>(clock.map(seconds(100), kStart + seconds(100)));
  EXPECT_EQ(clock.map(seconds(0), kStart + seconds(101)), kStart + seconds(101));
}

}  // namespace
}  // namespace vialsight::station
