#include "station/gige_source.h"

namespace vialsight::station {

Result<std::unique_ptr<FrameSource>> make_gige_source(const std::string& camera, const Layout&) {
  return Status(Code::kUnsupported, "gige:" + camera + ": not written yet");
}

}  // namespace vialsight::station
