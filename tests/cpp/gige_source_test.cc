#include "station/gige_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "gige_rig.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;
using Kind = SourceEvent::Kind;

Layout line_layout(int width, int height, int bit_depth = 8) {
  Layout layout = layout_of({{0, 0, 16, 16}}, 16, bit_depth, width, height);
  layout.frames = 3;
  return layout;
}

std::vector<Pixels> strip_of(const Layout& layout, unsigned strip) {
  return {noise(layout, 3 * strip + 1), noise(layout, 3 * strip + 2), noise(layout, 3 * strip + 3)};
}

// Takes one strip whose frames all come.
void expect_strip(GigeRig& rig, const Layout& layout, std::uint64_t strip_id) {
  const std::vector<Pixels> frames = strip_of(layout, static_cast<unsigned>(strip_id));
  const Clock::time_point start = rig.expose(frames);
  rig.source().strip_opened(strip_id, start);
  std::vector<SourceEvent> events;
  for (int i = 0; i < 3; ++i) {
    const SourceEvent event = rig.next();
    ASSERT_EQ(event.kind, Kind::kFrame) << "strip " << strip_id << ", frame " << i << " " << event.text << "; sent "
                                        << rig.camera().counts().sent << ", ignored " << rig.camera().counts().ignored
                                        << ", dropped " << rig.source().statistics().frames_dropped;
    EXPECT_EQ(event.strip_id, strip_id);
    EXPECT_EQ(event.frame_index, i);
    EXPECT_LE(event.exposed, Clock::now());
    events.push_back(event);
  }
  for (std::size_t i = 0; i < 3; ++i)  // still there, all of them
    EXPECT_TRUE(shows(events[i].pixels, frames[i])) << "strip " << strip_id << ", frame " << i;
  rig.source().strip_closed();
}

// Block ids begin at 65401: the 16 bits end in strip 45.
TEST(GigeSource, SixtyStripsOfALinesFramesComeInOrderAndToThePixel) {
  const Layout layout = line_layout(1408, 1152);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  for (std::uint64_t strip = 1; strip <= 60; ++strip) ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, strip));
  EXPECT_EQ(rig.source().statistics().frames_received, 180U);
  EXPECT_EQ(rig.source().statistics().frames_dropped, 0U);
  EXPECT_THAT(rig.source().describe(), HasSubstr("1408x1152 Mono8"));
}

TEST(GigeSource, FramesComeInOrdinaryPacketsToo) {
  const Layout layout = line_layout(640, 480);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect(",packet=1500").ok());
  EXPECT_THAT(rig.source().describe(), HasSubstr("packets of 1500 bytes"));
  for (std::uint64_t strip = 1; strip <= 5; ++strip) ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, strip));
}

class GigeDepthTest : public ::testing::TestWithParam<int> {};
TEST_P(GigeDepthTest, DeeperPixelsCome) {
  const Layout layout = line_layout(64, 48, GetParam());
  GigeRig rig(layout);
  const Status status = rig.connect();
  ASSERT_TRUE(status.ok()) << status.message();
  for (std::uint64_t strip = 1; strip <= 3; ++strip) ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, strip));
}
INSTANTIATE_TEST_SUITE_P(BitDepths, GigeDepthTest, ::testing::Values(10, 11, 12, 14, 16));

TEST(GigeSource, AnotherSizeIsRefusedNamingBoth) {
  GigeRig rig(line_layout(64, 48));
  auto source = station::make_gige_source(rig.address(), line_layout(80, 48)).value();
  const Status status = source->start();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("80x48 Mono8"));
  EXPECT_THAT(status.message(), HasSubstr("64x48 Mono8"));
}

TEST(GigeSource, AnotherPixelFormatIsRefusedNamingBoth) {
  GigeRig rig(line_layout(64, 48, 12));
  auto source = station::make_gige_source(rig.address(), line_layout(64, 48)).value();
  const Status status = source->start();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("Mono8"));
  EXPECT_THAT(status.message(), HasSubstr("Mono12"));
}

TEST(GigeSource, AnUnknownTriggerSourceIsRefused) {
  GigeRig rig(line_layout(64, 48));
  EXPECT_THAT(rig.connect(",trigger=Line9").message(), HasSubstr("Line9"));
}

TEST(GigeSource, AFrameThatComesBeforeTheTriggerIsHeardOfWaits) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  const std::vector<Pixels> frames = strip_of(layout, 1);
  const Clock::time_point start = rig.expose(frames);
  GigeRig::wait_for([&] { return rig.camera().counts().sent == 3; });
  EXPECT_EQ(rig.next(milliseconds(50)).kind, Kind::kNone);
  rig.source().strip_opened(1, start);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(shows(rig.next().pixels, frames[i])) << "frame " << i;
}

TEST(GigeSource, FramesOfRefusedStripsAreDropped) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 1));
  for (unsigned strip = 2; strip <= 9; ++strip) {  // more frames than there are buffers
    static_cast<void>(rig.expose(strip_of(layout, strip)));
    GigeRig::wait_for([&] { return rig.camera().counts().sent == 3 * strip; });
    static_cast<void>(rig.next(milliseconds(20)));
  }
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 10));
  EXPECT_EQ(rig.source().statistics().frames_dropped, 24U);
}

// What comes of strip 2 after its first frame was whole.
struct AfterFirst {
  std::vector<SourceEvent> events;
  std::string notes;
};
AfterFirst take_all(GigeRig& rig, std::uint64_t strip_id, Clock::time_point start) {
  AfterFirst result;
  rig.source().strip_opened(strip_id, start);
  for (;;) {
    SourceEvent event = rig.next(milliseconds(400));
    if (event.kind == Kind::kNone) return result;
    if (event.kind == Kind::kNote) {
      result.notes += event.text + "; ";
    } else {
      result.events.push_back(event);
    }
  }
}

TEST(GigeSource, LostPacketsMakeAFrameMissingAndANoteSaysWhich) {
  const Layout layout = line_layout(640, 480);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect(",packet=1500").ok());
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 1));
  const std::vector<Pixels> frames = strip_of(layout, 2);
  const Clock::time_point start = GigeRig::soon();
  for (int i = 0; i < 3; ++i) {
    const Clock::time_point time = start + i * FakeGige::kTick;
    rig.camera().expose({frames[static_cast<std::size_t>(i)], time, time, i == 1 ? 0.5 : 0.0});
  }
  const AfterFirst got = take_all(rig, 2, start);
  ASSERT_EQ(got.events.size(), 2U) << got.notes;
  EXPECT_EQ(got.events[0].frame_index, 0);
  EXPECT_EQ(got.events[1].frame_index, 2);
  EXPECT_THAT(got.notes, HasSubstr("lost"));
  rig.source().strip_closed();
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 3));
}

TEST(GigeSource, AMissingFrameIsNamedByTheGap) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 1));
  const std::vector<Pixels> frames = strip_of(layout, 2);
  const Clock::time_point start = GigeRig::soon();
  rig.camera().skip_block_id();
  for (int i = 1; i < 3; ++i) {
    const Clock::time_point time = start + i * FakeGige::kTick;
    rig.camera().expose({frames[static_cast<std::size_t>(i)], time, time, 0.0});
  }
  const AfterFirst got = take_all(rig, 2, start);
  ASSERT_EQ(got.events.size(), 2U);
  EXPECT_EQ(got.events[0].frame_index, 1);
  EXPECT_EQ(got.events[1].frame_index, 2);
  EXPECT_THAT(got.notes, HasSubstr("frame 0 is missing"));
  rig.source().strip_closed();
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 3));
}

TEST(GigeSource, ALateFrameIsNotTheNextStrips) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 1));
  const std::vector<Pixels> frames = strip_of(layout, 2);
  const Clock::time_point start = GigeRig::soon();
  for (int i = 0; i < 3; ++i) {
    const Clock::time_point time = start + i * FakeGige::kTick;
    rig.camera().expose(
        {frames[static_cast<std::size_t>(i)], time, time + (i == 2 ? milliseconds(600) : milliseconds(0)), 0.0});
  }
  EXPECT_EQ(take_all(rig, 2, start).events.size(), 2U);
  rig.source().strip_closed();
  const std::uint64_t dropped = rig.source().statistics().frames_dropped;
  GigeRig::wait_for([&] { return rig.camera().counts().sent == 6; });
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 3));
  EXPECT_EQ(rig.source().statistics().frames_dropped, dropped + 1);
}

TEST(GigeSource, FramesThatChangedPlacesAreOfNoStrip) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 1));
  const std::vector<Pixels> frames = strip_of(layout, 2);
  const Clock::time_point start = GigeRig::soon();
  const Clock::time_point second = start + FakeGige::kTick;
  rig.camera().expose({frames[1], second, second, 0.0});
  rig.camera().expose({frames[0], start, second, 0.0});
  const AfterFirst got = take_all(rig, 2, start);
  ASSERT_EQ(got.events.size(), 2U);
  EXPECT_EQ(got.events[0].strip_id, 2U);
  EXPECT_EQ(got.events[1].strip_id, 0U);
  rig.source().strip_closed();
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 3));
}

TEST(GigeSource, ACameraThatComesLaterIsFound) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  rig.camera().unplug();
  GigeRig::wait_for([&] { return !rig.camera().plugged(); });
  auto source = station::make_gige_source(rig.address(), layout).value();
  ASSERT_TRUE(source->start().ok());
  const SourceEvent lost = source->next();
  EXPECT_EQ(lost.kind, Kind::kLost);
  EXPECT_THAT(lost.text, HasSubstr(rig.address()));
  rig.camera().plug();
  GigeRig::wait_for([&] { return source->next().kind == Kind::kFound; });
  source->stop();
}

TEST(GigeSource, ACameraThatRestartsUnseenIsTakenAgain) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 1));
  rig.camera().unplug();
  GigeRig::wait_for([&] { return !rig.camera().plugged(); });
  rig.camera().plug();
  EXPECT_EQ(rig.next(milliseconds(20'000)).kind, Kind::kLost);
  GigeRig::wait_for([&] { return rig.camera().acquiring(); });
  ASSERT_NO_FATAL_FAILURE(expect_strip(rig, layout, 2));
}

TEST(GigeSource, ACameraOfAnotherProgramIsSaidToBe) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  auto second = station::make_gige_source(rig.address(), layout).value();
  ASSERT_TRUE(second->start().ok());
  EXPECT_THAT(second->next().text, HasSubstr("another program controls it"));
  second->stop();
}

TEST(GigeSource, StopsInTheMiddleOfAStrip) {
  const Layout layout = line_layout(64, 48);
  GigeRig rig(layout);
  ASSERT_TRUE(rig.connect().ok());
  const Clock::time_point start = rig.expose(strip_of(layout, 1));
  rig.source().strip_opened(1, start);
  EXPECT_EQ(rig.next().kind, Kind::kFrame);
  rig.source().stop();
}

}  // namespace
}  // namespace vialsight::test
