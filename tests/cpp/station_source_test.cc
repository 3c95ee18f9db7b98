// Sources that trigger themselves: a pipe, a file, a folder of images.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "bundle_writer.h"
#include "station/source_factory.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using station::FrameSource;
using station::SourceEvent;
using Kind = SourceEvent::Kind;
using ::testing::HasSubstr;

template <typename T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string stream_header(std::uint32_t width = 40) {
  std::string bytes = "VSSTREAM";
  for (const std::uint32_t number : {1U, width, 30U, 8U, 2U, 0U}) bytes += bytes_of(number);
  return bytes;
}

// One frame whose pixels are all `shade`.
std::string stream_frame(std::uint64_t strip_id, std::uint32_t index, char shade) {
  std::string product = "strip";
  product.resize(64, '\0');
  return "FRAM" + bytes_of(index) + bytes_of(strip_id) + bytes_of(1U) + bytes_of(0U) + bytes_of(std::uint64_t{1200}) +
         product + std::string(1200, shade);
}

class StationSourceTest : public ::testing::Test {
 protected:
  static Result<std::unique_ptr<FrameSource>> make(const std::string& text) {
    return station::make_source(text, small_layout(), std::chrono::milliseconds(1));
  }
  void start(const std::string& text) {
    source = make(text).value();
    ASSERT_TRUE(source->start().ok());
    EXPECT_TRUE(source->triggers_itself());
  }
  // The next event, waited for by poll() as the station does.
  SourceEvent next() const {
    for (;;) {
      SourceEvent event = source->next();
      if (event.kind != Kind::kNone) return event;
      pollfd wake{source->wake_descriptor(), POLLIN, 0};
      ::poll(&wake, 1, 1000);
    }
  }
  static char shade_of(const SourceEvent& event) {
    return static_cast<const char*>(event.pixels.data)[event.pixels.width * event.pixels.height - 1];
  }
  void expect_strip(std::uint64_t strip_id, const std::string& shades) {
    const SourceEvent trigger = next();
    ASSERT_EQ(trigger.kind, Kind::kTrigger);
    EXPECT_EQ(trigger.strip_id, strip_id);
    source->strip_opened(strip_id, trigger.exposed);
    for (int i = 0; i < 2; ++i) {
      const SourceEvent frame = next();
      ASSERT_EQ(frame.kind, Kind::kFrame);
      EXPECT_EQ(frame.strip_id, strip_id);
      EXPECT_EQ(frame.frame_index, i);
      EXPECT_GE(frame.exposed, trigger.exposed);
      EXPECT_EQ(shade_of(frame), shades[static_cast<std::size_t>(i)]);
      taken.push_back(frame);
    }
    // Both frames are still there.
    EXPECT_EQ(shade_of(taken[taken.size() - 2]), shades[0]);
    source->strip_closed();
  }
  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder() / name, std::ios::binary) << bytes;
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder() / name).string(); }

  TemporaryFolder folder_;
  std::unique_ptr<FrameSource> source;
  std::vector<SourceEvent> taken;
};

TEST_F(StationSourceTest, AFileGivesItsStripsAndTheEnd) {
  std::string bytes = stream_header();
  for (std::uint64_t id = 7; id < 20; ++id) {
    bytes += stream_frame(id, 0, static_cast<char>(id)) + stream_frame(id, 1, static_cast<char>(id + 100));
  }
  write("strips", bytes);
  start("stream:" + path("strips"));
  for (std::uint64_t id = 7; id < 20; ++id) {
    expect_strip(id, {static_cast<char>(id), static_cast<char>(id + 100)});
  }
  EXPECT_EQ(next().kind, Kind::kEnd);
  EXPECT_EQ(source->statistics().frames_received, 26U);
  EXPECT_EQ(source->statistics().frames_dropped, 0U);
  EXPECT_THAT(source->describe(), HasSubstr("strips"));
}

TEST_F(StationSourceTest, FramesOfARefusedStripAreDropped) {
  write("strips", stream_header() + stream_frame(1, 0, 1) + stream_frame(1, 1, 2) + stream_frame(2, 0, 3) +
                      stream_frame(2, 1, 4));
  start("stream:" + path("strips"));
  EXPECT_EQ(next().kind, Kind::kTrigger);
  EXPECT_EQ(next().kind, Kind::kFrame);
  EXPECT_EQ(next().kind, Kind::kFrame);
  expect_strip(2, {3, 4});
  EXPECT_EQ(source->statistics().frames_dropped, 2U);
}

TEST_F(StationSourceTest, AFifoIsWaitedFor) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  start("stream:" + path("fifo"));
  EXPECT_EQ(source->next().kind, Kind::kNone);
  std::thread machine([&] { write("fifo", stream_header() + stream_frame(1, 0, 5) + stream_frame(1, 1, 6)); });
  expect_strip(1, {5, 6});
  EXPECT_EQ(next().kind, Kind::kEnd);
  machine.join();
}

TEST_F(StationSourceTest, AStreamThatBreaksIsAnError) {
  write("strips", stream_header() + stream_frame(1, 0, 5).substr(0, 500));
  start("stream:" + path("strips"));
  const SourceEvent event = next();
  EXPECT_EQ(event.kind, Kind::kError);
  EXPECT_THAT(event.text, HasSubstr("truncated"));
}

TEST_F(StationSourceTest, AStreamOfAnotherLayoutIsAnError) {
  write("strips", stream_header(41));
  start("stream:" + path("strips"));
  const SourceEvent event = next();
  EXPECT_EQ(event.kind, Kind::kError);
  EXPECT_THAT(event.text, HasSubstr("expected 40"));
}

TEST_F(StationSourceTest, StopsWhileItWaitsForBytes) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  const int writer = ::open(path("fifo").c_str(), O_RDWR);
  ASSERT_GE(writer, 0);
  const std::string part = stream_header() + stream_frame(1, 0, 5).substr(0, 300);
  ASSERT_EQ(::write(writer, part.data(), part.size()), static_cast<ssize_t>(part.size()));
  start("stream:" + path("fifo"));
  source->stop();
  ::close(writer);
}

TEST_F(StationSourceTest, StopsWhileItsFramesAreNotTaken) {
  std::string bytes = stream_header();
  for (std::uint64_t id = 1; id < 50; ++id) bytes += stream_frame(id, 0, 1) + stream_frame(id, 1, 2);
  write("strips", bytes);
  start("stream:" + path("strips"));
  EXPECT_EQ(next().kind, Kind::kTrigger);
  source->stop();
}

TEST_F(StationSourceTest, AFileThatIsNotThereIsSaid) {
  EXPECT_EQ(make("stream:" + path("nothing")).status().code(), Code::kNotFound);
}

std::string pgm(char shade, const std::string& header = "P5\n# made by hand\n40 30\n255\n") {
  return header + std::string(1200, shade);
}

TEST_F(StationSourceTest, AFolderGivesItsImagesByName) {
  for (int i = 0; i < 4; ++i) write("image-" + std::to_string(9 - i) + ".pgm", pgm(static_cast<char>(10 + i)));
  write("notes.txt", "x");
  start("folder:" + folder().string());
  expect_strip(1, {13, 12});
  expect_strip(2, {11, 10});
  EXPECT_EQ(next().kind, Kind::kEnd);
}

TEST_F(StationSourceTest, ImagesThatAreNoneEndTheFolder) {
  const std::vector<std::string> wrong = {"",
                                          "P5",
                                          pgm(1, "P2\n40 30\n255\n"),
                                          pgm(1, "P5\n41 30\n255\n"),
                                          pgm(1, "P5\n40 30\n256\n"),
                                          pgm(1, "P5\n-40 30\n255\n"),
                                          pgm(1, "P5\n40 30\n99999999999\n"),
                                          pgm(1).substr(0, 1000)};
  for (const std::string& bytes : wrong) {
    write("a.pgm", bytes);
    write("b.pgm", pgm(1));
    start("folder:" + folder().string());
    const SourceEvent event = next();
    EXPECT_EQ(event.kind, Kind::kError) << bytes.substr(0, 20);
    EXPECT_THAT(event.text, HasSubstr("a.pgm"));
    source->stop();
  }
}

TEST_F(StationSourceTest, SixteenBitImagesAreBigEndian) {
  Layout layout = small_layout();
  layout.bit_depth = 12;
  for (const char* name : {"a.pgm", "b.pgm"}) {
    std::string pixels;
    for (int i = 0; i < 1200; ++i) pixels += std::string("\x0A\xBC");
    write(name, "P5 40 30 4095\n" + pixels);
  }
  source = station::make_source("folder:" + folder().string(), layout, std::chrono::milliseconds(1)).value();
  ASSERT_TRUE(source->start().ok());
  EXPECT_EQ(next().kind, Kind::kTrigger);
  const SourceEvent frame = next();
  EXPECT_EQ(frame.pixels.format, PixelFormat::kGray16);
  EXPECT_EQ(static_cast<const std::uint16_t*>(frame.pixels.data)[7], 0x0ABC);
  source->stop();
}

TEST_F(StationSourceTest, AFolderMustHoldWholeStrips) {
  EXPECT_EQ(make("folder:" + folder().string()).status().code(), Code::kNotFound);
  write("a.pgm", pgm(1));
  EXPECT_THAT(make("folder:" + folder().string()).status().message(), HasSubstr("2 images per strip"));
  EXPECT_EQ(make("folder:" + path("nothing")).status().code(), Code::kNotFound);
}

TEST_F(StationSourceTest, OtherSourcesAreRefused) {
  for (const char* text : {"", "stream:", "folder:", "usb:1", "Stream"}) {
    EXPECT_THAT(make(text).status().message(), HasSubstr("\"folder:PATH\"")) << text;
  }
#ifndef VIALSIGHT_ARAVIS
  EXPECT_EQ(make("gige:").status().code(), Code::kUnsupported);
  EXPECT_THAT(make("gige:").status().message(), HasSubstr("libaravis-dev"));
#endif
}

}  // namespace
}  // namespace vialsight::test
