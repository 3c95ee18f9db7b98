#include "vialsight/decision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace vialsight {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr double kNanThreshold = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfThreshold = std::numeric_limits<double>::infinity();

struct Patch {
  float score;
  double threshold;
  bool defective;
};

class PatchIsDefective : public testing::TestWithParam<Patch> {};

TEST_P(PatchIsDefective, Decision) {
  EXPECT_EQ(patch_is_defective(GetParam().score, GetParam().threshold), GetParam().defective);
}

INSTANTIATE_TEST_SUITE_P(Table, PatchIsDefective,
                         testing::Values(Patch{0.01F, 0.02, false}, Patch{0.03F, 0.02, true},
                                         Patch{0.25F, 0.25, false},  // φ == t accepts
                                         Patch{std::nextafter(0.25F, 1.0F), 0.25, true},
                                         Patch{0.25F, std::nextafter(0.25, 0.0), true}, Patch{0.0F, 0.0, false},
                                         Patch{-0.001F, 0.0, false}, Patch{kNan, 0.02, true}, Patch{kInf, 0.02, true},
                                         Patch{-kInf, 0.02, true}, Patch{0.01F, kNanThreshold, true},
                                         Patch{0.01F, kInfThreshold, true}, Patch{0.01F, -kInfThreshold, true},
                                         Patch{kInf, kInfThreshold, true}, Patch{-kInf, -kInfThreshold, true},
                                         Patch{kNan, kNanThreshold, true}));

// 2 frames, 3 vials, 2 regions.
Layout small_layout() {
  Layout layout;
  layout.name = "small";
  layout.frame_width = 64;
  layout.frame_height = 64;
  layout.frames = 2;
  layout.patch_size = 16;
  layout.regions = {"top", "bottom"};
  layout.boxes.assign(3, {Box{0, 0, 16, 16}, Box{0, 16, 16, 16}});
  return layout;
}

const std::vector<double> kThresholds = {0.1, 0.3};

struct Decided {
  Verdict strip;
  std::vector<Verdict> vials;
};

Decided decide_small(const std::vector<float>& scores, const std::vector<double>& thresholds = kThresholds,
                     std::size_t vials = 3) {
  Decided decided{Verdict::kAccept, std::vector<Verdict>(vials, Verdict::kAccept)};
  decided.strip = decide(small_layout(), scores, thresholds, decided.vials);
  return decided;
}

constexpr Verdict kA = Verdict::kAccept;
constexpr Verdict kR = Verdict::kReject;

TEST(Decide, AllUnderTheirThresholdsIsAccepted) {
  const Decided decided = decide_small(std::vector<float>(12, 0.05F));
  EXPECT_EQ(decided.strip, kA);
  EXPECT_EQ(decided.vials, (std::vector<Verdict>{kA, kA, kA}));
}

TEST(Decide, OnePatchRejectsItsVialAndTheStrip) {
  for (std::size_t frame = 0; frame < 2; ++frame) {
    for (std::size_t vial = 0; vial < 3; ++vial) {
      for (std::size_t region = 0; region < 2; ++region) {
        std::vector<float> scores(12, 0.05F);
        scores[(frame * 3 + vial) * 2 + region] = 0.5F;
        std::vector<Verdict> expected(3, kA);
        expected[vial] = kR;
        const Decided decided = decide_small(scores);
        EXPECT_EQ(decided.strip, kR);
        EXPECT_EQ(decided.vials, expected) << frame << " " << vial << " " << region;
      }
    }
  }
}

TEST(Decide, EachRegionHasItsThreshold) {
  std::vector<float> scores(12, 0.05F);
  scores[1] = 0.2F;  // bottom, below 0.3
  EXPECT_EQ(decide_small(scores).strip, kA);
  scores[0] = 0.2F;  // top, above 0.1
  EXPECT_EQ(decide_small(scores).strip, kR);
}

TEST(Decide, AScoreThatIsNotFiniteRejects) {
  for (const float bad : {kNan, kInf, -kInf}) {
    std::vector<float> scores(12, 0.05F);
    scores[11] = bad;
    EXPECT_EQ(decide_small(scores).vials, (std::vector<Verdict>{kA, kA, kR}));
  }
}

TEST(Decide, AThresholdThatIsNotFiniteRejects) {
  for (const double bad : {kNanThreshold, kInfThreshold, -kInfThreshold}) {
    EXPECT_EQ(decide_small(std::vector<float>(12, 0.05F), {0.1, bad}).strip, kR);
  }
}

void expect_all_rejected(const Decided& decided) {
  EXPECT_EQ(decided.strip, kR);
  for (const Verdict vial : decided.vials) EXPECT_EQ(vial, kR);
}

TEST(Decide, NoScores) { expect_all_rejected(decide_small({})); }
TEST(Decide, OneScoreTooFew) { expect_all_rejected(decide_small(std::vector<float>(11, 0.05F))); }
TEST(Decide, OneScoreTooMany) { expect_all_rejected(decide_small(std::vector<float>(13, 0.05F))); }
TEST(Decide, NoThresholds) { expect_all_rejected(decide_small(std::vector<float>(12, 0.05F), {})); }
TEST(Decide, OneThresholdTooMany) { expect_all_rejected(decide_small(std::vector<float>(12, 0.05F), {1, 1, 1})); }
TEST(Decide, OneVialTooFew) { expect_all_rejected(decide_small(std::vector<float>(12, 0.05F), kThresholds, 2)); }
TEST(Decide, OneVialTooMany) { expect_all_rejected(decide_small(std::vector<float>(12, 0.05F), kThresholds, 4)); }

TEST(Decide, ALayoutWithoutAnythingRejects) {
  std::vector<Verdict> vials;
  EXPECT_EQ(decide(Layout{}, {}, {}, vials), kR);
}

TEST(Decide, ALayoutWithoutFramesRejects) {
  Layout layout = small_layout();
  std::vector<Verdict> vials(3, kA);
  for (const int frames : {0, -1}) {
    layout.frames = frames;
    EXPECT_EQ(decide(layout, {}, kThresholds, vials), kR);
    EXPECT_EQ(vials, (std::vector<Verdict>{kR, kR, kR}));
  }
}

TEST(Verdict, ZeroedMemoryRejects) { EXPECT_EQ(Verdict{}, Verdict::kReject); }

TEST(NameOf, EveryReasonHasItsOwnName) {
  std::set<std::string> names;
  for (int reason = 0; reason < kReasonCount; ++reason) {
    names.insert(name_of(static_cast<Reason>(reason)));
  }
  const std::set<std::string> expected = {"none",          "defect",        "deadline_missed", "frame_missing",
                                          "frame_invalid", "score_invalid", "backend_fault",   "not_ready",
                                          "frame_stale",   "not_located"};
  EXPECT_EQ(names, expected);
}

TEST(NameOf, VerdictsAndLevels) {
  EXPECT_STREQ(name_of(Verdict::kReject), "reject");
  EXPECT_STREQ(name_of(Verdict::kAccept), "accept");
  EXPECT_STREQ(name_of(Level::kPatch), "patch");
  EXPECT_STREQ(name_of(Level::kStrip), "strip");
  EXPECT_STREQ(name_of(Level::kRun), "run");
}

TEST(NameOf, ValuesOutsideTheEnumerationsAreNotNull) {
  EXPECT_STREQ(name_of(static_cast<Verdict>(7)), "unknown");
  EXPECT_STREQ(name_of(static_cast<Reason>(77)), "unknown");
  EXPECT_STREQ(name_of(static_cast<Level>(77)), "unknown");
}

}  // namespace
}  // namespace vialsight
