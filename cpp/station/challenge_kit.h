// ChallengeKit: named strips with known verdicts, which a bundle must judge right before a batch may start.
//
// A folder: kit.json {"format": 1, "bundle_sha256": …, "strips": [{"name": …, "frames": [file or null …], "expected":
// "accept" or "reject", "expected_reason": text or null} …]}, and the files it names: width × height pixels each, one
// byte or two little-endian ones. null: this frame does not come. What was expected is compared by whoever ordered the
// challenge; the station only inspects.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vialsight/bundle.h"
#include "vialsight/status.h"

namespace vialsight::station {

struct ChallengeStrip {
  std::string name;                                // at most kMaxNameBytes
  std::vector<std::optional<std::string>> frames;  // F; files relative to the folder
};

class ChallengeKit {
 public:
  // kNotFound, kDataCorrupt: what is wrong with it; kFailedPrecondition: it is another bundle's.
  [[nodiscard]] static Result<ChallengeKit> load(const std::filesystem::path& folder, const Bundle& bundle);

  [[nodiscard]] const std::vector<ChallengeStrip>& strips() const noexcept { return strips_; }
  // Fills `pixels`, which must be as large as the file.
  [[nodiscard]] Status read_frame(const std::string& file, std::span<std::byte> pixels) const;

 private:
  explicit ChallengeKit(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
  std::vector<ChallengeStrip> strips_;
};

}  // namespace vialsight::station
