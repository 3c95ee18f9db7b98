// The snapshot: every byte where it is described, and never torn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "bundle_writer.h"
#include "station/snapshot_writer.h"
#include "station_snapshot_reader.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using station::PictureFate;
using station::SnapshotWriter;
using station::StatusBlock;
using station::StripEntry;
using ::testing::HasSubstr;

// 2 frames of 40×30, 2 vials, 2 regions, patches of 12×12.
constexpr std::size_t kFrame = 1200;
constexpr std::size_t kPicture = 40 + 2 * kFrame + 12 * (32 + 144);
constexpr std::size_t kStrip = 112 + 8 + 32 + 8 + 32;

class StationSnapshotTest : public ::testing::Test {
 protected:
  StationSnapshotTest() {
    BundleWriter().write(folder_.path() / "small.vsb");
    bundle = Bundle::load(folder_.path() / "small.vsb").value();
  }
  [[nodiscard]] std::string path() const { return (folder_.path() / "snapshot").string(); }
  [[nodiscard]] std::unique_ptr<SnapshotWriter> create() const {
    return SnapshotWriter::create(path(), *bundle).value();
  }
  static FrameView view_of(const std::vector<unsigned char>& pixels) {
    return {pixels.data(), 40, 30, 40, PixelFormat::kGray8};
  }
  template <typename T>
  static T value(const std::string& bytes, std::size_t offset) {
    return SnapshotReader::value_of<T>(bytes, offset);
  }

  std::optional<Bundle> bundle;

 private:
  TemporaryFolder folder_;
};

TEST_F(StationSnapshotTest, TheHeaderLiesAsDescribed) {
  const auto writer = create();
  const SnapshotReader reader(path());
  EXPECT_EQ(reader.bytes(0, 8), "VSSNAP01");
  EXPECT_EQ(reader.fixed<std::uint64_t>(8), reader.size());
  const std::vector<std::uint32_t> numbers = {2, 2, 2, 12, 40, 30, 1, 8, 10, 8, 256, 8};
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(reader.fixed<std::uint32_t>(16 + 4 * i), numbers[i]) << i;
  const std::size_t strips = 256 + 1024;
  const std::size_t pictures = strips + 256 * kStrip;
  const std::size_t live = pictures + 8 * kPicture;
  const std::vector<std::uint64_t> places = {256, 1024, strips, kStrip, pictures, kPicture, live, kPicture};
  for (std::size_t i = 0; i < places.size(); ++i) EXPECT_EQ(reader.fixed<std::uint64_t>(64 + 8 * i), places[i]) << i;
  EXPECT_EQ(reader.size(), live + 2 * kPicture);
  EXPECT_EQ(std::string(reader.bytes(128, 64).c_str()), bundle->name());
  EXPECT_EQ(reader.bytes(192, 64), bundle->sha256());
  EXPECT_EQ(reader.mode(), 0600U);
}

TEST_F(StationSnapshotTest, TheStatusLiesAsDescribed) {
  const auto writer = create();
  StatusBlock status = {};
  status.pid = 1;
  std::memset(status.session, 'f', 32);
  status.started_unix_ns = 2;
  status.updated_mono_ns = 3;
  status.updated_unix_ns = 4;
  status.mode = 5;
  status.hindrance = 6;
  status.ready = status.busy = status.result_valid = status.accept = 1;
  status.reason = 7;
  status.strip_id = 8;
  status.heartbeat = 9;
  status.triggers = 10;
  status.accepted = 11;
  for (std::size_t i = 0; i < 10; ++i) status.rejected[i] = 100 + i;
  status.in_flight = 12;
  status.batch = 13;
  status.batch_triggers = 14;
  status.batch_accepted = 15;
  for (std::size_t i = 0; i < 10; ++i) status.batch_rejected[i] = 200 + i;
  status.last_seq = 16;
  status.spooled_seq = 17;
  status.gaps = 18;
  status.pictures_left_out = 19;
  status.worker_restarts = 20;
  status.frames_received = 21;
  status.frames_dropped = 22;
  status.strips_written = 99;  // the writer's own count stands there
  status.budget_ms = 480.0;
  status.margin_ms = 2.0;
  std::memcpy(status.last_fault, "fault", 5);
  std::memcpy(status.source, "source", 6);
  writer->write_status(status);
  const std::string block = SnapshotReader(path()).status();
  ASSERT_EQ(block.size(), 1024U);
  EXPECT_EQ(value<std::uint64_t>(block, 8), 1U);
  EXPECT_EQ(block.substr(16, 32), std::string(32, 'f'));
  EXPECT_EQ(value<std::int64_t>(block, 48), 2);
  EXPECT_EQ(value<std::int64_t>(block, 56), 3);
  EXPECT_EQ(value<std::int64_t>(block, 64), 4);
  EXPECT_EQ(value<std::uint32_t>(block, 72), 5U);
  EXPECT_EQ(value<std::uint32_t>(block, 76), 6U);
  EXPECT_EQ(block.substr(80, 8), std::string("\1\1\1\1\7\0\0\0", 8));
  EXPECT_EQ(value<std::uint64_t>(block, 88), 8U);
  EXPECT_EQ(value<std::uint64_t>(block, 96), 9U);
  EXPECT_EQ(value<std::uint64_t>(block, 104), 10U);
  EXPECT_EQ(value<std::uint64_t>(block, 112), 11U);
  EXPECT_EQ(value<std::uint64_t>(block, 120 + 8 * 9), 109U);
  EXPECT_EQ(value<std::uint64_t>(block, 248), 12U);
  EXPECT_EQ(value<std::uint32_t>(block, 256), 13U);
  EXPECT_EQ(value<std::uint64_t>(block, 264), 14U);
  EXPECT_EQ(value<std::uint64_t>(block, 272), 15U);
  EXPECT_EQ(value<std::uint64_t>(block, 280 + 8), 201U);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(value<std::uint64_t>(block, 408 + 8 * i), 16 + i);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(value<std::uint64_t>(block, 464 + 8 * i), 0U);
  EXPECT_EQ(value<double>(block, 488), 480.0);
  EXPECT_EQ(value<double>(block, 496), 2.0);
  EXPECT_STREQ(block.c_str() + 504, "fault");
  EXPECT_STREQ(block.c_str() + 760, "source");
}

TEST_F(StationSnapshotTest, AStripLiesAsDescribed) {
  const auto writer = create();
  StripEntry entry(small_layout());
  entry.strip_id = 5;
  entry.batch = 6;
  entry.mode = station::Mode::kChallenge;
  entry.pictures = PictureFate::kKept;
  entry.latency_ms = 7.5;
  entry.slack_ms = 8.5;
  entry.verdict.verdict = Verdict::kAccept;
  entry.verdict.reason = Reason::kFrameStale;
  entry.gate = Verdict::kReject;
  entry.verdict.times = {0.001, 0.002, 0.003, 0.004, 0.0, 0.005};
  entry.verdict.thresholds = {0.25, 0.5};
  entry.verdict.scores = {0, 1, 2, 3, 4, 5, 6, 7};
  entry.verdict.vials = {Verdict::kReject, Verdict::kAccept};
  writer->write_strip(41, 42, StripEntry(small_layout()));
  writer->write_strip(43, 44, entry);
  const std::string block = SnapshotReader(path()).strip(1);
  EXPECT_EQ(value<std::uint64_t>(block, 8), 1U);
  EXPECT_EQ(value<std::uint64_t>(block, 16), 43U);
  EXPECT_EQ(value<std::uint64_t>(block, 24), 5U);
  EXPECT_EQ(value<std::int64_t>(block, 32), 44);
  EXPECT_EQ(value<std::uint32_t>(block, 40), 6U);
  EXPECT_EQ(value<std::uint32_t>(block, 44), 2U);
  EXPECT_EQ(block.substr(48, 4), std::string("\1\x8\0\0", 4));
  EXPECT_EQ(value<std::uint32_t>(block, 52), 1U);
  EXPECT_EQ(value<double>(block, 56), 7.5);
  EXPECT_EQ(value<double>(block, 64), 8.5);
  for (int i = 0; i < 5; ++i) EXPECT_DOUBLE_EQ(value<double>(block, 72 + 8 * static_cast<std::size_t>(i)), i + 1.0);
  EXPECT_EQ(value<float>(block, 112), 0.25F);
  EXPECT_EQ(value<float>(block, 116), 0.5F);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(value<float>(block, 120 + 4 * i), static_cast<float>(i));
  EXPECT_EQ(block.substr(152, 2), std::string("\0\1", 2));
  EXPECT_EQ(value<float>(block, 160), 0.0F);
  const std::string empty = SnapshotReader(path()).strip(0);
  EXPECT_TRUE(std::isnan(value<float>(empty, 120)));
  EXPECT_EQ(value<std::uint32_t>(empty, 52), 0U);
}

TEST_F(StationSnapshotTest, PicturesLieAsDescribed) {
  const auto writer = create();
  const std::vector<unsigned char> pixels(kFrame, 77);
  const std::vector<std::uint8_t> map(144, 9);
  writer->begin_pictures(3, 4);
  writer->write_frame(1, view_of(pixels));
  writer->write_map({1, 0, 1, 0, 0.5F, 0.25F, 2.0F, 0}, map.data());
  writer->end_pictures();
  const std::string block = SnapshotReader(path()).pictures(0);
  EXPECT_EQ(value<std::uint64_t>(block, 8), 0U);
  EXPECT_EQ(value<std::uint64_t>(block, 16), 3U);
  EXPECT_EQ(value<std::uint64_t>(block, 24), 4U);
  EXPECT_EQ(value<std::uint32_t>(block, 32), 2U);
  EXPECT_EQ(value<std::uint32_t>(block, 36), 1U);
  EXPECT_EQ(block.substr(40, kFrame), std::string(kFrame, '\0'));
  EXPECT_EQ(block.substr(40 + kFrame, kFrame), std::string(kFrame, 77));
  const std::size_t first = 40 + 2 * kFrame;
  EXPECT_EQ(value<std::uint32_t>(block, first), 1U);
  EXPECT_EQ(value<std::uint32_t>(block, first + 8), 1U);
  EXPECT_EQ(value<float>(block, first + 16), 0.5F);
  EXPECT_EQ(value<float>(block, first + 20), 0.25F);
  EXPECT_EQ(value<float>(block, first + 24), 2.0F);
  EXPECT_EQ(block.substr(first + 32, 144), std::string(144, 9));
}

TEST_F(StationSnapshotTest, FramesThatDoNotComeAreZeroAgain) {
  const auto writer = create();
  const std::vector<unsigned char> pixels(kFrame, 77);
  for (int n = 0; n < 8; ++n) {
    writer->begin_pictures(1, 1);
    writer->write_frame(0, view_of(pixels));
    writer->end_pictures();
  }
  writer->begin_pictures(9, 9);
  writer->end_pictures();
  const std::string block = SnapshotReader(path()).pictures(8);
  EXPECT_EQ(value<std::uint64_t>(block, 8), 8U);
  EXPECT_EQ(block.substr(40, kFrame), std::string(kFrame, '\0'));
}

TEST_F(StationSnapshotTest, LiveBlocksTakeTurns) {
  const auto writer = create();
  for (std::uint64_t n = 0; n < 3; ++n) {
    writer->begin_live(n + 10, n);
    writer->end_pictures();
  }
  const SnapshotReader reader(path());
  EXPECT_EQ(value<std::uint64_t>(reader.live(2), 16), 12U);
  EXPECT_EQ(value<std::uint64_t>(reader.live(1), 16), 11U);
}

// Each block is filled with one number at a time; a reader that sees two has read a torn one.
TEST_F(StationSnapshotTest, NothingIsTorn) {
  const auto writer = create();
  std::atomic<bool> done = false;
  std::atomic<int> read = 0;
  std::thread other([&] {
    const SnapshotReader reader(path());
    while (!done) {
      const std::string status = reader.status();
      EXPECT_EQ(value<std::uint64_t>(status, 104), value<std::uint64_t>(status, 112));
      EXPECT_EQ(value<std::uint64_t>(status, 104), value<std::uint64_t>(status, 408));
      const std::string strip = reader.strip(0);
      EXPECT_EQ(value<std::uint64_t>(strip, 16), value<std::uint64_t>(strip, 24));
      EXPECT_EQ(static_cast<float>(value<std::uint64_t>(strip, 16)), value<float>(strip, 148));
      const std::string picture = reader.live(0);
      const auto shade = static_cast<char>(value<std::uint64_t>(picture, 16));
      EXPECT_EQ(picture.substr(40, 2 * kFrame), std::string(2 * kFrame, shade));
      ++read;
    }
  });
  StripEntry entry(small_layout());
  for (std::uint64_t n = 1; n < 200'000 && (n < 512 || read < 50); ++n) {
    StatusBlock status = {};
    status.triggers = status.accepted = status.last_seq = n;
    writer->write_status(status);
    entry.strip_id = n;
    entry.verdict.scores.assign(8, static_cast<float>(n));
    if (n % 256 == 0) {
      for (int i = 0; i < 256; ++i) writer->write_strip(n, 0, entry);
    }
    const std::vector<unsigned char> pixels(kFrame, static_cast<unsigned char>(n));
    writer->begin_live(n, n);
    writer->write_frame(0, view_of(pixels));
    writer->write_frame(1, view_of(pixels));
    writer->end_pictures();
  }
  done = true;
  other.join();
  EXPECT_GE(read, 50);
}

TEST_F(StationSnapshotTest, AStationOfTheSameNameIsRefused) {
  const auto writer = create();
  const auto second = SnapshotWriter::create(path(), *bundle);
  EXPECT_EQ(second.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(second.status().message(), HasSubstr("runs already"));
  EXPECT_NO_THROW(SnapshotReader reader(path()));
}

TEST_F(StationSnapshotTest, WhatAKilledOneLeftIsReplaced) {
  { std::ofstream(path()) << "old"; }
  { std::ofstream(path() + ".new") << "half"; }
  const auto writer = create();
  EXPECT_EQ(SnapshotReader(path()).bytes(0, 8), "VSSNAP01");
}

TEST_F(StationSnapshotTest, IsGoneWithItsWriter) {
  { const auto writer = create(); }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(StationSnapshotTest, AFolderThatIsNotThereIsSaid) {
  EXPECT_EQ(SnapshotWriter::create("/nowhere/at/all", *bundle).status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace vialsight::test
