#include "backend/quantisation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "graph_writer.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Message rounding(const std::string& operation, std::uint64_t bits = 8) {
  return node("rounded", operation, {"patches", "low", "high"}, {{"num_bits", Message().number(3, bits)}});
}

GraphWriter graph_of(const std::vector<float>& low, const std::vector<float>& high, std::uint64_t bits = 8) {
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, 4, 4, 1}));
  graph.add(constant("low", {}, low)).add(constant("high", {}, high));
  graph.add(rounding("FakeQuantWithMinMaxVarsPerChannel", bits));
  return graph;
}

Status check(const std::string& model, std::size_t& roundings) {
  return check_quantisation(model.data(), model.size(), roundings);
}

void expect_error(const std::string& model, const char* text) {
  std::size_t roundings = 0;
  const Status status = check(model, roundings);
  EXPECT_EQ(status.code(), Code::kDataCorrupt);
  EXPECT_THAT(status.message(), HasSubstr(text));
}

TEST(QuantisationTest, CountsWhatRounds) {
  std::size_t roundings = 7;
  GraphWriter graph = graph_of({-1.0F, 0.0F}, {1.0F, 2.0F});
  ASSERT_TRUE(check(graph.bytes(), roundings).ok()) << check(graph.bytes(), roundings).message();
  EXPECT_EQ(roundings, 1U);
  graph.add(rounding("FakeQuantWithMinMaxVars"));
  ASSERT_TRUE(check(graph.bytes(), roundings).ok());
  EXPECT_EQ(roundings, 2U);
  ASSERT_TRUE(check(GraphWriter().add(constant("low", {}, {kNan})).bytes(), roundings).ok());
  EXPECT_EQ(roundings, 0U);
}

struct Range {
  float low;
  float high;
};

TEST(QuantisationTest, RefusesRangesThatAreNone) {
  for (const Range& range :
       {Range{kNan, 1.0F}, Range{-1.0F, kNan}, Range{-kInfinity, 1.0F}, Range{0.0F, kInfinity}, Range{1.0F, -1.0F},
        Range{0.0F, 0.0F}, Range{0.5F, 1.0F}, Range{-2.0F, -1.0F}, Range{0.0F, 1e-40F}, Range{-3e38F, 3e38F}}) {
    expect_error(graph_of({range.low}, {range.high}).bytes(), "node \"rounded\" rounds to integers: expected finite");
  }
}

TEST(QuantisationTest, LooksAtTheRangeOfEveryChannel) {
  expect_error(graph_of({-1.0F, -1.0F, 3.0F}, {1.0F, 1.0F, 1.0F}).bytes(), "got 3.000000 to 1.000000");
  // Written without its repetitions.
  expect_error(graph_of({-1.0F}, {1.0F, 1.0F, -2.0F}).bytes(), "got -1.000000 to -2.000000");
}

TEST(QuantisationTest, RefusesOtherNumbersOfBits) {
  expect_error(graph_of({-1.0F}, {1.0F}, 4).bytes(), "expected 8 bits, got 4");
}

// As protocol buffers of Python write few values: one by one, or packed into one field.
TEST(QuantisationTest, ReadsValuesThatAreNotOneRunOfBytes) {
  const float value = -1.0F;
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  const Message packed = Message().number(1, kFloat).text(5, bytes);
  GraphWriter graph;
  graph.add(constant("high", {}, {1.0F})).add(rounding("FakeQuantWithMinMaxVars"));
  graph.add(node("low", "Const", {}, {{"value", Message().message(8, packed)}}));
  std::size_t roundings = 0;
  EXPECT_TRUE(check(graph.bytes(), roundings).ok()) << check(graph.bytes(), roundings).message();
}

TEST(QuantisationTest, RefusesBoundsThatAreNoConstants) {
  GraphWriter missing;
  missing.add(constant("low", {}, {-1.0F})).add(rounding("FakeQuantWithMinMaxVars"));
  expect_error(missing.bytes(), "expected constants of float32 as bounds");
  GraphWriter computed;
  computed.add(constant("low", {}, {-1.0F})).add(binary("high", "Mul", "low", "low"));
  expect_error(computed.add(rounding("FakeQuantWithMinMaxVars")).bytes(), "expected constants of float32 as bounds");
  GraphWriter doubles;
  const Message tensor = Message().number(1, kDouble).text(4, std::string(8, '\0'));
  doubles.add(constant("low", {}, {-1.0F})).add(node("high", "Const", {}, {{"value", Message().message(8, tensor)}}));
  expect_error(doubles.add(rounding("FakeQuantWithMinMaxVars")).bytes(), "expected constants of float32 as bounds");
}

TEST(QuantisationTest, RefusesRoundingInAFunction) {
  GraphWriter graph = graph_of({-1.0F}, {1.0F});
  graph.add_function("helper", rounding("FakeQuantWithMinMaxVars"));
  expect_error(graph.bytes(), "outside of functions");
}

TEST(QuantisationTest, RefusesBytesThatAreNoGraph) { expect_error("\xff\xff\xff", "not a serialised TensorFlow"); }

}  // namespace
}  // namespace vialsight::test
