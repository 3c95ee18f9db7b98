#include "base/kept_stderr.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

namespace vialsight {
namespace {

using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

constexpr const char* kBanner =
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n";
constexpr const char* kNote = "I0000 00:00:1795939935.250529   14086 port.cc:153] oneDNN custom operations are on.\n";
constexpr const char* kError = "E0000 00:00:1795939935.250529   14086 session.cc:7] no device\n";

void print(std::string_view text) { ASSERT_EQ(::write(STDERR_FILENO, text.data(), text.size()), std::ssize(text)); }

struct Text {
  const char* name;
  std::string came;
  std::string left;
};
void PrintTo(const Text& text, std::ostream* stream) { *stream << text.name; }

class WithoutNotes : public testing::TestWithParam<Text> {};

TEST_P(WithoutNotes, Leaves) { EXPECT_EQ(without_notes(GetParam().came), GetParam().left); }

INSTANTIATE_TEST_SUITE_P(
    Texts, WithoutNotes,
    testing::Values(
        Text{"nothing", "", ""}, Text{"banner", kBanner, ""}, Text{"information", kNote, ""},
        Text{"warning", "W0000 00:00:17.5   1 a.cc:1] x\n", ""}, Text{"error", kError, kError},
        Text{"fatal", "F0000 00:00:17.5   1 a.cc:1] x\n", "F0000 00:00:17.5   1 a.cc:1] x\n"},
        Text{"between", std::string(kBanner) + "ours\n" + kNote + "ours, too", "ours\nours, too"},
        Text{"two lines", "I0000 00:00:17.5   1 cpu.cc:1] optimized\nTo enable the following instructions: AVX2\n", ""},
        Text{"second line of another", "ours\nTo enable the following instructions: read on\n",
             "ours\nTo enable the following instructions: read on\n"},
        Text{"factory registered twice",
             "E0000 00:00:17.5   1 cuda_dnn.cc:1] Unable to register cuDNN factory: already registered\n", ""},
        Text{"number format", "E0000 00:00:17.5   1 util.cc:1] oneDNN supports DT_HALF only on platforms with\n", ""},
        Text{"looks like one", "I0000 am the best\nInfo 00:00] x\n", "I0000 am the best\nInfo 00:00] x\n"},
        Text{"no line end", "I0000 00:00:17.5   1 a.cc:1] x", ""}),
    [](const auto& text) { return "case_" + std::to_string(text.index); });

TEST(KeptStderr, ShowsAllButNotesAfterSuccess) {
  CaptureStderr();
  KeptStderr kept;
  print(std::string(kNote) + "text of another library\n");
  kept.end(KeptStderr::Show::kAllButNotes);
  print("after\n");
  EXPECT_EQ(GetCapturedStderr(), "text of another library\nafter\n");
}

TEST(KeptStderr, ShowsEverythingAfterFailure) {
  CaptureStderr();
  KeptStderr kept;
  print(kNote);
  kept.end(KeptStderr::Show::kEverything);
  kept.end(KeptStderr::Show::kEverything);
  EXPECT_EQ(GetCapturedStderr(), kNote);
}

TEST(KeptStderr, ShowsEverythingWhenDestroyed) {
  CaptureStderr();
  {
    const KeptStderr kept;
    print(kNote);
  }
  EXPECT_EQ(GetCapturedStderr(), kNote);
}

TEST(KeptStderr, ShowsNothingBefore) {
  CaptureStderr();
  const int before = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  KeptStderr kept;
  print("kept");
  EXPECT_EQ(::lseek(before, 0, SEEK_END), 0);
  kept.end(KeptStderr::Show::kEverything);
  EXPECT_EQ(::lseek(before, 0, SEEK_END), 4);
  ::close(before);
  EXPECT_EQ(GetCapturedStderr(), "kept");
}

TEST(KeptStderr, KeepsMoreThanOneBufferOfText) {
  CaptureStderr();
  KeptStderr kept;
  const std::string line = std::string(5000, 'x') + "\n";
  print(line);
  print(line);
  kept.end(KeptStderr::Show::kAllButNotes);
  EXPECT_EQ(GetCapturedStderr(), line + line);
}

TEST(KeptStderr, OneAtATime) {
  CaptureStderr();
  KeptStderr first;
  {
    KeptStderr second;
    print(kError);
    second.end(KeptStderr::Show::kAllButNotes);
  }
  print(kNote);
  first.end(KeptStderr::Show::kAllButNotes);
  KeptStderr third;
  print(kNote);
  third.end(KeptStderr::Show::kAllButNotes);
  EXPECT_EQ(GetCapturedStderr(), kError);
}

TEST(KeptStderr, LosesNothingOfOtherThreadsAndProcesses) {
  CaptureStderr();
  KeptStderr kept;
  std::thread([] { print("thread\n"); }).join();
  EXPECT_EQ(std::system("echo process >&2"), 0);  // NOLINT(concurrency-mt-unsafe)
  kept.end(KeptStderr::Show::kAllButNotes);
  EXPECT_EQ(GetCapturedStderr(), "thread\nprocess\n");
}

TEST(KeptStderr, LeavesSignalHandlersAsTheyWere) {
  struct sigaction before = {};
  struct sigaction after = {};
  ::sigaction(SIGABRT, nullptr, &before);
  KeptStderr kept;
  kept.end(KeptStderr::Show::kAllButNotes);
  ::sigaction(SIGABRT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

// --- The process ends meanwhile: what was kept comes out ---

TEST(KeptStderrDeathTest, Abort) {
  EXPECT_EXIT(
      {
        const KeptStderr kept;
        print("before the abort\n");
        std::abort();
      },
      testing::KilledBySignal(SIGABRT), "before the abort");
}

TEST(KeptStderrDeathTest, Exit) {
  EXPECT_EXIT(
      {
        const KeptStderr kept;
        print("before the exit\n");
        std::exit(3);  // NOLINT(concurrency-mt-unsafe)
      },
      testing::ExitedWithCode(3), "before the exit");
}

#ifndef VIALSIGHT_SANITIZED  // a sanitizer has a handler of its own, which ends the process in its way
TEST(KeptStderrDeathTest, Fault) {
  EXPECT_EXIT(
      {
        const KeptStderr kept;
        print("before the fault\n");
        ::raise(SIGSEGV);
      },
      testing::KilledBySignal(SIGSEGV), "before the fault");
}
#endif

TEST(KeptStderrDeathTest, Termination) {
  EXPECT_EXIT(
      {
        const KeptStderr kept;
        print("before it hung\n");
        ::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "before it hung");
}

TEST(KeptStderrDeathTest, HandlerOfBefore) {
  EXPECT_EXIT(
      {
        ::signal(SIGFPE, [](int) { ::_exit(7); });
        const KeptStderr kept;
        print("before the fault\n");
        ::raise(SIGFPE);
      },
      testing::ExitedWithCode(7), "before the fault");
}

TEST(KeptStderrDeathTest, ClosedDescriptorStaysClosed) {
  EXPECT_EXIT(
      {
        ::close(STDERR_FILENO);
        KeptStderr kept;
        kept.end(KeptStderr::Show::kEverything);
        ::_exit(::fcntl(STDERR_FILENO, F_GETFD) == -1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vialsight
