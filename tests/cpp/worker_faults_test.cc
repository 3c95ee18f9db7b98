// A worker that is killed, stopped or aborts at random, again and again, while strips are inspected.
//
// Whatever happens, nothing is accepted that was not wholly inspected, the control program (this test) lives, and
// nothing is left behind. A strip during which the worker was killed or stopped before its last frame was handed over
// is a reject for certain; where the blow comes at any moment, what is accepted must carry N scores of this strip.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cmath>
#include <random>

#include "worker_fixture.h"

namespace vialsight::test {
namespace {

using std::chrono::milliseconds;

#ifdef VIALSIGHT_SANITIZED
constexpr int kBlows = 100;  // starting a sanitizer's process takes long
#else
constexpr int kBlows = 1000;
#endif

class WorkerFaultsTest : public WorkerTest {
 protected:
  enum class Blow { kKillBefore, kStopBefore, kKillAnyTime, kStopAnyTime, kAbort, kCount };

  WorkerFaultsTest() {
    options.worker.batch_timeout = milliseconds(60);
    options.worker.start_timeout = milliseconds(2000);  // one that is stopped while it starts
  }

  // A defective strip is marked in its first frame, which is the one scored before any blow.
  StripVerdict strike(Inspector& inspector, Blow blow, bool defective) {
    const Image first = image(defective ? kOrderDefect : 0);
    const Image second = image(blow == Blow::kAbort ? kOrderAbort : 0);
    const int pid = inspector.health().worker_pid;
    std::thread striking;
    if (blow == Blow::kKillAnyTime || blow == Blow::kStopAnyTime) {
      const auto moment = std::chrono::microseconds(random_() % 400);
      striking = std::thread([=] {
        std::this_thread::sleep_for(moment);
        send(pid, blow == Blow::kKillAnyTime ? SIGKILL : SIGSTOP);
      });
    }
    EXPECT_TRUE(inspector.open(++strip_, Clock::now() + milliseconds(40)).ok());
    EXPECT_TRUE(inspector.submit(0, view(first)).ok());
    if (blow == Blow::kKillBefore) send(pid, SIGKILL);
    if (blow == Blow::kStopBefore) send(pid, SIGSTOP);
    EXPECT_TRUE(inspector.submit(1, view(second)).ok());
    StripVerdict verdict = inspector.close();
    if (striking.joinable()) striking.join();
    return verdict;
  }
  static void send(int pid, int signal) {
    if (pid > 0) ::kill(pid, signal);
  }
  static void expect_inspected(const StripVerdict& verdict) {
    EXPECT_EQ(verdict.scores.size(), 8U);
    for (const float score : verdict.scores) EXPECT_NEAR(score, 0.0F, 1e-6F);
    EXPECT_GE(verdict.slack_s, 0.0);
  }

  std::mt19937 random_{5};
  std::uint64_t strip_ = 0;
};

TEST_F(WorkerFaultsTest, NothingIsAcceptedInErrorAndNothingIsLeft) {
  const std::size_t descriptors = count_descriptors();
  {
    Inspector inspector = create();
    int accepted = 0;
    for (int i = 0; i < kBlows; ++i) {
      if (random_() % 8 != 0) wait_until_ready(inspector);  // else while it is being started again
      const auto blow = static_cast<Blow>(random_() % static_cast<unsigned>(Blow::kCount));
      const bool defective = random_() % 2 == 0;
      const StripVerdict verdict = strike(inspector, blow, defective);
      ASSERT_EQ(verdict.strip_id, strip_);
      if (verdict.verdict == Verdict::kReject) continue;
      ++accepted;
      expect_inspected(verdict);
      EXPECT_FALSE(defective);
      EXPECT_TRUE(blow == Blow::kKillAnyTime || blow == Blow::kStopAnyTime);
    }
    wait_until_ready(inspector);
    const Statistics statistics = inspector.statistics();
    EXPECT_EQ(statistics.strips, static_cast<std::uint64_t>(kBlows));
    EXPECT_EQ(statistics.accepted, static_cast<std::uint64_t>(accepted));
    std::uint64_t rejected = 0;
    for (const std::uint64_t count : statistics.rejected) rejected += count;
    EXPECT_EQ(statistics.strips, statistics.accepted + rejected);
    EXPECT_GT(inspector.health().restarts, static_cast<std::uint64_t>(kBlows / 2));
    RecordProperty("accepted", accepted);
    // And it still inspects.
    EXPECT_EQ(inspect(inspector, 0, kAmple).verdict, Verdict::kAccept);
    EXPECT_EQ(inspect(inspector, kOrderDefect, kAmple).reason, Reason::kDefect);
  }
  EXPECT_EQ(count_descriptors(), descriptors);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

}  // namespace
}  // namespace vialsight::test
