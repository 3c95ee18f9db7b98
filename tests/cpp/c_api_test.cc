// The C API of an Inspector.
#include "vialsight/c_api.h"

#include <array>
#include <utility>
#include <vector>

#include "allocation_counter.h"
#include "c_api_fixture.h"

namespace vialsight::test {
namespace {

TEST_F(CApiTest, DefaultsAreThoseOfCxx) {
  auto defaults = sized<vialsight_options>();
  ASSERT_EQ(vialsight_options_init(&defaults), VIALSIGHT_OK);
  EXPECT_EQ(defaults.level, VIALSIGHT_LEVEL_STRIP);
  EXPECT_EQ(defaults.require_thresholds, 1);
  EXPECT_EQ(defaults.require_fresh_frames, 1);
  EXPECT_EQ(defaults.threads, 0);
  EXPECT_EQ(defaults.margin_us, 2000);
  EXPECT_EQ(defaults.isolation, VIALSIGHT_IN_PROCESS);
  EXPECT_EQ(defaults.worker_batch_timeout_ms, 2000);
  EXPECT_EQ(defaults.worker_start_timeout_ms, 120000);
}

TEST_F(CApiTest, OptionsReachTheInspector) {
  options.margin_us = -1;
  EXPECT_REFUSED(vialsight_inspector_create(bundle, &options, &inspector), VIALSIGHT_INVALID_ARGUMENT, "margin");
  options.margin_us = 2000;
  options.threads = -7;
  EXPECT_REFUSED(vialsight_inspector_create(bundle, &options, &inspector), VIALSIGHT_INVALID_ARGUMENT, "threads");
  options.threads = 1;
  options.priority = 100;
  EXPECT_REFUSED(vialsight_inspector_create(bundle, &options, &inspector), VIALSIGHT_INVALID_ARGUMENT, "priority");
  options.priority = 0;
  const std::int32_t cpu = -4;
  options.cpus = &cpu;
  options.cpu_count = 1;
  EXPECT_REFUSED(vialsight_inspector_create(bundle, &options, &inspector), VIALSIGHT_INVALID_ARGUMENT, "cpus");
  options.cpu_count = 0;
  options.backend_module = NO_BACKEND;
  EXPECT_REFUSED(vialsight_inspector_create(bundle, &options, &inspector), VIALSIGHT_UNSUPPORTED, "no symbol");
  EXPECT_EQ(inspector, nullptr);
}

TEST_F(CApiTest, OptionsThatWrapAroundAreRefused) {
  const auto refused = [&](std::int32_t vialsight_options::*field, std::int32_t value, const char* name) {
    vialsight_options wrong = options;
    wrong.*field = value;
    EXPECT_REFUSED(vialsight_inspector_create(bundle, &wrong, &inspector), VIALSIGHT_INVALID_ARGUMENT, name);
  };
  refused(&vialsight_options::level, 257, "level");
  refused(&vialsight_options::isolation, 256, "isolation");
  refused(&vialsight_options::require_thresholds, 2, "require_thresholds: expected 0 or 1, got 2");
  refused(&vialsight_options::require_fresh_frames, -1, "require_fresh_frames");
  refused(&vialsight_options::lock_memory, 256, "lock_memory");
  refused(&vialsight_options::cpu_count, -1, "cpu_count");
  refused(&vialsight_options::cpu_count, 4097, "cpu_count");
  refused(&vialsight_options::cpu_count, 1, "cpus: expected a pointer");
}

TEST_F(CApiTest, AStripIsInspectedFrameByFrame) {
  create();
  const std::int64_t deadline = vialsight_now_ns() + 60'000'000'000;
  ASSERT_EQ(vialsight_open(inspector, 41, deadline), VIALSIGHT_OK);
  ASSERT_EQ(submit(0), VIALSIGHT_OK);
  ASSERT_EQ(submit(1), VIALSIGHT_OK);
  ASSERT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_ACCEPT);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_NONE);
  EXPECT_EQ(verdict.strip_id, 41U);
  EXPECT_GT(verdict.total_s, 0.0);
  EXPECT_GT(verdict.slack_s, 0.0);
  EXPECT_LT(verdict.slack_s, 60.0);
}

TEST_F(CApiTest, StampsAreChecked) {
  create();
  ASSERT_EQ(vialsight_open(inspector, 41, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  auto stamp = sized<vialsight_stamp>();
  stamp.strip_id = 41;
  stamp.exposed_ns = vialsight_now_ns();
  const vialsight_frame first = fresh();
  EXPECT_EQ(vialsight_submit_stamped(inspector, 0, &first, &stamp), VIALSIGHT_OK);
  const vialsight_frame second = fresh();
  EXPECT_REFUSED(vialsight_submit_stamped(inspector, 1, &second, &stamp), VIALSIGHT_INVALID_ARGUMENT,
                 "its stamp is of frame 0");
  EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_STALE);
}

TEST_F(CApiTest, ADeadlineInThePastIsMissed) {
  create();
  const vialsight_frame both[] = {fresh(), fresh()};
  ASSERT_EQ(vialsight_inspect(inspector, 1, both, 2, vialsight_now_ns(), &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_REJECT);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_DEADLINE_MISSED);
}

TEST_F(CApiTest, ResultsOfTheStripClosedLastAreThere) {
  create();
  std::array<float, 8> scores = {};
  std::array<double, 2> thresholds = {};
  std::array<std::int32_t, 2> vials = {};
  EXPECT_REFUSED(vialsight_scores(inspector, scores.data(), 8), VIALSIGHT_FAILED_PRECONDITION, "no strip was closed");
  EXPECT_REFUSED(vialsight_thresholds(inspector, thresholds.data(), 2), VIALSIGHT_FAILED_PRECONDITION, "no strip");
  EXPECT_REFUSED(vialsight_vials(inspector, vials.data(), 2), VIALSIGHT_FAILED_PRECONDITION, "no strip");
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  EXPECT_EQ(vialsight_scores(inspector, scores.data(), 8), VIALSIGHT_OK);
  EXPECT_THAT(scores, ::testing::Each(::testing::FloatNear(0.0F, 1e-6F)));
  EXPECT_EQ(vialsight_thresholds(inspector, thresholds.data(), 2), VIALSIGHT_OK);
  EXPECT_THAT(thresholds, ::testing::Each(0.25));
  EXPECT_EQ(vialsight_vials(inspector, vials.data(), 2), VIALSIGHT_OK);
  EXPECT_THAT(vials, ::testing::Each(VIALSIGHT_ACCEPT));
  EXPECT_REFUSED(vialsight_scores(inspector, scores.data(), 7), VIALSIGHT_INVALID_ARGUMENT, "room for 8 values, got 7");
  EXPECT_REFUSED(vialsight_vials(inspector, vials.data(), 3), VIALSIGHT_INVALID_ARGUMENT, "room for 2 values, got 3");
  EXPECT_REFUSED(vialsight_vials(inspector, nullptr, 2), VIALSIGHT_INVALID_ARGUMENT, "vials");
}

TEST_F(CApiTest, ImagesOfScoredPatchesAreThere) {
  create();
  std::array<float, 144> input = {};
  std::array<float, 144> output = {};
  EXPECT_REFUSED(vialsight_images(inspector, 0, 0, 0, input.data(), output.data(), 144), VIALSIGHT_NOT_FOUND, "scored");
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  EXPECT_EQ(vialsight_images(inspector, 1, 0, 1, input.data(), output.data(), 144), VIALSIGHT_OK);
  EXPECT_FLOAT_EQ(input[1], static_cast<float>((15 * 40 + 1) % 7) / 255.0F);
  EXPECT_EQ(input, output);
  EXPECT_EQ(vialsight_images(inspector, 1, 0, 1, nullptr, output.data(), 144), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_images(inspector, 1, 0, 1, input.data(), nullptr, 144), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_images(inspector, 1, 0, 1, input.data(), nullptr, 12), VIALSIGHT_INVALID_ARGUMENT, "144");
  EXPECT_EQ(vialsight_images(inspector, 2, 0, 0, input.data(), nullptr, 144), VIALSIGHT_NOT_FOUND);
  EXPECT_EQ(vialsight_images(inspector, -1, 0, 0, input.data(), nullptr, 144), VIALSIGHT_NOT_FOUND);
}

TEST_F(CApiTest, MapsOfScoredPatchesAreThere) {
  create();
  std::array<float, 144> map = {};
  EXPECT_REFUSED(vialsight_map(inspector, 0, 0, 0, map.data(), 144), VIALSIGHT_NOT_FOUND, "scored");
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  map.fill(9.0F);
  EXPECT_EQ(vialsight_map(inspector, 1, 0, 1, map.data(), 144), VIALSIGHT_OK);
  EXPECT_THAT(map, ::testing::Each(0.0F));
  EXPECT_REFUSED(vialsight_map(inspector, 1, 0, 1, map.data(), 12), VIALSIGHT_INVALID_ARGUMENT, "144 floats, got 12");
  EXPECT_REFUSED(vialsight_map(inspector, 1, 0, 1, nullptr, 144), VIALSIGHT_INVALID_ARGUMENT, "map");
  EXPECT_EQ(vialsight_map(inspector, 1, 2, 1, map.data(), 144), VIALSIGHT_NOT_FOUND);
}

TEST_F(CApiTest, PatchesAreScored) {
  create();
  std::vector<float> patches(3 * 144, 0.5F);
  std::vector<float> reconstructions(patches.size());
  std::array<float, 3> scores = {9, 9, 9};
  EXPECT_EQ(vialsight_score_patches(inspector, patches.data(), 3, 2, scores.data(), reconstructions.data()),
            VIALSIGHT_OK);
  EXPECT_THAT(scores, ::testing::Each(::testing::FloatNear(0.0F, 1e-6F)));
  EXPECT_EQ(patches, reconstructions);
  EXPECT_EQ(vialsight_score_patches(inspector, patches.data(), 3, 0, scores.data(), nullptr), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_score_patches(inspector, nullptr, 3, 0, scores.data(), nullptr), VIALSIGHT_INVALID_ARGUMENT,
                 "patches");
  EXPECT_REFUSED(vialsight_score_patches(inspector, patches.data(), 3, 0, nullptr, nullptr), VIALSIGHT_INVALID_ARGUMENT,
                 "scores");
  EXPECT_REFUSED(vialsight_score_patches(inspector, patches.data(), UINT64_MAX / 8, 0, scores.data(), nullptr),
                 VIALSIGHT_INVALID_ARGUMENT, "do not fit");
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_score_patches(inspector, patches.data(), 3, 0, scores.data(), nullptr),
                 VIALSIGHT_FAILED_PRECONDITION, "a slot is open");
}

TEST_F(CApiTest, StatisticsCountEveryStrip) {
  create();
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  ASSERT_EQ(vialsight_inspect(inspector, 2, nullptr, 0, VIALSIGHT_NO_DEADLINE, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_MISSING);
  auto statistics = sized<vialsight_statistics>();
  ASSERT_EQ(vialsight_get_statistics(inspector, &statistics), VIALSIGHT_OK);
  EXPECT_EQ(statistics.strips, 2U);
  EXPECT_EQ(statistics.accepted, 1U);
  EXPECT_EQ(statistics.rejected[VIALSIGHT_REASON_FRAME_MISSING], 1U);
}

TEST_F(CApiTest, HealthIsTold) {
  create();
  auto health = sized<vialsight_health>();
  ASSERT_EQ(vialsight_get_health(inspector, &health), VIALSIGHT_OK);
  EXPECT_EQ(health.ready, 1);
  EXPECT_EQ(health.worker_pid, 0);
  EXPECT_EQ(health.restarts, 0U);
  std::array<char, 8> fault = {'x'};
  EXPECT_EQ(vialsight_last_fault(inspector, fault.data(), fault.size()), VIALSIGHT_OK);
  EXPECT_STREQ(fault.data(), "");
  EXPECT_REFUSED(vialsight_last_fault(inspector, fault.data(), 0), VIALSIGHT_INVALID_ARGUMENT, "capacity");
}

TEST_F(CApiTest, SlotsInTheWrongOrderNameTheMistake) {
  create();
  const vialsight_frame frame = fresh();
  EXPECT_REFUSED(vialsight_submit(inspector, 0, &frame), VIALSIGHT_FAILED_PRECONDITION, "call open first");
  EXPECT_REFUSED(vialsight_close(inspector, &verdict), VIALSIGHT_FAILED_PRECONDITION, "open one first");
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_NOT_READY);
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_open(inspector, 2, VIALSIGHT_NO_DEADLINE), VIALSIGHT_FAILED_PRECONDITION,
                 "strip 1 is still");
  EXPECT_REFUSED(vialsight_inspect(inspector, 3, nullptr, 0, VIALSIGHT_NO_DEADLINE, &verdict),
                 VIALSIGHT_FAILED_PRECONDITION, "a slot is open");
  EXPECT_EQ(verdict.strip_id, 3U);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_REJECT);
  EXPECT_EQ(submit(0), VIALSIGHT_OK);
  EXPECT_EQ(submit(1), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.strip_id, 1U);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_STALE) << "its frames may be those of strip 2 or 3";
}

// What cannot be read is a frame all the same, of a strip that came in.
TEST_F(CApiTest, AnUnreadableFrameRejectsItsStrip) {
  create();
  vialsight_frame wrong = fresh();
  wrong.struct_size = 0;
  const vialsight_frame* const frames[] = {nullptr, &wrong};
  std::uint64_t strip_id = 0;
  for (const vialsight_frame* frame : frames) {
    ASSERT_EQ(vialsight_open(inspector, ++strip_id, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
    EXPECT_REFUSED(vialsight_submit(inspector, 0, frame), VIALSIGHT_INVALID_ARGUMENT, "frame");
    EXPECT_EQ(submit(0), VIALSIGHT_OK);
    EXPECT_EQ(submit(1), VIALSIGHT_OK);
    EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
    EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_INVALID);
  }
}

TEST_F(CApiTest, AnUnreadableStampRejectsItsStrip) {
  create();
  const vialsight_frame frame = fresh();
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_submit_stamped(inspector, 0, &frame, nullptr), VIALSIGHT_INVALID_ARGUMENT, "stamp");
  EXPECT_REFUSED(vialsight_submit_stamped(inspector, 0, nullptr, nullptr), VIALSIGHT_INVALID_ARGUMENT, "frame");
  EXPECT_EQ(submit(0), VIALSIGHT_OK);
  EXPECT_EQ(submit(1), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_REJECT);
  EXPECT_REFUSED(vialsight_submit_stamped(inspector, 0, nullptr, nullptr), VIALSIGHT_FAILED_PRECONDITION, "open");
}

TEST_F(CApiTest, AFormatThatWrapsAroundIsRefused) {
  create();
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  vialsight_frame frame = fresh();
  frame.format = 256;
  EXPECT_REFUSED(vialsight_submit(inspector, 0, &frame), VIALSIGHT_INVALID_ARGUMENT, "frame.format");
}

TEST_F(CApiTest, InspectRefusesFramesItCannotRead) {
  create();
  vialsight_frame frames[] = {fresh(), fresh(), fresh()};
  EXPECT_EQ(vialsight_inspect(inspector, 1, frames, 3, VIALSIGHT_NO_DEADLINE, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_INVALID) << "one too many";
  EXPECT_REFUSED(vialsight_inspect(inspector, 2, nullptr, 2, VIALSIGHT_NO_DEADLINE, &verdict),
                 VIALSIGHT_INVALID_ARGUMENT, "frame");
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_INVALID);
  frames[1].struct_size = 8;
  EXPECT_REFUSED(vialsight_inspect(inspector, 3, frames, 2, VIALSIGHT_NO_DEADLINE, &verdict),
                 VIALSIGHT_INVALID_ARGUMENT, "one struct_size");
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_INVALID);
  auto statistics = sized<vialsight_statistics>();
  ASSERT_EQ(vialsight_get_statistics(inspector, &statistics), VIALSIGHT_OK);
  EXPECT_EQ(statistics.strips, 3U) << "every strip that came in";
  EXPECT_EQ(statistics.accepted, 0U);
}

TEST_F(CApiTest, AVerdictThatCannotBeWrittenClosesNothing) {
  create();
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_close(inspector, nullptr), VIALSIGHT_INVALID_ARGUMENT, "verdict");
  verdict.struct_size = 0;
  EXPECT_REFUSED(vialsight_close(inspector, &verdict), VIALSIGHT_INVALID_ARGUMENT, "verdict.struct_size");
  verdict.struct_size = sizeof verdict;
  EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
}

TEST_F(CApiTest, AnEarlierAcceptDoesNotSurviveAFailedCall) {
  create();
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  EXPECT_EQ(vialsight_close(nullptr, &verdict), VIALSIGHT_INVALID_ARGUMENT);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_REJECT);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_NOT_READY);
}

TEST_F(CApiTest, HandlesThatAreNoneAreRefused) {
  create();
  vialsight_inspector* gone = nullptr;
  ASSERT_EQ(vialsight_inspector_create(bundle, &options, &gone), VIALSIGHT_OK);
  ASSERT_EQ(vialsight_inspector_destroy(gone), VIALSIGHT_OK);
  auto* const other_kind = reinterpret_cast<vialsight_inspector*>(bundle);
  auto* const garbage = reinterpret_cast<vialsight_inspector*>(&verdict);
  EXPECT_REFUSED(vialsight_open(nullptr, 1, 0), VIALSIGHT_INVALID_ARGUMENT, "got NULL");
  for (vialsight_inspector* handle : {gone, other_kind, garbage}) {
    EXPECT_REFUSED(vialsight_open(handle, 1, 0), VIALSIGHT_INVALID_ARGUMENT, "destroyed, is of another kind");
    EXPECT_EQ(vialsight_inspector_destroy(handle), VIALSIGHT_INVALID_ARGUMENT);
    EXPECT_EQ(vialsight_close(handle, &verdict), VIALSIGHT_INVALID_ARGUMENT);
  }
  EXPECT_EQ(vialsight_bundle_destroy(reinterpret_cast<vialsight_bundle*>(inspector)), VIALSIGHT_INVALID_ARGUMENT);
  vialsight_inspector* created = inspector;
  EXPECT_REFUSED(vialsight_inspector_create(nullptr, &options, &created), VIALSIGHT_INVALID_ARGUMENT, "bundle");
  EXPECT_EQ(created, nullptr);
  EXPECT_REFUSED(vialsight_inspector_create(bundle, &options, nullptr), VIALSIGHT_INVALID_ARGUMENT, "inspector");
}

TEST_F(CApiTest, ABundleMayGoBeforeItsInspector) {
  create();
  ASSERT_EQ(vialsight_bundle_destroy(bundle), VIALSIGHT_OK);
  bundle = nullptr;
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
}

TEST_F(CApiTest, TwoLinesShareABundle) {
  create();
  vialsight_inspector* first = inspector;
  create();
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  std::swap(inspector, first);
  ASSERT_NO_FATAL_FAILURE(inspect_good(2));
  EXPECT_EQ(vialsight_inspector_destroy(first), VIALSIGHT_OK);
}

TEST_F(CApiTest, ASlotAllocatesNothing) {
  create();
  ASSERT_NO_FATAL_FAILURE(inspect_good(1));
  const vialsight_frame both[] = {fresh(), fresh()};
  ASSERT_EQ(vialsight_open(inspector, 2, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  start_counting_allocations();
  const bool submitted = vialsight_submit(inspector, 0, &both[0]) == 0 && vialsight_submit(inspector, 1, &both[1]) == 0;
  const bool closed = vialsight_close(inspector, &verdict) == 0;
  EXPECT_EQ(stop_counting_allocations(), 0);
  EXPECT_TRUE(submitted && closed);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_ACCEPT);
}

}  // namespace
}  // namespace vialsight::test
