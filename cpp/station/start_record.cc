#include "station/start_record.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>
#include <string_view>
#include <vector>

#include "vialsight/version.h"

namespace vialsight::station {
namespace {

// Instructions that decide how fast, and in which order of additions, a network is computed.
constexpr std::array<std::string_view, 12> kInstructions = {"sse4_2",      "avx",         "avx2",     "fma",
                                                            "f16c",        "avx_vnni",    "avx512f",  "avx512_vnni",
                                                            "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"};

// The first line "KEY : VALUE" of /proc/cpuinfo.
std::string cpu_line(std::string_view key) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

void write_instructions(JsonText& json) {
  const std::string all = " " + cpu_line("flags") + " ";
  json.key("flags").begin_array();
  for (const std::string_view name : kInstructions) {
    if (all.find(" " + std::string(name) + " ") != std::string::npos) json.value(name);
  }
  json.end_array();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace

std::string make_session() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::random_device device;
    std::generate(bytes.begin(), bytes.end(), [&device] { return static_cast<unsigned char>(device()); });
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xFU];
  }
  return text;
}

void write_start(JsonText& json, const StationOptions& options, const Inspector& inspector, const std::string& session,
                 const std::string& source) {
  const Bundle& bundle = inspector.bundle();
  const Layout& layout = bundle.layout();
  json.field("session", session).field("vialsight", VIALSIGHT_VERSION).field("bundle", bundle.name());
  json.field("bundle_sha256", bundle.sha256()).field("runtime", bundle.runtime());
  json.field("precision", name_of(bundle.precision())).field("level", name_of(options.level));
  json.field("batch_size", inspector.batch_size()).field("threads", options.threads);
  json.field("budget_ms", options.budget_ms).field("margin_ms", options.margin_ms).field("slot_ms", options.slot_ms);
  json.field("source", source).field("isolation", options.isolation == Isolation::kWorker ? "worker" : "in_process");
  json.field("priority", options.scheduling.priority).field("cpu", cpu_line("model name"));
  write_instructions(json);
  json.field("host", host_name()).field("pid", static_cast<std::int64_t>(::getpid()));
  json.field("fps", 1e3 * layout.frames / options.slot_ms);  // frames a second that the line brings
  json.field("frames", layout.frames).field("vials", layout.vial_count()).key("regions").begin_array();
  for (const std::string& region : layout.regions) json.value(region);
  json.end_array();
}

}  // namespace vialsight::station
