// Positive release where products are located: what is not this product, whole, and held alike in all frames of its
// strip is not accepted on patches cut anywhere.
//
// The backend reconstructs whatever it is given, so that only locating stands between a wrong image and an accept.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "fake_backend.h"
#include "inspector/inspector_access.h"
#include "located_bundle.h"
#include "located_frames.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

#ifdef VIALSIGHT_SANITIZED
constexpr int kEach = 1;  // sanitizers make these tests that much slower
#else
constexpr int kEach = 8;
#endif
constexpr int kFrames = 3;

Picture flat(double value) { return {320, 256, std::vector<double>(320 * 256, value)}; }

// Pixel (x, y) is what `source` says of it.
Picture redrawn(const Picture& picture, const std::function<double(const Picture&, int x, int y)>& source) {
  Picture result = picture;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) result.at(x, y) = source(picture, x, y);
  }
  return result;
}

Picture moved(const BlobProduct& product, const Pose& pose, double dx, double dy, double turn) {
  return product.draw({pose.dx + dx, pose.dy + dy, pose.turn + turn});
}

// The frames of one strip whose product is held at a pose.
struct Strip {
  BlobProduct product;
  Pose pose;
  std::vector<Picture> frames;
};

struct Fault {
  const char* name;
  std::function<void(Strip&)> apply;
};

// Each frame on its own.
Fault each_frame(const char* name, const std::function<Picture(const Strip&, const Picture&)>& change) {
  return {name, [change](Strip& strip) {
            for (Picture& frame : strip.frames) frame = change(strip, frame);
          }};
}
Fault one_frame(const char* name, const std::function<Picture(const Strip&)>& draw) {
  return {name, [draw](Strip& strip) { strip.frames[1] = draw(strip); }};
}
Fault each_pixel(const char* name, const std::function<double(const Picture&, int x, int y)>& source) {
  return each_frame(name, [source](const Strip&, const Picture& frame) { return redrawn(frame, source); });
}

std::vector<Fault> place_faults() {
  return {
      each_frame("moved by 60 pixels",
                 [](const Strip& strip, const Picture&) { return moved(strip.product, strip.pose, 60.0, 0.0, 0.0); }),
      each_frame("moved by 60 pixels down",
                 [](const Strip& strip, const Picture&) { return moved(strip.product, strip.pose, 0.0, 60.0, 0.0); }),
      each_frame("turned by 6 degrees",
                 [](const Strip& strip, const Picture&) { return moved(strip.product, strip.pose, 0.0, 0.0, 0.1); }),
      one_frame("one frame moved by 20 pixels",
                [](const Strip& strip) { return moved(strip.product, strip.pose, 20.0, 0.0, 0.0); }),
      one_frame("one frame moved by 3 pixels",
                [](const Strip& strip) { return moved(strip.product, strip.pose, 0.0, -3.0, 0.0); }),
      one_frame("one frame turned by half a degree",
                [](const Strip& strip) { return moved(strip.product, strip.pose, 0.0, 0.0, 0.0087); }),
      one_frame("one frame moved by 60 pixels",
                [](const Strip& strip) { return moved(strip.product, strip.pose, -60.0, 0.0, 0.0); }),
  };
}

std::vector<Fault> picture_faults() {
  return {
      each_frame("blank", [](const Strip&, const Picture&) { return flat(0.5); }),
      each_frame("black", [](const Strip&, const Picture&) { return flat(0.01); }),
      each_frame("another product", [](const Strip& strip, const Picture&) { return BlobProduct(2).draw(strip.pose); }),
      one_frame("one frame blank", [](const Strip&) { return flat(0.5); }),
      one_frame("one frame of another product", [](const Strip& strip) { return BlobProduct(3).draw(strip.pose); }),
      each_pixel("half covered", [](const Picture& frame, int x, int y) { return x < 160 ? 0.1 : frame.at(x, y); }),
      each_pixel("half covered from below",
                 [](const Picture& frame, int x, int y) { return y < 128 ? frame.at(x, y) : 0.9; }),
      each_pixel("upside-down", [](const Picture& frame, int x, int y) { return frame.at(319 - x, 255 - y); }),
      each_pixel("mirrored", [](const Picture& frame, int x, int y) { return frame.at(319 - x, y); }),
      each_pixel("negative", [](const Picture& frame, int x, int y) { return 1.0 - frame.at(x, y); }),
      each_pixel("doubled", [](const Picture& frame, int x,
                               int y) { return 0.5 * (frame.at(x, y) + frame.at(std::min(x + 24, 319), y)); }),
      each_pixel("rows torn apart",
                 [](const Picture& frame, int x, int y) { return frame.at((x + 40 * (y / 64)) % 320, y); }),
  };
}

class LocatedPositiveReleaseTest : public ::testing::Test {
 protected:
  LocatedPositiveReleaseTest() {
    BundleWriter writer = located_bundle();
    writer.manifest["layout"]["frames"] = kFrames;
    writer.manifest["locate"]["limits"]["residual"] = 0.002;  // about three times what good frames leave
    writer.write(folder_.path() / "blots.vsb");
    const Bundle bundle = Bundle::load(folder_.path() / "blots.vsb").value();
    auto backend = std::make_unique<FakeBackend>(script_, 48, bundle.outputs());
    inspector_.emplace(InspectorAccess::create(bundle, {}, std::move(backend), clock_).value());
    for (const auto& group : {place_faults(), picture_faults()}) {
      faults.insert(faults.end(), group.begin(), group.end());
    }
  }

  Strip good_strip() {
    std::uniform_real_distribution<double> unit(-1.0, 1.0);
    Strip strip;
    strip.pose = {6.0 * unit(random), 6.0 * unit(random), 0.008 * unit(random)};
    strip.frames.assign(kFrames, strip.product.draw(strip.pose));
    return strip;
  }
  StripVerdict run(const Strip& strip) {
    std::vector<Frame8> frames;
    for (const Picture& picture : strip.frames) frames.push_back(taken(picture, random));
    return inspector_->inspect(++strips_, views_of(frames), Clock::time_point::max());
  }
  void expect_good() {
    const StripVerdict verdict = run(good_strip());
    ASSERT_EQ(verdict.verdict, Verdict::kAccept) << name_of(verdict.reason) << inspector_->health().last_fault;
  }
  void expect_not_located(const Strip& strip, const std::string& what) {
    const StripVerdict verdict = run(strip);
    EXPECT_EQ(verdict.verdict, Verdict::kReject) << what;
    EXPECT_EQ(verdict.reason, Reason::kNotLocated) << what << ": " << name_of(verdict.reason);
    EXPECT_EQ(std::count(verdict.vials.begin(), verdict.vials.end(), Verdict::kAccept), 0) << what;
    ++rejected_;
  }
  void expect_exact_counters() {
    const Statistics statistics = inspector_->statistics();
    EXPECT_EQ(statistics.rejected[static_cast<int>(Reason::kNotLocated)], rejected_);
    EXPECT_EQ(statistics.accepted, statistics.strips - rejected_);
  }

  std::mt19937 random{11};
  std::vector<Fault> faults;

 private:
  TemporaryFolder folder_;
  std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  std::shared_ptr<BackendScript> script_ = std::make_shared<BackendScript>(clock_);
  std::optional<Inspector> inspector_;
  std::uint64_t strips_ = 0;
  std::uint64_t rejected_ = 0;
};

TEST_F(LocatedPositiveReleaseTest, WhatIsNotTheProductInItsPlaceIsNotLocated) {
  for (const Fault& fault : faults) {
    for (int i = 0; i < kEach; ++i) {
      expect_good();
      Strip strip = good_strip();
      fault.apply(strip);
      expect_not_located(strip, fault.name);
    }
  }
  expect_exact_counters();
}

// Two different ones: a picture that is mirrored twice is good again.
TEST_F(LocatedPositiveReleaseTest, NoTwoFaultsMakeAnAccept) {
  for (int i = 0; i < 4 * kEach; ++i) {
    Strip strip = good_strip();
    std::shuffle(faults.begin(), faults.end(), random);
    const Fault& one = faults[0];
    const Fault& other = faults[1];
    one.apply(strip);
    other.apply(strip);
    expect_not_located(strip, std::string(one.name) + " and " + other.name);
  }
  expect_exact_counters();
}

}  // namespace
}  // namespace vialsight::test
