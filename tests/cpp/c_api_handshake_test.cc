// The handshake through the C API.
#include "c_api_fixture.h"

namespace vialsight::test {
namespace {

class CApiHandshakeTest : public CApiTest {
 protected:
  CApiHandshakeTest() {
    create();
    EXPECT_EQ(vialsight_handshake_create(inspector, &handshake), VIALSIGHT_OK);
  }
  ~CApiHandshakeTest() override { EXPECT_EQ(vialsight_handshake_destroy(handshake), VIALSIGHT_OK); }

  vialsight_status hand_over(std::int32_t index) {
    const vialsight_frame frame = fresh();
    return vialsight_handshake_submit(handshake, index, &frame);
  }
  vialsight_signals seen() const {
    auto signals = sized<vialsight_signals>();
    EXPECT_EQ(vialsight_handshake_signals(handshake, &signals), VIALSIGHT_OK);
    return signals;
  }
  vialsight_counters counters() const {
    auto counters = sized<vialsight_counters>();
    EXPECT_EQ(vialsight_handshake_counters(handshake, &counters), VIALSIGHT_OK);
    return counters;
  }

  vialsight_handshake* handshake = nullptr;
};

TEST_F(CApiHandshakeTest, AStripGoesThroughAllSignals) {
  EXPECT_EQ(seen().ready, 1);
  ASSERT_EQ(vialsight_handshake_trigger(handshake, 7, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_EQ(seen().ready, 0);
  EXPECT_EQ(seen().busy, 1);
  EXPECT_EQ(seen().strip_id, 7U);
  EXPECT_EQ(counters().in_flight, 1U);
  EXPECT_EQ(hand_over(0), VIALSIGHT_OK);
  auto stamp = sized<vialsight_stamp>();
  stamp.strip_id = 7;
  stamp.frame_index = 1;
  stamp.exposed_ns = vialsight_now_ns();
  const vialsight_frame frame = fresh();
  EXPECT_EQ(vialsight_handshake_submit_stamped(handshake, 1, &frame, &stamp), VIALSIGHT_OK);
  ASSERT_EQ(vialsight_handshake_finish(handshake, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_ACCEPT);
  EXPECT_EQ(seen().result_valid, 1);
  EXPECT_EQ(seen().accept, 1);
  EXPECT_EQ(seen().reason, VIALSIGHT_REASON_NONE);
  ASSERT_EQ(vialsight_handshake_acknowledge(handshake, 7), VIALSIGHT_OK);
  EXPECT_EQ(seen().ready, 1);
  EXPECT_EQ(seen().accept, 0);
  EXPECT_EQ(counters().triggers, 1U);
  EXPECT_EQ(counters().accepted, 1U);
  std::vector<float> scores(8);
  EXPECT_EQ(vialsight_scores(inspector, scores.data(), scores.size()), VIALSIGHT_OK);
}

TEST_F(CApiHandshakeTest, RefusedTriggersAreCounted) {
  ASSERT_EQ(vialsight_handshake_trigger(handshake, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_handshake_trigger(handshake, 2, VIALSIGHT_NO_DEADLINE), VIALSIGHT_FAILED_PRECONDITION,
                 "strip 2 is refused and counts as rejected");
  ASSERT_EQ(vialsight_handshake_finish(handshake, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_STALE);
  EXPECT_EQ(seen().reason, VIALSIGHT_REASON_FRAME_STALE);
  EXPECT_EQ(counters().triggers, 2U);
  EXPECT_EQ(counters().rejected[VIALSIGHT_REASON_NOT_READY], 1U);
  EXPECT_EQ(counters().rejected[VIALSIGHT_REASON_FRAME_STALE], 1U);
}

TEST_F(CApiHandshakeTest, CallsInTheWrongOrderNameTheMistake) {
  EXPECT_REFUSED(hand_over(0), VIALSIGHT_FAILED_PRECONDITION, "trigger one first");
  EXPECT_REFUSED(vialsight_handshake_finish(handshake, &verdict), VIALSIGHT_FAILED_PRECONDITION, "trigger one first");
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_NOT_READY);
  EXPECT_REFUSED(vialsight_handshake_acknowledge(handshake, 1), VIALSIGHT_FAILED_PRECONDITION, "finish it first");
}

TEST_F(CApiHandshakeTest, AnUnreadableFrameRejectsTheStrip) {
  ASSERT_EQ(vialsight_handshake_trigger(handshake, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_handshake_submit(handshake, 0, nullptr), VIALSIGHT_INVALID_ARGUMENT, "frame");
  EXPECT_EQ(hand_over(0), VIALSIGHT_OK);
  EXPECT_EQ(hand_over(1), VIALSIGHT_OK);
  ASSERT_EQ(vialsight_handshake_finish(handshake, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_INVALID);
}

TEST_F(CApiHandshakeTest, WhileItLivesItAloneDrivesTheInspector) {
  const vialsight_frame frame = fresh();
  constexpr const char* kText = "a handshake drives this inspector";
  EXPECT_REFUSED(vialsight_open(inspector, 1, 0), VIALSIGHT_FAILED_PRECONDITION, kText);
  EXPECT_REFUSED(vialsight_submit(inspector, 0, &frame), VIALSIGHT_FAILED_PRECONDITION, kText);
  EXPECT_REFUSED(vialsight_submit_stamped(inspector, 0, &frame, nullptr), VIALSIGHT_FAILED_PRECONDITION, kText);
  EXPECT_REFUSED(vialsight_close(inspector, &verdict), VIALSIGHT_FAILED_PRECONDITION, kText);
  EXPECT_REFUSED(vialsight_inspect(inspector, 1, &frame, 1, 0, &verdict), VIALSIGHT_FAILED_PRECONDITION, kText);
  EXPECT_REFUSED(vialsight_inspector_destroy(inspector), VIALSIGHT_FAILED_PRECONDITION, kText);
  auto* other = handshake;
  EXPECT_REFUSED(vialsight_handshake_create(inspector, &other), VIALSIGHT_FAILED_PRECONDITION, "another handshake");
  EXPECT_EQ(other, nullptr);
}

TEST_F(CApiHandshakeTest, AfterItSlotsAreOpenedAgain) {
  ASSERT_EQ(vialsight_handshake_destroy(handshake), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_handshake_destroy(handshake), VIALSIGHT_INVALID_ARGUMENT, "handshake");
  EXPECT_REFUSED(vialsight_handshake_trigger(handshake, 1, 0), VIALSIGHT_INVALID_ARGUMENT, "handshake");
  handshake = nullptr;
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_handshake_create(inspector, &handshake), VIALSIGHT_FAILED_PRECONDITION, "is open");
  EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
}

TEST_F(CApiHandshakeTest, OutputsOfFailedCallsAreZero) {
  auto signals = sized<vialsight_signals>();
  auto counters = sized<vialsight_counters>();
  signals.accept = signals.result_valid = 1;
  counters.accepted = 9;
  EXPECT_EQ(vialsight_handshake_signals(nullptr, &signals), VIALSIGHT_INVALID_ARGUMENT);
  EXPECT_EQ(signals.accept + signals.result_valid, 0);
  EXPECT_EQ(vialsight_handshake_counters(nullptr, &counters), VIALSIGHT_INVALID_ARGUMENT);
  EXPECT_EQ(counters.accepted, 0U);
  verdict.verdict = VIALSIGHT_ACCEPT;
  EXPECT_EQ(vialsight_handshake_finish(nullptr, &verdict), VIALSIGHT_INVALID_ARGUMENT);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_REJECT);
  EXPECT_REFUSED(vialsight_handshake_signals(handshake, nullptr), VIALSIGHT_INVALID_ARGUMENT, "signals");
  EXPECT_REFUSED(vialsight_handshake_counters(handshake, nullptr), VIALSIGHT_INVALID_ARGUMENT, "counters");
  EXPECT_REFUSED(vialsight_handshake_finish(handshake, nullptr), VIALSIGHT_INVALID_ARGUMENT, "verdict");
  vialsight_handshake* none = nullptr;
  EXPECT_REFUSED(vialsight_handshake_create(nullptr, &none), VIALSIGHT_INVALID_ARGUMENT, "inspector");
  EXPECT_REFUSED(vialsight_handshake_create(inspector, nullptr), VIALSIGHT_INVALID_ARGUMENT, "handshake");
}

}  // namespace
}  // namespace vialsight::test
