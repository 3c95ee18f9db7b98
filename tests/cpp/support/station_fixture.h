// A Station on the small line of bundle_writer.h, driven step by step, with a real folder, sockets and snapshot.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle_writer.h"
#include "fake_backend.h"
#include "inspector/inspector_access.h"
#include "inspector_fixture.h"
#include "station/station.h"
#include "station_fakes.h"
#include "station_snapshot_reader.h"
#include "station_spool_reader.h"
#include "temporary_folder.h"

namespace vialsight::test {

using station::Mode;

inline constexpr std::size_t kPictures = 2;

class StationTest : public ::testing::Test {
 protected:
  StationTest() {
    inspector_options.require_fresh_frames = false;
    inspector_options.margin = std::chrono::milliseconds(2);
    settings.budget = std::chrono::seconds(20);  // nobody waits for it, unless a frame is missing
    settings.session = std::string(32, 'a');
  }
  ~StationTest() override { end(); }

  void start(bool triggers_itself = true) {
    const auto bundle_path = folder() / "small.vsb";
    if (!std::filesystem::exists(bundle_path)) writer.write(bundle_path);
    bundle.emplace(Bundle::load(bundle_path).value());
    const Layout& layout = bundle->layout();
    inspector.emplace(
        InspectorAccess::create(*bundle, inspector_options,
                                std::make_unique<FakeBackend>(script, layout.patch_size, bundle->outputs()),
                                std::make_shared<SteadyTimeSource>())
            .value());
    handshake.emplace(Handshake::create(*inspector).value());
    source.emplace(triggers_itself);
    disk = std::make_unique<FakeDisk>(spool());
    snapshot = station::SnapshotWriter::create(snapshot_path(), *bundle).value();
    ring.emplace(ring_strips, layout);
    pool.emplace(kPictures, layout);
    const std::uint64_t last_seq = disk->next_seq() - 1;
    spool_writer.emplace(*ring, *pool, *disk, station::SpoolWriterStart{last_seq, 1U << 16U});
    ASSERT_TRUE(spool_writer->start().ok());
    journal.emplace(*ring, *spool_writer, last_seq);
    machine_port.emplace(station::PacketServer::listen(folder() / "machine.sock").value());
    control_port.emplace(station::PacketServer::listen(folder() / "control.sock").value());
    line.emplace(station::StationParts{*inspector, *handshake, *source, *snapshot, *journal, *pool, *machine_port,
                                       *control_port},
                 settings);
  }
  // Everything on the disk, as far as it takes it.
  void end() {
    machine.reset();
    control.reset();
    line.reset();
    if (spool_writer) spool_writer->stop(std::chrono::seconds(20));
    spool_writer.reset();
    control_port.reset();
    machine_port.reset();
    snapshot.reset();
    source.reset();
    handshake.reset();
    inspector.reset();
    disk.reset();
  }

  void step(int times = 1) {
    for (int i = 0; i < times; ++i) line->step();
  }
  template <typename Condition>
  void step_until(const Condition& holds) {
    const Clock::time_point hangs = Clock::now() + std::chrono::minutes(2);
    while (!holds()) {
      ASSERT_LT(Clock::now(), hangs);
      line->step();
    }
  }
  void connect_machine() {
    machine.emplace(folder() / "machine.sock");
    step_until([&] { return machine_port->has_client(); });
  }
  void connect_control() {
    control.emplace(folder() / "control.sock");
    step_until([&] { return control_port->has_client(); });
  }
  nlohmann::json command(const nlohmann::json& request) {
    EXPECT_TRUE(control->send(request.dump()));
    std::optional<std::string> answer;
    step_until([&] { return (answer = control->receive()).has_value(); });
    return nlohmann::json::parse(answer.value_or("null"));
  }
  void produce(int batch = 7) {
    connect_control();
    ASSERT_EQ(command({{"command_id", 1}, {"command", "produce"}, {"batch", batch}})["ok"], true);
  }
  static std::string machine_packet(std::uint32_t type, std::uint64_t strip_id, std::uint64_t count = 0,
                                    std::int64_t time_ns = 0) {
    std::string packet(64, '\0');
    const std::uint32_t magic = 0x314d5356;
    std::memcpy(packet.data(), &magic, 4);
    std::memcpy(packet.data() + 4, &type, 4);
    std::memcpy(packet.data() + 8, &strip_id, 8);
    std::memcpy(packet.data() + 16, &time_ns, 8);
    std::memcpy(packet.data() + 24, &count, 8);
    return packet;
  }

  // A whole strip of a source that triggers itself; the frames stay until the test ends.
  void feed(std::uint64_t strip_id, unsigned char first_marker = 0) {
    source->trigger(strip_id);
    for (int index = 0; index < 2; ++index) {
      TestFrame& frame = frames.emplace_back(next_gray());
      if (first_marker != 0) frame.mark(0, 0, first_marker);
      source->frame(strip_id, index, frame.view());
    }
  }
  // No two images of a test are alike.
  unsigned char next_gray() { return static_cast<unsigned char>(20 + gray_++ % 100); }
  void run_until_idle() {
    step_until([&] { return source->is_empty() && line->counters().in_flight == 0 && source->open_strip() == 0; });
  }

  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path spool() const { return folder() / "spool"; }
  [[nodiscard]] std::string snapshot_path() const { return (folder() / "snapshot").string(); }
  [[nodiscard]] std::vector<SpoolEntry> entries(std::uint32_t kind = 0) const {
    std::vector<SpoolEntry> all = read_spool(spool());
    std::erase_if(all, [kind](const SpoolEntry& entry) { return kind != 0 && entry.kind != kind; });
    return all;
  }
  [[nodiscard]] std::vector<nlohmann::json> strips() const { return json_of(2); }
  [[nodiscard]] std::vector<nlohmann::json> events(const std::string& name) const {
    std::vector<nlohmann::json> all = json_of(6);
    std::erase_if(all, [&](const nlohmann::json& event) { return event["event"] != name; });
    return all;
  }
  [[nodiscard]] std::vector<nlohmann::json> json_of(std::uint32_t kind) const {
    std::vector<nlohmann::json> all;
    for (const SpoolEntry& entry : entries(kind)) all.push_back(entry.json());
    return all;
  }

  std::size_t ring_strips = 16;
  BundleWriter writer;
  InspectorOptions inspector_options;
  station::StationSettings settings;
  std::shared_ptr<BackendScript> script = std::make_shared<BackendScript>(std::make_shared<FakeClock>());
  std::deque<TestFrame> frames;

  std::optional<Bundle> bundle;
  std::optional<Inspector> inspector;
  std::optional<Handshake> handshake;
  std::optional<FakeSource> source;
  std::unique_ptr<FakeDisk> disk;
  std::unique_ptr<station::SnapshotWriter> snapshot;
  std::optional<station::SpoolRing> ring;
  std::optional<station::PicturePool> pool;
  std::optional<station::SpoolWriter> spool_writer;
  std::optional<station::Journal> journal;
  std::optional<station::MachinePort> machine_port;
  std::optional<station::PacketServer> control_port;
  std::optional<station::Station> line;
  std::optional<PacketClient> machine;
  std::optional<PacketClient> control;

 private:
  TemporaryFolder folder_;
  int gray_ = 0;
};

}  // namespace vialsight::test
