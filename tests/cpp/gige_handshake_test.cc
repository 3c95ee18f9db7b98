// What a PLC gets to see of a camera's faults: camera, source, Handshake and Inspector, as the station runs them.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gige_rig.h"
#include "inspector_fixture.h"
#include "vialsight/handshake.h"

namespace vialsight::test {
namespace {

using Kind = SourceEvent::Kind;

// The small line of bundle_writer.h: two frames of 40×30.
class GigeHandshakeTest : public InspectorTest {
 protected:
  GigeHandshakeTest() { options.require_fresh_frames = true; }

  void SetUp() override {
    Bundle bundle = load_bundle().value();
    inspector_.emplace(
        InspectorAccess::create(bundle, options,
                                std::make_unique<FakeBackend>(script, bundle.layout().patch_size, bundle.outputs()),
                                std::make_shared<SteadyTimeSource>())
            .value());
    handshake_.emplace(Handshake::create(*inspector_).value());
    rig_ = std::make_unique<GigeRig>(bundle.layout());
    ASSERT_TRUE(rig_->connect().ok());
  }

  // Dark stripes, as the fixture's, no two alike.
  Pixels image() {
    ++images_;
    auto pixels = std::make_shared<std::vector<std::uint8_t>>(40 * 30);
    for (std::size_t i = 0; i < pixels->size(); ++i)
      (*pixels)[i] = static_cast<std::uint8_t>(20 + (i + images_) % 7 + images_ / 7);
    return pixels;
  }
  void expose(const Pixels& pixels, Clock::time_point exposed, Clock::time_point sent, double lost = 0.0) {
    rig_->camera().expose({pixels, exposed, sent, lost});
  }
  void expose(Clock::time_point start) {
    for (int i = 0; i < 2; ++i) expose(image(), start + i * kBetween, start + i * kBetween);
  }
  // Takes the frames of a strip that was triggered then, until both were there or a slot's time is over.
  StripVerdict inspect(Clock::time_point triggered) {
    while (Clock::now() < triggered) ::usleep(200);
    EXPECT_TRUE(handshake_->trigger(++strip_id_, triggered + kBudget).ok());
    const Clock::time_point opened = Clock::now();
    rig_->source().strip_opened(strip_id_, triggered);
    for (int taken = 0; taken < 2 && Clock::now() < triggered + kBudget;) {
      const SourceEvent event = rig_->next(milliseconds(50));
      if (event.kind != Kind::kFrame) continue;
      ++taken;
      const FrameStamp stamp{event.strip_id, event.frame_index, std::max(event.exposed, opened)};
      static_cast<void>(handshake_->submit(event.frame_index, event.pixels, stamp));
    }
    const StripVerdict verdict = handshake_->finish();
    rig_->source().strip_closed();
    EXPECT_TRUE(handshake_->acknowledge(strip_id_).ok());
    return verdict;
  }
  // Faults are of one strip: the next is good again.
  void expect_accept() {
    const Clock::time_point start = GigeRig::soon();
    expose(start);
    EXPECT_EQ(name_of(inspect(start).reason), std::string("none")) << "strip " << strip_id_;
  }
  void expect_reject(Clock::time_point start, Reason reason) {
    const StripVerdict verdict = inspect(start);
    EXPECT_EQ(verdict.verdict, Verdict::kReject);
    EXPECT_EQ(name_of(verdict.reason), std::string(name_of(reason))) << "strip " << strip_id_;
  }

  // Long enough for a machine that has other things to do; a strip that lacks a frame takes it all.
  static constexpr milliseconds kBudget{1000};
  static constexpr milliseconds kBetween{40};

  std::optional<Inspector> inspector_;
  std::optional<Handshake> handshake_;
  std::unique_ptr<GigeRig> rig_;
  std::uint64_t strip_id_ = 0;
  unsigned images_ = 0;
};

TEST_F(GigeHandshakeTest, WholeStripsAreAccepted) {
  for (int i = 0; i < 10; ++i) expect_accept();
}

TEST_F(GigeHandshakeTest, LostPacketsAreAMissingFrame) {
  expect_accept();
  const Clock::time_point start = GigeRig::soon();
  expose(image(), start, start, 1.0);
  expose(image(), start + kBetween, start + kBetween);
  expect_reject(start, Reason::kFrameMissing);
  expect_accept();
}

TEST_F(GigeHandshakeTest, AnImageThatTheCameraDidNotTakeIsAMissingFrame) {
  expect_accept();
  const Clock::time_point start = GigeRig::soon();
  expose(image(), start + kBetween, start + kBetween);
  expect_reject(start, Reason::kFrameMissing);
  expect_accept();
}

TEST_F(GigeHandshakeTest, ALateFrameIsMissingAndSpoilsNoOtherStrip) {
  expect_accept();
  const Clock::time_point start = GigeRig::soon();
  expose(image(), start, start);
  expose(image(), start + kBetween, start + kBudget + milliseconds(100));
  expect_reject(start, Reason::kFrameMissing);
  const Clock::time_point next = start + kBudget + milliseconds(150);
  expose(next);
  EXPECT_EQ(inspect(next).verdict, Verdict::kAccept);
  expect_accept();
}

TEST_F(GigeHandshakeTest, FramesThatChangedPlacesAreStale) {
  expect_accept();
  const Clock::time_point start = GigeRig::soon();
  const Pixels first = image();
  expose(image(), start + kBetween, start + kBetween);
  expose(first, start, start + kBetween);
  expect_reject(start, Reason::kFrameStale);
  expect_accept();
}

TEST_F(GigeHandshakeTest, AnOldImageIsStale) {
  const Pixels old = image();
  Clock::time_point start = GigeRig::soon();
  expose(old, start, start);
  expose(image(), start + kBetween, start + kBetween);
  EXPECT_EQ(inspect(start).verdict, Verdict::kAccept);
  start = GigeRig::soon();
  expose(image(), start, start);
  expose(old, start + kBetween, start + kBetween);
  expect_reject(start, Reason::kFrameStale);
  expect_accept();
}

TEST_F(GigeHandshakeTest, AnUnpluggedCameraRejectsAndComesBack) {
  expect_accept();
  rig_->camera().unplug();
  const Clock::time_point start = GigeRig::soon();
  expose(start);
  expect_reject(start, Reason::kFrameMissing);
  EXPECT_EQ(rig_->next(milliseconds(20'000)).kind, Kind::kLost);
  rig_->camera().plug();
  GigeRig::wait_for([this] { return rig_->camera().acquiring(); });
  expect_accept();
}

}  // namespace
}  // namespace vialsight::test
