// The simulated line against a station that a test plays: triggers, verdicts, gate and truth.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gige_rig.h"
#include "station/file_descriptor.h"
#include "station/gige_camera/camera_line.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using station::CameraLine;
using station::FileDescriptor;
using station::LineCounts;
using station::LineOptions;
using ::testing::HasSubstr;

// The packets as docs and contract have them, written here a second time.
using Packet = std::array<unsigned char, 64>;
template <typename Number>
void put(Packet& packet, std::size_t at, Number number) {
  std::memcpy(packet.data() + at, &number, sizeof number);
}
template <typename Number>
Number get(const Packet& packet, std::size_t at) {
  Number number{};
  std::memcpy(&number, packet.data() + at, sizeof number);
  return number;
}

// Is ready, and answers what a test says to each strip.
class PlayedStation {
 public:
  enum class Answer { kAccept, kReject, kNothing, kOfAnotherStrip };

  PlayedStation(const std::filesystem::path& path, std::map<std::uint64_t, Answer> answers)
      : answers_(std::move(answers)), listener_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { run(); });
  }
  PlayedStation(const PlayedStation&) = delete;
  PlayedStation& operator=(const PlayedStation&) = delete;
  ~PlayedStation() {
    stopped_ = true;
    thread_.join();
  }

  // Once the line has ended.
  std::vector<std::uint64_t> triggered;
  std::vector<std::uint64_t> counts;
  std::vector<std::uint64_t> acknowledged;

 private:
  void say(std::uint64_t strip_id, bool valid, bool accept) const {
    Packet packet{};
    put(packet, 0, std::uint32_t{0x314d5356});
    put(packet, 4, std::uint32_t{16});
    put(packet, 8, strip_id);
    packet[24] = 1;
    packet[26] = valid;
    packet[27] = accept;
    packet[28] = valid && !accept ? 1 : 0;  // defect
    static_cast<void>(::send(client_.get(), packet.data(), packet.size(), MSG_NOSIGNAL));
  }
  void answer(std::uint64_t strip_id) const {
    const auto found = answers_.find(strip_id);
    switch (found == answers_.end() ? Answer::kAccept : found->second) {
      case Answer::kAccept:
        return say(strip_id, true, true);
      case Answer::kReject:
        return say(strip_id, true, false);
      case Answer::kOfAnotherStrip:
        return say(strip_id - 1, true, true);
      case Answer::kNothing:
        return;
    }
  }
  void take(const Packet& packet) {
    EXPECT_EQ(get<std::uint32_t>(packet, 0), 0x314d5356U);
    const auto strip_id = get<std::uint64_t>(packet, 8);
    if (get<std::uint32_t>(packet, 4) == 2) return acknowledged.push_back(strip_id);
    triggered.push_back(strip_id);
    counts.push_back(get<std::uint64_t>(packet, 24));
    answer(strip_id);
  }
  void run() {
    while (!stopped_) {
      pollfd waited{client_.valid() ? client_.get() : listener_.get(), POLLIN, 0};
      if (::poll(&waited, 1, 20) <= 0) continue;
      if (!client_.valid()) {
        client_ = FileDescriptor(::accept(listener_.get(), nullptr, nullptr));
        say(0, false, false);
        continue;
      }
      Packet packet{};
      if (::recv(client_.get(), packet.data(), packet.size(), 0) != 64) return;
      take(packet);
    }
  }

  std::map<std::uint64_t, Answer> answers_;
  FileDescriptor listener_;
  FileDescriptor client_;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

class GigeLineTest : public ::testing::Test {
 protected:
  GigeLineTest() : layout_(layout_of({{0, 0, 16, 16}}, 16)) {
    layout_.frames = 3;
    options_.slot = milliseconds(200);
    options_.interval = milliseconds(90);
    options_.machine = folder_.path() / "machine.sock";
  }

  // As docs/live.md has the stream.
  void write_stream(int strips) const {
    std::ofstream file(stream_path(), std::ios::binary);
    const auto put32 = [&](std::uint32_t value) { file.write(reinterpret_cast<const char*>(&value), 4); };
    const auto put64 = [&](std::uint64_t value) { file.write(reinterpret_cast<const char*>(&value), 8); };
    file << "VSSTREAM";
    for (const std::uint32_t value : {1U, 64U, 48U, 8U, 3U, 0U}) put32(value);
    for (int strip = 1; strip <= strips; ++strip) {
      for (std::uint32_t index = 0; index < 3; ++index) {
        file << "FRAM";
        put32(index);
        put64(static_cast<std::uint64_t>(strip));
        put32(1);
        put32(strip % 2 == 0 ? 1 : 0);
        put64(64 * 48);
        std::string product = "P" + std::to_string(strip);
        product.resize(64);
        file << product;
        const Pixels pixels = noise(layout_, static_cast<unsigned>(3 * strip) + index);
        file.write(reinterpret_cast<const char*>(pixels->data()), 64 * 48);
      }
    }
  }
  LineCounts run(GigeRig& rig, bool loop = false) {
    auto feed = station::StripFeed::open({stream_path(), 4, loop}).value();
    CameraLine line(options_, rig.camera(), *feed, station::TruthFile::create(folder_.path() / "truth.csv").value(),
                    stop_);
    return line.run();
  }
  [[nodiscard]] std::filesystem::path stream_path() const { return folder_.path() / "strips.bin"; }
  // The columns named, of each row.
  [[nodiscard]] std::vector<std::string> truth(const std::vector<std::size_t>& columns) const {
    std::ifstream file(folder_.path() / "truth.csv");
    std::vector<std::string> rows;
    for (std::string line; std::getline(file, line);) {
      std::vector<std::string> fields(1);
      for (const char c : line) c == ',' ? static_cast<void>(fields.emplace_back()) : fields.back().push_back(c);
      std::string row;
      for (const std::size_t column : columns) row += fields.at(column) + " ";
      rows.push_back(row);
    }
    return rows;
  }

  TemporaryFolder folder_;
  Layout layout_;
  LineOptions options_;
  volatile std::sig_atomic_t stop_ = 0;
};

TEST_F(GigeLineTest, AStripIsAcceptedByAValidResultOfItsOwnOnly) {
  using Answer = PlayedStation::Answer;
  write_stream(5);
  GigeRig rig(layout_);
  ASSERT_TRUE(rig.connect().ok());
  PlayedStation station(options_.machine, {{2, Answer::kReject}, {3, Answer::kNothing}, {4, Answer::kOfAnotherStrip}});
  const LineCounts counts = run(rig);
  EXPECT_EQ(counts.triggers, 5U);
  EXPECT_EQ(counts.accepted, 2U);
  EXPECT_EQ(counts.rejected, 1U);
  EXPECT_EQ(counts.lost, 2U);
  EXPECT_EQ(station.triggered, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(station.counts, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(station.acknowledged, (std::vector<std::uint64_t>{1, 2, 5}));
  EXPECT_EQ(truth({0, 1, 3, 6, 7, 8}),
            (std::vector<std::string>{"strip_id product label verdict reason gate ", "1 P1 nominal accept  accept ",
                                      "2 P2 defective reject defect reject ", "3 P3 nominal   reject ",
                                      "4 P4 defective   reject ", "5 P5 nominal accept  accept "}));
}

TEST_F(GigeLineTest, AStationThatIsNotThereIsWrittenDown) {
  write_stream(2);
  options_.wait_ready = false;
  GigeRig rig(layout_);
  ASSERT_TRUE(rig.connect().ok());
  EXPECT_EQ(run(rig).lost, 2U);
  EXPECT_EQ(truth({4, 8}), (std::vector<std::string>{"faults gate ", "no_station reject ", "no_station reject "}));
}

TEST_F(GigeLineTest, FaultsAreWrittenDown) {
  write_stream(4);
  options_.machine.clear();
  options_.faults.swap = 1.0;
  GigeRig rig(layout_);
  ASSERT_TRUE(rig.connect().ok());
  static_cast<void>(run(rig));
  const std::vector<std::string> rows = truth({4});
  ASSERT_EQ(rows.size(), 5U);
  for (std::size_t i = 1; i < rows.size(); ++i) EXPECT_THAT(rows[i], HasSubstr("swapped:"));
}

TEST_F(GigeLineTest, TheFrameStreamComesToThePixelAndASecondTimeWithACounter) {
  write_stream(2);
  options_.machine.clear();
  options_.strips = 4;
  GigeRig rig(layout_);
  ASSERT_TRUE(rig.connect().ok());
  std::thread line([&] { EXPECT_EQ(run(rig, true).triggers, 4U); });
  for (unsigned frame = 0; frame < 12; ++frame) {
    // The test is no machine: frames are strips' whenever they come.
    if (frame % 3 == 0) rig.source().strip_opened(frame / 3 + 1, Clock::now() - milliseconds(100));
    const SourceEvent event = rig.next();
    ASSERT_EQ(event.kind, SourceEvent::Kind::kFrame) << "frame " << frame << " " << event.text;
    const unsigned strip = frame / 3 % 2 + 1;
    auto expected = *noise(layout_, 3 * strip + frame % 3);
    if (frame >= 6) expected[0] ^= 1U;  // the second time: 1, in the lowest bits of the first 32 pixels
    EXPECT_TRUE(shows(event.pixels, std::make_shared<std::vector<std::uint8_t>>(expected))) << "frame " << frame;
    if (frame % 3 == 2) rig.source().strip_closed();
  }
  line.join();
}

}  // namespace
}  // namespace vialsight::test
