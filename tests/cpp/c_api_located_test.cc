// The C API on a bundle that locates.
#include <random>
#include <string>
#include <vector>

#include "c_api_fixture.h"
#include "located_bundle.h"
#include "located_frames.h"

namespace vialsight::test {
namespace {

class CApiLocatedTest : public CApiTest {
 protected:
  CApiLocatedTest() : CApiTest(located_bundle()) { create(); }

  void inspect(const Pose& first, const Pose& second) {
    const std::vector<Frame8> frames = {taken(first, random_), taken(second, random_)};
    std::vector<vialsight_frame> views;
    for (const Frame8& frame : frames) {
      const FrameView view = frame.view();
      views.push_back(
          {sizeof(vialsight_frame), view.data, view.row_stride_bytes, view.width, view.height, VIALSIGHT_GRAY8, 0});
    }
    ASSERT_EQ(vialsight_inspect(inspector, ++strip_, views.data(), 2, VIALSIGHT_NO_DEADLINE, &verdict), VIALSIGHT_OK);
  }

  vialsight_location location = sized<vialsight_location>();

 private:
  std::mt19937 random_{3};
  std::uint64_t strip_ = 0;
};

TEST_F(CApiLocatedTest, LocationsAreThoseOfTheStripClosedLast) {
  inspect({5.0, -2.0, 0.004}, {5.0, -2.0, 0.004});
  ASSERT_EQ(verdict.verdict, VIALSIGHT_ACCEPT) << vialsight_reason_name(verdict.reason);
  EXPECT_GT(verdict.locate_s, 0.0);
  ASSERT_EQ(vialsight_get_location(inspector, 1, &location), VIALSIGHT_OK);
  EXPECT_EQ(location.found, 1);
  EXPECT_EQ(location.reason, VIALSIGHT_LOCATED);
  EXPECT_NEAR(location.dx, 5.0, 0.05);
  EXPECT_NEAR(location.dy, -2.0, 0.05);
  EXPECT_NEAR(location.turn, 0.004, 0.0005);
  EXPECT_GT(location.residual, 0.0);
  EXPECT_NEAR(location.contrast, 1.0, 0.02);
  EXPECT_GT(location.steps, 0);
}

TEST_F(CApiLocatedTest, AFrameThatIsNotLocatedSaysWhy) {
  inspect({}, {60.0, 0.0, 0.0});
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_NOT_LOCATED);
  EXPECT_STREQ(vialsight_reason_name(verdict.reason), "not_located");
  ASSERT_EQ(vialsight_get_location(inspector, 1, &location), VIALSIGHT_OK);
  EXPECT_EQ(location.found, 0);
  EXPECT_NE(location.reason, VIALSIGHT_LOCATED);
  EXPECT_NE(location.reason, VIALSIGHT_UNLOCATED_NOT_SEARCHED);
  auto statistics = sized<vialsight_statistics>();
  ASSERT_EQ(vialsight_get_statistics(inspector, &statistics), VIALSIGHT_OK);
  EXPECT_EQ(statistics.frames_not_located, 1U);
  EXPECT_EQ(statistics.rejected[VIALSIGHT_REASON_NOT_LOCATED], 1U);
}

TEST_F(CApiLocatedTest, FramesThatThereAreNotAreRefused) {
  EXPECT_REFUSED(vialsight_get_location(inspector, 0, &location), VIALSIGHT_FAILED_PRECONDITION, "no strip was closed");
  inspect({}, {});
  for (const std::int32_t frame : {-1, 2, INT32_MAX, INT32_MIN}) {
    location.found = 1;
    EXPECT_REFUSED(vialsight_get_location(inspector, frame, &location), VIALSIGHT_INVALID_ARGUMENT,
                   "frame: expected an index below 2, got " + std::to_string(frame));
    EXPECT_EQ(location.found, 0) << "an earlier location does not stay";
    EXPECT_EQ(location.reason, VIALSIGHT_UNLOCATED_NOT_SEARCHED);
  }
  EXPECT_REFUSED(vialsight_get_location(inspector, 0, nullptr), VIALSIGHT_INVALID_ARGUMENT, "location");
  EXPECT_REFUSED(vialsight_get_location(nullptr, 0, &location), VIALSIGHT_INVALID_ARGUMENT, "inspector");
}

TEST_F(CApiTest, ABundleThatDoesNotLocateHasNoLocations) {
  create();
  inspect_good(1);
  auto location = sized<vialsight_location>();
  EXPECT_REFUSED(vialsight_get_location(inspector, 0, &location), VIALSIGHT_FAILED_PRECONDITION, "does not locate");
  EXPECT_EQ(verdict.locate_s, 0.0);
}

TEST(CApiNames, OfReasonsWhyAProductWasNotLocated) {
  EXPECT_STREQ(vialsight_unlocated_name(VIALSIGHT_LOCATED), "none");
  EXPECT_STREQ(vialsight_unlocated_name(VIALSIGHT_UNLOCATED_OUTSIDE_REACH), "outside_reach");
  EXPECT_STREQ(vialsight_unlocated_name(VIALSIGHT_UNLOCATED_NOT_SEARCHED), "not_searched");
  EXPECT_STREQ(vialsight_unlocated_name(-1), "unknown");
  EXPECT_STREQ(vialsight_unlocated_name(99), "unknown");
}

}  // namespace
}  // namespace vialsight::test
