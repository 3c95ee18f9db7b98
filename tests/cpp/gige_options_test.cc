#include "station/gige_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <vector>

#include "station/gige_camera/camera_options.h"
#include "station/gige_camera/line_faults.h"

namespace vialsight::station {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

std::string refusal(std::string_view text) { return GigeOptions::parse(text).status().message(); }

TEST(GigeOptions, AnAddressAlone) {
  const GigeOptions options = GigeOptions::parse("192.168.1.20").value();
  EXPECT_EQ(options.camera, "192.168.1.20");
  EXPECT_EQ(options.trigger, "");
  EXPECT_EQ(options.buffers, 16);
}

TEST(GigeOptions, NothingIsTheFirstCamera) { EXPECT_EQ(GigeOptions::parse("").value().camera, ""); }

TEST(GigeOptions, EveryKey) {
  const GigeOptions options =
      GigeOptions::parse(
          "Cam-7,trigger=Line1,packet=8000,buffers=32,socket_buffer=9000000,priority=40,tolerance_ms=2.5")
          .value();
  EXPECT_EQ(options.camera, "Cam-7");
  EXPECT_EQ(options.trigger, "Line1");
  EXPECT_EQ(options.packet, 8000);
  EXPECT_EQ(options.buffers, 32);
  EXPECT_EQ(options.socket_buffer, 9'000'000);
  EXPECT_EQ(options.priority, 40);
  EXPECT_EQ(options.tolerance, microseconds(2500));
}

TEST(GigeOptions, AnUnknownKey) { EXPECT_THAT(refusal("a,colour=red"), HasSubstr("colour")); }
TEST(GigeOptions, NoValue) { EXPECT_THAT(refusal("a,trigger"), HasSubstr("KEY=VALUE")); }
TEST(GigeOptions, AnEmptyTrigger) { EXPECT_THAT(refusal("a,trigger="), HasSubstr("trigger source")); }
TEST(GigeOptions, APacketTooSmall) { EXPECT_THAT(refusal("a,packet=100"), HasSubstr("576")); }
TEST(GigeOptions, APacketThatIsNoNumber) { EXPECT_THAT(refusal("a,packet=big"), HasSubstr("\"big\"")); }
TEST(GigeOptions, TooFewBuffers) { EXPECT_THAT(refusal("a,buffers=15"), HasSubstr("16")); }
TEST(GigeOptions, APriorityTooHigh) { EXPECT_THAT(refusal("a,priority=100"), HasSubstr("99")); }
TEST(GigeOptions, ANegativeTolerance) { EXPECT_THAT(refusal("a,tolerance_ms=-1"), HasSubstr("tolerance_ms")); }

Result<CameraOptions> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "vialsight-gige-camera");
  return parse_camera_options(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CameraOptions, Defaults) {
  const CameraOptions options = parse({}).value();
  EXPECT_EQ(options.address, "127.0.0.1");
  EXPECT_EQ(options.feed.path, "-");
  EXPECT_EQ(options.line.slot, milliseconds(500));
  EXPECT_EQ(options.line.interval, milliseconds(120));
  EXPECT_TRUE(options.line.wait_ready);
}

TEST(CameraOptions, TimesAreInTheirUnits) {
  const LineOptions line =
      parse({"--slot-ms", "250.5", "--late-ms", "40", "--unplug-every", "30", "--unplug-for", "1.5"}).value().line;
  EXPECT_EQ(line.slot, microseconds(250'500));
  EXPECT_EQ(line.late, milliseconds(40));
  EXPECT_EQ(line.unplug_every, std::chrono::seconds(30));
  EXPECT_EQ(line.unplug_for, milliseconds(1500));
}

TEST(CameraOptions, AnUnknownOption) { EXPECT_THAT(parse({"--fast"}).status().message(), HasSubstr("--fast")); }
TEST(CameraOptions, NoValue) { EXPECT_THAT(parse({"--truth"}).status().message(), HasSubstr("--truth")); }
TEST(CameraOptions, AShareAbove1) {
  EXPECT_THAT(parse({"--late-frames", "1.5"}).status().message(), HasSubstr("--late-frames"));
}
TEST(CameraOptions, SharesThatAddUpToMoreThan1) {
  EXPECT_THAT(parse({"--late-frames", "0.6", "--swap-frames", "0.6"}).status().message(), HasSubstr("add up"));
}
TEST(CameraOptions, AnIntervalLongerThanTheSlot) {
  EXPECT_THAT(parse({"--slot-ms", "100"}).status().message(), HasSubstr("--interval-ms"));
}
TEST(CameraOptions, ASerialTooLong) {
  EXPECT_THAT(parse({"--serial", "a-name-of-17-byte"}).status().message(), HasSubstr("15"));
}

TEST(FaultPlan, ChoosesTheSameForTheSameSeed) {
  const FaultShares shares{.lose_packets = 0.2, .late = 0.2, .missing = 0.2, .repeat = 0.2, .swap = 0.1};
  FaultPlan one(shares, 7);
  FaultPlan two(shares, 7);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(one.next(3).text(), two.next(3).text());
}

// 20000 draws: the standard deviation of a share is below 0.0036.
TEST(FaultPlan, KeepsToItsShares) {
  FaultPlan plan({.lose_packets = 0.1, .late = 0.2, .missing = 0.3, .repeat = 0.05, .swap = 0.15}, 1);
  std::map<LineFault, int> counts;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    const StripFault fault = plan.next(3);
    ++counts[fault.fault];
    EXPECT_LT(fault.frame, fault.fault == LineFault::kSwapped ? 2U : 3U);
  }
  const std::map<LineFault, double> expected = {{LineFault::kNone, 0.2},         {LineFault::kLostPackets, 0.1},
                                                {LineFault::kLate, 0.2},         {LineFault::kLost, 0.15},
                                                {LineFault::kUntriggered, 0.15}, {LineFault::kRepeated, 0.05},
                                                {LineFault::kSwapped, 0.15}};
  for (const auto& [fault, share] : expected)
    EXPECT_NEAR(static_cast<double>(counts[fault]) / kDraws, share, 0.015) << name_of(fault);
}

TEST(FaultPlan, OneFrameCannotChangePlaces) {
  FaultPlan plan({.swap = 1.0}, 1);
  EXPECT_EQ(plan.next(1).text(), "");
}

}  // namespace
}  // namespace vialsight::station
