// The schema, the combination by hand, and what must never pass as a number. The numbers themselves are compared with
// scikit-image and SciPy in tests/python/test_core_score.py.
#include "vialsight/score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "allocation_counter.h"
#include "vialsight/ssim.h"

namespace vialsight {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kPatch = 16;
constexpr std::size_t kPixels = 256;

json ssim_constants() {
  return {{"window", "gaussian"},       {"window_size", 11}, {"sigma", 1.5}, {"padding", "valid"},
          {"covariance", "population"}, {"k1", 0.01},        {"k2", 0.03},   {"dynamic_range", 1.0}};
}

json filtered(const std::string& name, const std::string& kind) {
  return {{"name", name}, {"component", kind}, {"smoothing", 0.0}, {"pooling", "max"}, {"per_location", false}};
}

json ssim_component() {
  json component = ssim_constants();
  component.update({{"name", "ssim"}, {"component", "ssim"}, {"reduction", "mean"}});
  return component;
}

json ssim_local_component() {
  json component = ssim_constants();
  component.update(filtered("ssim_local", "ssim_local"));
  return component;
}

json msgms_component() {
  return {{"name", "msgms"}, {"component", "msgms"}, {"c", 0.0026}, {"scales", 4}, {"window_size", 21}};
}

json map_component(const std::string& output) {
  json component = filtered(output, "map");
  component["output"] = output;
  return component;
}

// One that decides, alone.
json single(const json& component) {
  return {
      {"components", {component}}, {"decide", {component["name"]}}, {"combine", nullptr}, {"normalisation", nullptr}};
}

// The two maps of the inputs below.
json both(const std::string& combine) {
  return {{"components", {map_component("a"), map_component("b")}},
          {"decide", {"a", "b"}},
          {"combine", combine},
          {"normalisation", nullptr}};
}

json normalised(const std::string& combine) {
  json definition = both(combine);
  definition["normalisation"] = {
      {{"component", "a"}, {"offset", {9.0, 1.0}}, {"scale", {9.0, 2.0}}, {"map_scale", {9.0, 4.0}}},
      {{"component", "b"}, {"offset", {9.0, 3.0}}, {"scale", {9.0, 0.5}}, {"map_scale", {9.0, 8.0}}}};
  return definition;
}

ScoreInputs inputs() {
  return {{{"x", OutputRole::kReconstruction, kPatch, kPatch},
           {"a", OutputRole::kMap, 1, 1},
           {"b", OutputRole::kMap, 1, 1}},
          kPatch,
          2};
}

Score make(const json& definition, std::span<const LocationArrays> locations = {}) {
  return Score::create(definition.dump(), inputs(), locations).value();
}

struct Data {
  std::vector<float> patch = std::vector<float>(kPixels);
  std::vector<float> reconstruction = std::vector<float>(kPixels);
  std::vector<float> a = {2.0F};
  std::vector<float> b = {4.0F};

  Data() {
    std::mt19937 generator(1);
    std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
    for (float& pixel : patch) pixel = uniform(generator);
    for (float& pixel : reconstruction) pixel = uniform(generator);
  }
};

struct Outcome {
  float score = -7.0F;
  std::vector<float> components;
  std::vector<float> map;
};

Outcome run(Score& score, const Data& data, std::size_t region = 0) {
  Outcome result;
  result.components.resize(score.components().size());
  result.map.resize(score.map_size().pixels());
  const std::span<const float> outputs[] = {data.reconstruction, data.a, data.b};
  const PatchData patch{data.patch, outputs};
  EXPECT_TRUE(score.run(patch, region, result.score, result.components).ok());
  EXPECT_TRUE(score.map(patch, region, result.map).ok());
  return result;
}

TEST(Score, SsimIsTheScoreOfThePaperToTheLastBit) {
  const Data data;
  std::vector<double> scratch(ssim_scratch_size(kPatch, kPatch));
  double similarity = 0.0;
  ASSERT_TRUE(ssim(data.patch, data.reconstruction, kPatch, kPatch, scratch, similarity).ok());
  Score score = make(single(ssim_component()));
  const Outcome result = run(score, data);
  EXPECT_EQ(result.score, static_cast<float>(1.0 - similarity));
  EXPECT_THAT(result.components, ElementsAre(result.score));
}

TEST(Score, OnlyWhatDecidesIsNamed) {
  json definition = both("sum");
  definition["decide"] = {"b"};
  definition["combine"] = nullptr;
  Score score = make(definition);
  EXPECT_THAT(score.components(), ElementsAre("b"));
  EXPECT_EQ(run(score, Data()).score, 4.0F);
}

TEST(Score, ASingleMapHasItsOwnSize) {
  EXPECT_EQ(make(single(map_component("a"))).map_size(), (MapSize{1, 1}));
  EXPECT_EQ(make(single(filtered("r", "residual"))).map_size(), (MapSize{kPatch, kPatch}));
  EXPECT_EQ(make(both("sum")).map_size(), (MapSize{kPatch, kPatch}));
}

TEST(Score, TheLargestDecides) {
  Score score = make(both("largest"));
  const Outcome result = run(score, Data());
  EXPECT_EQ(result.score, 4.0F);
  EXPECT_THAT(result.components, ElementsAre(2.0F, 4.0F));
  EXPECT_THAT(result.map, testing::Each(4.0F));
}

TEST(Score, TheSumIsOfWhatIsPositive) {
  Score score = make(both("sum"));
  Data data;
  EXPECT_EQ(run(score, data).score, 6.0F);
  data.a = {-2.0F};
  EXPECT_EQ(run(score, data).score, 4.0F);
  EXPECT_THAT(run(score, data).map, testing::Each(4.0F));
}

TEST(Score, TheNormalisationIsTheRegions) {
  Score largest = make(normalised("largest"));
  Score sum = make(normalised("sum"));
  // a: (2 − 1) / 2 = 0.5; b: (4 − 3) / 0.5 = 2. Maps: 2 / 4 and 4 / 8.
  EXPECT_EQ(run(largest, Data(), 1).score, 2.0F);
  EXPECT_EQ(run(sum, Data(), 1).score, 2.5F);
  EXPECT_THAT(run(largest, Data(), 1).map, testing::Each(0.5F));
  EXPECT_THAT(run(sum, Data(), 1).map, testing::Each(1.0F));
  EXPECT_THAT(run(sum, Data(), 1).components, ElementsAre(2.0F, 4.0F));
}

TEST(Score, ALocationIsMeasuredInItsSpread) {
  json component = map_component("a");
  component["per_location"] = true;
  const float mean[] = {1.0F, 1.5F};
  const float spread[] = {0.25F, 0.0F};  // the second is taken as 1e-3
  const LocationArrays locations[] = {{"a", {1, 1}, mean, spread}};
  Score score = make(single(component), locations);
  EXPECT_EQ(run(score, Data(), 0).score, 4.0F);
  EXPECT_EQ(run(score, Data(), 1).score, 500.0F);
}

TEST(Score, WhatIsNotFiniteAnywhereIsNoNumber) {
  json all = both("largest");
  all["components"] = {ssim_component(), ssim_local_component(), filtered("r", "residual"), msgms_component(),
                       map_component("a")};
  const std::vector<std::string> names = {"ssim", "ssim_local", "r", "msgms", "a"};
  for (const std::string& name : names) {
    all["decide"] = {name};
    all["combine"] = nullptr;
    Score score = make(all);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (const std::size_t at : {std::size_t{0}, std::size_t{100}, kPixels - 1}) {
        Data data;
        data.patch[at] = bad;
        EXPECT_FALSE(std::isfinite(run(score, data).score)) << name;
        data = Data();
        data.reconstruction[at] = bad;
        EXPECT_FALSE(std::isfinite(run(score, data).score)) << name;
      }
      Data data;
      data.b = {bad};
      EXPECT_FALSE(std::isfinite(run(score, data).score)) << name;
    }
  }
}

TEST(Score, ANumberThatOverflowsIsNotFinite) {
  json component = map_component("a");
  component["per_location"] = true;
  const float mean[] = {0.0F, 0.0F};
  const LocationArrays locations[] = {{"a", {1, 1}, mean, mean}};
  Score score = make(single(component), locations);
  Data data;
  data.a = {std::numeric_limits<float>::max()};
  EXPECT_FALSE(std::isfinite(run(score, data).score));
}

TEST(Score, CombinesWhatItReported) {
  for (const json& definition : {normalised("largest"), normalised("sum"), single(map_component("a"))}) {
    Score score = make(definition);
    const Outcome came = run(score, Data(), 1);
    EXPECT_EQ(score.combine(came.components, 1), came.score);
  }
}

TEST(Score, CombinesNothingThatDoesNotFit) {
  const Score score = make(normalised("largest"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(score.combine(std::vector<float>{1.0F}, 0)));
  EXPECT_TRUE(std::isnan(score.combine(std::vector<float>{1.0F, 2.0F}, 2)));
  EXPECT_TRUE(std::isnan(score.combine(std::vector<float>{1.0F, nan}, 0)));
  EXPECT_TRUE(std::isnan(score.combine(std::vector<float>{nan, 1.0F}, 0)));
}

TEST(Score, RunAllocatesNothing) {
  json definition = both("sum");
  json residual = filtered("r", "residual");
  residual["pooling"] = {{"top", 0.1}};
  residual["smoothing"] = 1.5;
  definition["components"] = {ssim_component(), ssim_local_component(), residual, msgms_component(),
                              map_component("a")};
  definition["decide"] = {"ssim", "ssim_local", "r", "msgms", "a"};
  Score score = make(definition);
  const Data data;
  const std::span<const float> outputs[] = {data.reconstruction, data.a, data.b};
  const PatchData patch{data.patch, outputs};
  float components[5];
  float number = 0.0F;
  std::vector<float> map(kPixels);
  test::start_counting_allocations();
  const bool done = score.run(patch, 0, number, components).ok() && score.map(patch, 0, map).ok();
  EXPECT_EQ(test::stop_counting_allocations(), 0);
  EXPECT_TRUE(done);
}

TEST(Score, MovesWithItsBuffers) {
  Score first = make(both("sum"));
  Score second = std::move(first);
  EXPECT_EQ(run(second, Data()).score, 6.0F);
}

struct Malformed {
  const char* name;
  json definition;
  const char* message;
};

void PrintTo(const Malformed& malformed, std::ostream* stream) { *stream << malformed.name; }

// `definition` with `value` at `pointer`, or without it.
json changed(json definition, const char* pointer, json value) {
  definition[json::json_pointer(pointer)] = std::move(value);
  return definition;
}
json without(json definition, const char* parent, const char* key) {
  definition[json::json_pointer(parent)].erase(key);
  return definition;
}

class MalformedScore : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedScore, IsRefusedByName) {
  const Result<Score> score = Score::create(GetParam().definition.dump(), inputs(), {});
  ASSERT_FALSE(score.ok());
  EXPECT_EQ(score.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(score.status().message(), HasSubstr(GetParam().message));
}

std::vector<Malformed> malformed() {
  const json ssim = single(ssim_component());
  const json residual = single(filtered("r", "residual"));
  const json msgms = single(msgms_component());
  const json map = single(map_component("a"));
  const json twice = normalised("sum");
  return {
      {"no_object", json::array(), "expected an object"},
      {"unknown_key", changed(map, "/other", 1), "score: other: unknown key"},
      {"no_components", without(map, "", "components"), "components: missing"},
      {"empty_components", changed(map, "/components", json::array()), "1 to 64 components"},
      {"component_no_object", changed(map, "/components/0", 3), "components[0] expected an object"},
      {"unknown_kind", changed(map, "/components/0/component", "vae"),
       "one of ssim, ssim_local, residual, msgms, map, got \"vae\""},
      {"kind_missing", without(map, "/components/0", "component"), "component: missing"},
      {"name_missing", without(map, "/components/0", "name"), "name: missing"},
      {"name_of_other_letters", changed(map, "/components/0/name", "A/b"), "1 to 64 of a-z, 0-9 and _"},
      {"name_empty", changed(map, "/components/0/name", ""), "1 to 64 of a-z"},
      {"name_twice", changed(twice, "/components/1/name", "a"), "a name of its own"},
      {"component_with_unknown_key", changed(map, "/components/0/other", 1), "components[0].other: unknown key"},
      {"output_unknown", changed(map, "/components/0/output", "c"), "role map (the network has: a, b), got \"c\""},
      {"output_reconstruction", changed(map, "/components/0/output", "x"), "role map"},
      {"output_missing", without(map, "/components/0", "output"), "output: missing"},
      {"smoothing_negative", changed(map, "/components/0/smoothing", -1.0), "from 0 to 64"},
      {"smoothing_huge", changed(map, "/components/0/smoothing", 65), "from 0 to 64"},
      {"smoothing_text", changed(map, "/components/0/smoothing", "1"), "smoothing: expected a number"},
      {"pooling_unknown", changed(map, "/components/0/pooling", "mean"), "\"max\" or {\"top\": share}"},
      {"pooling_null", changed(map, "/components/0/pooling", nullptr), "\"max\" or {\"top\": share}"},
      {"pooling_unknown_key", changed(map, "/components/0/pooling", {{"top", 0.1}, {"low", 1}}), "low: unknown key"},
      {"top_zero", changed(map, "/components/0/pooling", {{"top", 0.0}}), "above 0, at most 1"},
      {"top_above_one", changed(map, "/components/0/pooling", {{"top", 1.5}}), "above 0, at most 1"},
      {"per_location_text", changed(map, "/components/0/per_location", "yes"), "true or false"},
      {"per_location_without_arrays", changed(map, "/components/0/per_location", true), "arrays of mean and spread"},
      {"ssim_sigma", changed(ssim, "/components/0/sigma", 1.6), "sigma: expected 1.5"},
      {"ssim_window", changed(ssim, "/components/0/window", "box"), "window: expected \"gaussian\""},
      {"ssim_window_size", changed(ssim, "/components/0/window_size", 7), "window_size: expected 11"},
      {"ssim_padding", changed(ssim, "/components/0/padding", "same"), "padding: expected \"valid\""},
      {"ssim_covariance", changed(ssim, "/components/0/covariance", "sample"), "covariance: expected \"population\""},
      {"ssim_k1", changed(ssim, "/components/0/k1", 0.02), "k1: expected 0.01"},
      {"ssim_k2", changed(ssim, "/components/0/k2", 0.02), "k2: expected 0.03"},
      {"ssim_dynamic_range", changed(ssim, "/components/0/dynamic_range", 255), "dynamic_range: expected 1.0"},
      {"ssim_reduction", changed(ssim, "/components/0/reduction", "max"), "reduction: expected \"mean\""},
      {"msgms_c", changed(msgms, "/components/0/c", 0.003), "c: expected 0.0026"},
      {"msgms_scales", changed(msgms, "/components/0/scales", 3), "scales: expected 4"},
      {"msgms_window", changed(msgms, "/components/0/window_size", 11), "window_size: expected 21"},
      {"decide_empty", changed(map, "/decide", json::array()), "at least one component's name"},
      {"decide_unknown", changed(residual, "/decide/0", "s"), "names of components, got \"s\""},
      {"decide_twice", changed(twice, "/decide/1", "a"), "each name once"},
      {"decide_number", changed(map, "/decide/0", 1), "decide: expected an array of strings"},
      {"combine_of_one", changed(map, "/combine", "sum"), "null, as one component decides"},
      {"combine_null_of_two", changed(twice, "/combine", nullptr), "\"largest\" or \"sum\""},
      {"combine_unknown", changed(twice, "/combine", "mean"), "\"largest\" or \"sum\""},
      {"combine_missing", without(map, "", "combine"), "combine: missing"},
      {"normalisation_of_one", changed(map, "/normalisation", json::array()), "null, as one component decides"},
      {"normalisation_missing", without(map, "", "normalisation"), "normalisation: missing"},
      {"normalisation_too_short", changed(twice, "/normalisation", json::array()), "one object per component"},
      {"normalisation_of_another", changed(twice, "/normalisation/0/component", "b"),
       "normalisation[0].component: expected \"a\""},
      {"offset_of_other_regions", changed(twice, "/normalisation/0/offset", {1.0}), "offset: expected an array of 2"},
      {"scale_zero", changed(twice, "/normalisation/1/scale/1", 0.0), "scale: expected numbers above 0"},
      {"map_scale_negative", changed(twice, "/normalisation/1/map_scale/0", -1.0),
       "map_scale: expected numbers above 0"},
      {"normalisation_unknown_key", changed(twice, "/normalisation/0/other", 1), "normalisation[0].other: unknown key"},
  };
}

INSTANTIATE_TEST_SUITE_P(Table, MalformedScore, testing::ValuesIn(malformed()),
                         [](const auto& test) { return test.param.name; });

TEST(Score, ARepeatedKeyIsRefused) {
  const Result<Score> score = Score::create(R"({"decide": ["a"], "decide": ["b"]})", inputs(), {});
  ASSERT_FALSE(score.ok());
  EXPECT_THAT(score.status().message(), HasSubstr("\"decide\" appears twice"));
}

TEST(Score, ANetworkWithoutAReconstructionHasNoResidual) {
  ScoreInputs maps = inputs();
  maps.outputs.erase(maps.outputs.begin());
  for (const json& component :
       {ssim_component(), ssim_local_component(), filtered("r", "residual"), msgms_component()}) {
    const Result<Score> score = Score::create(single(component).dump(), maps, {});
    ASSERT_FALSE(score.ok());
    EXPECT_THAT(score.status().message(), HasSubstr("an output of role reconstruction"));
  }
}

ScoreInputs of_size(int patch) { return {{{"x", OutputRole::kReconstruction, patch, patch}}, patch, 1}; }

TEST(Score, FourScalesNeedAMultipleOfEight) {
  EXPECT_TRUE(Score::create(single(msgms_component()).dump(), of_size(8), {}).ok());
  const Result<Score> score = Score::create(single(msgms_component()).dump(), of_size(20), {});
  ASSERT_FALSE(score.ok());
  EXPECT_THAT(score.status().message(), HasSubstr("a patch size divisible by 8, which four scales need, got 20"));
}

TEST(Score, APatchHoldsTheWindowOfSsim) {
  for (const json& component : {ssim_component(), ssim_local_component()}) {
    EXPECT_TRUE(Score::create(single(component).dump(), of_size(11), {}).ok());
    const Result<Score> score = Score::create(single(component).dump(), of_size(10), {});
    ASSERT_FALSE(score.ok());
    EXPECT_THAT(score.status().message(), HasSubstr("at least 11x11 pixels, got 10"));
  }
}

struct BadInputs {
  const char* name;
  ScoreInputs inputs;
  const char* message;
};

void PrintTo(const BadInputs& bad, std::ostream* stream) { *stream << bad.name; }

class BadScoreInputs : public testing::TestWithParam<BadInputs> {};

TEST_P(BadScoreInputs, AreRefused) {
  const Result<Score> score = Score::create(single(map_component("a")).dump(), GetParam().inputs, {});
  ASSERT_FALSE(score.ok());
  EXPECT_EQ(score.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(score.status().message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadScoreInputs,
    testing::Values(BadInputs{"patch", {{{"a", OutputRole::kMap, 1, 1}}, 0, 1}, "patch size from 1"},
                    BadInputs{"regions", {{{"a", OutputRole::kMap, 1, 1}}, 8, 0}, "at least one region"},
                    BadInputs{"map_size", {{{"a", OutputRole::kMap, 0, 1}}, 8, 1}, "edges from 1 to 16384, got 0x1"},
                    BadInputs{"reconstruction_size",
                              {{{"x", OutputRole::kReconstruction, 8, 9}}, 8, 1},
                              "of the patch's size 8, got 8x9"},
                    BadInputs{"names", {{{"a", OutputRole::kMap, 1, 1}, {"a", OutputRole::kMap, 1, 1}}, 8, 1}, "\"a\""},
                    BadInputs{
                        "reconstructions",
                        {{{"x", OutputRole::kReconstruction, 8, 8}, {"y", OutputRole::kReconstruction, 8, 8}}, 8, 1},
                        "at most one reconstruction"}),
    [](const auto& test) { return test.param.name; });

std::string refusal_of(const std::vector<LocationArrays>& locations) {
  json component = map_component("a");
  component["per_location"] = true;
  const Result<Score> score = Score::create(single(component).dump(), inputs(), locations);
  return score.ok() ? "" : score.status().message();
}

TEST(ScoreLocations, MustFit) {
  const std::vector<float> two = {1.0F, 1.0F};
  const std::vector<float> three = {1.0F, 1.0F, 1.0F};
  EXPECT_EQ(refusal_of({{"a", {1, 1}, two, two}}), "");
  EXPECT_THAT(refusal_of({{"a", {1, 1}, two, three}}), HasSubstr("mean and spread of 2 values each, got 2 and 3"));
  EXPECT_THAT(refusal_of({{"a", {1, 2}, two, two}}), HasSubstr("a map of 1x1, got 1x2"));
  EXPECT_THAT(refusal_of({{"a", {1, 1}, two, two}, {"a", {1, 1}, two, two}}), HasSubstr("two location arrays"));
  EXPECT_THAT(refusal_of({{"a", {1, 1}, two, two}, {"c", {1, 1}, two, two}}),
              HasSubstr("\"c\", which is no component"));
}

TEST(ScoreLocations, MustBeNumbers) {
  const std::vector<float> good = {1.0F, 1.0F};
  const std::vector<float> nan = {1.0F, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> negative = {1.0F, -1.0F};
  EXPECT_THAT(refusal_of({{"a", {1, 1}, nan, good}}), HasSubstr("finite means"));
  EXPECT_THAT(refusal_of({{"a", {1, 1}, good, nan}}), HasSubstr("finite means"));
  EXPECT_THAT(refusal_of({{"a", {1, 1}, good, negative}}), HasSubstr("spreads of at least 0"));
  EXPECT_EQ(refusal_of({{"a", {1, 1}, negative, good}}), "");
}

TEST(ScoreLocations, AreForComponentsThatUseThem) {
  const std::vector<float> two = {1.0F, 1.0F};
  const LocationArrays locations[] = {{"a", {1, 1}, two, two}};
  const Result<Score> score = Score::create(single(map_component("a")).dump(), inputs(), locations);
  ASSERT_FALSE(score.ok());
  EXPECT_THAT(score.status().message(), HasSubstr("per_location: expected true"));
}

TEST(ScoreLocations, AreNotNeededByWhatDoesNotDecide) {
  json definition = both("sum");
  definition["components"][0]["per_location"] = true;
  definition["decide"] = {"b"};
  definition["combine"] = nullptr;
  EXPECT_TRUE(Score::create(definition.dump(), inputs(), {}).ok());
}

struct Call {
  const char* name;
  std::size_t region, patch, outputs, map, components, result;
  const char* message;
};

void PrintTo(const Call& call, std::ostream* stream) { *stream << call.name; }

class ScoreArguments : public testing::TestWithParam<Call> {};

TEST_P(ScoreArguments, AreRefusedAndChangeNothing) {
  const Call& call = GetParam();
  Score score = make(single(map_component("a")));
  const std::vector<float> patch(call.patch);
  const std::vector<float> map(call.map);
  const std::vector<float> other(1);
  const std::vector<float> reconstruction(kPixels);
  std::vector<std::span<const float>> outputs = {reconstruction, map, other};
  outputs.resize(call.outputs);
  std::vector<float> components(call.components);
  std::vector<float> result(call.result);
  float number = -7.0F;
  const Status run_status = score.run({patch, outputs}, call.region, number, components);
  const Status map_status = score.map({patch, outputs}, call.region, result);
  const Status& refused = run_status.ok() ? map_status : run_status;
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr(call.message));
  EXPECT_TRUE(run_status.ok() || number == -7.0F);
}

INSTANTIATE_TEST_SUITE_P(Table, ScoreArguments,
                         testing::Values(Call{"region", 2, kPixels, 3, 1, 1, 1, "a region below 2, got 2"},
                                         Call{"patch", 0, 255, 3, 1, 1, 1, "256 pixels, got 255"},
                                         Call{"outputs", 0, kPixels, 2, 1, 1, 1, "expected 3 outputs, got 2"},
                                         Call{"map", 0, kPixels, 3, 2, 1, 1, "output \"a\": expected 1 pixels, got 2"},
                                         Call{"components", 0, kPixels, 3, 1, 2, 1, "room for 1 components, got 2"},
                                         Call{"result", 0, kPixels, 3, 1, 1, 2, "room for a map of 1 pixels, got 2"}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace vialsight
