// Challenges: a kit's strips are inspected as those of the line, recorded apart, and repeated at will.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "station/challenge_kit.h"
#include "station_fixture.h"

namespace vialsight::test {
namespace {

using nlohmann::json;
using station::ChallengeKit;
using ::testing::HasSubstr;

class StationChallengeTest : public StationTest {
 protected:
  StationChallengeTest() { inspector_options.require_fresh_frames = true; }
  [[nodiscard]] std::filesystem::path kit() const { return folder() / "kit"; }

  // Good, defective, with a frame missing, and with the same frame twice.
  void write_kit() {
    std::filesystem::create_directories(kit() / "frames");
    for (int i = 0; i < 7; ++i) {
      TestFrame frame(static_cast<unsigned char>(30 + 3 * i));
      if (i == 2) frame.mark(0, 0, kDefectMarker);
      std::ofstream(kit() / "frames" / (std::to_string(i) + ".raw"), std::ios::binary)
          .write(static_cast<const char*>(frame.view().data), 1200);
    }
    description = {{"format", 1},
                   {"bundle_sha256", bundle->sha256()},
                   {"strips",
                    {strip("good", "frames/0.raw", "frames/1.raw"), strip("defect", "frames/2.raw", "frames/3.raw"),
                     strip("missing", "frames/4.raw", nullptr), strip("twice", "frames/5.raw", "frames/5.raw")}}};
    write_description();
  }
  static json strip(const std::string& name, const json& first, const json& second) {
    return {{"name", name}, {"frames", {first, second}}, {"expected", "reject"}, {"expected_reason", nullptr}};
  }
  void write_description() const { std::ofstream(kit() / "kit.json") << description.dump(); }
  json challenge(int id) {
    return command({{"command_id", id}, {"command", "challenge"}, {"batch", 7}, {"kit", kit().string()}});
  }
  Status load() {
    write_description();
    return ChallengeKit::load(kit(), *bundle).status();
  }

  json description;
};

TEST_F(StationChallengeTest, EachStripIsInspectedAndRecordedByName) {
  start();
  write_kit();
  connect_control();
  EXPECT_EQ(challenge(1)["ok"], true);
  EXPECT_EQ(line->mode(), Mode::kHalted);
  EXPECT_EQ(line->counters().triggers, 0U);
  end();
  const auto all = strips();
  ASSERT_EQ(all.size(), 4U);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"good", "none"}, {"defect", "defect"}, {"missing", "frame_missing"}, {"twice", "frame_stale"}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(all[i]["name"], expected[i].first);
    EXPECT_EQ(all[i]["reason"], expected[i].second) << expected[i].first;
    EXPECT_EQ(all[i]["mode"], "challenge");
    EXPECT_EQ(all[i]["gate"], "reject");
    EXPECT_EQ(all[i]["batch"], 7);
  }
  const auto command = json_of(5).at(0);
  EXPECT_EQ(command["command"], "challenge");
  EXPECT_EQ(command["balance"]["triggers"], 0);
  EXPECT_GT(entries(5).at(0).seq, entries(2).back().seq);
}

// The Inspector knows frames again; a kit must pass tomorrow, too.
TEST_F(StationChallengeTest, AKitCanBeRepeated) {
  start();
  write_kit();
  connect_control();
  for (int id = 1; id <= 3; ++id) EXPECT_EQ(challenge(id)["ok"], true);
  end();
  ASSERT_EQ(strips().size(), 12U);
  for (const auto& strip : strips()) {
    EXPECT_EQ(strip["verdict"], strip["name"] == "good" ? "accept" : "reject");
  }
}

TEST_F(StationChallengeTest, TriggersMeanwhileAreRefusedAndCounted) {
  ring_strips = 4096;
  start();
  write_kit();
  connect_control();
  ASSERT_TRUE(
      control->send(json({{"command_id", 1}, {"command", "challenge"}, {"batch", 7}, {"kit", kit().string()}}).dump()));
  step_until([&] { return line->mode() == Mode::kChallenge; });
  std::uint64_t id = 0;
  while (line->mode() == Mode::kChallenge) {
    feed(++id);
    step(3);
  }
  run_until_idle();
  EXPECT_EQ(line->counters().triggers, id);
  EXPECT_EQ(line->counters().rejected[7], id);
  end();
  int challenged = 0;
  for (const auto& strip : strips()) {
    const bool of_challenge = strip["mode"] == "challenge";
    challenged += of_challenge ? 1 : 0;
    EXPECT_TRUE(of_challenge || strip["reason"] == "not_ready") << strip;
  }
  EXPECT_EQ(challenged, 4);
}

TEST_F(StationChallengeTest, TheMachineSeesNothingOfIt) {
  start(false);
  write_kit();
  connect_machine();
  connect_control();
  EXPECT_EQ(challenge(1)["ok"], true);
  while (const auto packet = machine->receive()) {
    EXPECT_EQ((*packet)[24], 0);  // ready
    EXPECT_EQ((*packet)[26], 0);  // result valid
    EXPECT_EQ((*packet)[27], 0);  // accept
  }
}

TEST_F(StationChallengeTest, HaltEndsIt) {
  start();
  write_kit();
  connect_control();
  ASSERT_TRUE(
      control->send(json({{"command_id", 1}, {"command", "challenge"}, {"batch", 7}, {"kit", kit().string()}}).dump()));
  step_until([&] { return line->mode() == Mode::kChallenge; });
  ASSERT_TRUE(control->send(json({{"command_id", 2}, {"command", "halt"}}).dump()));
  std::vector<json> answers;
  step_until([&] {
    while (const auto answer = control->receive()) answers.push_back(json::parse(*answer));
    return answers.size() == 2;
  });
  EXPECT_EQ(answers[0]["command_id"], 1);
  EXPECT_EQ(answers[0]["ok"], false);
  EXPECT_EQ(answers[1]["ok"], true);
  EXPECT_EQ(line->mode(), Mode::kHalted);
}

// A strip that is not recorded proves nothing.
TEST_F(StationChallengeTest, ARecordWithoutRoomEndsIt) {
  start();
  write_kit();
  connect_control();
  disk->held = true;
  ASSERT_TRUE(
      control->send(json({{"command_id", 1}, {"command", "challenge"}, {"batch", 7}, {"kit", kit().string()}}).dump()));
  step_until([&] { return line->mode() == Mode::kChallenge; });
  while (ring->room_for_strip() != nullptr) journal->record_event("noise", "");
  std::optional<std::string> answer;
  step_until([&] { return (answer = control->receive()).has_value(); });
  EXPECT_EQ(json::parse(*answer)["ok"], false);
  EXPECT_THAT(json::parse(*answer)["error"].get<std::string>(), HasSubstr("no room"));
  EXPECT_EQ(line->mode(), Mode::kHalted);
  EXPECT_EQ(journal->gaps(), 0U);
  disk->held = false;
}

TEST_F(StationChallengeTest, AMissingFileEndsItWithAnError) {
  start();
  write_kit();
  std::filesystem::remove(kit() / "frames" / "3.raw");
  connect_control();
  const json answer = challenge(1);
  EXPECT_EQ(answer["ok"], false);
  EXPECT_THAT(answer["error"].get<std::string>(), HasSubstr("3.raw"));
  EXPECT_EQ(line->mode(), Mode::kHalted);
}

TEST_F(StationChallengeTest, AFileOfAnotherSizeEndsItWithAnError) {
  start();
  write_kit();
  std::filesystem::resize_file(kit() / "frames" / "0.raw", 1199);
  connect_control();
  EXPECT_THAT(challenge(1)["error"].get<std::string>(), HasSubstr("1200 bytes"));
}

TEST_F(StationChallengeTest, AKitOfAnotherBundleIsRefused) {
  start();
  write_kit();
  description["bundle_sha256"] = std::string(64, '0');
  EXPECT_EQ(load().code(), Code::kFailedPrecondition);
}

TEST_F(StationChallengeTest, WhatIsNoKitIsRefused) {
  start();
  EXPECT_EQ(ChallengeKit::load(folder() / "nothing", *bundle).status().code(), Code::kNotFound);
  write_kit();
  EXPECT_TRUE(load().ok());
  const json good = description;
  const auto refused = [&](const char* pointer, const json& value) {
    description = good;
    description[json::json_pointer(pointer)] = value;
    EXPECT_EQ(load().code(), Code::kDataCorrupt) << pointer << " " << value;
  };
  refused("/format", 2);
  refused("/other", 1);
  refused("/strips", json::array());
  refused("/strips", 3);
  refused("/strips/0", 3);
  refused("/strips/0/other", 3);
  refused("/strips/0/name", "");
  refused("/strips/0/name", std::string(65, 'x'));
  refused("/strips/0/name", "a\nb");
  refused("/strips/0/frames", json::array({"frames/0.raw"}));
  refused("/strips/0/frames/0", 3);
  refused("/strips/0/frames/0", "");
  refused("/strips/0/frames/0", "/etc/passwd");
  refused("/strips/0/frames/0", "../secret");
  refused("/strips/0/frames/0", "frames/../../secret");
  std::ofstream(kit() / "kit.json") << "{";
  EXPECT_EQ(ChallengeKit::load(kit(), *bundle).status().code(), Code::kDataCorrupt);
}

}  // namespace
}  // namespace vialsight::test
