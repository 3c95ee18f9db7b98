// The C API of a bundle; names, errors and handles.
#include <array>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "c_api/c_api_handles.h"
#include "c_api_fixture.h"
#include "vialsight/c_api.h"

namespace vialsight::test {
namespace {

TEST(CApi, NamesAreThoseOfCxx) {
  EXPECT_STREQ(vialsight_status_name(VIALSIGHT_PERMISSION_DENIED), "permission_denied");
  EXPECT_STREQ(vialsight_verdict_name(VIALSIGHT_ACCEPT), "accept");
  EXPECT_STREQ(vialsight_reason_name(VIALSIGHT_REASON_FRAME_STALE), "frame_stale");
  EXPECT_STREQ(vialsight_level_name(VIALSIGHT_LEVEL_RUN), "run");
}

TEST(CApi, NumbersThatNobodyKnowsHaveAName) {
  // 256 and 257 would be 0 and 1 in a byte.
  for (const std::int32_t number : {-1, 10, 200, 256, 257, std::numeric_limits<std::int32_t>::max()}) {
    EXPECT_STREQ(vialsight_status_name(number), "unknown");
    EXPECT_STREQ(vialsight_verdict_name(number), "unknown");
    EXPECT_STREQ(vialsight_reason_name(number), "unknown");
    EXPECT_STREQ(vialsight_level_name(number), "unknown");
  }
}

TEST(CApi, TellsVersionAndTime) {
  EXPECT_THAT(std::string(vialsight_version()), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  const std::int64_t first = vialsight_now_ns();
  EXPECT_GE(vialsight_now_ns(), first);
}

TEST(CApi, ErrorsBelongToTheirThread) {
  EXPECT_EQ(vialsight_bundle_load("no/such.vsb", nullptr), VIALSIGHT_INVALID_ARGUMENT);
  std::thread([] { EXPECT_STREQ(vialsight_last_error(), ""); }).join();
  EXPECT_STREQ(vialsight_last_error(), "vialsight_bundle_load: bundle: expected a pointer, got NULL");
}

TEST(CApi, ALongErrorIsCutOff) {
  vialsight_bundle* bundle = nullptr;
  const std::string folder = "/" + std::string(3000, 'x');
  EXPECT_NE(vialsight_bundle_load(folder.c_str(), &bundle), VIALSIGHT_OK);
  EXPECT_EQ(std::string(vialsight_last_error()).size(), 1023U);
}

TEST(CApi, ABundleThatIsNotThereLeavesNoHandle) {
  int something = 0;
  auto* bundle = reinterpret_cast<vialsight_bundle*>(&something);
  EXPECT_REFUSED(vialsight_bundle_load("no/such.vsb", &bundle), VIALSIGHT_NOT_FOUND, "no/such.vsb");
  EXPECT_EQ(bundle, nullptr);
  EXPECT_REFUSED(vialsight_bundle_load(nullptr, &bundle), VIALSIGHT_INVALID_ARGUMENT, "folder");
}

TEST(CApi, DestroyingNullDoesNothing) {
  EXPECT_EQ(vialsight_bundle_destroy(nullptr), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_inspector_destroy(nullptr), VIALSIGHT_OK);
  EXPECT_EQ(vialsight_handshake_destroy(nullptr), VIALSIGHT_OK);
}

TEST(Handles, AreRefusedWhenNoMoreFit) {
  std::vector<void*> handles;
  int object = 0;
  while (void* handle = add_handle(&object, HandleKind::kBundle)) handles.push_back(handle);
  EXPECT_EQ(handles.size(), kMaxHandles);
  for (const void* handle : handles) EXPECT_EQ(remove_handle(handle, HandleKind::kBundle), &object);
  EXPECT_EQ(find_handle(handles[0], HandleKind::kBundle), nullptr);
}

TEST(Handles, OfADestroyedObjectNeverComeBack) {
  int object = 0;
  void* first = add_handle(&object, HandleKind::kBundle);
  ASSERT_EQ(remove_handle(first, HandleKind::kBundle), &object);
  void* second = add_handle(&object, HandleKind::kBundle);
  EXPECT_NE(first, second);
  EXPECT_EQ(find_handle(first, HandleKind::kBundle), nullptr);
  EXPECT_EQ(remove_handle(first, HandleKind::kBundle), nullptr);
  EXPECT_EQ(remove_handle(second, HandleKind::kBundle), &object);
}

TEST_F(CApiTest, ABundleDescribesItself) {
  std::array<char, 65> text = {};
  EXPECT_EQ(vialsight_bundle_name(bundle, text.data(), text.size()), VIALSIGHT_OK);
  EXPECT_STREQ(text.data(), "small");
  EXPECT_EQ(vialsight_bundle_sha256(bundle, text.data(), text.size()), VIALSIGHT_OK);
  EXPECT_EQ(std::string(text.data()).size(), 64U);
  EXPECT_EQ(vialsight_bundle_region_name(bundle, 1, text.data(), text.size()), VIALSIGHT_OK);
  EXPECT_STREQ(text.data(), "bottom");
  std::array<std::int32_t, 4> box = {};
  EXPECT_EQ(vialsight_bundle_box(bundle, 1, 0, box.data()), VIALSIGHT_OK);
  EXPECT_THAT(box, ::testing::ElementsAre(20, 0, 12, 12));
  std::array<double, 2> thresholds = {};
  EXPECT_EQ(vialsight_bundle_thresholds(bundle, VIALSIGHT_LEVEL_STRIP, thresholds.data(), 2), VIALSIGHT_OK);
  EXPECT_THAT(thresholds, ::testing::ElementsAre(0.25, 0.25));
}

TEST_F(CApiTest, ABundleTellsItsLayout) {
  auto layout = sized<vialsight_layout>();
  ASSERT_EQ(vialsight_bundle_layout(bundle, &layout), VIALSIGHT_OK);
  EXPECT_EQ(layout.frame_width, 40);
  EXPECT_EQ(layout.frame_height, 30);
  EXPECT_EQ(layout.bit_depth, 8);
  EXPECT_EQ(layout.frames, 2);
  EXPECT_EQ(layout.vials, 2);
  EXPECT_EQ(layout.regions, 2);
  EXPECT_EQ(layout.patch_size, 12);
}

TEST_F(CApiTest, ABundleRefusesWhatItDoesNotHave) {
  std::array<char, 6> text = {};
  std::array<std::int32_t, 4> box = {};
  std::array<double, 2> thresholds = {};
  EXPECT_REFUSED(vialsight_bundle_name(bundle, text.data(), 5), VIALSIGHT_INVALID_ARGUMENT, "at least 6, got 5");
  EXPECT_EQ(vialsight_bundle_name(bundle, text.data(), 6), VIALSIGHT_OK);
  EXPECT_REFUSED(vialsight_bundle_name(bundle, nullptr, 6), VIALSIGHT_INVALID_ARGUMENT, "text");
  EXPECT_REFUSED(vialsight_bundle_region_name(bundle, 2, text.data(), 6), VIALSIGHT_INVALID_ARGUMENT, "0 to 1, got 2");
  EXPECT_REFUSED(vialsight_bundle_region_name(bundle, -1, text.data(), 6), VIALSIGHT_INVALID_ARGUMENT, "got -1");
  EXPECT_REFUSED(vialsight_bundle_box(bundle, 2, 0, box.data()), VIALSIGHT_INVALID_ARGUMENT, "vial");
  EXPECT_REFUSED(vialsight_bundle_box(bundle, 0, 2, box.data()), VIALSIGHT_INVALID_ARGUMENT, "region");
  EXPECT_REFUSED(vialsight_bundle_box(bundle, 0, 0, nullptr), VIALSIGHT_INVALID_ARGUMENT, "box");
  EXPECT_REFUSED(vialsight_bundle_thresholds(bundle, 3, thresholds.data(), 2), VIALSIGHT_INVALID_ARGUMENT, "level");
  EXPECT_REFUSED(vialsight_bundle_thresholds(bundle, 1, thresholds.data(), 3), VIALSIGHT_INVALID_ARGUMENT,
                 "room for 2 values, got 3");
  EXPECT_REFUSED(vialsight_bundle_thresholds(bundle, 1, nullptr, 2), VIALSIGHT_INVALID_ARGUMENT, "thresholds");
}

TEST(CApi, ABundleThatIsNotCalibratedHasNoThresholds) {
  const TemporaryFolder folder;
  BundleWriter writer;
  writer.remove_calibration();
  writer.write(folder.path() / "frozen.vsb");
  vialsight_bundle* bundle = nullptr;
  ASSERT_EQ(vialsight_bundle_load((folder.path() / "frozen.vsb").c_str(), &bundle), VIALSIGHT_OK);
  double threshold = 0.0;
  EXPECT_REFUSED(vialsight_bundle_thresholds(bundle, VIALSIGHT_LEVEL_RUN, &threshold, 1), VIALSIGHT_FAILED_PRECONDITION,
                 "no thresholds for level run; run: vialsight calibrate");
  vialsight_inspector* inspector = nullptr;
  EXPECT_EQ(vialsight_inspector_create(bundle, nullptr, &inspector), VIALSIGHT_FAILED_PRECONDITION);
  EXPECT_EQ(vialsight_bundle_destroy(bundle), VIALSIGHT_OK);
}

}  // namespace
}  // namespace vialsight::test
