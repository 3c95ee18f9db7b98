// The spool on the disk: whole after any cut, in order whatever the disk does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "bundle_writer.h"
#include "station/journal.h"
#include "station_fakes.h"
#include "station_spool_reader.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using station::EntryKind;
using station::SpoolFolder;
using ::testing::HasSubstr;

class StationSpoolTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path spool() const { return folder_.path() / "spool"; }
  static std::string sealed(std::uint64_t seq, const std::string& payload) {
    std::string entry(station::kEntryHeaderBytes, '\0');
    entry += payload;
    station::seal_entry(entry, EntryKind::kEvent, seq, 1234);
    return entry;
  }
  static void append(SpoolFolder& disk, const std::string& payload) {
    const std::string entry = sealed(disk.next_seq(), payload);
    ASSERT_TRUE(disk.append(disk.next_seq(), std::as_bytes(std::span(entry))).ok());
    ASSERT_TRUE(disk.sync().ok());
  }
  [[nodiscard]] std::unique_ptr<SpoolFolder> open() const { return SpoolFolder::open(spool()).value(); }

 private:
  TemporaryFolder folder_;
};

TEST_F(StationSpoolTest, BeginsWithOne) {
  const auto disk = open();
  EXPECT_EQ(disk->next_seq(), 1U);
  EXPECT_TRUE(segments_of(spool()).empty());
  append(*disk, "{}");
  const std::vector<SpoolEntry> entries = read_spool(spool());
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].seq, 1U);
  EXPECT_EQ(entries[0].kind, 6U);
  EXPECT_EQ(entries[0].unix_ns, 1234);
  EXPECT_EQ(entries[0].payload, "{}");
}

TEST_F(StationSpoolTest, EachStartBeginsASegmentAndGoesOn) {
  for (int start = 0; start < 3; ++start) {
    const auto disk = open();
    append(*disk, "a");
    append(*disk, "b");
  }
  EXPECT_EQ(segments_of(spool()).size(), 3U);
  EXPECT_EQ(read_spool(spool()).size(), 6U);
  EXPECT_EQ(open()->next_seq(), 7U);
}

TEST_F(StationSpoolTest, ALargeSegmentIsFollowedByAnother) {
  const auto disk = open();
  const std::string large(9 << 20, 'x');
  for (int i = 0; i < 9; ++i) append(*disk, large);
  const auto segments = segments_of(spool());
  ASSERT_EQ(segments.size(), 2U);
  EXPECT_EQ(segments[1].filename(), "00000000000000000009.vss");
  EXPECT_GE(std::filesystem::file_size(segments[0]), std::size_t{64} << 20U);
}

// A crash leaves any beginning of what was being written.
TEST_F(StationSpoolTest, ACutAnywhereLeavesTheWholeEntries) {
  {
    const auto disk = open();
    append(*disk, "first");
    append(*disk, "second");
  }
  const std::filesystem::path segment = segments_of(spool())[0];
  const std::string whole = bytes_of_file(segment);
  const std::size_t first_end = 32 + 40 + 5;
  for (std::size_t size = whole.size(); size-- > 0;) {
    std::filesystem::remove_all(spool());
    std::filesystem::create_directory(spool());
    std::ofstream(segment, std::ios::binary) << whole.substr(0, size);
    const auto disk = open();
    const std::uint64_t left = size >= first_end ? 1 : 0;
    ASSERT_EQ(disk->next_seq(), left + 1) << size;
    append(*disk, "next");
    ASSERT_EQ(read_spool(spool()).size(), left + 1) << size;
  }
}

TEST_F(StationSpoolTest, AWrongBitEndsTheSegmentThere) {
  {
    const auto disk = open();
    append(*disk, "first");
    append(*disk, "second");
  }
  const std::filesystem::path segment = segments_of(spool())[0];
  std::string spoilt = bytes_of_file(segment);
  spoilt.back() = static_cast<char>(spoilt.back() ^ 1);
  std::ofstream(segment, std::ios::binary) << spoilt;
  const auto disk = open();
  EXPECT_EQ(disk->next_seq(), 2U);
  EXPECT_EQ(disk->bytes_cut_off(), 46U);
}

TEST_F(StationSpoolTest, AnotherProgramsFileIsLeftAlone) {
  std::filesystem::create_directory(spool());
  const std::filesystem::path file = spool() / "00000000000000000005.vss";
  std::ofstream(file, std::ios::binary) << std::string(100, 'x');
  const auto disk = SpoolFolder::open(spool());
  EXPECT_EQ(disk.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(disk.status().message(), HasSubstr(file.string()));
  EXPECT_EQ(std::filesystem::file_size(file), 100U);
}

TEST_F(StationSpoolTest, OtherFilesAreNoSegments) {
  { append(*open(), "a"); }
  for (const char* name : {"9.vss", "00000000000000000009.vss.old", "0000000000000000000x.vss", "readme"}) {
    std::ofstream(spool() / name) << "x";
  }
  EXPECT_EQ(open()->next_seq(), 2U);
}

TEST_F(StationSpoolTest, AFolderThatCannotBeIsSaid) {
  EXPECT_EQ(SpoolFolder::open("/nowhere/at/all").status().code(), Code::kNotFound);
}

// Ring, writer and disk together.
class StationWriterTest : public StationSpoolTest {
 protected:
  StationWriterTest()
      : disk(spool()),
        ring(8, small_layout()),
        pool(2, small_layout()),
        writer(ring, pool, disk, {0, 4096}),
        journal(ring, writer, 0) {
    EXPECT_TRUE(writer.start().ok());
  }
  void record(std::uint64_t strip_id) {
    station::StripEntry entry(small_layout());
    entry.strip_id = strip_id;
    entry.batch = 3;
    journal.record_strip(entry, nullptr, 5);
  }
  void wait_until_spooled(std::uint64_t seq) const {
    while (writer.spooled_seq() < seq) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  FakeDisk disk;
  station::SpoolRing ring;
  station::PicturePool pool;
  station::SpoolWriter writer;
  station::Journal journal;
};

TEST_F(StationWriterTest, EveryStripIsOneEntryInOrder) {
  for (std::uint64_t id = 1; id <= 500; ++id) {
    while (ring.room_for_strip() == nullptr) std::this_thread::yield();
    record(id);
  }
  EXPECT_TRUE(writer.stop(std::chrono::seconds(20)));
  const std::vector<SpoolEntry> entries = read_spool(spool());
  ASSERT_EQ(entries.size(), 500U);
  for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].json()["strip_id"], i + 1);
}

TEST_F(StationWriterTest, ADiskThatRefusesIsTriedAgain) {
  disk.refuses = true;
  record(1);
  while (!writer.failing()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(journal.is_lagging());
  EXPECT_EQ(writer.spooled_seq(), 0U);
  record(2);
  disk.refuses = false;
  wait_until_spooled(2);
  while (writer.failing()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(journal.is_lagging());
  EXPECT_EQ(read_spool(spool()).size(), 2U);
}

// Eight strips fit; what does not is told of by one gap entry, as soon as strips fit again.
TEST_F(StationWriterTest, WhatFindsNoRoomIsToldOfByAGap) {
  disk.held = true;
  record(1);
  while (disk.attempts == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (std::uint64_t id = 2; id <= 8; ++id) record(id);
  EXPECT_TRUE(journal.is_lagging());
  for (std::uint64_t id = 9; id <= 13; ++id) record(id);
  EXPECT_EQ(journal.gaps(), 5U);
  EXPECT_FALSE(journal.has_room());
  disk.held = false;
  wait_until_spooled(8);
  record(14);
  EXPECT_TRUE(writer.stop(std::chrono::seconds(20)));
  const std::vector<SpoolEntry> entries = read_spool(spool());
  ASSERT_EQ(entries.size(), 10U);
  EXPECT_EQ(entries[8].kind, 4U);
  EXPECT_EQ(entries[8].json(), nlohmann::json::parse(R"({"from_strip": 9, "to_strip": 13, "count": 5, "batch": 3,
                                                         "reason": "not_ready"})"));
  EXPECT_EQ(entries[9].json()["strip_id"], 14);
}

TEST_F(StationWriterTest, EventsThatFindNoRoomAreCounted) {
  disk.held = true;
  for (int i = 0; i < 100; ++i) journal.record_event("noise", "");
  disk.held = false;
  EXPECT_EQ(journal.take_events_left_out(), 60U);  // 8 places for strips, 32 for what must not be lost
  EXPECT_EQ(journal.take_events_left_out(), 0U);
}

TEST_F(StationWriterTest, StoppingDoesNotWaitForADiskForEver) {
  disk.refuses = true;
  record(1);
  EXPECT_FALSE(writer.stop(std::chrono::milliseconds(20)));
  EXPECT_TRUE(read_spool(spool()).empty());
}

}  // namespace
}  // namespace vialsight::test
