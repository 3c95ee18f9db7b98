// The backend in a process of its own: what it computes, how it ends, and what it leaves behind.
#include "backend/worker_backend.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>

#include "worker_fixture.h"

namespace vialsight::test {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::size_t kPixels = 16;  // of a patch of these tests

class WorkerBackendTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<WorkerBackend>> try_create() {
    BackendOptions backend;
    backend.model = model.data();
    backend.model_size = model.size();
    backend.input_name = "input";
    backend.outputs = {{"output", OutputRole::kReconstruction, 4, 4}};
    backend.patch_size = 4;
    backend.threads = 1;
    return WorkerBackend::create({backend, module, scheduling, options, 6, 3});
  }
  std::unique_ptr<WorkerBackend> create() { return try_create().value(); }
  void expect_error(Code code, const std::string& text) {
    const auto backend = try_create();
    ASSERT_FALSE(backend.ok());
    EXPECT_EQ(backend.status().code(), code);
    EXPECT_THAT(backend.status().message(), HasSubstr(text));
  }
  static Status run(WorkerBackend& backend, const std::vector<float>& patches,
                    const std::vector<std::vector<float>*>& targets) {
    std::vector<float*> outputs;
    for (std::vector<float>* target : targets) outputs.push_back(target->data());
    return backend.run(patches.data(), patches.size() / kPixels, outputs.data());
  }
  static Status run_order(WorkerBackend& backend, unsigned char order) {
    const std::vector<float> patches(kPixels, static_cast<float>(order) / 255.0F);
    std::vector<float> reconstructions(kPixels);
    return run(backend, patches, {&reconstructions});
  }

  std::string model = "model";
  std::filesystem::path module = FAULTY_BACKEND;
  Scheduling scheduling;
  WorkerOptions options{WORKER_PROGRAM, milliseconds(20'000), milliseconds(60'000)};
};

// Seven patches in portions of three, from memory of our own.
TEST_F(WorkerBackendTest, ReconstructsWhatLiesElsewhere) {
  const auto backend = create();
  std::vector<float> patches(7 * kPixels);
  for (std::size_t i = 0; i < patches.size(); ++i) patches[i] = static_cast<float>(i) / 256.0F;
  std::vector<float> reconstructions(patches.size());
  ASSERT_TRUE(run(*backend, patches, {&reconstructions}).ok());
  EXPECT_EQ(reconstructions, patches);
}

TEST_F(WorkerBackendTest, ReconstructsInTheSharedMemory) {
  const auto backend = create();
  const PatchMemory memory = backend->memory();
  ASSERT_EQ(memory.inputs.size(), 2 * 6 * kPixels);
  ASSERT_THAT(memory.outputs, SizeIs(1));
  const std::span<float> output = memory.outputs[0];
  ASSERT_EQ(output.size(), memory.inputs.size());
  std::fill(memory.inputs.begin(), memory.inputs.end(), 0.5F);
  float* const targets[] = {&output[8 * kPixels]};
  ASSERT_TRUE(backend->run(&memory.inputs[4 * kPixels], 3, targets).ok());
  EXPECT_THAT(output.subspan(8 * kPixels, 3 * kPixels), Each(0.5F));
  EXPECT_THAT(output.first(8 * kPixels), Each(0.0F));
  EXPECT_THAT(output.subspan(11 * kPixels), Each(0.0F));
}

// A batch that begins in the shared memory and would end behind it is copied as any other.
TEST_F(WorkerBackendTest, ReconstructsWhatBarelyDoesNotFit) {
  const auto backend = create();
  const PatchMemory memory = backend->memory();
  float* const targets[] = {&memory.outputs[0][9 * kPixels]};
  EXPECT_TRUE(backend->run(&memory.inputs[9 * kPixels], 3, targets).ok());
}

TEST_F(WorkerBackendTest, PassesOnAnErrorAndGoesOn) {
  const auto backend = create();
  const Status status = run_order(*backend, kOrderFail);
  EXPECT_EQ(status.code(), Code::kBackendFault);
  EXPECT_EQ(status.message(), "told to");
  EXPECT_TRUE(backend->check().ok());
  EXPECT_TRUE(run_order(*backend, 1).ok());
}

// One thread scores patches while the Inspector's own asks whether the worker lives.
TEST_F(WorkerBackendTest, CallersTakeTurns) {
  const auto backend = create();
  std::atomic<bool> done = false;
  std::thread supervising([&] {
    while (!done) ASSERT_TRUE(backend->check().ok());
  });
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(run_order(*backend, 1).ok());
  done = true;
  supervising.join();
}

class DyingWorkerTest : public WorkerBackendTest, public ::testing::WithParamInterface<unsigned char> {};

TEST_P(DyingWorkerTest, IsAnErrorAndCanBeStartedAgain) {
  const auto backend = create();
  const int first = backend->pid();
  EXPECT_GT(first, 0);
  const Status status = run_order(*backend, GetParam());
  EXPECT_EQ(status.code(), Code::kBackendFault);
  EXPECT_THAT(status.message(), StartsWith("worker " + std::to_string(first) + ": died ("));
  EXPECT_EQ(backend->pid(), 0);
  EXPECT_EQ(backend->check().message(), "worker: not running");
  EXPECT_EQ(run_order(*backend, 1).message(), "worker: not running");
  ASSERT_TRUE(backend->restart().ok());
  EXPECT_NE(backend->pid(), first);
  EXPECT_TRUE(run_order(*backend, 1).ok());
}

INSTANTIATE_TEST_SUITE_P(Orders, DyingWorkerTest, ::testing::Values(kOrderAbort, kOrderExit, kOrderSegmentationFault),
                         [](const auto& order) { return "Order" + std::to_string(order.param); });

TEST_F(WorkerBackendTest, SaysHowItEnded) {
  const auto backend = create();
  EXPECT_THAT(run_order(*backend, kOrderExit).message(), EndsWith("died (ended with status 3)"));
  ASSERT_TRUE(backend->restart().ok());
  ::kill(backend->pid(), SIGKILL);
  EXPECT_THAT(backend->check().message(), EndsWith("died (killed by signal 9 (Killed))"));
}

TEST_F(WorkerBackendTest, KillsOneThatHangs) {
  options.batch_timeout = milliseconds(50);
  const auto backend = create();
  EXPECT_THAT(run_order(*backend, kOrderHang).message(),
              EndsWith("did not answer within 50 ms (killed by signal 9 (Killed))"));
  ASSERT_TRUE(backend->restart().ok());
  ::kill(backend->pid(), SIGSTOP);
  EXPECT_THAT(backend->check().message(), HasSubstr("did not answer within 50 ms"));
}

TEST_F(WorkerBackendTest, IsCancelledInTheMiddleOfABatch) {
  const auto backend = create();
  std::thread cancelling([&] {
    std::this_thread::sleep_for(milliseconds(20));
    backend->cancel();
  });
  EXPECT_THAT(run_order(*backend, kOrderHang).message(), HasSubstr("stopped: the Inspector is being destroyed"));
  cancelling.join();
  EXPECT_FALSE(backend->restart().ok());
  EXPECT_EQ(backend->pid(), 0);
}

// A control program that reaps any child, or ignores their end, takes the status away.
TEST_F(WorkerBackendTest, SurvivesAControlProgramThatIgnoresItsChildren) {
  ::signal(SIGCHLD, SIG_IGN);
  {
    const auto backend = create();
    EXPECT_THAT(run_order(*backend, kOrderAbort).message(), EndsWith("died (ended)"));
    EXPECT_TRUE(backend->restart().ok());
  }
  ::signal(SIGCHLD, SIG_DFL);
}

TEST_F(WorkerBackendTest, NoProgram) {
  options.program = "/nowhere/vialsight-worker";
  expect_error(Code::kNotFound,
               "worker /nowhere/vialsight-worker: cannot be started: No such file or directory; "
               "reinstall vialsight, or name the program in WorkerOptions::program");
}
TEST_F(WorkerBackendTest, AProgramThatIsNoWorker) {
  options.program = "/bin/true";
  expect_error(Code::kBackendFault, "died (ended with status 0)");
}
TEST_F(WorkerBackendTest, AProgramThatNeverAnswers) {
  const TemporaryFolder folder;
  options.program = folder.path() / "sleeper";
  std::ofstream(options.program) << "#!/bin/sh\nsleep 60\n";
  std::filesystem::permissions(options.program, std::filesystem::perms::owner_all);
  options.start_timeout = milliseconds(50);
  expect_error(Code::kBackendFault, "did not answer within 50 ms (killed by signal 9 (Killed))");
}
TEST_F(WorkerBackendTest, NoModule) {
  module = "/nowhere/module.so";
  expect_error(Code::kNotFound, "backend /nowhere/module.so: cannot be loaded");
}
// 2,000 letters do not fit into a reply; what fits does.
TEST_F(WorkerBackendTest, AModuleThatRefusesTheModel) {
  model = "E";
  expect_error(Code::kUnsupported, "an error of the module, xxxxxxxx");
}
TEST_F(WorkerBackendTest, AModuleThatAborts) {
  model = "A";
  expect_error(Code::kBackendFault, "died (");
}
TEST_F(WorkerBackendTest, AModuleThatHangs) {
  model = "H";
  options.start_timeout = milliseconds(200);
  expect_error(Code::kBackendFault, "did not answer within 200 ms");
}
TEST_F(WorkerBackendTest, SchedulingThatCannotBe) {
  scheduling.cpus = {0, 1023};
  scheduling.cpus.erase(scheduling.cpus.begin());
  expect_error(Code::kInvalidArgument, "cannot stay on CPUs 1023");
}

TEST_F(WorkerBackendTest, LeavesNothingBehind) {
  const std::size_t before = count_descriptors();
  for (int i = 0; i < 5; ++i) {
    const auto backend = create();
    EXPECT_GT(count_descriptors(), before);
    if (i % 2 == 0) (void)run_order(*backend, kOrderExit);
    if (i % 3 == 0) (void)backend->restart();
  }
  EXPECT_EQ(count_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child, not even a dead one
}

TEST(SharedMemoryTest, CannotBeResizedOrWrittenByTheWorker) {
  const SharedMemory memory = SharedMemory::create("test", 8192, false).value();
  memory.data()[8191] = std::byte{7};
  EXPECT_NE(::ftruncate(memory.descriptor(), 4096), 0);
  EXPECT_NE(::ftruncate(memory.descriptor(), 16384), 0);
  EXPECT_EQ(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory.descriptor(), 0), MAP_FAILED);
  const SharedMemory reader = SharedMemory::map(::dup(memory.descriptor()), false).value();
  EXPECT_EQ(reader.data()[8191], std::byte{7});
  EXPECT_FALSE(SharedMemory::map(::dup(memory.descriptor()), true).ok());
  EXPECT_EQ(SharedMemory::map(-1, true).status().code(), Code::kInvalidArgument);
}

TEST(SharedMemoryTest, CanBeWrittenByTheWorkerWhenItMay) {
  const SharedMemory memory = SharedMemory::create("test", 8192, true).value();
  SharedMemory writer = SharedMemory::map(::dup(memory.descriptor()), true).value();
  writer.floats()[5] = 2.5F;
  EXPECT_EQ(memory.floats()[5], 2.5F);
  SharedMemory moved = std::move(writer);
  writer = std::move(moved);
  EXPECT_EQ(writer.floats()[5], 2.5F);
}

TEST(SharedMemoryTest, MoreThanThereIsIsAnError) {
  EXPECT_EQ(SharedMemory::create("test", std::size_t{1} << 62, true).status().code(), Code::kResourceExhausted);
}

TEST(VialsightWorkerTest, IsNotStartedByHand) {
  for (const char* arguments : {"", " 1 module input output 4 1 0 - 0 more", " 99 module input output 4 1 0 - 0",
                                " 1 module input output 4 1 0 0,x 0", " 1 module input output four 1 0 - 0"}) {
    std::FILE* program = ::popen((std::string(WORKER_PROGRAM) + arguments + " 2>&1").c_str(), "r");
    std::array<char, 200> text = {};
    EXPECT_GT(std::fread(text.data(), 1, text.size() - 1, program), 0U);
    EXPECT_STREQ(text.data(), "vialsight-worker is started by libvialsight.so of the same build, not by hand\n");
    EXPECT_EQ(WEXITSTATUS(::pclose(program)), 2);
  }
}

// --- Whole Inspectors
// -------------------------------------------------------------------------------------------------

TEST_F(WorkerTest, InspectsAsInProcess) {
  Inspector isolated = create();
  options.isolation = Isolation::kInProcess;
  Inspector inspector = create();
  for (const unsigned char order : {static_cast<unsigned char>(0), kOrderDefect}) {
    const StripVerdict expected = inspect(inspector, order, kAmple);
    const StripVerdict verdict = inspect(isolated, order, kAmple);
    EXPECT_EQ(verdict.reason, order == 0 ? Reason::kNone : Reason::kDefect);
    EXPECT_EQ(verdict.reason, expected.reason);
    EXPECT_EQ(verdict.scores, expected.scores);
  }
  const auto images = isolated.images(1, 1, 1);
  ASSERT_TRUE(images.has_value());
  EXPECT_NEAR(images->reconstruction[0], 1.0F - images->input[0], 1e-6F);
  std::vector<float> scores(16);
  EXPECT_TRUE(isolated.score_patches(isolated.bundle().golden().inputs, {}, 5, {scores, {}, {}}).ok());
  EXPECT_THAT(scores, Each(::testing::FloatNear(0.0F, 1e-6F)));
}

TEST_F(WorkerTest, TheControlProgramLoadsNoBackend) {
  const Inspector inspector = create();
  std::stringstream maps;
  maps << std::ifstream("/proc/self/maps").rdbuf();
  EXPECT_THAT(maps.str(), ::testing::Not(HasSubstr("tensorflow")));
}

TEST_F(WorkerTest, ADyingWorkerCostsItsStripOnly) {
  Inspector inspector = create();
  for (const unsigned char order : {kOrderAbort, kOrderExit, kOrderSegmentationFault}) {
    EXPECT_EQ(inspect(inspector, order, kAmple).reason, Reason::kBackendFault);
    wait_until_ready(inspector);
    EXPECT_EQ(inspect(inspector, 0, kAmple).verdict, Verdict::kAccept);
  }
  EXPECT_EQ(inspector.health().restarts, 3U);
}

TEST_F(WorkerTest, AHungWorkerDoesNotHoldTheVerdict) {
  options.worker.batch_timeout = milliseconds(500);
  Inspector inspector = create();
  const StripVerdict verdict = inspect(inspector, kOrderHang, milliseconds(100));
  EXPECT_EQ(verdict.reason, Reason::kDeadlineMissed);
  while (inspector.health().restarts == 0) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_THAT(inspector.health().last_fault, HasSubstr("did not answer within 500 ms"));
  EXPECT_EQ(inspect(inspector, 0, kAmple).verdict, Verdict::kAccept);
}

TEST_F(WorkerTest, IsDestroyedWhileTheWorkerHangs) {
  options.worker.batch_timeout = milliseconds(60'000);
  Inspector inspector = create();
  EXPECT_EQ(inspect(inspector, kOrderHang, milliseconds(50)).reason, Reason::kDeadlineMissed);
}

TEST_F(WorkerTest, RefusesGoldenPatchesThatDiffer) {
  writer.set_golden_scores(std::vector<float>(16, 0.5F));
  const Result<Inspector> inspector = try_create();
  EXPECT_EQ(inspector.status().code(), Code::kDataCorrupt);
}

// As an orphan it may stay a zombie for a while.
bool is_running(int pid) {
  std::stringstream text;
  text << std::ifstream("/proc/" + std::to_string(pid) + "/stat").rdbuf();
  return !text.str().empty() && text.str().find(") Z") == std::string::npos;
}

struct Processes {
  int worker = 0;
  int child = 0;  // of the control program
};

class KilledProgramTest : public WorkerTest {
 protected:
  // A control program whose worker is hung in a batch, is killed, and leaves what `start` made of it behind.
  Processes left_by_killed_program(const std::function<int()>& start) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t program = ::fork();
    if (program == 0) {
      Inspector inspector = create();
      (void)inspect(inspector, kOrderHang, milliseconds(20));
      const Processes left = {inspector.health().worker_pid, start()};
      if (::write(ends[1], &left, sizeof left) != sizeof left) ::_exit(1);
      ::pause();
    }
    Processes left;
    EXPECT_EQ(::read(ends[0], &left, sizeof left), static_cast<ssize_t>(sizeof left));
    EXPECT_EQ(::kill(left.worker, 0), 0);
    ::kill(program, SIGKILL);
    ::waitpid(program, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
    return left;
  }
};

// The worker must not outlive a control program that was killed, whatever it is doing.
TEST_F(KilledProgramTest, TheWorkerEndsWithIt) {
#ifdef VIALSIGHT_SANITIZED
  GTEST_SKIP() << "a sanitizer's runtime does not survive fork";
#endif
  const Processes left = left_by_killed_program([] { return 0; });
  while (is_running(left.worker)) std::this_thread::sleep_for(milliseconds(1));
}

// Such a child holds a copy of the control program's end of the socket.
TEST_F(KilledProgramTest, TheWorkerEndsThoughAForkedChildLivesOn) {
#ifdef VIALSIGHT_SANITIZED
  GTEST_SKIP() << "a sanitizer's runtime does not survive fork";
#endif
  const Processes left = left_by_killed_program([] {
    const pid_t child = ::fork();
    if (child == 0) ::pause();
    return static_cast<int>(child);
  });
  while (is_running(left.worker)) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(is_running(left.child));
  ::kill(left.child, SIGKILL);
}

}  // namespace
}  // namespace vialsight::test
