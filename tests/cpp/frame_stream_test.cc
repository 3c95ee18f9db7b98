#include "vialsight/frame_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <thread>

namespace vialsight {
namespace {

using testing::HasSubstr;

// The stream's bytes, put together field by field from the header's comment.
template <typename T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

struct Header {
  std::string magic = "VSSTREAM";
  std::uint32_t version = 1;
  std::uint32_t width = 4;
  std::uint32_t height = 3;
  std::uint32_t bit_depth = 8;
  std::uint32_t frames = 2;
  std::uint32_t reserved = 0;

  [[nodiscard]] std::string bytes() const {
    return magic + bytes_of(version) + bytes_of(width) + bytes_of(height) + bytes_of(bit_depth) + bytes_of(frames) +
           bytes_of(reserved);
  }
};

struct Record {
  std::string magic = "FRAM";
  std::uint32_t frame_index = 0;
  std::uint64_t strip_id = 7;
  std::uint32_t run = 1;
  std::uint32_t label = 0;
  std::uint64_t size = 12;
  std::string product = "kit-s0-00001";

  [[nodiscard]] std::string bytes() const {
    std::string name = product;
    name.resize(64, '\0');
    return magic + bytes_of(frame_index) + bytes_of(strip_id) + bytes_of(run) + bytes_of(label) + bytes_of(size) + name;
  }
};

std::string pixels(char first, std::size_t count = 12) {
  std::string result(count, '\0');
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<char>(first + static_cast<char>(i));
  return result;
}

std::string frame(const Record& record) { return record.bytes() + pixels(static_cast<char>(record.frame_index)); }

// Header and the two frames of strip 7.
std::string good_stream() { return Header().bytes() + frame({}) + frame({.frame_index = 1}); }

// The error of reading `bytes` to their end; ok when there is none.
Status read_all(const std::string& bytes) {
  std::istringstream input(bytes);
  Result<FrameStream> stream = FrameStream::open(input);
  if (!stream.ok()) return stream.status();
  for (;;) {
    Result<std::optional<StreamFrame>> next = stream.value().next_frame();
    if (!next.ok() || !next.value()) {
      const Result<std::optional<StreamFrame>> again = stream.value().next_frame();
      EXPECT_EQ(again.ok(), next.ok());
      EXPECT_EQ(again.status().message(), next.status().message());
      return next.status();
    }
  }
}

void expect_error(const std::string& bytes, Code code, const std::string& message) {
  const Status status = read_all(bytes);
  EXPECT_EQ(status.code(), code) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(message));
}
void expect_corrupt(const std::string& bytes, const std::string& message) {
  expect_error(bytes, Code::kDataCorrupt, message);
}
void expect_bad_header(const Header& header, const std::string& message) {
  expect_corrupt(header.bytes() + frame({}), message);
}
void expect_bad_record(const Record& record, const std::string& message) {
  expect_corrupt(Header().bytes() + frame(record), message);
}
// `second` follows the first frame of strip 7.
void expect_bad_second(const Record& second, const std::string& message) {
  expect_corrupt(Header().bytes() + frame({}) + frame(second), message);
}

TEST(FrameStream, GivesFramesInOrderThenTheEnd) {
  std::istringstream input(Header().bytes() + frame({.run = 3, .label = 1}) +
                           frame({.frame_index = 1, .run = 3, .label = 1}) +
                           frame({.strip_id = 8, .product = "kit-\xc3\xa9"}) +
                           frame({.frame_index = 1, .strip_id = 8, .product = "kit-\xc3\xa9"}));
  Result<FrameStream> stream = FrameStream::open(input);
  ASSERT_TRUE(stream.ok()) << stream.status().message();
  EXPECT_EQ(stream.value().format(), (StreamFormat{4, 3, 8, 2}));
  for (int i = 0; i < 4; ++i) {
    const Result<std::optional<StreamFrame>> next = stream.value().next_frame();
    ASSERT_TRUE(next.ok()) << next.status().message();
    ASSERT_TRUE(next.value().has_value());
    const StreamFrame& got = *next.value();
    EXPECT_EQ(got.strip_id, i < 2 ? 7U : 8U);
    EXPECT_EQ(got.product, i < 2 ? "kit-s0-00001" : "kit-\xc3\xa9");
    EXPECT_EQ(got.run, i < 2 ? 3 : 1);
    EXPECT_EQ(got.defective, i < 2);
    EXPECT_EQ(got.frame_index, i % 2);
    EXPECT_EQ(got.pixels.format, PixelFormat::kGray8);
    EXPECT_EQ(got.pixels.row_stride_bytes, 4);
    EXPECT_EQ(got.pixels.width, 4);
    EXPECT_EQ(got.pixels.height, 3);
    EXPECT_EQ(std::string(static_cast<const char*>(got.pixels.data), 12), pixels(static_cast<char>(i % 2)));
  }
  EXPECT_TRUE(read_all(input.str()).ok());
}

TEST(FrameStream, GivesSixteenBitPixels) {
  const std::string stored = bytes_of<std::uint16_t>(0x0fff) + pixels(0, 22);
  std::istringstream input(Header{.bit_depth = 12, .frames = 1}.bytes() + Record{.size = 24}.bytes() + stored);
  Result<FrameStream> stream = FrameStream::open(input);
  ASSERT_TRUE(stream.ok());
  const Result<std::optional<StreamFrame>> next = stream.value().next_frame();
  ASSERT_TRUE(next.ok()) << next.status().message();
  const FrameView& view = next.value()->pixels;
  EXPECT_EQ(view.format, PixelFormat::kGray16);
  EXPECT_EQ(view.row_stride_bytes, 8);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % alignof(std::uint16_t), 0U);
  EXPECT_EQ(*static_cast<const std::uint16_t*>(view.data), 0x0fff);
  EXPECT_FALSE(stream.value().next_frame().value().has_value());
}

TEST(FrameStream, ReadsAPipeThatGivesAFewBytesAtATime) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  std::jthread writer([descriptor = ends[1]] {
    const std::string bytes = good_stream();
    for (std::size_t i = 0; i < bytes.size(); i += 5) {
      const std::size_t count = std::min<std::size_t>(5, bytes.size() - i);
      ASSERT_EQ(::write(descriptor, bytes.data() + i, count), static_cast<ssize_t>(count));
    }
    ::close(descriptor);
  });
  Result<FrameStream> stream = FrameStream::open(ends[0]);
  ASSERT_TRUE(stream.ok()) << stream.status().message();
  EXPECT_TRUE(stream.value().next_frame().value().has_value());
  EXPECT_TRUE(stream.value().next_frame().value().has_value());
  EXPECT_FALSE(stream.value().next_frame().value().has_value());
  ::close(ends[0]);
}

TEST(FrameStream, TakesNothingBeyondTheFrame) {
  std::istringstream input(good_stream());
  Result<FrameStream> stream = FrameStream::open(input);
  EXPECT_EQ(input.tellg(), 32);
  ASSERT_TRUE(stream.value().next_frame().ok());
  EXPECT_EQ(input.tellg(), 32 + 96 + 12);
}

TEST(FrameStream, SurvivesAnIstreamThatThrows) {
  std::istringstream input(good_stream());
  input.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
  Result<FrameStream> stream = FrameStream::open(input);
  ASSERT_TRUE(stream.ok());
  EXPECT_TRUE(stream.value().next_frame().value().has_value());
  EXPECT_TRUE(stream.value().next_frame().value().has_value());
  EXPECT_FALSE(stream.value().next_frame().value().has_value());
}

TEST(FrameStream, NoStrips) { EXPECT_TRUE(read_all(Header().bytes()).ok()); }

TEST(FrameStream, EveryTruncationIsAnError) {
  const std::string bytes = good_stream();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    if (length != Header().bytes().size()) {
      EXPECT_FALSE(read_all(bytes.substr(0, length)).ok()) << length;
    }
  }
}

TEST(FrameStream, Empty) { expect_corrupt("", "it is empty"); }
TEST(FrameStream, TruncatedHeader) { expect_corrupt(good_stream().substr(0, 31), "truncated in the header"); }
TEST(FrameStream, TruncatedRecord) { expect_corrupt(good_stream().substr(0, 32 + 95), "truncated in a frame record"); }
TEST(FrameStream, TruncatedPixels) {
  expect_corrupt(good_stream().substr(0, 32 + 96 + 11), "pixels of strip 7, frame 0: expected 12 bytes, got 11");
}
TEST(FrameStream, EndsWithinAStrip) {
  expect_corrupt(good_stream().substr(0, 32 + 96 + 12), "ends behind strip 7, frame 0 of 2");
}
TEST(FrameStream, BadDescriptor) {
  const Result<FrameStream> stream = FrameStream::open(-1);
  ASSERT_FALSE(stream.ok());
  EXPECT_EQ(stream.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(stream.status().message(), HasSubstr("cannot read"));
}

TEST(FrameStream, WrongMagic) { expect_bad_header({.magic = "VSSTREAN"}, R"(start with "VSSTREAM", got "VSSTREAN")"); }
TEST(FrameStream, VersionTwo) {
  expect_error(Header{.version = 2}.bytes(), Code::kUnsupported, "reads version 1, got 2");
}
TEST(FrameStream, WidthOfZero) { expect_bad_header({.width = 0}, "width: expected 1 to 65535, got 0"); }
TEST(FrameStream, WidthTooLarge) { expect_bad_header({.width = 65536}, "width: expected 1 to 65535, got 65536"); }
TEST(FrameStream, HeightOfZero) { expect_bad_header({.height = 0}, "height: expected 1 to 65535, got 0"); }
TEST(FrameStream, HeightTooLarge) { expect_bad_header({.height = 0x80000000U}, "height: expected 1 to 65535"); }
TEST(FrameStream, BitDepthOfSeven) { expect_bad_header({.bit_depth = 7}, "bit depth: expected 8 to 16, got 7"); }
TEST(FrameStream, BitDepthOfSeventeen) { expect_bad_header({.bit_depth = 17}, "bit depth: expected 8 to 16, got 17"); }
TEST(FrameStream, NoFrames) { expect_bad_header({.frames = 0}, "frames per strip: expected 1 to 1024, got 0"); }
TEST(FrameStream, TooManyFrames) { expect_bad_header({.frames = 1025}, "frames per strip: expected 1 to 1024"); }
TEST(FrameStream, ReservedFieldIsUsed) { expect_bad_header({.reserved = 1}, "reserved field: expected 0, got 1"); }

long peak_memory_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(FrameStream, HugeFramesAllocateOnlyWhatArrives) {
  // 65535 · 65535 · 2 bytes are claimed, 12 arrive.
  const long before = peak_memory_kib();
  const Header header{.width = 65535, .height = 65535, .bit_depth = 16};
  const Record record{.size = 65535ULL * 65535ULL * 2ULL};
  expect_corrupt(header.bytes() + frame(record), "expected 8589672450 bytes, got 12");
  EXPECT_LT(peak_memory_kib() - before, 64 * 1024);
}

TEST(FrameStream, WrongFrameMagic) { expect_bad_record({.magic = "FRAN"}, R"(start with "FRAM", got "FRAN")"); }
TEST(FrameStream, FrameIndexTooLarge) { expect_bad_record({.frame_index = 2}, "frame index: expected 0 to 1, got 2"); }
TEST(FrameStream, RunOfZero) { expect_bad_record({.run = 0}, "run: expected 1 to 2147483647, got 0"); }
TEST(FrameStream, RunTooLarge) { expect_bad_record({.run = 0x80000000U}, "run: expected 1 to 2147483647"); }
TEST(FrameStream, UnknownLabel) { expect_bad_record({.label = 2}, "label: expected 0 to 1, got 2"); }
TEST(FrameStream, FewerPixelsThanTheHeaderSays) { expect_bad_record({.size = 11}, "pixels: expected 12, got 11"); }
TEST(FrameStream, MorePixelsThanTheHeaderSays) {
  expect_bad_record({.size = std::numeric_limits<std::uint64_t>::max()}, "expected 12, got 18446744073709551615");
}
TEST(FrameStream, NoProductName) { expect_bad_record({.product = ""}, "product: expected 1 to 64 bytes"); }
TEST(FrameStream, ProductNameBehindAZero) { expect_bad_record({.product = {"a\0b", 3}}, "then zeros"); }
TEST(FrameStream, ProductNameIsNotUtf8) { expect_bad_record({.product = "kit\xff"}, "UTF-8"); }
TEST(FrameStream, ProductNameWithANewline) { expect_bad_record({.product = "a\nb"}, "without control characters"); }
TEST(FrameStream, ProductNameOfSixtyFourBytes) {
  const std::string name(64, 'x');
  EXPECT_TRUE(read_all(Header().bytes() + frame({.product = name}) + frame({.frame_index = 1, .product = name})).ok());
}

TEST(FrameStream, StartsWithinAStrip) {
  expect_bad_record({.frame_index = 1}, "wrong order: expected frame 0 of the first strip, got strip 7, frame 1");
}
TEST(FrameStream, DuplicatedFrame) { expect_bad_second({}, "duplicated frame: strip 7, frame 0 came twice"); }
TEST(FrameStream, DuplicatedLastFrame) {
  expect_corrupt(good_stream() + frame({.frame_index = 1}), "duplicated frame: strip 7, frame 1 came twice");
}
TEST(FrameStream, RepeatedStrip) {
  expect_corrupt(good_stream() + frame({}), "wrong order: expected strip 8, frame 0, got strip 7, frame 0");
}
TEST(FrameStream, SkippedFrame) {
  expect_corrupt(Header{.frames = 3}.bytes() + frame({}) + frame({.frame_index = 2}),
                 "wrong order: expected strip 7, frame 1, got strip 7, frame 2");
}
TEST(FrameStream, SkippedStrip) {
  expect_corrupt(good_stream() + frame({.strip_id = 9}), "wrong order: expected strip 8, frame 0, got strip 9");
}
TEST(FrameStream, FrameOfAnotherStrip) {
  expect_bad_second({.frame_index = 1, .strip_id = 8}, "wrong order: expected strip 7, frame 1, got strip 8");
}
TEST(FrameStream, OtherProductWithinAStrip) {
  expect_bad_second({.frame_index = 1, .product = "other"}, "mixed strips: product, run or label");
}
TEST(FrameStream, OtherRunWithinAStrip) { expect_bad_second({.frame_index = 1, .run = 2}, "mixed strips"); }
TEST(FrameStream, OtherLabelWithinAStrip) { expect_bad_second({.frame_index = 1, .label = 1}, "mixed strips"); }

Layout layout_of(int width, int height, int bit_depth, int frames) {
  Layout layout;
  layout.frame_width = width;
  layout.frame_height = height;
  layout.bit_depth = bit_depth;
  layout.frames = frames;
  return layout;
}

TEST(FrameStream, ComparesItsFormatWithALayout) {
  std::istringstream input(good_stream());
  const Result<FrameStream> stream = FrameStream::open(input);
  const auto message = [&](const Layout& layout) { return stream.value().check_layout(layout).message(); };
  EXPECT_TRUE(stream.value().check_layout(layout_of(4, 3, 8, 2)).ok());
  EXPECT_THAT(message(layout_of(5, 3, 8, 2)), HasSubstr("width: expected 5 as in the layout, got 4"));
  EXPECT_THAT(message(layout_of(4, 2, 8, 2)), HasSubstr("height: expected 2 as in the layout, got 3"));
  EXPECT_THAT(message(layout_of(4, 3, 12, 2)), HasSubstr("bit depth: expected 12 as in the layout, got 8"));
  EXPECT_THAT(message(layout_of(4, 3, 8, 3)), HasSubstr("frames per strip: expected 3 as in the layout, got 2"));
}

}  // namespace
}  // namespace vialsight
