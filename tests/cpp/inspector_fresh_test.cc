// Frames of another moment, and frames that show nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "inspector/frame_digest.h"
#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

constexpr Clock::time_point kNoDeadline = Clock::time_point::max();

class InspectorFreshTest : public InspectorTest {
 protected:
  InspectorFreshTest() { options.require_fresh_frames = true; }

  // A frame that no other call returns.
  TestFrame next_frame() {
    ++number_;
    return TestFrame()
        .mark(39, 29, static_cast<unsigned char>(number_ % 256))
        .mark(38, 29, static_cast<unsigned char>(number_ / 256));
  }
  StripVerdict inspect(Inspector& inspector, const TestFrame& first, const TestFrame& second) {
    const std::array<FrameView, 2> frames = {first.view(), second.view()};
    return inspector.inspect(1, frames, kNoDeadline);
  }

 private:
  int number_ = 0;
};

TEST_F(InspectorFreshTest, AcceptsNewFrames) {
  Inspector inspector = create();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(inspect(inspector, next_frame(), next_frame()).verdict, Verdict::kAccept);
  }
}

TEST_F(InspectorFreshTest, RejectsOneImageAsBothFrames) {
  Inspector inspector = create();
  const TestFrame frame = next_frame();
  ASSERT_TRUE(inspector.open(7, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  const Status status = inspector.submit(1, frame.view());
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("frame 1 of strip 7 has the very pixels of a frame submitted before"));
  EXPECT_EQ(inspector.close().reason, Reason::kFrameStale);
}

// What it refused once it refuses again, and a good frame in its place mends nothing.
TEST_F(InspectorFreshTest, AStripWithAStaleFrameStaysRejected) {
  Inspector inspector = create();
  const TestFrame frame = next_frame();
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  EXPECT_FALSE(inspector.submit(1, frame.view()).ok());
  EXPECT_FALSE(inspector.submit(1, frame.view()).ok());
  EXPECT_TRUE(inspector.submit(1, next_frame().view()).ok());
  EXPECT_EQ(inspector.close().reason, Reason::kFrameStale);
}

TEST_F(InspectorFreshTest, RejectsAFrameOfOneOfTheLast64Strips) {
  Inspector inspector = create();
  const TestFrame first = next_frame();
  const TestFrame second = next_frame();
  ASSERT_EQ(inspect(inspector, first, second).verdict, Verdict::kAccept);
  for (int i = 0; i < 63; ++i) ASSERT_EQ(inspect(inspector, next_frame(), next_frame()).verdict, Verdict::kAccept);
  EXPECT_EQ(inspect(inspector, next_frame(), second).reason, Reason::kFrameStale);
  // Each strip pushes the oldest out; the two frames that were refused or remembered above did, too.
  EXPECT_EQ(inspect(inspector, first, next_frame()).verdict, Verdict::kAccept);
}

TEST_F(InspectorFreshTest, ComparesWhatTheFrameShowsNotHowItLies) {
  Inspector inspector = create();
  const TestFrame frame = next_frame();
  std::vector<unsigned char> wide(64 * 30);
  for (std::size_t y = 0; y < 30; ++y)
    std::memcpy(&wide[y * 64], static_cast<const char*>(frame.view().data) + y * 40, 40);
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  EXPECT_FALSE(inspector.submit(1, {wide.data(), 40, 30, 64, PixelFormat::kGray8}).ok());
  EXPECT_EQ(inspector.close().reason, Reason::kFrameStale);
}

TEST_F(InspectorFreshTest, RecordedImagesMayBeInspectedAgain) {
  options.require_fresh_frames = false;
  Inspector inspector = create();
  EXPECT_EQ(inspect(inspector, TestFrame(), TestFrame()).verdict, Verdict::kAccept);
  EXPECT_EQ(inspect(inspector, TestFrame(), TestFrame()).verdict, Verdict::kAccept);
}

class FrameStampTest : public InspectorFreshTest {
 protected:
  // Submits frame 0 of strip 5, opened at `opened`, a second later, with `stamp`.
  void expect_stale(const FrameStamp& stamp, const char* text) {
    Inspector inspector = create();
    open(inspector);
    const Status status = inspector.submit(0, next_frame().view(), stamp);
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_EQ(inspector.close().reason, Reason::kFrameStale);
  }
  void open(Inspector& inspector) {
    clock->set(opened);
    ASSERT_TRUE(inspector.open(5, kNoDeadline).ok());
    clock->set(now);
  }

  const Clock::time_point opened{std::chrono::hours(5)};
  const Clock::time_point now = opened + std::chrono::seconds(1);
};

TEST_F(FrameStampTest, OfThisStripIndexAndSlotIsAccepted) {
  Inspector inspector = create();
  open(inspector);
  EXPECT_TRUE(inspector.submit(1, next_frame().view(), {5, 1, opened}).ok());
  EXPECT_TRUE(inspector.submit(0, next_frame().view(), {5, 0, now}).ok());
  EXPECT_EQ(inspector.close().verdict, Verdict::kAccept);
}
TEST_F(FrameStampTest, OfAnotherStrip) { expect_stale({4, 0, now}, "its stamp is of strip 4"); }
TEST_F(FrameStampTest, OfAnotherIndex) { expect_stale({5, 1, now}, "its stamp is of frame 1"); }
TEST_F(FrameStampTest, FromBeforeTheSlot) {
  expect_stale({5, 0, opened - Clock::duration(1)}, "not exposed between open and submit");
}
TEST_F(FrameStampTest, FromTheFuture) {
  expect_stale({5, 0, now + Clock::duration(1)}, "not exposed between open and submit");
}

class FlatFrameTest : public InspectorTest {
 protected:
  void expect_invalid(unsigned char value) {
    Inspector inspector = create();
    const std::vector<unsigned char> pixels(40 * 30, value);
    const FrameView flat{pixels.data(), 40, 30, 40, PixelFormat::kGray8};
    const TestFrame good;
    EXPECT_EQ(inspector.inspect(1, std::array<FrameView, 2>{good.view(), flat}, kNoDeadline).reason,
              Reason::kFrameInvalid);
    EXPECT_EQ(inspector.health().last_fault,
              "frame: expected an image, got one gray value all over patch 0; check light, shutter and camera");
  }
};

TEST_F(FlatFrameTest, Black) { expect_invalid(0); }
TEST_F(FlatFrameTest, Saturated) { expect_invalid(255); }
TEST_F(FlatFrameTest, Gray) { expect_invalid(100); }

TEST_F(FlatFrameTest, OneCoveredPatchIsEnough) {
  Inspector inspector = create();
  TestFrame covered;
  const Box box = small_layout().boxes[1][1];
  for (int y = 0; y < box.height; ++y) {
    for (int x = 0; x < box.width; ++x) covered.mark(box.x + x, box.y + y, 30);
  }
  const TestFrame good;
  EXPECT_EQ(inspector.inspect(1, std::array<FrameView, 2>{covered.view(), good.view()}, kNoDeadline).reason,
            Reason::kFrameInvalid);
}

TEST(FrameDigestTest, ChangesWithEveryByteAndItsPlace) {
  std::vector<std::byte> row(77);
  std::set<std::uint64_t> digests;
  const auto add = [&] {
    FrameDigest digest;
    digest.add(row.data(), row.size());
    EXPECT_TRUE(digests.insert(digest.value()).second);
  };
  add();
  for (std::byte& byte : row) {
    for (const int value : {1, 128}) {
      byte = static_cast<std::byte>(value);
      add();
    }
    byte = std::byte{0};
  }
}

TEST(FrameDigestTest, ChangesWithTheOrderOfRows) {
  const std::array<std::byte, 4> a = {std::byte{1}};
  const std::array<std::byte, 4> b = {std::byte{2}};
  FrameDigest ab;
  ab.add(a.data(), a.size());
  ab.add(b.data(), b.size());
  FrameDigest ba;
  ba.add(b.data(), b.size());
  ba.add(a.data(), a.size());
  EXPECT_NE(ab.value(), ba.value());
}

}  // namespace
}  // namespace vialsight::test
