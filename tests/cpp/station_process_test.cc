// The program vialsight-station: started, stopped, killed, started again.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bundle_writer.h"
#include "station_fakes.h"
#include "station_snapshot_reader.h"
#include "station_spool_reader.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

template <typename T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string strips_from(std::uint64_t first, std::uint64_t count) {
  std::string bytes = "VSSTREAM";
  for (const std::uint32_t number : {1U, 40U, 30U, 8U, 2U, 0U}) bytes += bytes_of(number);
  std::string product = "strip";
  product.resize(64, '\0');
  for (std::uint64_t id = first; id < first + count; ++id) {
    for (std::uint32_t index = 0; index < 2; ++index) {
      bytes += "FRAM" + bytes_of(index) + bytes_of(id) + bytes_of(1U) + bytes_of(0U) + bytes_of(std::uint64_t{1200}) +
               product;
      for (std::uint64_t i = 0; i < 1200; ++i) bytes += static_cast<char>(20 + (i * (id + 3) + index) % 90);
    }
  }
  return bytes;
}

class StationProcessTest : public ::testing::Test {
 protected:
  StationProcessTest() {
    BundleWriter().write(folder() / "small.vsb");
    write_strips(1, 20);
  }
  ~StationProcessTest() override { kill(SIGKILL); }

  void write_strips(std::uint64_t first, std::uint64_t count) const {
    std::ofstream(folder() / "strips", std::ios::binary) << strips_from(first, count);
  }
  void start(const std::vector<std::string>& more = {}, const std::string& source = "") {
    std::vector<std::string> words = {STATION_PROGRAM,
                                      (folder() / "small.vsb").string(),
                                      "--dir",
                                      line().string(),
                                      "--name",
                                      name(),
                                      "--source",
                                      source.empty() ? "stream:" + (folder() / "strips").string() : source,
                                      "--slot-ms",
                                      "2",
                                      "--budget-ms",
                                      "10000",
                                      "--isolation",
                                      "in_process",
                                      "--backend-module",
                                      FAKE_BACKEND,
                                      "--ring-strips",
                                      "4096"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string notes = (folder() / "stderr").string();
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ != 0) return;
    const int file = ::open(notes.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(file, STDERR_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    ::execv(STATION_PROGRAM, arguments.data());
    ::_exit(99);
  }
  void kill(int signal) {
    if (child_ > 0) ::kill(child_, signal);
    (void)wait();
  }
  // Its exit status; 1000 + signal where one ended it.
  int wait() {
    int status = 0;
    if (child_ <= 0 || ::waitpid(child_, &status, 0) != child_) return -1;
    child_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  [[nodiscard]] bool lives() const { return child_ > 0 && ::waitpid(child_, nullptr, WNOHANG) == 0; }
  void wait_for(const std::filesystem::path& path) const {
    while (!std::filesystem::exists(path)) {
      ASSERT_TRUE(lives()) << notes();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  [[nodiscard]] std::string notes() const { return bytes_of_file(folder() / "stderr"); }

  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path line() const { return folder() / "line"; }
  static std::string name() { return "test-" + std::to_string(::getpid()); }
  static std::string snapshot() { return "/dev/shm/vialsight-" + name(); }
  [[nodiscard]] std::vector<nlohmann::json> json_of(std::uint32_t kind) const {
    std::vector<nlohmann::json> all;
    for (const SpoolEntry& entry : read_spool(line() / "spool")) {
      if (entry.kind == kind) all.push_back(entry.json());
    }
    return all;
  }

  TemporaryFolder folder_;
  pid_t child_ = 0;
};

TEST_F(StationProcessTest, InspectsAStreamToItsEnd) {
  start({"--start", "production"});
  EXPECT_EQ(wait(), 0) << notes();
  const auto starts = json_of(1);
  ASSERT_EQ(starts.size(), 1U);
  EXPECT_EQ(starts[0]["bundle_sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(starts[0]["session"].get<std::string>().size(), 32U);
  EXPECT_EQ(starts[0]["isolation"], "in_process");
  EXPECT_EQ(starts[0]["budget_ms"], 10000);
  EXPECT_TRUE(starts[0]["flags"].is_array());
  const auto strips = json_of(2);
  ASSERT_EQ(strips.size(), 20U);
  for (const auto& strip : strips) EXPECT_EQ(strip["verdict"], "accept") << strip;
  EXPECT_EQ(json_of(6).back()["event"], "stopped");
  EXPECT_EQ(json_of(6).back()["triggers"], 20);
  EXPECT_FALSE(std::filesystem::exists(snapshot()));
  EXPECT_FALSE(std::filesystem::exists(line() / "run" / "machine.sock"));
  EXPECT_FALSE(std::filesystem::exists(line() / "run" / "control.sock"));
}

TEST_F(StationProcessTest, StartsHalted) {
  start();
  EXPECT_EQ(wait(), 0) << notes();
  for (const auto& strip : json_of(2)) EXPECT_EQ(strip["mode"], "halted");
}

TEST_F(StationProcessTest, SigtermEndsItInOrder) {
  write_strips(1, 2000);
  start({"--start", "production"});
  wait_for(line() / "run" / "control.sock");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  kill(SIGTERM);
  const auto strips = json_of(2);
  EXPECT_EQ(json_of(6).back()["event"], "stopped");
  EXPECT_EQ(json_of(6).back()["triggers"], strips.size());
  EXPECT_FALSE(std::filesystem::exists(snapshot()));
}

TEST_F(StationProcessTest, ASecondOneIsRefused) {
  write_strips(1, 5000);
  start();
  wait_for(line() / "run" / "control.sock");
  const pid_t first = std::exchange(child_, 0);
  start();
  EXPECT_EQ(wait(), 2);
  EXPECT_THAT(notes(), HasSubstr("another station"));
  child_ = first;
  EXPECT_TRUE(lives());
  EXPECT_TRUE(std::filesystem::exists(snapshot()));
}

// Whatever was being done: it starts again, and the record goes on where it ended.
TEST_F(StationProcessTest, KilledAtAnyMomentItStartsAgain) {
#ifdef VIALSIGHT_SANITIZED
  constexpr int kKills = 8;
#else
  constexpr int kKills = 40;
#endif
  std::mt19937 random(11);
  std::size_t entries = 0;
  write_strips(1, 5000);
  for (int i = 0; i < kKills; ++i) {
    start({"--start", "production"});
    if (i % 2 == 0) wait_for(line() / "run" / "control.sock");
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
    kill(SIGKILL);
  }
  write_strips(1, 20);
  start({"--start", "production"});
  EXPECT_EQ(wait(), 0) << notes();
  // What the last one found was whole, and read_spool() finds no number left out.
  entries = read_spool(line() / "spool").size();
  EXPECT_GE(entries, 20U);
  EXPECT_EQ(json_of(6).back()["event"], "stopped");
  EXPECT_FALSE(std::filesystem::exists(snapshot()));
}

TEST_F(StationProcessTest, ASourceThatBreaksIsSaid) {
  std::ofstream(folder() / "strips", std::ios::binary) << strips_from(1, 5).substr(0, 9204);  // within a frame
  start({"--start", "production"});
  EXPECT_EQ(wait(), 1);
  EXPECT_THAT(notes(), HasSubstr("truncated"));
  ASSERT_EQ(json_of(2).size(), 4U);
  EXPECT_EQ(json_of(2)[3]["reason"], "frame_missing");
}

TEST_F(StationProcessTest, WhatCannotStartSaysWhy) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--source", "usb:1"}, "--source"},
      {{"--source", "stream:/nowhere"}, "/nowhere"},
      {{"--name", "Line One"}, "--name"},
      {{"--name", std::string(33, 'a')}, "--name"},
      {{"--budget-ms", "0"}, "--budget-ms"},
      {{"--budget-ms", "1"}, "--margin-ms"},
      {{"--margin-ms", "x"}, "--margin-ms"},
      {{"--isolation", "both"}, "--isolation"},
      {{"--priority", "99"}, "--priority"},
      {{"--cpus", "1,,2"}, "--cpus"},
      {{"--cpus", ""}, "--cpus"},
      {{"--level", "vial"}, "--level"},
      {{"--start", "halted"}, "--start"},
      {{"--threads"}, "--threads"},
      {{"--frobnicate"}, "--frobnicate"},
      {{"another.vsb"}, "another.vsb"},
      {{"--bundle", "/nowhere.vsb"}, "/nowhere.vsb"},
      {{"--dir", "/nowhere/at/all"}, "/nowhere/at/all"},
      {{"--backend-module", "/nowhere.so"}, "/nowhere.so"},
  };
  for (const auto& [arguments, what] : wrong) {
    start(arguments);
    EXPECT_EQ(wait(), 2) << what;
    EXPECT_THAT(notes(), HasSubstr(what));
  }
  EXPECT_FALSE(std::filesystem::exists(snapshot()));
}

TEST_F(StationProcessTest, HelpIsNoError) {
  start({"--help"});
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes(), "");
}

}  // namespace
}  // namespace vialsight::test
