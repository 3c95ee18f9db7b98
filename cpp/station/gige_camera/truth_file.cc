#include "station/gige_camera/truth_file.h"

#include <cerrno>
#include <cinttypes>
#include <cstring>

namespace vialsight::station {
namespace {

// As RFC 4180 has it.
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

const char* verdict_text(const PassedStrip& strip) {
  if (!strip.result) return "";
  return strip.result->accept ? "accept" : "reject";
}

std::string reason_text(const PassedStrip& strip) {
  if (!strip.result || strip.result->accept) return {};
  const int reason = strip.result->reason;
  return reason < kReasonCount ? name_of(static_cast<Reason>(reason)) : std::to_string(reason);
}

}  // namespace

Result<TruthFile> TruthFile::create(const std::string& path) {
  TruthFile truth;
  if (path.empty()) return truth;
  truth.file_.reset(std::fopen(path.c_str(), "we"));
  if (truth.file_ == nullptr) {
    return Status(Code::kNotFound, "--truth: expected to write " + path + ", got: " + std::strerror(errno));
  }
  std::fputs("strip_id,product,run,label,faults,triggered_unix_ns,verdict,reason,gate,result_ms\n", truth.file_.get());
  std::fflush(truth.file_.get());
  return truth;
}

void TruthFile::write(const PassedStrip& strip) {
  if (file_ == nullptr) return;
  std::fprintf(file_.get(), "%" PRIu64 ",%s,%d,%s,%s,%" PRId64 ",%s,%s,%s,", strip.strip_id,
               quoted(strip.product).c_str(), strip.run, strip.defective ? "defective" : "nominal",
               quoted(strip.faults).c_str(), strip.triggered_unix_ns, verdict_text(strip), reason_text(strip).c_str(),
               strip.gate_accepts ? "accept" : "reject");
  if (strip.result) std::fprintf(file_.get(), "%.3f", strip.result_ms);
  std::fputc('\n', file_.get());
  std::fflush(file_.get());
}

}  // namespace vialsight::station
