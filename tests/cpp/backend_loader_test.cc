#include "backend/backend_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "bundle_writer.h"
#include "temporary_folder.h"
#include "vialsight/inspector.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

Result<std::unique_ptr<Backend>> load(const std::filesystem::path& module, const std::string& model = "model") {
  BackendOptions options;
  options.model = model.data();
  options.model_size = model.size();
  options.patch_size = 2;
  return load_backend(module, options);
}

void expect_error(const Result<std::unique_ptr<Backend>>& backend, Code code, const char* text) {
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.status().code(), code);
  EXPECT_THAT(backend.status().message(), HasSubstr(text));
}

TEST(BackendLoaderTest, LoadsAModule) {
  const Result<std::unique_ptr<Backend>> backend = load(FAKE_BACKEND);
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  const float patch[4] = {0.0F, 0.25F, 0.5F, 1.0F};
  float reconstruction[4] = {};
  float* const outputs[] = {reconstruction};
  ASSERT_TRUE(backend.value()->run(patch, 1, outputs).ok());
  EXPECT_THAT(reconstruction, ::testing::ElementsAre(0.0F, 0.25F, 0.5F, 1.0F));
}

TEST(BackendLoaderTest, ReportsAMissingModule) {
  expect_error(load("/nonexistent/backend.so"), Code::kNotFound, "/nonexistent/backend.so: cannot be loaded");
}

TEST(BackendLoaderTest, SaysHowToBuildARuntimeThatIsNotThere) {
  expect_error(load("/nonexistent/vialsight_openvino.so"), Code::kNotFound, "built without OpenVINO, run: pip install");
}

TEST(BackendLoaderTest, TellsTheVersionOfWhatAModuleRunsOn) {
  EXPECT_EQ(runtime_version(FAKE_BACKEND).value(), "0");
  EXPECT_EQ(runtime_version(NO_BACKEND).status().code(), Code::kUnsupported);
  EXPECT_EQ(runtime_version("/nonexistent/backend.so").status().code(), Code::kNotFound);
}

TEST(BackendLoaderTest, ReportsAFileThatIsNoLibrary) {
  const TemporaryFolder folder;
  BundleWriter::write_file(folder.path() / "backend.so", "text");
  expect_error(load(folder.path() / "backend.so"), Code::kNotFound, "cannot be loaded");
}

TEST(BackendLoaderTest, RefusesALibraryThatIsNoBackend) {
  expect_error(load(NO_BACKEND), Code::kUnsupported, "found no symbol vialsight_backend_entry");
}

TEST(BackendLoaderTest, RefusesAnotherInterface) {
  expect_error(load(OTHER_ABI_BACKEND), Code::kUnsupported, "expected interface 3, got 4");
}

TEST(BackendLoaderTest, PassesOnTheModulesError) {
  expect_error(load(FAKE_BACKEND, "error"), Code::kUnsupported, "an error of the module");
}

TEST(BackendLoaderTest, RefusesAModuleThatCreatesNothing) {
  expect_error(load(FAKE_BACKEND, "nothing"), Code::kBackendFault, "created nothing");
}

// From a bundle to a verdict, on the real clock and through dlopen.
TEST(BackendLoaderTest, AnInspectorRunsOnALoadedModule) {
  const TemporaryFolder folder;
  BundleWriter writer;
  writer.write(folder.path() / "small.vsb");
  InspectorOptions options;
  options.backend_module = FAKE_BACKEND;
  options.require_fresh_frames = false;
  Inspector inspector = Inspector::create(Bundle::load(folder.path() / "small.vsb").value(), options).value();
  std::vector<unsigned char> pixels(40 * 30);
  std::iota(pixels.begin(), pixels.end(), static_cast<unsigned char>(0));
  const std::vector<FrameView> frames(2, FrameView{pixels.data(), 40, 30, 40, PixelFormat::kGray8});
  const StripVerdict verdict = inspector.inspect(1, frames, Clock::now() + std::chrono::minutes(1));
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_GT(verdict.times.total_s, 0.0);
}

}  // namespace
}  // namespace vialsight::test
