// A bundle that locates, its backend in a process of its own: where the product lies is found in ours.
#include <gmock/gmock.h>

#include <random>
#include <vector>

#include "located_bundle.h"
#include "located_frames.h"
#include "worker_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::SizeIs;

class WorkerLocatedTest : public WorkerTest {
 protected:
  WorkerLocatedTest() { writer = located_bundle(); }

  StripVerdict inspect_at(Inspector& inspector, const Pose& first, const Pose& second) {
    const std::vector<Frame8> frames = {taken(first, random_), taken(second, random_)};
    return inspector.inspect(1, views_of(frames), Clock::now() + kAmple);
  }

 private:
  std::mt19937 random_{9};
};

TEST_F(WorkerLocatedTest, AcceptsWhatIsFound) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect_at(inspector, {5.0, -3.0, 0.006}, {5.0, -3.0, 0.006});
  EXPECT_EQ(verdict.reason, Reason::kNone) << inspector.health().last_fault;
  ASSERT_THAT(verdict.locations, SizeIs(2));
  EXPECT_NEAR(verdict.locations[1].pose.dx, 5.0, 0.05);
}

TEST_F(WorkerLocatedTest, RejectsFramesThatDisagree) {
  Inspector inspector = create();
  EXPECT_EQ(inspect_at(inspector, {0.0, 0.0, 0.0}, {9.0, 0.0, 0.0}).reason, Reason::kNotLocated);
  EXPECT_EQ(inspector.health().restarts, 0U);
}

}  // namespace
}  // namespace vialsight::test
