#include "base/scheduling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

int first_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  int cpu = 0;
  while (!CPU_ISSET(static_cast<std::size_t>(cpu), &set)) ++cpu;
  return cpu;
}

TEST(SchedulingTest, NothingIsWantedByDefault) {
  EXPECT_FALSE(is_wanted({}));
  EXPECT_TRUE(is_wanted({1, {}, false}));
  EXPECT_TRUE(is_wanted({0, {0}, false}));
  EXPECT_TRUE(is_wanted({0, {}, true}));
  EXPECT_TRUE(apply_scheduling({}).ok());
}

TEST(SchedulingTest, RefusesWhatCannotBe) {
  EXPECT_EQ(check_scheduling({-1, {}, false}).message(),
            "Scheduling::priority: expected 1 to 99, or 0 for none, got -1");
  EXPECT_THAT(check_scheduling({100, {}, false}).message(), HasSubstr("got 100"));
  EXPECT_THAT(check_scheduling({0, {0, -1}, false}).message(), HasSubstr("expected numbers from 0 to 1023, got -1"));
  EXPECT_THAT(apply_scheduling({0, {1024}, false}).message(), HasSubstr("got 1024"));
  EXPECT_TRUE(check_scheduling({99, {0, 1023}, true}).ok());
}

// In a thread of its own, whose children inherit it.
TEST(SchedulingTest, PinsTheThreadAndThoseItCreates) {
  Status status;
  int cpus = 0;
  std::thread([&] {
    status = apply_scheduling({0, {first_cpu()}, false});
    std::thread([&] {
      cpu_set_t set;
      CPU_ZERO(&set);
      ::sched_getaffinity(0, sizeof set, &set);
      cpus = CPU_COUNT(&set);
    }).join();
  }).join();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(cpus, 1);
}

TEST(SchedulingTest, NamesACpuThatThisMachineDoesNotHave) {
  Status status;
  std::thread([&] { status = apply_scheduling({0, {1023}, false}); }).join();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("cannot stay on CPUs 1023"));
}

// Runs `apply` in a process that may do nothing special; returns what it said.
std::string apply_without_privileges(const Scheduling& scheduling) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    const rlimit none = {0, 0};
    ::setrlimit(RLIMIT_RTPRIO, &none);
    ::setrlimit(RLIMIT_MEMLOCK, &none);
    const bool dropped = ::geteuid() != 0 || ::setuid(kNobody) == 0;
    const Status status = apply_scheduling(scheduling);
    const std::string text = dropped ? std::string(name_of(status.code())) + ": " + status.message() : "still root";
    const bool written = ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text(1024, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(ends[0], text.data(), text.size()), 0)));
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return text;
}

TEST(SchedulingTest, SaysWhatToChangeWhenAPriorityIsNotPermitted) {
  EXPECT_THAT(apply_without_privileges({10, {}, false}),
              HasSubstr("permission_denied: Scheduling::priority: cannot have SCHED_FIFO priority 10: Operation not "
                        "permitted; allow it: LimitRTPRIO="));
}

TEST(SchedulingTest, SaysWhatToChangeWhenMemoryMayNotBeLocked) {
#ifdef VIALSIGHT_SANITIZED
  GTEST_SKIP() << "sanitizers make nothing of mlockall, because they need more memory than there is";
#endif
  const std::string text = apply_without_privileges({0, {}, true});
  EXPECT_THAT(text, HasSubstr("permission_denied: Scheduling::lock_memory: mlockall: "));
  EXPECT_THAT(text, HasSubstr("allow it: LimitMEMLOCK=infinity"));
}

}  // namespace
}  // namespace vialsight::test
