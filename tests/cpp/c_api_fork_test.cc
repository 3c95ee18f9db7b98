// The C API in processes that fork() makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "c_api_fixture.h"
#include "forked.h"

namespace vialsight::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ForkedCApiTest : public CApiTest, public ::testing::WithParamInterface<Isolation> {
 protected:
  ForkedCApiTest() {
    options.isolation = static_cast<std::int32_t>(GetParam());
    options.worker_program = WORKER_PROGRAM;
  }
  // "5 vialsight_open: this Inspector was made by process…"
  static std::string told(vialsight_status status) {
    return std::to_string(status) + " " + (status == VIALSIGHT_OK ? "" : vialsight_last_error()) + "\n";
  }
  void expect_unharmed() {
    inspect_good(1);
    auto health = sized<vialsight_health>();
    ASSERT_EQ(vialsight_get_health(inspector, &health), VIALSIGHT_OK);
    EXPECT_EQ(health.ready, 1);
    EXPECT_EQ(health.restarts, 0U);
  }
};

INSTANTIATE_TEST_SUITE_P(Isolations, ForkedCApiTest, ::testing::Values(Isolation::kInProcess, Isolation::kWorker),
                         name_of_isolation);

TEST_P(ForkedCApiTest, EveryCallIsRefusedInAChild) {
  SKIP_WITH_A_SANITIZER();
  create();
  inspect_good(1);
  const std::string text = in_child([&] {
    std::string result;
    const auto expect = [&](vialsight_status status) {
      const std::string each = told(status);
      if (status != VIALSIGHT_FAILED_PRECONDITION || each.find("came of a fork") == std::string::npos) result += each;
    };
    const vialsight_frame both[] = {fresh(), fresh()};
    float floats[64] = {};
    char fault[8] = {};
    std::int32_t vials[2] = {};
    double thresholds[2] = {};
    auto statistics = sized<vialsight_statistics>();
    auto health = sized<vialsight_health>();
    const auto stamp = sized<vialsight_stamp>();
    vialsight_handshake* handshake = nullptr;
    expect(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE));
    expect(vialsight_submit(inspector, 0, both));
    expect(vialsight_submit(inspector, 0, nullptr));
    expect(vialsight_submit_stamped(inspector, 0, both, &stamp));
    expect(vialsight_close(inspector, &verdict));
    expect(vialsight_inspect(inspector, 1, both, 2, VIALSIGHT_NO_DEADLINE, &verdict));
    expect(vialsight_scores(inspector, floats, 8));
    expect(vialsight_vials(inspector, vials, 2));
    expect(vialsight_thresholds(inspector, thresholds, 2));
    expect(vialsight_images(inspector, 0, 0, 0, floats, nullptr, 16));
    expect(vialsight_map(inspector, 0, 0, 0, floats, 16));
    expect(vialsight_score_patches(inspector, floats, 1, 0, floats, nullptr));
    expect(vialsight_get_statistics(inspector, &statistics));
    expect(vialsight_get_health(inspector, &health));
    expect(vialsight_last_fault(inspector, fault, sizeof fault));
    expect(vialsight_handshake_create(inspector, &handshake));
    return result + (verdict.verdict == VIALSIGHT_REJECT && health.ready == 0 ? "rejected" : "not rejected");
  });
  EXPECT_EQ(text, "rejected");
  expect_unharmed();
}

TEST_P(ForkedCApiTest, AHandshakeIsRefusedInAChild) {
  SKIP_WITH_A_SANITIZER();
  create();
  vialsight_handshake* handshake = nullptr;
  ASSERT_EQ(vialsight_handshake_create(inspector, &handshake), VIALSIGHT_OK);
  const std::string text = in_child([&] {
    auto signals = sized<vialsight_signals>();
    auto counters = sized<vialsight_counters>();
    const vialsight_frame frame = fresh();
    const vialsight_status all[] = {vialsight_handshake_trigger(handshake, 1, VIALSIGHT_NO_DEADLINE),
                                    vialsight_handshake_submit(handshake, 0, &frame),
                                    vialsight_handshake_finish(handshake, &verdict),
                                    vialsight_handshake_acknowledge(handshake, 1),
                                    vialsight_handshake_signals(handshake, &signals),
                                    vialsight_handshake_counters(handshake, &counters)};
    std::string codes;
    for (const vialsight_status status : all) codes += std::to_string(status);
    codes += told(all[5]);
    codes += told(vialsight_handshake_destroy(handshake));
    return codes + told(vialsight_inspector_destroy(inspector));
  });
  EXPECT_THAT(text, AllOf(HasSubstr("555555"), kNamesTheFork, ::testing::EndsWith("\n0 \n0 \n")));
  ASSERT_EQ(vialsight_handshake_destroy(handshake), VIALSIGHT_OK);
  expect_unharmed();
}

TEST_P(ForkedCApiTest, AChildDestroysAndMakesItsOwn) {
  SKIP_WITH_A_SANITIZER();
  create();
  const std::string text = in_child([&] {
    std::string result = told(vialsight_inspector_destroy(inspector));
    vialsight_inspector* own = nullptr;
    result += told(vialsight_inspector_create(bundle, &options, &own));
    const vialsight_frame both[] = {fresh(), fresh()};
    result += told(vialsight_inspect(own, 1, both, 2, VIALSIGHT_NO_DEADLINE, &verdict));
    result += verdict.verdict == VIALSIGHT_ACCEPT ? "accept\n" : "reject\n";
    return result + told(vialsight_inspector_destroy(own));
  });
  EXPECT_EQ(text, "0 \n0 \n0 \naccept\n0 \n");
  expect_unharmed();
}

// Forks while other threads add and remove handles: a child that came with their lock held would wait for ever.
TEST_P(ForkedCApiTest, HandlesAreMadeWhileOthersFork) {
  SKIP_WITH_A_SANITIZER();
  create();
  std::atomic<bool> done = false;
  std::thread adding([&] {
    while (!done) {
      vialsight_handshake* handshake = nullptr;
      EXPECT_EQ(vialsight_handshake_create(inspector, &handshake), VIALSIGHT_OK);
      EXPECT_EQ(vialsight_handshake_destroy(handshake), VIALSIGHT_OK);
    }
  });
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(in_child([&] { return told(vialsight_bundle_destroy(bundle)); }), "0 \n");
  }
  done = true;
  adding.join();
  expect_unharmed();
}

}  // namespace
}  // namespace vialsight::test
