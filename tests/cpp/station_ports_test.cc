// The two sockets: the gateway's handshake, and packets of people who mean no good.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "station_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

struct Reply {
  explicit Reply(const std::string& packet)
      : strip_id(field_of<std::uint64_t>(packet, 8)),
        ready(packet[24] != 0),
        busy(packet[25] != 0),
        result_valid(packet[26] != 0),
        accept(packet[27] != 0),
        reason(packet[28]),
        mode(packet[29]),
        hindrance(field_of<std::uint32_t>(packet, 32)),
        triggers(field_of<std::uint64_t>(packet, 40)) {}

  std::uint64_t strip_id;
  bool ready, busy, result_valid, accept;
  int reason, mode;
  std::uint32_t hindrance;
  std::uint64_t triggers;
};

class StationPortsTest : public StationTest {
 protected:
  // A line that the machine triggers, in production.
  void start_line() {
    start(false);
    connect_machine();
    produce();
    (void)replies();
  }
  std::vector<Reply> replies() {
    std::vector<Reply> all;
    while (const auto packet = machine->receive()) all.emplace_back(*packet);
    return all;
  }
  void trigger(std::uint64_t strip_id) { ASSERT_TRUE(machine->send(machine_packet(1, strip_id, strip_id))); }
  void show(std::uint64_t strip_id, unsigned char marker = 0) {
    for (int index = 0; index < 2; ++index) {
      TestFrame& frame = frames.emplace_back(next_gray());
      if (marker != 0) frame.mark(0, 0, marker);
      source->frame(strip_id, index, frame.view());
    }
  }
  void inspect(std::uint64_t strip_id, unsigned char marker = 0) {
    const std::uint64_t before = line->counters().triggers;
    trigger(strip_id);
    step_until([&] { return line->counters().triggers > before; });
    show(strip_id, marker);
    run_until_idle();
  }
};

TEST_F(StationPortsTest, TheSocketsAreTheOwners) {
  start();
  for (const char* name : {"machine.sock", "control.sock"}) {
    struct stat about = {};
    ASSERT_EQ(::stat((folder() / name).c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0600U);
  }
  end();
  EXPECT_FALSE(std::filesystem::exists(folder() / "machine.sock"));
}

TEST_F(StationPortsTest, WithoutAMachineNothingIsReady) {
  start(false);
  EXPECT_EQ(line->hindrance(), station::kMachineLost);
  connect_machine();
  EXPECT_EQ(line->hindrance(), 0U);
  machine.reset();
  step_until([&] { return line->hindrance() == station::kMachineLost; });
  connect_machine();
  end();
  EXPECT_EQ(events("machine_found").size(), 2U);
  EXPECT_EQ(events("machine_lost").size(), 1U);
}

TEST_F(StationPortsTest, AStripGoesThroughTheHandshake) {
  start_line();
  trigger(41);
  step_until([&] { return line->counters().in_flight == 1; });
  EXPECT_EQ(source->open_strip(), 41U);
  const Reply busy = replies().back();
  EXPECT_TRUE(busy.busy && !busy.ready && !busy.result_valid && !busy.accept);
  EXPECT_EQ(busy.strip_id, 41U);
  show(41);
  run_until_idle();
  const Reply valid = replies().back();
  EXPECT_TRUE(valid.result_valid && valid.accept && !valid.busy && !valid.ready);
  EXPECT_EQ(valid.strip_id, 41U);
  EXPECT_EQ(valid.mode, 1);
  ASSERT_TRUE(machine->send(machine_packet(2, 41)));
  step(3);
  const Reply ready = replies().back();
  EXPECT_TRUE(ready.ready && !ready.result_valid && !ready.accept);
  end();
  EXPECT_EQ(strips().at(0)["machine_count"], 41);
}

TEST_F(StationPortsTest, ARejectIsNoAccept) {
  start_line();
  inspect(1, kDefectMarker);
  const Reply reply = replies().back();
  EXPECT_TRUE(reply.result_valid);
  EXPECT_FALSE(reply.accept);
  EXPECT_EQ(reply.reason, 1);
}

TEST_F(StationPortsTest, TheNextTriggerAcknowledges) {
  start_line();
  inspect(1);
  inspect(2);
  EXPECT_EQ(line->counters().accepted, 2U);
  end();
  EXPECT_EQ(events("not_acknowledged").at(0)["strip_id"], 1);
}

TEST_F(StationPortsTest, ATriggerWhileBusyRejectsBoth) {
  start_line();
  trigger(1);
  step_until([&] { return line->counters().in_flight == 1; });
  trigger(2);
  step_until([&] { return line->counters().triggers == 2; });
  const std::vector<Reply> told = replies();
  const bool answered = std::any_of(told.begin(), told.end(), [](const Reply& reply) {
    return reply.strip_id == 2 && reply.result_valid && !reply.accept && reply.reason == 7;
  });
  EXPECT_TRUE(answered);
  show(1);
  run_until_idle();
  EXPECT_EQ(line->counters().rejected[7], 1U);
  EXPECT_EQ(line->counters().rejected[8], 1U);
}

TEST_F(StationPortsTest, ATriggerInAnotherModeIsRefusedAndAnswered) {
  start(false);
  connect_machine();
  (void)replies();
  trigger(1);
  step_until([&] { return line->counters().triggers == 1; });
  const std::vector<Reply> told = replies();
  ASSERT_GE(told.size(), 1U);
  EXPECT_EQ(told.front().strip_id, 1U);
  EXPECT_TRUE(told.front().result_valid);
  EXPECT_EQ(told.front().reason, 7);
  EXPECT_FALSE(told.back().accept);
}

TEST_F(StationPortsTest, AnIdThatDoesNotGoUpIsRefused) {
  start_line();
  inspect(5);
  ASSERT_TRUE(machine->send(machine_packet(1, 5, 6)));
  step_until([&] { return line->counters().triggers == 2; });
  EXPECT_EQ(line->counters().rejected[7], 1U);
  EXPECT_EQ(line->counters().accepted, 1U);
}

TEST_F(StationPortsTest, LostTriggersAreNoticed) {
  start_line();
  inspect(1);
  ASSERT_TRUE(machine->send(machine_packet(1, 5, 5)));
  step_until([&] { return line->counters().triggers == 2; });
  show(5);
  run_until_idle();
  end();
  const auto lost = events("lost_triggers").at(0);
  EXPECT_EQ(lost["lost"], 3);
  EXPECT_EQ(lost["batch"], 7);
}

TEST_F(StationPortsTest, ATriggerOfLongAgoIsTooLate) {
  start_line();
  const auto long_ago = Clock::now() - std::chrono::minutes(1);
  ASSERT_TRUE(machine->send(machine_packet(1, 1, 1, std::chrono::nanoseconds(long_ago.time_since_epoch()).count())));
  step_until([&] { return line->counters().triggers == 1 && line->counters().in_flight == 0; });
  EXPECT_EQ(line->counters().accepted, 0U);
}

TEST_F(StationPortsTest, ATriggerOfTheFutureIsOfNow) {
  start_line();
  const auto later = Clock::now() + std::chrono::hours(100);
  ASSERT_TRUE(machine->send(machine_packet(1, 1, 1, std::chrono::nanoseconds(later.time_since_epoch()).count())));
  step_until([&] { return line->counters().in_flight == 1; });
  show(1);
  run_until_idle();
  EXPECT_EQ(line->counters().accepted, 1U);
  end();
  EXPECT_LT(strips().at(0)["latency_ms"].get<double>(), 3.6e6);
  EXPECT_GE(strips().at(0)["latency_ms"].get<double>(), 0.0);
}

TEST_F(StationPortsTest, ASecondMachineIsTurnedAway) {
  start_line();
  const PacketClient second(folder() / "machine.sock");
  step_until([&] { return second.is_closed(); });
  inspect(1);
  EXPECT_EQ(line->counters().accepted, 1U);
}

TEST_F(StationPortsTest, AGatewayThatReadsNothingIsDropped) {
  start_line();
  for (std::uint64_t id = 1; id < 5000 && machine_port->has_client(); ++id) {
    (void)machine->send(machine_packet(1, id, id));  // refused: busy, each answered twice
    step(2);
  }
  EXPECT_FALSE(machine_port->has_client());
  EXPECT_EQ(line->hindrance() & station::kMachineLost, station::kMachineLost);
}

TEST_F(StationPortsTest, CommandsThatCannotBeAreRefused) {
  start();
  connect_control();
  const auto refused = [&](const nlohmann::json& request) {
    const nlohmann::json answer = command(request);
    EXPECT_EQ(answer["ok"], false) << request;
    EXPECT_EQ(answer["command_id"], request["command_id"]);
    return answer["error"].get<std::string>();
  };
  ASSERT_EQ(command({{"command_id", 1}, {"command", "produce"}, {"batch", 1}})["ok"], true);
  EXPECT_THAT(refused({{"command_id", 2}, {"command", "produce"}, {"batch", 1}}), HasSubstr("halt first"));
  EXPECT_THAT(refused({{"command_id", 3}, {"command", "challenge"}, {"batch", 1}, {"kit", "/x"}}), HasSubstr("halt"));
  ASSERT_EQ(command({{"command_id", 4}, {"command", "halt"}})["ok"], true);
  EXPECT_THAT(refused({{"command_id", 5}, {"command", "challenge"}, {"batch", 1}, {"kit", "/x"}}), HasSubstr("/x"));
  end();
  ASSERT_EQ(json_of(5).size(), 5U);
  EXPECT_EQ(json_of(5)[1]["ok"], false);
}

// As a recorder does that was killed before it had the answer.
TEST_F(StationPortsTest, ACommandThatIsSentAgainIsAnsweredAgainAndNotDoneAgain) {
  start();
  connect_control();
  const nlohmann::json request = {{"command_id", 5}, {"command", "produce"}, {"batch", 1}};
  EXPECT_EQ(command(request), command(request));
  ASSERT_EQ(command({{"command_id", 6}, {"command", "halt"}})["ok"], true);
  ASSERT_EQ(command({{"command_id", 7}, {"command", "produce"}, {"batch", 2}})["ok"], true);
  // The same number for something else is another command.
  ASSERT_EQ(command({{"command_id", 7}, {"command", "halt"}})["ok"], true);
  EXPECT_EQ(line->mode(), Mode::kHalted);
  end();
  EXPECT_EQ(json_of(5).size(), 4U);
}

TEST_F(StationPortsTest, AFullSpoolTakesNoCommand) {
  start();
  connect_control();
  disk->held = true;
  std::uint64_t id = 0;
  while (journal->has_room()) {
    feed(++id);
    run_until_idle();
  }
  const auto answer = command({{"command_id", 1}, {"command", "produce"}, {"batch", 1}});
  EXPECT_EQ(answer["ok"], false);
  EXPECT_THAT(answer["error"].get<std::string>(), HasSubstr("spool is full"));
  EXPECT_EQ(line->mode(), Mode::kHalted);
  disk->held = false;
}

TEST_F(StationPortsTest, ShutdownEndsTheLine) {
  start();
  connect_control();
  EXPECT_EQ(command({{"command_id", 1}, {"command", "shutdown"}})["ok"], true);
  EXPECT_FALSE(line->step());
}

// Between good strips: wrong sizes, wrong magic, wrong JSON, whole screens of noise.
TEST_F(StationPortsTest, HostilePacketsAreHarmless) {
#ifdef VIALSIGHT_SANITIZED
  constexpr int kPackets = 2'000;
#else
  constexpr int kPackets = 10'000;
#endif
  start_line();
  std::mt19937 random(7);
  const auto noise = [&](std::size_t most) {
    std::string packet(1 + random() % most, '\0');
    for (char& byte : packet) byte = static_cast<char>(random());
    return packet;
  };
  std::uint64_t id = 0;
  for (int i = 0; i < kPackets; ++i) {
    std::string to_machine = random() % 2 == 0 ? noise(200) : machine_packet(1, id + 1, id + 1);
    if (to_machine.size() == 64) to_machine[random() % 8] = static_cast<char>(0x80 | random());
    (void)machine->send(to_machine);
    (void)control->send(random() % 2 == 0 ? noise(9000) : "{\"command_id\": 1, \"command\": \"" + noise(8) + "\"}");
    step();
    while (machine->receive() || control->receive()) {
    }
    if (i % 500 == 0) inspect(++id);
  }
  EXPECT_EQ(line->counters().triggers, id);
  EXPECT_EQ(line->counters().accepted, id);
  EXPECT_EQ(line->mode(), Mode::kProduction);
  EXPECT_TRUE(machine_port->has_client());
}

}  // namespace
}  // namespace vialsight::test
