#include "vialsight/patches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "frames.h"

namespace vialsight {
namespace {

using test::Frame;
using test::layout_of;
using testing::HasSubstr;

std::vector<float> extract(const FrameView& frame, const Layout& layout) {
  const Result<PatchExtractor> extractor = PatchExtractor::create(layout);
  EXPECT_TRUE(extractor.ok()) << extractor.status().message();
  std::vector<float> patches(layout.patches_per_frame() * layout.pixels_per_patch(), -1.0F);
  std::vector<float> scratch(extractor.value().scratch_size());
  const Status status = extractor.value().extract(frame, patches, scratch);
  EXPECT_TRUE(status.ok()) << status.message();
  return patches;
}

Status extract_status(const FrameView& frame, const Layout& layout) {
  const PatchExtractor extractor = PatchExtractor::create(layout).value();
  std::vector<float> patches(layout.patches_per_frame() * layout.pixels_per_patch());
  std::vector<float> scratch(extractor.scratch_size());
  return extractor.extract(frame, patches, scratch);
}

// One output pixel, by the definition: triangle kernel in double over every pixel of the box.
template <typename Pixel>
double reference(Frame<Pixel>& frame, const Box& box, int patch_size, int row, int column, double limit) {
  const double step_y = static_cast<double>(box.height) / patch_size;
  const double step_x = static_cast<double>(box.width) / patch_size;
  const auto triangle = [](double distance, double step) {
    return std::max(0.0, 1.0 - std::abs(distance) / std::max(step, 1.0));
  };
  double sum = 0.0;
  double total = 0.0;
  for (int y = 0; y < box.height; ++y) {
    for (int x = 0; x < box.width; ++x) {
      const double weight =
          triangle(y + 0.5 - (row + 0.5) * step_y, step_y) * triangle(x + 0.5 - (column + 0.5) * step_x, step_x);
      sum += weight * frame.at(box.x + x, box.y + y) / limit;
      total += weight;
    }
  }
  return sum / total;
}

TEST(Extract, BoxesOfThePatchSizeAreCopiedExactly) {
  Frame<std::uint8_t> frame(64, 48, 255);
  const Layout layout = layout_of({{0, 0, 16, 16}, {48, 32, 16, 16}, {7, 5, 16, 16}}, 16);
  const std::vector<float> patches = extract(frame.view(), layout);
  std::size_t i = 0;
  for (const Box& box : layout.boxes[0]) {
    for (int y = 0; y < 16; ++y) {
      for (int x = 0; x < 16; ++x) {
        ASSERT_EQ(patches[i++], static_cast<float>(frame.at(box.x + x, box.y + y)) / 255.0F);
      }
    }
  }
}

TEST(Extract, EveryBitDepthDividesByItsLargestValue) {
  for (int bit_depth = 9; bit_depth <= 16; ++bit_depth) {
    const unsigned limit = (1U << static_cast<unsigned>(bit_depth)) - 1U;
    Frame<std::uint16_t> frame(16, 16, limit);
    frame.at(0, 0) = static_cast<std::uint16_t>(limit);
    frame.at(1, 0) = 0;
    const std::vector<float> patches = extract(frame.view(), layout_of({{0, 0, 16, 16}}, 16, bit_depth, 16, 16));
    EXPECT_EQ(patches[0], 1.0F);
    EXPECT_EQ(patches[1], 0.0F);
    for (std::size_t i = 0; i < patches.size(); ++i) {
      ASSERT_EQ(patches[i], static_cast<float>(frame.pixels[i]) / static_cast<float>(limit));
    }
  }
}

TEST(Extract, EveryValueOfAByteIsCorrectlyRounded) {
  Frame<std::uint8_t> frame(16, 16, 255);
  for (int i = 0; i < 256; ++i) frame.pixels[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i);
  const std::vector<float> patches = extract(frame.view(), layout_of({{0, 0, 16, 16}}, 16, 8, 16, 16));
  for (int i = 0; i < 256; ++i) EXPECT_EQ(patches[static_cast<std::size_t>(i)], static_cast<float>(i / 255.0));
}

class ExtractBoxes : public testing::TestWithParam<Box> {};

template <typename Pixel>
void expect_definition(const Box& box, int bit_depth) {
  const unsigned limit = (1U << static_cast<unsigned>(bit_depth)) - 1U;
  Frame<Pixel> frame(64, 48, limit, 3);
  const std::vector<float> patch = extract(frame.view(), layout_of({box}, 16, bit_depth));
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 16; ++column) {
      ASSERT_NEAR(patch[static_cast<std::size_t>(row * 16 + column)],
                  reference(frame, box, 16, row, column, static_cast<double>(limit)), 5e-6)
          << row << " " << column;
    }
  }
}

TEST_P(ExtractBoxes, MatchTheDefinitionForBytes) { expect_definition<std::uint8_t>(GetParam(), 8); }
TEST_P(ExtractBoxes, MatchTheDefinitionForTwelveBits) { expect_definition<std::uint16_t>(GetParam(), 12); }
TEST_P(ExtractBoxes, MatchTheDefinitionForSixteenBits) { expect_definition<std::uint16_t>(GetParam(), 16); }

INSTANTIATE_TEST_SUITE_P(Shapes, ExtractBoxes,
                         testing::Values(Box{0, 0, 64, 48},   // the whole frame
                                         Box{3, 4, 32, 32},   // half
                                         Box{5, 6, 8, 8},     // double
                                         Box{1, 2, 17, 15},   // a little larger, a little smaller
                                         Box{60, 40, 4, 8},   // at the corner
                                         Box{10, 0, 16, 48},  // one axis only
                                         Box{0, 10, 64, 16}, Box{63, 47, 1, 1}, Box{20, 20, 1, 16}));

TEST(Extract, NothingOutsideABoxContributes) {
  const Layout layout = layout_of({{10, 10, 21, 19}}, 16);
  Frame<std::uint8_t> frame(64, 48, 255);
  const std::vector<float> before = extract(frame.view(), layout);
  for (int y = 0; y < 48; ++y) {
    for (int x = 0; x < 64; ++x) {
      if (x < 10 || x >= 31 || y < 10 || y >= 29) frame.at(x, y) = static_cast<std::uint8_t>(255 - frame.at(x, y));
    }
  }
  EXPECT_EQ(extract(frame.view(), layout), before);
}

TEST(Extract, ConstantStaysConstant) {
  Frame<std::uint8_t> frame(64, 48, 255);
  std::fill(frame.pixels.begin(), frame.pixels.end(), std::uint8_t{200});
  for (const float value : extract(frame.view(), layout_of({{3, 3, 40, 11}}, 16))) {
    EXPECT_NEAR(value, 200.0F / 255.0F, 1e-6F);
  }
}

TEST(Extract, OrdersVialsThenRegions) {
  Layout layout = layout_of({{0, 0, 16, 16}, {16, 0, 16, 16}}, 16);
  layout.boxes.push_back({{32, 0, 16, 16}, {48, 0, 16, 16}});
  Frame<std::uint8_t> frame(64, 48, 0);
  for (int x = 0; x < 64; ++x) {
    for (int y = 0; y < 48; ++y) frame.at(x, y) = static_cast<std::uint8_t>(x / 16);
  }
  const std::vector<float> patches = extract(frame.view(), layout);
  for (std::size_t p = 0; p < 4; ++p) EXPECT_EQ(patches[p * 256], static_cast<float>(p) / 255.0F);
}

TEST(Extract, RowStrideIsHonoured) {
  Frame<std::uint8_t> dense(64, 48, 255);
  for (const int padding : {1, 3, 64, 1000}) {
    Frame<std::uint8_t> padded(64, 48, 255, padding);
    for (int y = 0; y < 48; ++y) {
      for (int x = 0; x < 64; ++x) padded.at(x, y) = dense.at(x, y);
    }
    const Layout layout = layout_of({{5, 7, 30, 20}, {1, 1, 16, 16}}, 16);
    EXPECT_EQ(extract(padded.view(), layout), extract(dense.view(), layout)) << padding;
  }
}

TEST(Extract, LastRowNeedsNoPadding) {
  Frame<std::uint8_t> frame(64, 48, 255, 100);
  const std::vector<std::uint8_t> exact(frame.pixels.begin(), frame.pixels.end() - 100);
  FrameView view = frame.view();
  view.data = exact.data();
  extract(view, layout_of({{0, 0, 64, 48}}, 16));
}

TEST(Extract, PixelAboveTheBitDepthIsNamed) {
  for (const Box& box : {Box{4, 8, 16, 16}, Box{4, 8, 30, 30}}) {
    Frame<std::uint16_t> frame(64, 48, 4095);
    frame.at(9, 11) = 4096;
    const Status status = extract_status(frame.view(), layout_of({box}, 16, 12));
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("(x 9, y 11) is 4096"));
    EXPECT_THAT(status.message(), HasSubstr("bit depth 12 ends at 4095"));
  }
}

TEST(Extract, PixelAboveTheBitDepthOutsideEveryBoxIsNotRead) {
  Frame<std::uint16_t> frame(64, 48, 4095);
  frame.at(63, 47) = 65535;
  EXPECT_TRUE(extract_status(frame.view(), layout_of({{4, 8, 16, 16}}, 16, 12)).ok());
}

TEST(Extract, BuffersOfTheWrongSizeAreRefused) {
  const Layout layout = layout_of({{0, 0, 30, 30}}, 16);
  const PatchExtractor extractor = PatchExtractor::create(layout).value();
  const Frame<std::uint8_t> frame(64, 48, 255);
  std::vector<float> patches(257);
  std::vector<float> scratch(extractor.scratch_size());
  for (const std::size_t size : {255U, 257U}) {
    const Status status = extractor.extract(frame.view(), std::span(patches).first(size), scratch);
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("room for 256 floats"));
  }
  const Status status =
      extractor.extract(frame.view(), std::span(patches).first(256), std::span(scratch).first(scratch.size() - 1));
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
}

TEST(Extract, AMovedExtractorWorks) {
  const Layout layout = layout_of({{0, 0, 30, 30}}, 16);
  PatchExtractor first = PatchExtractor::create(layout).value();
  PatchExtractor second = std::move(first);
  const Frame<std::uint8_t> frame(64, 48, 255);
  std::vector<float> patches(256);
  std::vector<float> scratch(second.scratch_size());
  ASSERT_TRUE(second.extract(frame.view(), patches, scratch).ok());
  EXPECT_EQ(patches, extract(frame.view(), layout));
}

TEST(Extract, OnePatchIsThatOfAll) {
  const Layout layout = layout_of({{0, 0, 16, 16}, {20, 10, 24, 18}, {40, 20, 16, 16}}, 16);
  const PatchExtractor extractor = PatchExtractor::create(layout).value();
  Frame<std::uint8_t> frame(64, 48, 255);
  for (int y = 0; y < 48; ++y) {
    for (int x = 0; x < 64; ++x) frame.at(x, y) = static_cast<std::uint8_t>(x * 3 + y * 5);
  }
  const Pose pose{1.25, -0.5, 0.01};
  std::vector<float> all(layout.patches_per_frame() * 256);
  std::vector<float> one(256);
  std::vector<float> scratch(extractor.scratch_size());
  for (const Pose* where : {static_cast<const Pose*>(nullptr), &pose}) {
    const Status status = where == nullptr ? extractor.extract(frame.view(), all, scratch)
                                           : extractor.extract(frame.view(), *where, all, scratch);
    ASSERT_TRUE(status.ok()) << status.message();
    for (std::size_t index = 0; index < layout.patches_per_frame(); ++index) {
      ASSERT_TRUE(extractor.extract_patch(frame.view(), where, index, one, scratch).ok());
      EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(index * 256)));
    }
  }
  const Status beyond = extractor.extract_patch(frame.view(), nullptr, layout.patches_per_frame(), one, scratch);
  EXPECT_EQ(beyond.code(), Code::kInvalidArgument);
  EXPECT_THAT(beyond.message(), HasSubstr("expected a patch below 3, got 3"));
  EXPECT_EQ(extractor.extract_patch(frame.view(), nullptr, 0, all, scratch).code(), Code::kInvalidArgument);
}

TEST(CreateExtractor, ALayoutThatIsNoneIsRefused) {
  const Result<PatchExtractor> extractor = PatchExtractor::create(layout_of({{60, 0, 16, 16}}, 16));
  EXPECT_EQ(extractor.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(extractor.status().message(), HasSubstr("does not lie inside the frame"));
}

struct BadFrame {
  const char* what;
  int bit_depth;
  void (*break_it)(FrameView&);
  const char* message;
};

void PrintTo(const BadFrame& bad, std::ostream* out) { *out << bad.what; }

class CheckFrame : public testing::TestWithParam<BadFrame> {};

TEST_P(CheckFrame, Refuses) {
  const Frame<std::uint8_t> bytes(64, 48, 255, 64);
  const Frame<std::uint16_t> words(64, 48, 255, 64);
  const bool wide = GetParam().bit_depth > 8;
  const Layout layout = layout_of({{0, 0, 16, 16}}, 16, GetParam().bit_depth);
  FrameView view = wide ? words.view() : bytes.view();
  ASSERT_TRUE(check_frame(view, layout).ok());
  GetParam().break_it(view);
  const Status status = check_frame(view, layout);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
  EXPECT_EQ(extract_status(view, layout).code(), Code::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, CheckFrame,
    testing::Values(
        BadFrame{"null", 8, [](FrameView& f) { f.data = nullptr; }, "got a null pointer"},
        BadFrame{"narrow", 8, [](FrameView& f) { f.width = 63; }, "expected 64x48 pixels (width x height), got 63x48"},
        BadFrame{"tall", 8, [](FrameView& f) { f.height = 49; }, "got 64x49"},
        BadFrame{"negative", 8, [](FrameView& f) { f.width = -64; }, "got -64x48"},
        BadFrame{"words for bytes", 8, [](FrameView& f) { f.format = PixelFormat::kGray16; }, "expected uint8 pixels"},
        BadFrame{"bytes for words", 12, [](FrameView& f) { f.format = PixelFormat::kGray8; }, "expected uint16 pixels"},
        BadFrame{"unknown format", 8, [](FrameView& f) { f.format = static_cast<PixelFormat>(9); }, "pixel format"},
        BadFrame{"short stride", 8, [](FrameView& f) { f.row_stride_bytes = 63; }, "at least 64 bytes, got 63"},
        BadFrame{"negative stride", 8, [](FrameView& f) { f.row_stride_bytes = -64; }, "at least 64 bytes"},
        BadFrame{"stride of half the words", 16, [](FrameView& f) { f.row_stride_bytes = 64; }, "at least 128 bytes"},
        BadFrame{"odd stride", 16, [](FrameView& f) { f.row_stride_bytes = 129; }, "odd address or stride"},
        BadFrame{"odd address", 16, [](FrameView& f) { f.data = static_cast<const std::byte*>(f.data) + 1; },
                 "odd address or stride"}));

}  // namespace
}  // namespace vialsight
