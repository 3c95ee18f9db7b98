// Soak: memory does not grow and counters stay exact over 100,000 strips.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>

#include "strip_plan.h"

namespace vialsight::test {
namespace {

#ifdef VIALSIGHT_SANITIZED
constexpr int kStrips = 2000;  // sanitizers keep freed memory for a while: what grows is theirs
#else
constexpr int kStrips = 100'000;
#endif
[[maybe_unused]] constexpr long kMostGrowth = 1L << 20;  // bytes
constexpr int kWarmUpStrips = 1000;

// Of this process, in memory; proc(5), statm.
long resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  long total = 0;
  long resident = 0;
  statm >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// What a line sees in a long shift: nine good strips, then a defect, a lost frame or a failing backend.
class Shift {
 public:
  void run(int strips) {
    for (int i = 0; i < strips; ++i) run_next();
  }
  void expect_exact_counters() {
    const Statistics statistics = line_.inspector().statistics();
    EXPECT_EQ(statistics.strips, static_cast<std::uint64_t>(strips_));
    EXPECT_EQ(statistics.accepted, expected_[0]);
    EXPECT_EQ(statistics.overruns, 0U);
    for (std::size_t reason = 1; reason < kReasonCount; ++reason) {
      EXPECT_EQ(statistics.rejected[reason], expected_[reason]) << name_of(static_cast<Reason>(reason));
    }
  }

 private:
  void run_next() {
    StripPlan plan = line_.good_plan();
    Reason reason = Reason::kNone;
    if (++strips_ % 10 == 0) reason = spoil(plan, strips_ / 10 % 3);
    ++expected_[static_cast<std::size_t>(reason)];
    ASSERT_EQ(line_.run(plan).reason, reason) << "strip " << strips_;
  }
  static Reason spoil(StripPlan& plan, int kind) {
    if (kind == 0) {
      plan.shots.pop_back();
      return Reason::kFrameMissing;
    }
    plan.orders = {kind == 1 ? Behaviour::kNegative : Behaviour::kError, 1, 3, {}};
    return kind == 1 ? Reason::kDefect : Reason::kBackendFault;
  }

  StripLine line_{8, 11};
  int strips_ = 0;
  std::array<std::uint64_t, kReasonCount> expected_ = {};
};

TEST(SoakTest, MemoryStaysAndCountersAreExact) {
  Shift shift;
  shift.run(kWarmUpStrips);
  const long before = resident_bytes();
  shift.run(kStrips);
  const long growth = resident_bytes() - before;
  RecordProperty("growth_bytes", std::to_string(growth));
  shift.expect_exact_counters();
#ifndef VIALSIGHT_SANITIZED
  EXPECT_LT(growth, kMostGrowth);
#endif
}

}  // namespace
}  // namespace vialsight::test
