#include "station/source_factory.h"

#include <string_view>

#include "station/folder_source.h"
#include "station/stream_source.h"

#ifdef VIALSIGHT_ARAVIS
#include "station/gige_source.h"
#endif

namespace vialsight::station {
namespace {

constexpr std::string_view kStream = "stream:";
constexpr std::string_view kFolder = "folder:";
constexpr std::string_view kGige = "gige:";

Result<std::unique_ptr<FrameSource>> make_gige(const std::string& camera, const Layout& layout) {
#ifdef VIALSIGHT_ARAVIS
  return make_gige_source(camera, layout);
#else
  static_cast<void>(layout);
  return Status(Code::kUnsupported, "--source: expected \"stream\" or \"folder:PATH\", got \"gige:" + camera +
                                        "\": this program was built without GigE Vision; install libaravis-dev and "
                                        "build it again");
#endif
}

}  // namespace

Result<std::unique_ptr<FrameSource>> make_source(const std::string& text, const Layout& layout,
                                                 std::chrono::nanoseconds slot) {
  if (text == "stream") return make_stream_source("", layout, slot);
  if (text.size() > kStream.size() && text.starts_with(kStream)) {
    return make_stream_source(text.substr(kStream.size()), layout, slot);
  }
  if (text.size() > kFolder.size() && text.starts_with(kFolder)) {
    return make_folder_source(text.substr(kFolder.size()), layout, slot);
  }
  if (text.starts_with(kGige)) return make_gige(text.substr(kGige.size()), layout);
  return Status(Code::kInvalidArgument,
                "--source: expected \"stream\", \"stream:PATH\", \"folder:PATH\" or \"gige:ID\", got \"" + text + "\"");
}

}  // namespace vialsight::station
