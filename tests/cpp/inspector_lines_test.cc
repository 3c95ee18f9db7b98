// Several lines in one program, and where their threads run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>
#include <set>
#include <sstream>

#include "worker_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

class InspectorLinesTest : public WorkerTest {
 protected:
  InspectorLinesTest() { options.isolation = Isolation::kInProcess; }

  static std::set<std::string> tasks() {
    std::set<std::string> names;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) names.insert(task.path().string());
    return names;
  }
  // "0", or "0-3", of a thread or process.
  static std::string allowed_cpus(const std::string& path) {
    std::ifstream status(path + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("Cpus_allowed_list:\t", 0) == 0) return line.substr(19);
    }
    return "";
  }
  static int some_cpu() {
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    int cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET(static_cast<std::size_t>(cpu), &set)) --cpu;
    return cpu;
  }
};

TEST_F(InspectorLinesTest, ShareABundle) {
  writer.write(path());
  const Bundle bundle = Bundle::load(path()).value();
  std::vector<Inspector> lines;
  for (int line = 0; line < 3; ++line) {
    options.isolation = line == 2 ? Isolation::kWorker : Isolation::kInProcess;
    lines.push_back(Inspector::create(bundle, options).value());
    EXPECT_EQ(lines.back().bundle().model().data(), bundle.model().data());
  }
  std::vector<std::thread> controls;
  for (Inspector& line : lines) {
    controls.emplace_back([&line] {
      for (int strip = 0; strip < 50; ++strip) {
        const bool defective = strip % 3 == 0;
        EXPECT_EQ(inspect(line, defective ? kOrderDefect : 0, kAmple).reason,
                  defective ? Reason::kDefect : Reason::kNone);
      }
    });
  }
  for (std::thread& control : controls) control.join();
  for (const Inspector& line : lines) {
    EXPECT_EQ(line.statistics().strips, 50U);
    EXPECT_EQ(line.statistics().accepted, 33U);
  }
}

TEST_F(InspectorLinesTest, StayOnTheirCpus) {
  const std::string cpu = std::to_string(some_cpu());
  const std::string ours = allowed_cpus("/proc/thread-self");
  const std::set<std::string> before = tasks();
  options.scheduling.cpus = {some_cpu()};
  Inspector inspector = create();
  int created = 0;
  for (const std::string& task : tasks()) {
    if (before.count(task) != 0) continue;
    ++created;
    EXPECT_EQ(allowed_cpus(task), cpu);
  }
  EXPECT_EQ(created, 1);
  EXPECT_EQ(allowed_cpus("/proc/thread-self"), ours);
  EXPECT_EQ(inspect(inspector, 0, kAmple).verdict, Verdict::kAccept);
}

TEST_F(InspectorLinesTest, SoDoesAWorker) {
  options.isolation = Isolation::kWorker;
  options.scheduling.cpus = {some_cpu()};
  const Inspector inspector = create();
  EXPECT_EQ(allowed_cpus("/proc/" + std::to_string(inspector.health().worker_pid)), std::to_string(some_cpu()));
}

TEST_F(InspectorLinesTest, AreNotMadeOnCpusThatAreNotThere) {
  options.scheduling.cpus = {1023};
  const Result<Inspector> inspector = try_create();
  EXPECT_EQ(inspector.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(inspector.status().message(), HasSubstr("cannot stay on CPUs 1023"));
}

}  // namespace
}  // namespace vialsight::test
