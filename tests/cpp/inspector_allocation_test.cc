// Between open and close nothing is allocated, by no thread.
#include <gtest/gtest.h>

#include <new>

#include "allocation_counter.h"
#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

class InspectorAllocationTest : public InspectorTest {
 protected:
  // Allocations from after open() until close() has returned.
  int allocations_of(Inspector& inspector, const TestFrame& frame, Clock::time_point deadline, Reason expected) {
    EXPECT_TRUE(inspector.open(1, deadline).ok());
    start_counting_allocations();
    const bool submitted = inspector.submit(0, frame.view()).ok() && inspector.submit(1, frame.view()).ok();
    const StripVerdict verdict = inspector.close();
    const int allocations = stop_counting_allocations();
    EXPECT_TRUE(submitted);
    EXPECT_EQ(verdict.reason, expected);
    return allocations;
  }
};

TEST_F(InspectorAllocationTest, TheCounterCounts) {
  start_counting_allocations();
  // Direct calls, which a compiler may not leave out as it may a new-expression.
  ::operator delete(::operator new(1));
  EXPECT_EQ(stop_counting_allocations(), 1);
}

TEST_F(InspectorAllocationTest, AnAcceptedStripAllocatesNothing) {
  Inspector inspector = create();
  EXPECT_EQ(allocations_of(inspector, TestFrame(), Clock::time_point::max(), Reason::kNone), 0);
  EXPECT_EQ(allocations_of(inspector, TestFrame(), after(milliseconds(500)), Reason::kNone), 0);
}

TEST_F(InspectorAllocationTest, StampsAllocateNothing) {
  Inspector inspector = create();
  const TestFrame frame;
  ASSERT_TRUE(inspector.open(1, Clock::time_point::max()).ok());
  start_counting_allocations();
  for (int index = 0; index < 2; ++index) {
    EXPECT_TRUE(inspector.submit(index, frame.view(), FrameStamp{1, index, clock->now()}).ok());
  }
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(stop_counting_allocations(), 0);
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
}

TEST_F(InspectorAllocationTest, ADefectiveStripAllocatesNothing) {
  Inspector inspector = create();
  const TestFrame bad = TestFrame().mark(0, 0, kDefectMarker);
  EXPECT_EQ(allocations_of(inspector, bad, Clock::time_point::max(), Reason::kDefect), 0);
}

TEST_F(InspectorAllocationTest, ALateStripAllocatesNothing) {
  Inspector inspector = create();
  EXPECT_EQ(allocations_of(inspector, TestFrame(), clock->now(), Reason::kDeadlineMissed), 0);
}

TEST_F(InspectorAllocationTest, AResampledLayoutAllocatesNothing) {
  Layout layout = small_layout();
  layout.boxes[0][0] = {1, 2, 17, 13};
  writer = BundleWriter(layout);
  Inspector inspector = create();
  EXPECT_EQ(allocations_of(inspector, TestFrame(), Clock::time_point::max(), Reason::kNone), 0);
}

}  // namespace
}  // namespace vialsight::test
