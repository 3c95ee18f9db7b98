#include "bundle_writer.h"

#include <cstring>
#include <fstream>
#include <span>
#include <stdexcept>
#include <utility>

#include "base/sha256.h"

namespace vialsight::test {
namespace {

std::string digest_of(const std::string& bytes) { return sha256_hex(std::as_bytes(std::span(bytes))); }

nlohmann::json fit_record() {
  return {{"nominal", 20},
          {"defective", 10},
          {"detection_rate", 0.9},
          {"false_reject_rate", 0.1},
          {"balanced_accuracy", 0.9},
          {"false_reject_bound", nullptr}};
}

nlohmann::json level_record(const std::string& origin) {
  nlohmann::json record = fit_record();
  record["origin"] = origin;
  record["optimality_gap"] = 0.0;
  return record;
}

nlohmann::json calibration(const Layout& layout) {
  nlohmann::json regions = nlohmann::json::array();
  for (const std::string& region : layout.regions) {
    nlohmann::json record = fit_record();
    record["region"] = region;
    regions.push_back(record);
  }
  return {{"objective", "balanced_accuracy"},
          {"created", "2026-11-22T02:30:00Z"},
          {"data_sha256", kDigestA},
          {"parent_sha256", kDigestA},
          {"levels",
           {{"patch", level_record("fitted")},
            {"strip", level_record("fitted")},
            {"run", level_record("copied_from_strip")}}},
          {"run_rule", {{"agree", 7}, {"runs", 10}}},
          {"regions", regions},
          {"products", {"p4", "p5"}}};
}

nlohmann::json ssim_component() {
  return {{"name", "ssim"}, {"component", "ssim"},  {"window", "gaussian"},       {"window_size", 11},
          {"sigma", 1.5},   {"padding", "valid"},   {"covariance", "population"}, {"k1", 0.01},
          {"k2", 0.03},     {"dynamic_range", 1.0}, {"reduction", "mean"}};
}

}  // namespace

Layout small_layout() {
  Layout layout;
  layout.name = "small";
  layout.frame_width = 40;
  layout.frame_height = 30;
  layout.frames = 2;
  layout.patch_size = 12;
  layout.regions = {"top", "bottom"};
  layout.boxes = {{{0, 0, 12, 12}, {0, 15, 12, 12}}, {{20, 0, 12, 12}, {20, 15, 12, 12}}};
  return layout;
}

std::string npy_of(const std::string& descr, const std::vector<std::size_t>& shape, const std::string& data) {
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (";
  for (const std::size_t size : shape) header += std::to_string(size) + ", ";
  header += "), }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += '\x01';
  bytes += '\0';
  bytes += static_cast<char>(header.size() % 256);
  bytes += static_cast<char>(header.size() / 256);
  return bytes + header + data;
}

std::string npy(const std::vector<std::size_t>& shape, const std::vector<float>& values) {
  std::string data(values.size() * sizeof(float), '\0');
  if (!values.empty()) std::memcpy(data.data(), values.data(), data.size());
  return npy_of("<f4", shape, data);
}

BundleWriter::BundleWriter(Layout bundle_layout) : layout(std::move(bundle_layout)) {
  const std::size_t regions = layout.region_count();
  const auto edge = static_cast<std::size_t>(layout.patch_size);
  std::vector<float> inputs(patches() * edge * edge);
  // A pattern that no two patches share and that stays below the markers of fake_backend.h.
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = static_cast<float>(i % 97) / 128.0F;
  const std::string golden = npy({regions, kGoldenPerRegion, edge, edge}, inputs);
  add_file("model", "model.pb", "any bytes: the backends of these tests do not read them");
  add_file("fingerprints", "fingerprints.npz", "any bytes: only Python reads them");
  add_file("golden_inputs", "golden/inputs.npy", golden);
  add_file("golden_output_reconstruction", "golden/output_reconstruction.npy", golden);
  roles["golden_scores"] = "golden/scores.npy";
  roles["golden_components"] = "golden/components.npy";
  set_golden_scores(std::vector<float>(patches(), 0.0F));
  make_manifest();
}

void BundleWriter::add_file(const std::string& role, const std::string& name, const std::string& bytes) {
  roles[role] = name;
  files[name] = bytes;
}

void BundleWriter::set_golden_scores(const std::vector<float>& scores) {
  files["golden/scores.npy"] = npy({layout.region_count(), kGoldenPerRegion}, scores);
  files["golden/components.npy"] = npy({layout.region_count(), kGoldenPerRegion, 1}, scores);
}

void BundleWriter::set_golden_columns(float score, const std::vector<float>& components) {
  std::vector<float> rows;
  for (std::size_t i = 0; i < patches(); ++i) rows.insert(rows.end(), components.begin(), components.end());
  files["golden/scores.npy"] = npy({layout.region_count(), kGoldenPerRegion}, std::vector<float>(patches(), score));
  files["golden/components.npy"] = npy({layout.region_count(), kGoldenPerRegion, components.size()}, rows);
}

void BundleWriter::add_map(const std::string& name, int height, int width) {
  const std::vector<std::size_t> shape = {layout.region_count(), kGoldenPerRegion, static_cast<std::size_t>(height),
                                          static_cast<std::size_t>(width)};
  manifest["outputs"][name] = {{"role", "map"}, {"shape", {nullptr, height, width, 1}}};
  manifest["score"]["components"].push_back({{"name", name},
                                             {"component", "map"},
                                             {"output", name},
                                             {"smoothing", 0.0},
                                             {"pooling", "max"},
                                             {"per_location", false}});
  add_file("golden_output_" + name, "golden/output_" + name + ".npy",
           npy(shape, std::vector<float>(patches() * shape[2] * shape[3], 0.0F)));
}

void BundleWriter::add_locator(const LocatorModel& model, const std::vector<float>& frames,
                               const std::vector<float>& poses) {
  const auto height = static_cast<std::size_t>(model.frame_height / model.scale);
  const auto width = static_cast<std::size_t>(model.frame_width / model.scale);
  manifest["locate"] = {
      {"model", name_of(model.kind)},
      {"scale", model.scale},
      {"reach", {{"shift_px", model.reach_px}, {"turn_rad", model.reach_turn}}},
      {"limits",
       {{"residual", model.residual_limit}, {"apart_px", model.apart_px}, {"apart_turn_rad", model.apart_turn}}}};
  manifest["preprocess"]["resize"] = "cubic_antialias";
  add_file("locator_template", "locator/template.npy", npy({height, width}, model.template_pixels));
  add_file("locator_weights", "locator/weights.npy", npy({height, width}, model.weights));
  add_file("locator_golden_frames", "locator/golden_frames.npy", npy({poses.size() / 3, height, width}, frames));
  add_file("locator_golden_poses", "locator/golden_poses.npy", npy({poses.size() / 3, 3}, poses));
}

void BundleWriter::write(const std::filesystem::path& folder, bool seal) {
  for (const auto& [name, bytes] : files) {
    std::filesystem::create_directories((folder / name).parent_path());
    write_file(folder / name, bytes);
  }
  for (const auto& [role, name] : roles) {
    if (seal)
      manifest["files"][role] = {{"name", name}, {"sha256", digest_of(files[name])}, {"size", files[name].size()}};
  }
  write_manifest(folder, manifest.dump(2) + "\n");
}

void BundleWriter::write_manifest(const std::filesystem::path& folder, const std::string& text) {
  write_file(folder / "manifest.json", text);
  write_file(folder / "manifest.json.sha256", digest_of(text) + "  manifest.json\n");
}

void BundleWriter::write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream << bytes;
  if (!stream.flush()) throw std::runtime_error("cannot write " + path.string());
}

void BundleWriter::remove_calibration() {
  manifest["calibration"] = nullptr;
  manifest["heatmap"] = nullptr;
  manifest["thresholds"] = {{"patch", nullptr}, {"strip", nullptr}, {"run", nullptr}};
}

void BundleWriter::make_manifest() {
  const int edge = layout.patch_size;
  const std::vector<double> thresholds(layout.region_count(), 0.25);
  manifest["format_version"] = 2;
  manifest["name"] = "small";
  manifest["created"] = "2026-11-22T02:30:00Z";
  manifest["method"] = "drae";
  manifest["runtime"] = {{"name", "tensorflow"}, {"precision", "float32"}};
  manifest["locate"] = nullptr;
  manifest["layout"] = nlohmann::json::parse(layout.to_json());
  manifest["input"] = {{"name", "patches"}, {"shape", {nullptr, edge, edge, 1}}, {"dtype", "float32"}};
  manifest["outputs"] = {{"reconstruction", {{"role", "reconstruction"}, {"shape", {nullptr, edge, edge, 1}}}}};
  manifest["preprocess"] = {{"scaling", "unit"}, {"resize", "bilinear_antialias"}};
  manifest["score"] = {
      {"components", {ssim_component()}}, {"decide", {"ssim"}}, {"combine", nullptr}, {"normalisation", nullptr}};
  manifest["thresholds"] = {{"patch", thresholds}, {"strip", thresholds}, {"run", thresholds}};
  manifest["heatmap"] = {{"vmin", std::vector<double>(layout.region_count(), 0.0)},
                         {"vmax", std::vector<double>(layout.region_count(), 0.5)}};
  manifest["calibration"] = calibration(layout);
  manifest["golden"] = {{"patches_per_region", kGoldenPerRegion}, {"tolerance", 1e-5}};
  manifest["provenance"] = {{"vialsight", "0.1.0"},
                            {"runtime_version", "2.21.0"},
                            {"git", nullptr},
                            {"config_sha256", kDigestA},
                            {"data_sha256", kDigestA},
                            {"seed", 7},
                            {"training_products", {"p1", "p2"}}};
  manifest["files"] = nlohmann::json::object();
}

}  // namespace vialsight::test
