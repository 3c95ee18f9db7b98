// TruthFile: what a line knows of its strips and the inspector does not, one row each, written when the strip has
// passed.
//
//   strip_id,product,run,label,faults,triggered_unix_ns,verdict,reason,gate,result_ms
//   17,S0004,1,defective,late:2,1700000000000000000,reject,frame_missing,reject,497.812
// verdict, reason and result_ms are empty where no result came before the next trigger; the gate rejects then, because
// it rests there. result_ms: from the trigger until the machine has the result.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "station/gige_camera/station_link.h"
#include "vialsight/status.h"

namespace vialsight::station {

struct PassedStrip {
  std::uint64_t strip_id = 0;
  std::string product;
  int run = 0;
  bool defective = false;
  std::string faults;
  std::int64_t triggered_unix_ns = 0;
  std::optional<MachineSignals> result;
  double result_ms = 0.0;
  bool gate_accepts = false;
};

class TruthFile {
 public:
  // Empty path: writes nothing. kNotFound: it cannot be written.
  [[nodiscard]] static Result<TruthFile> create(const std::string& path);

  void write(const PassedStrip& strip);

 private:
  struct Closer {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Closer> file_;
};

}  // namespace vialsight::station
