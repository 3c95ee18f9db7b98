// The Station: what came in, what the machine was told, what was recorded and what is shown agree, always.
#include "station/station.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>

#include "allocation_counter.h"
#include "station_fixture.h"

namespace vialsight::test {
namespace {

using station::Counters;

std::uint64_t sum(const std::array<std::uint64_t, kReasonCount>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

bool add_up(const Counters& counters) {
  return counters.triggers == counters.accepted + sum(counters.rejected) + counters.in_flight;
}

TEST_F(StationTest, StartsHaltedAndRefuses) {
  start();
  EXPECT_EQ(line->mode(), Mode::kHalted);
  EXPECT_EQ(line->hindrance(), 0U);
  feed(1);
  run_until_idle();
  EXPECT_EQ(line->counters().rejected[7], 1U);
  end();
  const auto strip = strips().at(0);
  EXPECT_EQ(strip["strip_id"], 1);
  EXPECT_EQ(strip["verdict"], "reject");
  EXPECT_EQ(strip["reason"], "not_ready");
  EXPECT_EQ(strip["gate"], "reject");
  EXPECT_EQ(strip["mode"], "halted");
  EXPECT_EQ(strip["batch"], 0);
  EXPECT_TRUE(strip["scores"].is_null());
  EXPECT_TRUE(strip["machine_count"].is_null());
  EXPECT_EQ(strip["vials"], "00");
  EXPECT_EQ(strip["pictures"], "none");
}

TEST_F(StationTest, AGoodStripIsAcceptedAndRecordedWhole) {
  start();
  produce(7);
  feed(5);
  run_until_idle();
  EXPECT_EQ(line->counters().accepted, 1U);
  const std::string block = SnapshotReader(snapshot_path()).strip(0);
  end();
  const auto strip = strips().at(0);
  EXPECT_EQ(strip["strip_id"], 5);
  EXPECT_EQ(strip["batch"], 7);
  EXPECT_EQ(strip["mode"], "production");
  EXPECT_TRUE(strip["name"].is_null());
  EXPECT_EQ(strip["verdict"], "accept");
  EXPECT_EQ(strip["reason"], "none");
  EXPECT_EQ(strip["gate"], "accept");
  EXPECT_EQ(strip["vials"], "11");
  EXPECT_EQ(strip["frames"].size(), 2U);
  EXPECT_EQ(strip["frames"][1]["id"], 1);
  EXPECT_EQ(strip["scores"], std::string(42, 'A') + "A=");  // eight zeros, 32 bytes
  EXPECT_EQ(strip["thresholds"].size(), 2U);
  EXPECT_FALSE(strip.contains("last_fault"));
  EXPECT_EQ(SnapshotReader::value_of<std::uint64_t>(block, 24), 5U);
  EXPECT_EQ(SnapshotReader::value_of<std::uint64_t>(block, 16), entries(2).at(0).seq);
}

TEST_F(StationTest, ADefectiveStripKeepsItsFramesAndMaps) {
  start();
  produce();
  feed(1, kDefectMarker);
  run_until_idle();
  const std::string shown = SnapshotReader(snapshot_path()).pictures(0);
  end();
  const auto strip = strips().at(0);
  EXPECT_EQ(strip["reason"], "defect");
  EXPECT_EQ(strip["pictures"], "kept");
  const SpoolEntry pictures = entries(3).at(0);
  EXPECT_EQ(pictures.seq, entries(2).at(0).seq + 1);
  EXPECT_EQ(field_of<std::uint64_t>(pictures.payload, 0), pictures.seq - 1);
  const std::vector<std::uint32_t> numbers = {40, 30, 1, 2, 2, 12};  // size, bytes, frames, maps, P
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(field_of<std::uint32_t>(pictures.payload, 8 + 4 * i), numbers[i]) << i;
  }
  ASSERT_EQ(pictures.payload.size(), 32 + 2 * (8 + 1200) + 2 * (24 + 144));
  const auto* pixels = static_cast<const char*>(frames[0].view().data);
  EXPECT_EQ(pictures.payload.substr(40, 1200), std::string(pixels, 1200));
  EXPECT_EQ(shown.substr(40, 1200), std::string(pixels, 1200));
  const std::size_t map = 32 + 2 * 1208;
  EXPECT_EQ(field_of<std::uint32_t>(pictures.payload, map + 4), 0U);  // vial
  EXPECT_EQ(field_of<std::uint32_t>(pictures.payload, map + 8), 0U);  // region
  EXPECT_GT(field_of<float>(pictures.payload, map + 12), strip["thresholds"][0].get<float>());
  EXPECT_EQ(SnapshotReader::value_of<std::uint32_t>(shown, 32), 3U);
  EXPECT_EQ(SnapshotReader::value_of<std::uint32_t>(shown, 36), 2U);
}

// What a map shows is Inspector::map on the bundle's scale.
TEST_F(StationTest, MapsAreOnTheScaleOfTheBundle) {
  start();
  produce();
  feed(1, kDefectMarker);
  run_until_idle();
  std::vector<float> map(144);
  ASSERT_TRUE(inspector->map(0, 0, 0, map).ok());
  const HeatmapScale scale = bundle->heatmap_scale(0).value();
  end();
  const std::string payload = entries(3).at(0).payload;
  const std::size_t first = 32 + 2 * 1208;
  const std::size_t own = field_of<std::uint32_t>(payload, first) == 0 ? first : first + 168;
  EXPECT_EQ(field_of<float>(payload, own + 16), scale.vmin);
  EXPECT_EQ(field_of<float>(payload, own + 20), scale.vmax);
  for (std::size_t i = 0; i < map.size(); ++i) {
    const double shown = (double{map[i]} - double{scale.vmin}) / (double{scale.vmax} - double{scale.vmin});
    const double expected = 255.0 * std::min(1.0, std::max(0.0, shown));
    EXPECT_NEAR(static_cast<unsigned char>(payload[own + 24 + i]), expected, 0.51) << i;
  }
}

TEST_F(StationTest, AMissingFrameIsARejectAtTheDeadline) {
  settings.budget = std::chrono::milliseconds(20);
  start();
  produce();
  source->trigger(1);
  source->frame(1, 0, frames.emplace_back(next_gray()).view());
  run_until_idle();
  EXPECT_EQ(line->counters().rejected[3], 1U);
  feed(2);
  step_until([&] { return line->counters().triggers == 2 && line->counters().in_flight == 0; });
  end();
  EXPECT_EQ(strips().at(0)["reason"], "frame_missing");
  EXPECT_EQ(strips().at(0)["pictures"], "kept");
  EXPECT_EQ(strips().at(0)["frames"].size(), 1U);
}

TEST_F(StationTest, AFrameOfAnotherStripIsStale) {
  start();
  produce();
  source->trigger(1);
  source->frame(2, 0, frames.emplace_back(next_gray()).view());
  source->frame(1, 1, frames.emplace_back(next_gray()).view());
  run_until_idle();
  EXPECT_EQ(line->counters().rejected[8], 1U);
  end();
  EXPECT_THAT(strips().at(0)["last_fault"].get<std::string>(), ::testing::HasSubstr("strip 2"));
}

TEST_F(StationTest, AFrameOfAnotherSizeIsInvalidAndNotKept) {
  start();
  produce();
  source->trigger(1);
  FrameView view = frames.emplace_back(next_gray()).view();
  view.width = 41;
  source->frame(1, 0, view);
  source->frame(1, 1, frames.emplace_back(next_gray()).view());
  run_until_idle();
  EXPECT_EQ(line->counters().rejected[4], 1U);
  end();
  EXPECT_EQ(field_of<std::uint32_t>(entries(3).at(0).payload, 20), 1U);
}

TEST_F(StationTest, AFrameTooManyMakesAReject) {
  start();
  produce();
  source->trigger(1);
  source->frame(1, 2, frames.emplace_back(next_gray()).view());
  source->frame(1, 0, frames.emplace_back(next_gray()).view());
  run_until_idle();
  EXPECT_EQ(line->counters().accepted, 0U);
}

TEST_F(StationTest, ALostCameraHindersUntilItIsFound) {
  start();
  produce();
  source->tell(SourceEvent::Kind::kLost, "unplugged");
  step_until([&] { return line->hindrance() == station::kCameraLost; });
  feed(1);
  run_until_idle();
  source->tell(SourceEvent::Kind::kFound, "back");
  step_until([&] { return line->hindrance() == 0; });
  feed(2);
  run_until_idle();
  EXPECT_EQ(line->counters().rejected[7], 1U);
  EXPECT_EQ(line->counters().accepted, 1U);
  end();
  EXPECT_EQ(events("camera_lost").at(0)["text"], "unplugged");
  EXPECT_EQ(events("camera_found").at(0)["text"], "back");
}

TEST_F(StationTest, ASourceThatAlwaysHasAnotherStripStarvesNoCommand) {
  ring_strips = 4096;
  start();
  connect_control();
  for (std::uint64_t id = 1; id <= 1000; ++id) feed(id);
  ASSERT_TRUE(control->send(R"({"command_id": 1, "command": "produce", "batch": 1})"));
  step_until([&] { return line->mode() == Mode::kProduction; });
  EXPECT_FALSE(source->is_empty());
}

TEST_F(StationTest, TheEndOfTheSourceIsTheEnd) {
  start();
  produce();
  feed(1);
  source->tell(SourceEvent::Kind::kEnd);
  while (line->step()) {
  }
  EXPECT_TRUE(line->outcome().ok());
  EXPECT_EQ(line->counters().accepted, 1U);
}

TEST_F(StationTest, ASourceThatBreaksWithinAStripEndsIt) {
  start();
  produce();
  source->trigger(1);
  source->frame(1, 0, frames.emplace_back(next_gray()).view());
  source->tell(SourceEvent::Kind::kError, "broke");
  while (line->step()) {
  }
  EXPECT_EQ(line->outcome().message(), "broke");
  EXPECT_EQ(line->counters().in_flight, 0U);
  EXPECT_EQ(line->counters().accepted, 0U);
}

TEST_F(StationTest, PicturesWithoutRoomAreLeftOutAndSaidSo) {
  start();
  produce();
  disk->held = true;
  for (std::uint64_t id = 1; id <= 4; ++id) feed(id, kDefectMarker);
  run_until_idle();
  disk->held = false;
  const std::string status = SnapshotReader(snapshot_path()).status();
  end();
  std::map<std::string, int> fates;
  for (const auto& strip : strips()) ++fates[strip["pictures"].get<std::string>()];
  EXPECT_EQ(fates["kept"], 2);
  EXPECT_EQ(fates["none_free"], 2);
  EXPECT_EQ(SnapshotReader::value_of<std::uint64_t>(status, 432), 2U);
}

// The disk stands still: verdicts go on until the ring is three quarters full, then strips are refused, then only
// counted; afterwards the record says all of it, and adds up.
TEST_F(StationTest, ADiskThatStandsStillDelaysNoVerdict) {
  start();
  produce(7);
  disk->held = true;
  std::uint64_t id = 0;
  while ((line->hindrance() & station::kSpoolLag) == 0) {
    feed(++id);
    run_until_idle();
    step(2);
  }
  EXPECT_GE(line->counters().accepted, 8U);
  for (int i = 0; i < 60; ++i) feed(++id);
  run_until_idle();
  EXPECT_TRUE(add_up(line->counters()));
  EXPECT_GT(journal->gaps(), 0U);
  disk->held = false;
  step_until([&] { return (line->hindrance() & station::kSpoolLag) == 0; });
  feed(++id);
  run_until_idle();
  const Counters counters = line->counters();
  EXPECT_EQ(counters.triggers, id);
  end();
  std::uint64_t recorded = strips().size();
  for (const auto& gap : json_of(4)) recorded += gap["count"].get<std::uint64_t>();
  EXPECT_EQ(recorded, id);
  EXPECT_EQ(json_of(4).size(), 1U);
  EXPECT_EQ(json_of(4)[0]["batch"], 7);
  EXPECT_EQ(events("spool_lag").size(), 1U);
  EXPECT_EQ(events("spool_caught_up").size(), 1U);
  EXPECT_EQ(strips().back()["verdict"], "accept");
}

TEST_F(StationTest, NothingIsAllocatedBetweenTriggerAndVerdict) {
  start();
  produce();
  feed(1);
  run_until_idle();
  source->trigger(2);
  step_until([&] { return line->counters().in_flight == 1; });
  const FrameView first = frames.emplace_back(next_gray()).view();
  const FrameView second = frames.emplace_back(next_gray()).view();
  step_until([&] { return spool_writer->spooled_seq() == journal->last_seq(); });
  source->frame(2, 0, first);
  source->frame(2, 1, second);
  start_counting_allocations();
  while (line->counters().in_flight == 1) line->step();
  EXPECT_EQ(stop_counting_allocations(), 0);
  EXPECT_EQ(line->counters().accepted, 2U);
}

TEST_F(StationTest, SequenceNumbersGoOnAfterARestart) {
  start();
  produce();
  feed(1);
  run_until_idle();
  end();
  const std::uint64_t last = entries().back().seq;
  start();
  EXPECT_EQ(line->mode(), Mode::kHalted);
  feed(2);
  run_until_idle();
  end();
  EXPECT_GT(entries().back().seq, last);  // and read_spool() found no number left out
  EXPECT_EQ(strips().size(), 2U);
}

// Strips, refusals, faults, commands and acknowledgements in any order.
TEST_F(StationTest, CountersAndRecordAgreeWhateverHappens) {
  settings.budget = std::chrono::milliseconds(20);
  ring_strips = 1024;
  start();
  connect_control();
  connect_machine();
  std::mt19937 random(5);
  const auto draw = [&](unsigned count) { return static_cast<unsigned>(random() % count); };
  std::int64_t command_id = 0;
  std::uint64_t id = 0;
  for (int round = 0; round < 400; ++round) {
    switch (draw(8)) {
      case 0:
        (void)command({{"command_id", ++command_id}, {"command", "halt"}});
        break;
      case 1:
      case 2:
        (void)command({{"command_id", ++command_id}, {"command", "produce"}, {"batch", 1 + draw(2)}});
        break;
      case 3:
        source->tell(draw(2) == 0 ? SourceEvent::Kind::kLost : SourceEvent::Kind::kFound);
        break;
      case 4: {  // a frame is lost
        source->trigger(++id);
        source->frame(id, static_cast<int>(draw(3)), frames.emplace_back(next_gray()).view());
        break;
      }
      default:
        feed(++id, draw(4) == 0 ? kDefectMarker : 0);
    }
    if (draw(2) == 0) (void)machine->send(machine_packet(2, id));
    const auto is_idle = [&] { return source->is_empty() && line->counters().in_flight == 0; };
    for (unsigned i = draw(30); i > 0 && !is_idle(); --i) {
      line->step();
      ASSERT_TRUE(add_up(line->counters()));
    }
    while (machine->receive()) {
    }
  }
  run_until_idle();
  const Counters counters = line->counters();
  const std::string status = SnapshotReader(snapshot_path()).status();
  end();
  EXPECT_EQ(counters.triggers, id);
  std::map<std::string, std::uint64_t> recorded;
  std::uint64_t last_id = 0;
  for (const auto& strip : strips()) {
    ++recorded[strip["reason"].get<std::string>()];
    ASSERT_EQ(strip["strip_id"], ++last_id);
    EXPECT_EQ(strip["gate"], strip["verdict"]);
  }
  EXPECT_EQ(recorded["none"], counters.accepted);
  for (std::size_t i = 1; i < kReasonCount; ++i) {
    EXPECT_EQ(recorded[name_of(static_cast<Reason>(i))], counters.rejected[i]) << i;
  }
  EXPECT_EQ(SnapshotReader::value_of<std::uint64_t>(status, 104), counters.triggers);
  EXPECT_EQ(SnapshotReader::value_of<std::uint64_t>(status, 464), id);  // strip blocks
}

// The balance of a command is that of the entries before it which carry its batch.
TEST_F(StationTest, TheBalanceOfABatchIsThatOfItsEntries) {
  start();
  produce(7);
  for (std::uint64_t id = 1; id <= 3; ++id) feed(id, id == 2 ? kDefectMarker : 0);
  run_until_idle();
  ASSERT_EQ(command({{"command_id", 2}, {"command", "halt"}})["ok"], true);
  feed(4);
  run_until_idle();
  ASSERT_EQ(command({{"command_id", 3}, {"command", "produce"}, {"batch", 8}})["ok"], true);
  feed(5);
  run_until_idle();
  ASSERT_EQ(command({{"command_id", 4}, {"command", "halt"}})["ok"], true);
  end();
  const auto commands = json_of(5);
  ASSERT_EQ(commands.size(), 4U);
  EXPECT_EQ(commands[1]["batch"], 7);
  EXPECT_EQ(commands[1]["balance"]["triggers"], 3);
  EXPECT_EQ(commands[1]["balance"]["accepted"], 2);
  EXPECT_EQ(commands[1]["balance"]["rejected"]["defect"], 1);
  EXPECT_EQ(commands[3]["batch"], 8);
  EXPECT_EQ(commands[3]["balance"]["triggers"], 1);
  EXPECT_EQ(strips()[3]["batch"], 7);  // halted, of the batch that was named last
  EXPECT_EQ(strips()[3]["mode"], "halted");
}

}  // namespace
}  // namespace vialsight::test
