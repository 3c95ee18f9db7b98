// Structs of other versions of the C API.
#include <array>
#include <cstddef>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "c_api/c_api_support.h"
#include "c_api_fixture.h"

namespace vialsight::test {
namespace {

// vialsight_frame as a later version may have it.
struct LaterFrame {
  vialsight_frame known;
  std::uint64_t added[2];
};

class CApiStructsTest : public CApiTest {};

TEST(CApiErrors, NothingThatIsThrownGetsOut) {
  EXPECT_REFUSED(guarded("call", []() -> Status { throw std::bad_alloc(); }), VIALSIGHT_RESOURCE_EXHAUSTED,
                 "call: no memory");
  EXPECT_REFUSED(guarded("call", []() -> Status { throw std::runtime_error("text"); }), VIALSIGHT_RESOURCE_EXHAUSTED,
                 "call: text");
  EXPECT_REFUSED(guarded("call", []() -> Status { throw 1; }), VIALSIGHT_RESOURCE_EXHAUSTED, "call: an exception");
}

TEST(CApiErrors, ASuccessLeavesTheTextAlone) {
  EXPECT_EQ(vialsight_bundle_load(nullptr, nullptr), VIALSIGHT_INVALID_ARGUMENT);
  const std::string before = vialsight_last_error();
  EXPECT_EQ(vialsight_bundle_destroy(nullptr), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_last_error(), before);
}

TEST_F(CApiStructsTest, SizesThatAreNoneAreRefused) {
  auto layout = sized<vialsight_layout>();
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{7}, sizeof layout - 1, std::uint64_t{4104},
                                   std::uint64_t{0xCDCDCDCDCDCDCDCD}}) {
    layout.struct_size = size;
    EXPECT_REFUSED(vialsight_bundle_layout(bundle, &layout), VIALSIGHT_INVALID_ARGUMENT, "layout.struct_size");
    EXPECT_EQ(layout.frame_width, 0);
  }
  EXPECT_REFUSED(vialsight_bundle_layout(bundle, nullptr), VIALSIGHT_INVALID_ARGUMENT, "layout");
}

TEST_F(CApiStructsTest, OptionsOfAnOlderCallerTakeDefaults) {
  auto older = sized<vialsight_options>();
  older.struct_size = offsetof(vialsight_options, margin_us);
  ASSERT_EQ(vialsight_options_init(&older), VIALSIGHT_OK);
  EXPECT_EQ(older.level, VIALSIGHT_LEVEL_STRIP);
  EXPECT_EQ(older.margin_us, 0) << "not the caller's";
  older.margin_us = -5;  // behind the end: would be refused if it were read
  older.isolation = 99;
  const Result<InspectorOptions> read = options_of(&older);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().margin, InspectorOptions().margin);
  EXPECT_EQ(read.value().worker.batch_timeout, InspectorOptions().worker.batch_timeout);
}

TEST_F(CApiStructsTest, NoOptionsAreTheDefaults) {
  const Result<InspectorOptions> read = options_of(nullptr);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().level, Level::kStrip);
}

TEST_F(CApiStructsTest, EveryOptionIsHandedOver) {
  const std::array<std::int32_t, 2> cpus = {1, 3};
  options.level = VIALSIGHT_LEVEL_RUN;
  options.require_thresholds = 0;
  options.require_fresh_frames = 0;
  options.threads = 3;
  options.margin_us = 4321;
  options.isolation = VIALSIGHT_WORKER;
  options.lock_memory = 1;
  options.priority = 42;
  options.cpu_count = 2;
  options.cpus = cpus.data();
  options.worker_program = "/opt/worker";
  options.worker_batch_timeout_ms = 5;
  options.worker_start_timeout_ms = 6;
  const Result<InspectorOptions> read = options_of(&options);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().level, Level::kRun);
  EXPECT_FALSE(read.value().require_thresholds);
  EXPECT_FALSE(read.value().require_fresh_frames);
  EXPECT_EQ(read.value().threads, 3);
  EXPECT_EQ(read.value().margin, std::chrono::microseconds(4321));
  EXPECT_EQ(read.value().backend_module, FAKE_BACKEND);
  EXPECT_EQ(read.value().isolation, Isolation::kWorker);
  EXPECT_TRUE(read.value().scheduling.lock_memory);
  EXPECT_EQ(read.value().scheduling.priority, 42);
  EXPECT_THAT(read.value().scheduling.cpus, ::testing::ElementsAre(1, 3));
  EXPECT_EQ(read.value().worker.program, "/opt/worker");
  EXPECT_EQ(read.value().worker.batch_timeout, std::chrono::milliseconds(5));
  EXPECT_EQ(read.value().worker.start_timeout, std::chrono::milliseconds(6));
}

TEST_F(CApiStructsTest, ALaterStructIsTakenWhenItsNewFieldsAreZero) {
  create();
  LaterFrame later = {fresh(), {}};
  later.known.struct_size = sizeof later;
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_submit(inspector, 0, &later.known), VIALSIGHT_OK);
  later.added[1] = 1;
  EXPECT_REFUSED(vialsight_submit(inspector, 1, &later.known), VIALSIGHT_UNSUPPORTED, "a field of a later version");
  EXPECT_EQ(vialsight_close(inspector, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_INVALID);
}

TEST_F(CApiStructsTest, LaterFramesAreInspectedByTheirOwnSize) {
  create();
  LaterFrame later[] = {{fresh(), {}}, {fresh(), {}}};
  for (LaterFrame& frame : later) frame.known.struct_size = sizeof frame;
  EXPECT_EQ(vialsight_inspect(inspector, 1, &later[0].known, 2, VIALSIGHT_NO_DEADLINE, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_ACCEPT);
}

TEST_F(CApiStructsTest, ReservedFieldsAreZero) {
  create();
  ASSERT_EQ(vialsight_open(inspector, 1, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  vialsight_frame frame = fresh();
  auto stamp = sized<vialsight_stamp>();
  stamp.reserved = 1;
  EXPECT_REFUSED(vialsight_submit_stamped(inspector, 0, &frame, &stamp), VIALSIGHT_UNSUPPORTED, "stamp.reserved");
  frame.reserved = 1;
  EXPECT_REFUSED(vialsight_submit(inspector, 0, &frame), VIALSIGHT_UNSUPPORTED, "frame.reserved");
}

TEST_F(CApiStructsTest, AnOutputOfAnotherVersionKeepsWithinItsSize) {
  // Room for the largest, all of it set before the call.
  std::array<std::uint64_t, 16> memory = {};
  for (std::uint64_t words : {std::uint64_t{3}, std::uint64_t{5}, std::uint64_t{8}}) {
    memory.fill(0xEE);
    memory[0] = words * 8;
    ASSERT_EQ(vialsight_bundle_layout(bundle, reinterpret_cast<vialsight_layout*>(memory.data())), VIALSIGHT_OK);
    EXPECT_EQ(memory[0], words * 8) << "struct_size stays";
    EXPECT_EQ(memory[1], std::uint64_t{30} << 32 | 40U);
    EXPECT_EQ(memory[words], 0xEEU) << "not the caller's struct";
    if (words == 8) {
      EXPECT_EQ(memory[5], 0U) << "what this library does not know";
    }
  }
}

// Of a caller that was compiled before verdicts said how long locating took.
TEST_F(CApiStructsTest, AVerdictOfAnEarlierVersionIsFilledAsFarAsItGoes) {
  create();
  verdict.struct_size = offsetof(vialsight_verdict, locate_s);
  verdict.locate_s = 77.0;
  const vialsight_frame both[] = {fresh(), fresh()};
  ASSERT_EQ(vialsight_inspect(inspector, 1, both, 2, VIALSIGHT_NO_DEADLINE, &verdict), VIALSIGHT_OK);
  EXPECT_EQ(verdict.verdict, VIALSIGHT_ACCEPT);
  EXPECT_GT(verdict.total_s, 0.0);
  EXPECT_EQ(verdict.locate_s, 77.0) << "not the caller's struct";
}

TEST_F(CApiStructsTest, UnalignedStructsAreRead) {
  create();
  std::array<unsigned char, sizeof(vialsight_verdict) + 1> memory = {};
  std::memcpy(memory.data() + 1, &verdict, sizeof verdict);
  ASSERT_EQ(vialsight_open(inspector, 5, VIALSIGHT_NO_DEADLINE), VIALSIGHT_OK);
  ASSERT_EQ(vialsight_close(inspector, static_cast<vialsight_verdict*>(static_cast<void*>(memory.data() + 1))),
            VIALSIGHT_OK);
  std::memcpy(&verdict, memory.data() + 1, sizeof verdict);
  EXPECT_EQ(verdict.strip_id, 5U);
  EXPECT_EQ(verdict.reason, VIALSIGHT_REASON_FRAME_MISSING);
}

}  // namespace
}  // namespace vialsight::test
