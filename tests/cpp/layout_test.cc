#include "vialsight/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "imaging/layout_json.h"

namespace vialsight {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const char* const kText =
    R"({"format_version": 1, "name": "bfs-2", "frame": {"width": 640, "height": 480, "bit_depth": 12},
  "frames": 3, "patch_size": 64, "regions": ["flag", "bottom"],
  "vials": [[[0, 0, 64, 64], [0, 64, 80, 100]], [[320, 0, 64, 64], [560, 380, 80, 100]]]})";

Layout valid_layout() { return Layout::from_json(kText).value(); }

json valid_json() { return json::parse(kText); }

TEST(Layout, ReadsEveryField) {
  const Layout layout = valid_layout();
  EXPECT_EQ(layout.name, "bfs-2");
  EXPECT_EQ(layout.frame_width, 640);
  EXPECT_EQ(layout.frame_height, 480);
  EXPECT_EQ(layout.bit_depth, 12);
  EXPECT_EQ(layout.frames, 3);
  EXPECT_EQ(layout.patch_size, 64);
  EXPECT_EQ(layout.regions, (std::vector<std::string>{"flag", "bottom"}));
  ASSERT_EQ(layout.vial_count(), 2U);
  EXPECT_EQ(layout.boxes[1][1], (Box{560, 380, 80, 100}));
}

TEST(Layout, CountsPatches) {
  const Layout layout = valid_layout();
  EXPECT_EQ(layout.region_count(), 2U);
  EXPECT_EQ(layout.patches_per_frame(), 4U);
  EXPECT_EQ(layout.patches_per_strip(), 12U);
  EXPECT_EQ(layout.pixels_per_patch(), 4096U);
}

TEST(Layout, JsonIsTheSchemaAndReadsBackEqual) {
  const Layout layout = valid_layout();
  EXPECT_EQ(json::parse(layout.to_json()), valid_json());
  EXPECT_EQ(Layout::from_json(layout.to_json()).value(), layout);
}

TEST(Layout, JsonOfALayoutThatIsNoneDoesNotThrow) {
  Layout layout;
  layout.name = "\xFF";
  EXPECT_FALSE(Layout::from_json(layout.to_json()).ok());
}

struct Wrong {
  const char* what;  // of the valid layout
  void (*break_it)(Layout&);
  const char* message;
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.what; }

class LayoutValidate : public testing::TestWithParam<Wrong> {};

TEST_P(LayoutValidate, Refuses) {
  Layout layout = valid_layout();
  ASSERT_TRUE(layout.validate().ok());
  GetParam().break_it(layout);
  const Status status = layout.validate();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, LayoutValidate,
    testing::Values(
        Wrong{"empty name", [](Layout& l) { l.name = ""; }, "name: expected"},
        Wrong{"long name", [](Layout& l) { l.name = std::string(65, 'a'); }, "name: expected"},
        Wrong{"name with a slash", [](Layout& l) { l.name = "../a"; }, "name: expected"},
        Wrong{"name with a newline", [](Layout& l) { l.name = "a\n"; }, "name: expected"},
        Wrong{"name is not UTF-8", [](Layout& l) { l.name = "\xC3\x28"; }, "name: expected"},
        Wrong{"width zero", [](Layout& l) { l.frame_width = 0; }, "frame.width: expected 1 to 65535, got 0"},
        Wrong{"width huge", [](Layout& l) { l.frame_width = 65536; }, "frame.width"},
        Wrong{"height negative", [](Layout& l) { l.frame_height = -1; }, "frame.height"},
        Wrong{"bit depth 7", [](Layout& l) { l.bit_depth = 7; }, "bit_depth: expected 8 to 16, got 7"},
        Wrong{"bit depth 17", [](Layout& l) { l.bit_depth = 17; }, "bit_depth"},
        Wrong{"no frames", [](Layout& l) { l.frames = 0; }, "frames: expected 1"},
        Wrong{"patch below the window", [](Layout& l) { l.patch_size = 10; }, "patch_size: expected 11"},
        Wrong{"patch huge", [](Layout& l) { l.patch_size = 4097; }, "patch_size"},
        Wrong{"no regions", [](Layout& l) { l.regions.clear(); }, "regions: expected 1 to 64 names, got 0"},
        Wrong{"region twice", [](Layout& l) { l.regions[1] = "flag"; }, "\"flag\" appears twice"},
        Wrong{"region without a name", [](Layout& l) { l.regions[1] = ""; }, "regions: expected"},
        Wrong{"no vials", [](Layout& l) { l.boxes.clear(); }, "vials: expected 1 to 1024, got 0"},
        Wrong{"unknown way to locate", [](Layout& l) { l.locate = static_cast<LocatorKind>(3); }, "locate: expected"},
        Wrong{"box missing", [](Layout& l) { l.boxes[1].pop_back(); }, "vials[1]: expected one box for each of the 2"},
        Wrong{"box too many",
              [](Layout& l) {
                l.boxes[0].push_back({0, 0, 1, 1});
              },
              "vials[0]"},
        Wrong{"box of width zero", [](Layout& l) { l.boxes[1][0].width = 0; }, "vials[1][0]"},
        Wrong{"box of height zero", [](Layout& l) { l.boxes[1][0].height = 0; }, "vials[1][0]"},
        Wrong{"box left of the frame", [](Layout& l) { l.boxes[0][0].x = -1; }, "does not lie inside"},
        Wrong{"box above the frame", [](Layout& l) { l.boxes[0][0].y = -1; }, "does not lie inside"},
        Wrong{"box one pixel too far right", [](Layout& l) { l.boxes[1][1].x = 561; }, "x 561"},
        Wrong{"box one pixel too low", [](Layout& l) { l.boxes[1][1].y = 381; }, "y 381"},
        Wrong{"box whose end overflows", [](Layout& l) { l.boxes[0][0].x = 2147483647; }, "does not lie inside"},
        Wrong{"box as wide as an int", [](Layout& l) { l.boxes[0][0].width = 2147483647; }, "does not lie inside"}));

TEST(LayoutValidate, ABoxMayFillTheFrame) {
  Layout layout = valid_layout();
  layout.boxes[0][0] = {0, 0, 640, 480};
  EXPECT_TRUE(layout.validate().ok());
}

TEST(LayoutLocate, IsReadAndWrittenBack) {
  json object = valid_json();
  for (const char* name : {"translation", "rigid"}) {
    object["locate"] = name;
    const Result<Layout> layout = Layout::from_json(object.dump());
    ASSERT_TRUE(layout.ok()) << layout.status().message();
    EXPECT_STREQ(name_of(layout.value().locate), name);
    EXPECT_EQ(json::parse(layout.value().to_json()), object);
  }
}

TEST(LayoutLocate, IsNoneWhereTheKeyIsMissingAndIsThenNotWritten) {
  json object = valid_json();
  const std::string before = Layout::from_json(object.dump()).value().to_json();
  object["locate"] = "none";
  const Layout layout = Layout::from_json(object.dump()).value();
  EXPECT_EQ(layout.locate, LocatorKind::kNone);
  EXPECT_EQ(layout.to_json(), before);
}

struct BadJson {
  const char* what;
  void (*break_it)(json&);
  const char* message;
};

void PrintTo(const BadJson& bad, std::ostream* out) { *out << bad.what; }

class LayoutFromJson : public testing::TestWithParam<BadJson> {};

TEST_P(LayoutFromJson, Refuses) {
  json object = valid_json();
  GetParam().break_it(object);
  const Result<Layout> result = Layout::from_json(object.dump());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), Code::kDataCorrupt) << result.status().message();
  EXPECT_THAT(result.status().message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Schema, LayoutFromJson,
    testing::Values(
        BadJson{"not an object", [](json& j) { j = 3; }, "layout.json: expected an object"},
        BadJson{"unknown key", [](json& j) { j["colour"] = 1; }, "layout.json: colour: unknown key"},
        BadJson{"unknown key in frame", [](json& j) { j["frame"]["depth"] = 1; }, "frame.depth: unknown key"},
        BadJson{"version missing", [](json& j) { j.erase("format_version"); }, "format_version: missing"},
        BadJson{"version is text", [](json& j) { j["format_version"] = "1"; }, "format_version"},
        BadJson{"name missing", [](json& j) { j.erase("name"); }, "name: missing"},
        BadJson{"name is a number", [](json& j) { j["name"] = 5; }, "name: expected a string, got 5"},
        BadJson{"frame missing", [](json& j) { j.erase("frame"); }, "frame: missing"},
        BadJson{"frame is an array",
                [](json& j) {
                  j["frame"] = {1, 2};
                },
                "frame: expected an object"},
        BadJson{"width missing", [](json& j) { j["frame"].erase("width"); }, "frame.width: missing"},
        BadJson{"width is fractional", [](json& j) { j["frame"]["width"] = 640.0; },
                "frame.width: expected an integer"},
        BadJson{"height negative", [](json& j) { j["frame"]["height"] = -480; }, "frame.height"},
        BadJson{"bit depth missing", [](json& j) { j["frame"].erase("bit_depth"); }, "frame.bit_depth: missing"},
        BadJson{"bit depth 32", [](json& j) { j["frame"]["bit_depth"] = 32; }, "from 8 to 16, got 32"},
        BadJson{"frames missing", [](json& j) { j.erase("frames"); }, "frames: missing"},
        BadJson{"frames true", [](json& j) { j["frames"] = true; }, "frames: expected an integer"},
        BadJson{"patch size missing", [](json& j) { j.erase("patch_size"); }, "patch_size: missing"},
        BadJson{"patch size 10", [](json& j) { j["patch_size"] = 10; }, "patch_size"},
        BadJson{"regions missing", [](json& j) { j.erase("regions"); }, "regions: missing"},
        BadJson{"region is a number", [](json& j) { j["regions"][0] = 1; }, "regions: expected an array of strings"},
        BadJson{"region twice", [](json& j) { j["regions"][0] = "bottom"; },
                "layout.json: regions: \"bottom\" appears"},
        BadJson{"unknown way to locate", [](json& j) { j["locate"] = "affine"; },
                "locate: expected \"none\", \"translation\" or \"rigid\", got \"affine\""},
        BadJson{"way to locate is null", [](json& j) { j["locate"] = nullptr; }, "locate: expected a string"},
        BadJson{"vials missing", [](json& j) { j.erase("vials"); }, "vials: missing"},
        BadJson{"vials is an object", [](json& j) { j["vials"] = json::object(); }, "vials: expected an array"},
        BadJson{"vial is an object", [](json& j) { j["vials"][0] = json::object(); }, "vials: expected an array of"},
        BadJson{"box of three numbers",
                [](json& j) {
                  j["vials"][0][0] = {1, 2, 3};
                },
                "got [1,2,3]"},
        BadJson{"box of five numbers",
                [](json& j) {
                  j["vials"][0][0] = {1, 2, 3, 4, 5};
                },
                "got [1,2,3,4,5]"},
        BadJson{"box with a fraction", [](json& j) { j["vials"][0][0][2] = 1.5; }, "[x, y, width, height]"},
        BadJson{"box beyond an int", [](json& j) { j["vials"][0][0][2] = 4294967297; }, "[x, y, width, height]"},
        BadJson{"box is text", [](json& j) { j["vials"][0][0] = "0,0,1,1"; }, "[x, y, width, height]"},
        BadJson{"box outside the frame", [](json& j) { j["vials"][0][0][0] = 600; }, "layout.json: vials[0][0]: box"},
        BadJson{"box missing", [](json& j) { j["vials"][1].erase(1); }, "vials[1]: expected one box"}));

TEST(LayoutFromJson, DuplicateKey) {
  const Result<Layout> result = Layout::from_json(R"({"name":"a","name":"b"})");
  EXPECT_EQ(result.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(result.status().message(), HasSubstr("\"name\" appears twice"));
}

TEST(LayoutFromJson, NotJson) { EXPECT_EQ(Layout::from_json("name: a").status().code(), Code::kDataCorrupt); }

TEST(LayoutFromJson, NewerFormatIsUnsupportedWhateverItsKeys) {
  const Result<Layout> result = Layout::from_json(R"({"format_version": 2, "cameras": []})");
  EXPECT_EQ(result.status().code(), Code::kUnsupported);
  EXPECT_THAT(result.status().message(), HasSubstr("reads version 1, got 2"));
}

TEST(LayoutFromJson, InsideAnotherFileMessagesNameThePlace) {
  json object = valid_json();
  object["frames"] = 0;
  const Result<Layout> result = layout_from_json_value(object, "manifest.json: layout");
  EXPECT_THAT(result.status().message(), HasSubstr("manifest.json: layout.frames: expected an integer from 1"));
}

class LayoutLoad : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(LayoutLoad, ReadsAFile) {
  std::ofstream(folder_ / "layout.json") << kText;
  const Result<Layout> result = Layout::load(folder_ / "layout.json");
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result.value(), valid_layout());
}

TEST_F(LayoutLoad, MissingFile) {
  const Result<Layout> result = Layout::load(folder_ / "absent.json");
  EXPECT_EQ(result.status().code(), Code::kNotFound);
  EXPECT_THAT(result.status().message(), HasSubstr("absent.json"));
}

TEST_F(LayoutLoad, Folder) { EXPECT_EQ(Layout::load(folder_).status().code(), Code::kNotFound); }

TEST_F(LayoutLoad, FileOfTwoMegabytes) {
  std::ofstream(folder_ / "big.json") << std::string(2U << 20U, ' ');
  EXPECT_EQ(Layout::load(folder_ / "big.json").status().code(), Code::kDataCorrupt);
}

TEST_F(LayoutLoad, MessagesNameTheFolderAndSayWhatCame) {
  json object = valid_json();
  object["vials"][0][0] = {600, 70, 200, 199};
  std::ofstream(folder_ / "layout.json") << object;
  EXPECT_THAT(Layout::load(folder_ / "layout.json").status().message(),
              AllOf(StartsWith((folder_ / "layout.json").string() + ": vials[0][0]: box x 600, y 70, width 200"),
                    EndsWith("does not lie inside the frame of 640x480")));
}

TEST_F(LayoutLoad, BrokenFileIsNamed) {
  std::ofstream(folder_ / "line3.json") << "{";
  EXPECT_THAT(Layout::load(folder_ / "line3.json").status().message(), HasSubstr("line3.json: not valid JSON"));
}

}  // namespace
}  // namespace vialsight
