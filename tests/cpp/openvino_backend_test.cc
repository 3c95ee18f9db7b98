// What only the OpenVINO module does; backend_module_test.cc has what every runtime's does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "backend/backend_loader.h"
#include "graph_writer.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

constexpr int kPatch = 8;
constexpr std::size_t kPixels = 64;

// exact = patches · 1.001; rest = a convolution of exact by one weight of 1.
std::string graph_of_both() {
  const Message strides = Message().message(1, Message().text(3, std::string("\1\1\1\1", 4)));
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, kPatch, kPatch, 1}));
  graph.add(constant("factor", {}, {1.001F})).add(binary("exact", "Mul", "patches", "factor"));
  graph.add(constant("kernel", {1, 1, 1, 1}, {1.0F}));
  graph.add(node("rest", "Conv2D", {"exact", "kernel"},
                 {{"T", type_value(kFloat)}, {"strides", strides}, {"padding", Message().text(2, "SAME")}}));
  return graph.bytes();
}

// exact = patches · 1.001; rest = patches, rounded to 255 steps from 0 to `reach`, convolved by one rounded weight of
// 0.75.
std::string graph_in_integers(float reach) {
  const Message strides = Message().message(1, Message().text(3, std::string("\1\1\1\1", 4)));
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, kPatch, kPatch, 1}));
  graph.add(constant("factor", {}, {1.001F})).add(binary("exact", "Mul", "patches", "factor"));
  graph.add(constant("low", {}, {0.0F})).add(constant("high", {}, {reach}));
  graph.add(node("rounded", "FakeQuantWithMinMaxVars", {"patches", "low", "high"}, {}));
  graph.add(constant("kernel", {1, 1, 1, 1}, {0.75F}));
  graph.add(constant("least", {1}, {-0.75F})).add(constant("most", {1}, {0.75F}));
  graph.add(node("weight", "FakeQuantWithMinMaxVarsPerChannel", {"kernel", "least", "most"},
                 {{"narrow_range", Message().number(5, 1)}}));
  graph.add(node("rest", "Conv2D", {"rounded", "weight"},
                 {{"T", type_value(kFloat)}, {"strides", strides}, {"padding", Message().text(2, "SAME")}}));
  return graph.bytes();
}

Result<std::unique_ptr<Backend>> load(const std::string& model, Precision precision) {
  BackendOptions options;
  options.model = model.data();
  options.model_size = model.size();
  options.input_name = "patches";
  options.outputs = {{"exact", OutputRole::kMap, kPatch, kPatch}, {"rest", OutputRole::kMap, kPatch, kPatch}};
  options.patch_size = kPatch;
  options.threads = 1;
  options.precision = precision;
  return load_backend(VIALSIGHT_BACKEND_MODULE, options);
}

struct Both {
  std::vector<float> exact;
  std::vector<float> rest;
};

Both run(Backend& backend, const std::vector<float>& patches) {
  Both both{std::vector<float>(patches.size()), std::vector<float>(patches.size())};
  float* const outputs[] = {both.exact.data(), both.rest.data()};
  const Status status = backend.run(patches.data(), patches.size() / kPixels, outputs);
  EXPECT_TRUE(status.ok()) << status.message();
  return both;
}

std::vector<float> ramp(std::size_t count) {
  std::vector<float> patches(count * kPixels);
  for (std::size_t i = 0; i < patches.size(); ++i) patches[i] = static_cast<float>(i % 251) / 251.0F;
  return patches;
}

// The nearest number with 8 bits of mantissa, ties to even.
float rounded(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  bits += 0x7FFFU + ((bits >> 16) & 1U);
  bits &= 0xFFFF0000U;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

TEST(OpenVinoBackendTest, ComputesInFloat32) {
  const auto backend = load(graph_of_both(), Precision::kFloat32);
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const std::vector<float> patches = ramp(3);
  const Both both = run(*backend.value(), patches);
  for (std::size_t i = 0; i < patches.size(); ++i) {
    ASSERT_FLOAT_EQ(both.exact[i], patches[i] * 1.001F);
    ASSERT_FLOAT_EQ(both.rest[i], patches[i] * 1.001F);
  }
}

// bfloat16 begins at the first convolution, which sees what was computed before rounded once.
TEST(OpenVinoBackendTest, ComputesInBfloat16FromTheFirstConvolutionOn) {
  const auto backend = load(graph_of_both(), Precision::kBfloat16);
  if (backend.status().code() == Code::kUnsupported) GTEST_SKIP() << backend.status().message();
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  for (const std::size_t count : {1U, 3U, 1U, 4U, 5U, 6U, 3U}) {
    const std::vector<float> patches = ramp(count);
    const Both both = run(*backend.value(), patches);
    for (std::size_t i = 0; i < patches.size(); ++i) {
      const float exact = patches[i] * 1.001F;
      ASSERT_FLOAT_EQ(both.exact[i], exact);
      ASSERT_EQ(both.rest[i], rounded(exact));
    }
  }
}

TEST(OpenVinoBackendTest, ComputesInIntegersWhereTheGraphRounds) {
  const auto backend = load(graph_in_integers(0.5F), Precision::kInt8);
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const std::vector<float> patches = ramp(3);
  const Both both = run(*backend.value(), patches);
  for (std::size_t i = 0; i < patches.size(); ++i) {
    const double steps = std::round(std::min(patches[i] / 0.5, 1.0) * 255.0);
    ASSERT_FLOAT_EQ(both.exact[i], patches[i] * 1.001F);
    ASSERT_NEAR(both.rest[i], 0.75 * 0.5 * steps / 255.0, 1e-6);
  }
}

TEST(OpenVinoBackendTest, RefusesIntegersOfAGraphThatDoesNotRound) {
  const auto backend = load(graph_of_both(), Precision::kInt8);
  EXPECT_EQ(backend.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(backend.status().message(), HasSubstr("rounds to no integers, and is to be computed in int8"));
}

TEST(OpenVinoBackendTest, RefusesAGraphThatRoundsUnasked) {
  const auto backend = load(graph_in_integers(0.5F), Precision::kFloat32);
  EXPECT_EQ(backend.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(backend.status().message(), HasSubstr("rounds to integers, and is to be computed in float32"));
}

TEST(OpenVinoBackendTest, RefusesRangesThatAreNone) {
  for (const float reach : {-1.0F, 0.0F, std::nanf("")}) {
    const auto backend = load(graph_in_integers(reach), Precision::kInt8);
    EXPECT_EQ(backend.status().code(), Code::kDataCorrupt);
    EXPECT_THAT(backend.status().message(), HasSubstr("node \"rounded\" rounds to integers: expected finite ranges"));
  }
}

TEST(OpenVinoBackendTest, RefusesASecondPlaceholder) {
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, kPatch, kPatch, 1}));
  graph.add(placeholder("other", kFloat, {-1, kPatch, kPatch, 1}));
  graph.add(binary("exact", "AddV2", "patches", "other")).add(binary("rest", "Mul", "patches", "other"));
  const auto backend = load(graph.bytes(), Precision::kFloat32);
  EXPECT_EQ(backend.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(backend.status().message(), HasSubstr("expected no other placeholder, found several"));
}

TEST(OpenVinoBackendTest, RefusesAnOutputThatDoesNotDependOnThePatches) {
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, kPatch, kPatch, 1})).add(constant("factor", {}, {2.0F}));
  graph.add(binary("exact", "Mul", "patches", "factor"));
  graph.add(constant("rest", {1, kPatch, kPatch, 1}, std::vector<float>(kPixels)));
  const auto backend = load(graph.bytes(), Precision::kFloat32);
  EXPECT_EQ(backend.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(backend.status().message(), HasSubstr("output node \"rest\" does not depend on the patches"));
}

TEST(OpenVinoBackendTest, RunsOnTheCpuOnly) {
  BackendOptions options;
  const std::string model = graph_of_both();
  options.model = model.data();
  options.model_size = model.size();
  options.input_name = "patches";
  options.patch_size = kPatch;
  options.device = "gpu:0";
  const auto backend = load_backend(VIALSIGHT_BACKEND_MODULE, options);
  EXPECT_EQ(backend.status().code(), Code::kUnsupported);
  EXPECT_THAT(backend.status().message(), HasSubstr("expected the device \"cpu\", got \"gpu:0\""));
}

TEST(OpenVinoBackendTest, TheModuleNeedsNoTensorFlow) {
  std::ifstream stream(VIALSIGHT_BACKEND_MODULE, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_THAT(bytes, HasSubstr("libopenvino.so"));
  EXPECT_THAT(bytes, ::testing::Not(HasSubstr("libtensorflow")));
}

}  // namespace
}  // namespace vialsight::test
