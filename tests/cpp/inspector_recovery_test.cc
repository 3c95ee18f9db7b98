// A backend that dies: what it costs, what is said meanwhile, and what it must pass before it inspects again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/restartable_backend.h"
#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// Shared by a test and the backend inside its Inspector.
struct DeathScript {
  std::atomic<bool> dead = false;           // run and check fail until restart
  std::atomic<bool> dies_in_batch = false;  // the next batch kills it
  std::atomic<bool> stays_dead = false;     // restart fails
  std::atomic<bool> hangs_in_restart = false;
  std::atomic<bool> wrong_after_restart = false;
  std::atomic<bool> cancelled = false;
  std::atomic<int> restarts = 0;  // attempts
};

// FakeBackend in a process that is none.
class MortalBackend final : public RestartableBackend {
 public:
  MortalBackend(std::shared_ptr<DeathScript> death, std::shared_ptr<BackendScript> script)
      : death_(std::move(death)),
        backend_(std::move(script), 12, {{"reconstruction", OutputRole::kReconstruction, 12, 12}}),
        memory_(2 * 2 * kFloats) {}

  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override {
    if (death_->dies_in_batch.exchange(false)) death_->dead = true;
    if (death_->dead) return {Code::kBackendFault, "worker 1: died"};
    Status status = backend_.run(patches, count, outputs);
    if (death_->wrong_after_restart && death_->restarts > 0) std::fill_n(outputs[0], count * 144, 0.9F);
    return status;
  }
  Status restart() noexcept override {
    const int attempt = ++death_->restarts;
    while (death_->hangs_in_restart && !death_->cancelled) std::this_thread::yield();
    if (death_->stays_dead || death_->cancelled) return {Code::kNotFound, "attempt " + std::to_string(attempt)};
    death_->dead = false;
    return {};
  }
  Status check() noexcept override { return death_->dead ? Status(Code::kBackendFault, "worker 1: gone") : Status(); }
  void cancel() noexcept override { death_->cancelled = true; }
  int pid() const noexcept override { return death_->dead ? 0 : 1; }
  PatchMemory memory() noexcept override { return {std::span(memory_).first(2 * kFloats), outputs_}; }

 private:
  static constexpr std::size_t kFloats = 8 * 144;  // of a strip of the small line

  std::shared_ptr<DeathScript> death_;
  FakeBackend backend_;
  std::vector<float> memory_;
  std::array<std::span<float>, 1> outputs_ = {std::span(memory_).last(2 * kFloats)};
};

class InspectorRecoveryTest : public InspectorTest {
 protected:
  Inspector create() {
    return InspectorAccess::create(load_bundle().value(), options, std::make_unique<MortalBackend>(death, script),
                                   clock)
        .value();
  }
  static void wait_until_ready(const Inspector& inspector) {
    while (!inspector.ready()) std::this_thread::yield();
  }
  static void wait_until_unready(const Inspector& inspector) {
    while (inspector.ready()) std::this_thread::yield();
  }
  StripVerdict inspect(Inspector& inspector) { return inspect_good(inspector, 1, after(milliseconds(500))); }

  std::shared_ptr<DeathScript> death = std::make_shared<DeathScript>();
};

TEST_F(InspectorRecoveryTest, InspectsInTheBackendsMemory) {
  Inspector inspector = create();
  EXPECT_EQ(inspect(inspector).verdict, Verdict::kAccept);
  const Health health = inspector.health();
  EXPECT_TRUE(health.ready);
  EXPECT_EQ(health.worker_pid, 1);
  EXPECT_EQ(health.restarts, 0U);
  EXPECT_EQ(health.last_fault, "");
}

TEST_F(InspectorRecoveryTest, ADeathInABatchCostsTheStripInFlight) {
  Inspector inspector = create();
  death->dies_in_batch = true;
  const StripVerdict lost = inspect(inspector);
  EXPECT_EQ(lost.reason, Reason::kBackendFault);
  EXPECT_THAT(lost.vials, Each(Verdict::kReject));
  wait_until_ready(inspector);
  EXPECT_EQ(inspect(inspector).verdict, Verdict::kAccept);
  EXPECT_EQ(inspector.health().restarts, 1U);
  EXPECT_EQ(inspector.health().last_fault, "worker 1: died");
}

TEST_F(InspectorRecoveryTest, ADeathBetweenTwoFramesCostsTheStripToo) {
  Inspector inspector = create();
  const int before = script->ended;
  ASSERT_TRUE(inspector.open(1, Clock::time_point::max()).ok());
  ASSERT_TRUE(inspector.submit(0, TestFrame().view()).ok());
  while (script->ended < before + 1) std::this_thread::yield();
  death->dead = true;
  while (death->restarts == 0) std::this_thread::yield();  // found by itself, without a frame
  wait_until_ready(inspector);
  ASSERT_TRUE(inspector.submit(1, TestFrame().view()).ok());
  EXPECT_EQ(inspector.close().reason, Reason::kBackendFault);  // at once, without a deadline
  EXPECT_EQ(inspector.health().last_fault, "worker 1: gone");
}

TEST_F(InspectorRecoveryTest, RejectsAtOnceWhileItIsStartedAgain) {
  Inspector inspector = create();
  death->hangs_in_restart = true;
  death->dead = true;
  wait_until_unready(inspector);
  const StripVerdict verdict = inspect_good(inspector, 9, Clock::time_point::max());
  EXPECT_EQ(verdict.strip_id, 9U);
  EXPECT_EQ(verdict.reason, Reason::kNotReady);
  EXPECT_FALSE(inspector.health().ready);
  EXPECT_EQ(inspector.health().worker_pid, 0);
  death->hangs_in_restart = false;
  wait_until_ready(inspector);
  EXPECT_EQ(inspect(inspector).verdict, Verdict::kAccept);
}

TEST_F(InspectorRecoveryTest, AStripOpenedBeforeItIsReadyStaysUninspected) {
  Inspector inspector = create();
  death->hangs_in_restart = true;
  death->dead = true;
  wait_until_unready(inspector);
  ASSERT_TRUE(inspector.open(1, Clock::time_point::max()).ok());
  ASSERT_TRUE(inspector.submit(0, TestFrame().view()).ok());
  death->hangs_in_restart = false;
  wait_until_ready(inspector);
  ASSERT_TRUE(inspector.submit(1, TestFrame().view()).ok());
  EXPECT_EQ(inspector.close().reason, Reason::kNotReady);
  EXPECT_FALSE(inspector.images(0, 0, 0).has_value());
}

TEST_F(InspectorRecoveryTest, AFrameThatDoesNotFitIsRefusedMeanwhile) {
  Inspector inspector = create();
  death->hangs_in_restart = true;
  death->dead = true;
  wait_until_unready(inspector);
  ASSERT_TRUE(inspector.open(1, Clock::time_point::max()).ok());
  EXPECT_EQ(inspector.submit(2, TestFrame().view()).code(), Code::kInvalidArgument);
  EXPECT_EQ(inspector.close().reason, Reason::kNotReady);
  death->hangs_in_restart = false;
}

TEST_F(InspectorRecoveryTest, MustPassTheGoldenPatchesAgain) {
  Inspector inspector = create();
  death->wrong_after_restart = true;
  death->dead = true;
  while (death->restarts < 1) std::this_thread::yield();
  for (int attempt = 2; attempt < 5; ++attempt) {
    while (death->restarts < attempt) clock->advance(milliseconds(10));
    EXPECT_EQ(inspect(inspector).reason, Reason::kNotReady);
  }
  EXPECT_THAT(inspector.health().last_fault, HasSubstr("golden patches: expected scores within"));
  EXPECT_EQ(inspector.health().restarts, 0U);
  death->wrong_after_restart = false;
  while (!inspector.ready()) clock->advance(milliseconds(10));
  // Without a deadline: the clock ran on while the cost of a batch was measured.
  EXPECT_EQ(inspect_good(inspector, 1, Clock::time_point::max()).verdict, Verdict::kAccept);
  EXPECT_EQ(inspector.health().restarts, 1U);
}

// 100 ms after the first failure, then twice as long each time, but never longer than 10 s.
TEST_F(InspectorRecoveryTest, WaitsLongerAfterEveryFailedAttempt) {
  Inspector inspector = create();
  death->stays_dead = true;
  death->dead = true;
  const auto settle = [&](int attempts) {
    while (inspector.health().last_fault != "attempt " + std::to_string(attempts)) std::this_thread::yield();
    std::this_thread::sleep_for(milliseconds(5));  // an attempt that should not be would come now
    EXPECT_EQ(death->restarts, attempts);
  };
  settle(1);
  int attempts = 1;
  for (const int wait_ms : {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}) {
    clock->advance(milliseconds(wait_ms) - Clock::duration(1));
    settle(attempts);
    clock->advance(Clock::duration(1));
    settle(++attempts);
  }
  death->stays_dead = false;
  clock->advance(std::chrono::seconds(10));
  wait_until_ready(inspector);
  // The next death is a new one: it is started again without waiting.
  death->dead = true;
  while (inspector.health().restarts < 2) std::this_thread::yield();
}

TEST_F(InspectorRecoveryTest, MeasuresTheCostOfABatchAnew) {
  script->set_cost(milliseconds(10));
  Inspector inspector = create();
  script->set_cost(milliseconds(20));
  death->dead = true;
  while (inspector.health().restarts < 1) std::this_thread::yield();
  EXPECT_NEAR(inspector.statistics().batch_cost_s, 0.020, 1e-9);
}

// An error of the backend that did not kill it costs the strip and nothing else.
TEST_F(InspectorRecoveryTest, AnErrorOfALivingBackendStartsNothingAgain) {
  Inspector inspector = create();
  script->fails = true;
  EXPECT_EQ(inspect(inspector).reason, Reason::kBackendFault);
  script->fails = false;
  EXPECT_EQ(inspect(inspector).verdict, Verdict::kAccept);
  EXPECT_EQ(inspector.health().restarts, 0U);
  EXPECT_EQ(inspector.health().last_fault, "told to");
}

TEST_F(InspectorRecoveryTest, IsDestroyedInTheMiddleOfARestart) {
  {
    const Inspector inspector = create();
    death->hangs_in_restart = true;
    death->dead = true;
    wait_until_unready(inspector);
  }
  EXPECT_TRUE(death->cancelled);
  EXPECT_FALSE(script->alive);
}

TEST_F(InspectorTest, HealthOfABackendInThisProcess) {
  Inspector inspector = create();
  EXPECT_TRUE(inspector.ready());
  EXPECT_EQ(inspector.health().worker_pid, 0);
  const std::uint64_t before = inspector.heartbeat();
  while (inspector.heartbeat() == before) std::this_thread::yield();
  EXPECT_GE(inspector.health().heartbeat, before + 1);
  script->fails = true;
  EXPECT_EQ(inspect_good(inspector, 1, after(milliseconds(500))).reason, Reason::kBackendFault);
  EXPECT_EQ(inspector.health().last_fault, "told to");
  EXPECT_TRUE(inspector.ready());
}

// A hung batch shows in the heartbeat.
TEST_F(InspectorTest, TheHeartbeatStandsStillWhileABatchHangs) {
  Inspector inspector = create();
  const int before = script->entered;
  script->held = true;
  ASSERT_TRUE(inspector.open(1, after(milliseconds(100))).ok());
  ASSERT_TRUE(inspector.submit(0, TestFrame().view()).ok());
  script->wait_for_batch(before + 1);
  const std::uint64_t beat = inspector.heartbeat();
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(inspector.heartbeat(), beat);
  script->held = false;
  while (inspector.heartbeat() == beat) std::this_thread::yield();
  (void)inspector.close();
}

TEST_F(InspectorTest, WithoutThresholdsItIsNotReady) {
  writer.remove_calibration();
  options.require_thresholds = false;
  EXPECT_FALSE(create().ready());
}

TEST_F(InspectorTest, AMovedFromInspectorHasNoHealth) {
  Inspector inspector = create();
  const Inspector other = std::move(inspector);
  EXPECT_FALSE(inspector.ready());  // NOLINT(bugprone-use-after-move): the state after a move is what is tested
  EXPECT_EQ(inspector.heartbeat(), 0U);
  EXPECT_FALSE(inspector.health().ready);
}

}  // namespace
}  // namespace vialsight::test
