// A backend module as the library uses it: compiled once for each runtime, whose behaviour must be the same. The binary
// links no inference library: all of it comes with the module.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "backend/backend_loader.h"
#include "bundle_writer.h"
#include "graph_writer.h"
#include "temporary_folder.h"
#include "vialsight/inspector.h"

namespace vialsight::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kPatch = 12;
constexpr std::size_t kPixels = 144;

Message patches_placeholder() { return placeholder("patches", kFloat, {-1, kPatch, kPatch, 1}); }

// reconstructions = patches · 0.5 + 0.25
GraphWriter affine_graph() {
  GraphWriter graph;
  graph.add(patches_placeholder()).add(constant("half", {}, {0.5F})).add(constant("quarter", {}, {0.25F}));
  graph.add(binary("scaled", "Mul", "patches", "half")).add(binary("reconstruction", "AddV2", "scaled", "quarter"));
  return graph;
}

const std::vector<OutputSpec> kOutputs = {{"reconstruction", OutputRole::kReconstruction, kPatch, kPatch}};

Result<std::unique_ptr<Backend>> load(const std::string& model, const std::vector<OutputSpec>& outputs = kOutputs) {
  BackendOptions options;
  options.model = model.data();
  options.model_size = model.size();
  options.input_name = "patches";
  options.outputs = outputs;
  options.patch_size = kPatch;
  options.threads = 1;
  return load_backend(VIALSIGHT_BACKEND_MODULE, options);
}

Status run(Backend& backend, const std::vector<float>& patches, std::vector<float>& reconstructions) {
  float* const outputs[] = {reconstructions.data()};
  return backend.run(patches.data(), patches.size() / kPixels, outputs);
}

void expect_error(const std::string& model, Code code, const char* text) {
  const Result<std::unique_ptr<Backend>> backend = load(model);
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.status().code(), code);
  EXPECT_THAT(backend.status().message(), HasSubstr(text));
}

TEST(BackendModuleTest, RunsAGraphAtAnyBatchSize) {
  const Result<std::unique_ptr<Backend>> backend = load(affine_graph().bytes());
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  for (const std::size_t count : {4U, 1U, 7U, 3U, 2U, 5U, 4U}) {
    std::vector<float> patches(count * kPixels);
    for (std::size_t i = 0; i < patches.size(); ++i) patches[i] = static_cast<float>(i % 251) / 256.0F;
    std::vector<float> reconstructions(patches.size());
    ASSERT_TRUE(run(*backend.value(), patches, reconstructions).ok());
    for (std::size_t i = 0; i < patches.size(); ++i) ASSERT_EQ(reconstructions[i], patches[i] * 0.5F + 0.25F);
  }
}

// One 3×3 convolution, worked out by hand: all weights 1, SAME padding, on an image of ones.
TEST(BackendModuleTest, RunsAConvolution) {
  const Message strides = Message().message(1, Message().text(3, std::string("\1\1\1\1", 4)));
  GraphWriter graph;
  graph.add(patches_placeholder()).add(constant("kernel", {3, 3, 1, 1}, std::vector<float>(9, 1.0F)));
  graph.add(node("reconstruction", "Conv2D", {"patches", "kernel"},
                 {{"T", type_value(kFloat)}, {"strides", strides}, {"padding", Message().text(2, "SAME")}}));
  const Result<std::unique_ptr<Backend>> backend = load(graph.bytes());
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const std::vector<float> patches(kPixels, 1.0F);
  std::vector<float> reconstructions(kPixels);
  const Status status = run(*backend.value(), patches, reconstructions);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(reconstructions[0], 4.0F);
  EXPECT_EQ(reconstructions[1], 6.0F);
  EXPECT_EQ(reconstructions[13], 9.0F);
}

TEST(BackendModuleTest, TwoSessionsLiveSideBySide) {
  const Result<std::unique_ptr<Backend>> first = load(affine_graph().bytes());
  const Result<std::unique_ptr<Backend>> second = load(affine_graph().bytes());
  ASSERT_TRUE(first.ok() && second.ok());
  const std::vector<float> patch(kPixels, 1.0F);
  std::vector<float> result(kPixels);
  ASSERT_TRUE(run(*first.value(), patch, result).ok());
  ASSERT_TRUE(run(*second.value(), patch, result).ok());
  EXPECT_EQ(result[0], 0.75F);
}

TEST(BackendModuleTest, RefusesAnOperationOutsideTheList) {
  GraphWriter graph = affine_graph();
  graph.add(node("secret", "ReadFile", {"name"}, {}));
  expect_error(graph.bytes(), Code::kUnsupported, "node \"secret\" uses operation \"ReadFile\"");
}

TEST(BackendModuleTest, RefusesAnOperationHiddenInTheFunctionLibrary) {
  GraphWriter graph = affine_graph();
  graph.add_function("helper", node("hidden", "WriteFile", {"name", "contents"}, {}));
  expect_error(graph.bytes(), Code::kUnsupported,
               "node \"hidden\" of function \"helper\" uses operation \"WriteFile\"");
}

TEST(BackendModuleTest, RefusesACallOfAFunction) {
  GraphWriter graph = affine_graph();
  graph.add_function("helper", node("inner", "Identity", {"x"}, {}));
  graph.add(node("call", "helper", {"patches"}, {}));
  expect_error(graph.bytes(), Code::kUnsupported, "node \"call\" uses operation \"helper\"");
}

// The list is looked at before the runtime is: this graph could not even be made into a session.
TEST(BackendModuleTest, ChecksOperationsBeforeASessionExists) {
  GraphWriter graph;
  graph.add(node("broken", "NoSuchOperation", {"nowhere"}, {}));
  expect_error(graph.bytes(), Code::kUnsupported, "NoSuchOperation");
}

TEST(BackendModuleTest, RefusesBytesThatAreNoGraph) {
  expect_error("\xff\xff\xff", Code::kDataCorrupt, "not a serialised TensorFlow GraphDef");
}

TEST(BackendModuleTest, RefusesAnEmptyModel) { expect_error("", Code::kDataCorrupt, "not a serialised"); }

TEST(BackendModuleTest, RefusesAMissingInput) {
  GraphWriter graph;
  graph.add(constant("reconstruction", {}, {1.0F}));
  expect_error(graph.bytes(), Code::kDataCorrupt, "input node \"patches\" is missing");
}

TEST(BackendModuleTest, RefusesAMissingOutput) {
  GraphWriter graph;
  graph.add(patches_placeholder()).add(binary("twice", "AddV2", "patches", "patches"));
  expect_error(graph.bytes(), Code::kDataCorrupt, "output node \"reconstruction\" is missing");
}

TEST(BackendModuleTest, RefusesAnInputOfAnotherType) {
  GraphWriter graph;
  graph.add(placeholder("patches", kDouble, {-1, kPatch, kPatch, 1}));
  expect_error(graph.bytes(), Code::kDataCorrupt, "expected a float32 placeholder of shape [?,12,12,1]");
}

TEST(BackendModuleTest, RefusesAnInputOfAnotherShape) {
  const std::vector<std::vector<std::int64_t>> shapes = {
      {-1, 16, 16, 1}, {-1, kPatch, kPatch, 3}, {4, kPatch, kPatch, 1}, {-1, kPatch, kPatch}, {}};
  for (const std::vector<std::int64_t>& sizes : shapes) {
    GraphWriter graph;
    graph.add(placeholder("patches", kFloat, sizes));
    expect_error(graph.bytes(), Code::kDataCorrupt, "expected a float32 placeholder of shape [?,12,12,1]");
  }
}

TEST(BackendModuleTest, RefusesAnInputThatIsNoPlaceholder) {
  GraphWriter graph;
  graph.add(constant("patches", {1, kPatch, kPatch, 1}, std::vector<float>(kPixels)));
  expect_error(graph.bytes(), Code::kDataCorrupt, "expected a float32 placeholder");
}

TEST(BackendModuleTest, RefusesAGraphThatTheRuntimeRefuses) {
  GraphWriter graph;
  graph.add(patches_placeholder()).add(binary("reconstruction", "AddV2", "patches", "nowhere"));
  expect_error(graph.bytes(), Code::kBackendFault, RUNTIME_LABEL ": the graph is refused");
}

// Means of blocks of the patches, 2×3 of them.
Message block_means(const std::string& name) {
  const Message sizes = Message().message(1, Message().text(3, std::string("\1\6\4\1", 4)));
  return node(
      name, "AvgPool", {"patches"},
      {{"T", type_value(kFloat)}, {"ksize", sizes}, {"strides", sizes}, {"padding", Message().text(2, "VALID")}});
}

TEST(BackendModuleTest, ReportsAnOutputOfAnotherShape) {
  GraphWriter graph;
  graph.add(patches_placeholder()).add(block_means("reconstruction"));
  const Result<std::unique_ptr<Backend>> backend = load(graph.bytes());
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const std::vector<float> patch(kPixels, 1.0F);
  std::vector<float> result(kPixels, 7.0F);
  const Status status = run(*backend.value(), patch, result);
  EXPECT_EQ(status.code(), Code::kBackendFault);
  EXPECT_THAT(status.message(), HasSubstr("output \"reconstruction\": expected float32 of shape [1,12,12,1], got"));
  EXPECT_EQ(result[0], 7.0F);
}

// A reconstruction and a map of 2×3.
GraphWriter graph_of_two() {
  GraphWriter graph = affine_graph();
  graph.add(block_means("map"));
  return graph;
}

// Each block of a patch has a value of its own.
std::vector<float> blocks() {
  std::vector<float> patch(kPixels);
  for (std::size_t y = 0; y < 12; ++y) {
    for (std::size_t x = 0; x < 12; ++x) patch[y * 12 + x] = static_cast<float>(y / 6 * 3 + x / 4) / 8.0F;
  }
  return patch;
}

TEST(BackendModuleTest, FetchesEveryOutput) {
  const auto backend = load(graph_of_two().bytes(), {{"map", OutputRole::kMap, 2, 3}, kOutputs[0]});
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const std::vector<float> patch = blocks();
  std::vector<float> reconstruction(kPixels);
  std::vector<float> map(6);
  float* const outputs[] = {map.data(), reconstruction.data()};
  ASSERT_TRUE(backend.value()->run(patch.data(), 1, outputs).ok());
  for (std::size_t i = 0; i < kPixels; ++i) ASSERT_EQ(reconstruction[i], patch[i] * 0.5F + 0.25F);
  EXPECT_THAT(map, ElementsAre(0.0F, 0.125F, 0.25F, 0.375F, 0.5F, 0.625F));
}

TEST(BackendModuleTest, NamesTheOutputOfAnotherShape) {
  const auto backend = load(graph_of_two().bytes(), {kOutputs[0], {"map", OutputRole::kMap, 3, 2}});
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const std::vector<float> patch(kPixels, 1.0F);
  std::vector<float> reconstruction(kPixels);
  std::vector<float> map(6, 7.0F);
  float* const outputs[] = {reconstruction.data(), map.data()};
  const Status status = backend.value()->run(patch.data(), 1, outputs);
  EXPECT_EQ(status.code(), Code::kBackendFault);
  EXPECT_THAT(status.message(), HasSubstr("output \"map\": expected float32 of shape [1,3,2,1], got"));
  EXPECT_THAT(map, ::testing::Each(7.0F));
}

TEST(BackendModuleTest, NamesTheOutputThatIsMissing) {
  const auto backend = load(affine_graph().bytes(), {kOutputs[0], {"map", OutputRole::kMap, 2, 3}});
  EXPECT_EQ(backend.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(backend.status().message(), HasSubstr("output node \"map\" is missing"));
}

TEST(BackendModuleTest, RefusesABatchOfNothing) {
  const Result<std::unique_ptr<Backend>> backend = load(affine_graph().bytes());
  ASSERT_TRUE(backend.ok());
  EXPECT_EQ(backend.value()->run(nullptr, 0, nullptr).code(), Code::kInvalidArgument);
}

// RTLD_LOCAL: a host that has its own protobuf or abseil must not find the runtime's.
TEST(BackendModuleTest, LeavesNoSymbolsInTheProcess) {
  ASSERT_TRUE(load(affine_graph().bytes()).ok());
  EXPECT_EQ(::dlsym(RTLD_DEFAULT, "TF_Version"), nullptr);
  EXPECT_EQ(::dlsym(RTLD_DEFAULT, "vialsight_backend_entry"), nullptr);
}

// From a bundle to a verdict, through the runtime. The golden patches are constant images x with reconstruction x/2 +
// 1/4: variances are zero, so SSIM is its luminance term (2xy + C1) / (x² + y² + C1), C1 = 1e-4.
class ModuleInspectorTest : public ::testing::Test {
 protected:
  static float score_of(float x) {
    const double y = 0.5 * static_cast<double>(x) + 0.25;
    const double square = static_cast<double>(x) * static_cast<double>(x);
    return static_cast<float>(1.0 - (2.0 * static_cast<double>(x) * y + 1e-4) / (square + y * y + 1e-4));
  }

  // A frame of one gray value, but for what makes it an image: the corner of every patch, one level brighter, which has
  // a millionth of a window's weight; and for a pixel that no patch has, which makes it another image.
  static std::vector<unsigned char> nearly_flat(unsigned char value, unsigned char number) {
    std::vector<unsigned char> pixels(40 * 30, value);
    for (const std::vector<Box>& vial : small_layout().boxes) {
      for (const Box& box : vial) ++pixels[static_cast<std::size_t>(box.y * 40 + box.x)];
    }
    pixels.back() = number;
    return pixels;
  }

  Result<Inspector> create() {
    std::vector<float> inputs;
    std::vector<float> reconstructions;
    std::vector<float> scores;
    for (int patch = 0; patch < 16; ++patch) {
      const float x = static_cast<float>(patch) / 16.0F;
      inputs.insert(inputs.end(), kPixels, x);
      reconstructions.insert(reconstructions.end(), kPixels, 0.5F * x + 0.25F);
      scores.push_back(score_of(x));
    }
    writer_.files["model.pb"] = affine_graph().bytes();
    writer_.files["golden/inputs.npy"] = npy({2, 8, kPatch, kPatch}, inputs);
    writer_.files["golden/output_reconstruction.npy"] = npy({2, 8, kPatch, kPatch}, reconstructions);
    writer_.set_golden_scores(scores);
    writer_.write(folder_.path() / "small.vsb");
    InspectorOptions options;
    options.backend_module = VIALSIGHT_BACKEND_MODULE;
    return Inspector::create(Bundle::load(folder_.path() / "small.vsb").value(), options);
  }

 private:
  TemporaryFolder folder_;
  BundleWriter writer_;
};

TEST_F(ModuleInspectorTest, AcceptsGrayAndRejectsBlack) {
  Result<Inspector> inspector = create();
  ASSERT_TRUE(inspector.ok()) << inspector.status().message();
  const std::vector<std::vector<unsigned char>> pixels = {nearly_flat(128, 0), nearly_flat(128, 1), nearly_flat(128, 2),
                                                          nearly_flat(0, 3)};
  std::vector<FrameView> frames;
  for (const auto& frame : pixels) frames.push_back({frame.data(), 40, 30, 40, PixelFormat::kGray8});
  const std::span<const FrameView> good = std::span(frames).first(2);
  const std::span<const FrameView> bad = std::span(frames).last(2);
  const StripVerdict accepted = inspector.value().inspect(1, good, Clock::time_point::max());
  EXPECT_EQ(accepted.verdict, Verdict::kAccept);
  EXPECT_NEAR(accepted.scores[0], score_of(128.0F / 255.0F), 1e-6F);
  const StripVerdict rejected = inspector.value().inspect(2, bad, Clock::time_point::max());
  EXPECT_EQ(rejected.reason, Reason::kDefect);
  EXPECT_NEAR(rejected.scores[7], score_of(0.0F), 1e-6F);
  EXPECT_THAT(rejected.vials, ElementsAre(Verdict::kReject, Verdict::kReject));
}

}  // namespace
}  // namespace vialsight::test
