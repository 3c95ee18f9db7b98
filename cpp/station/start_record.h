// What the record says of a station's start: bundle, settings, machine.
#pragma once

#include <string>

#include "station/json_text.h"
#include "station/station_options.h"
#include "vialsight/inspector.h"

namespace vialsight::station {

// 32 hexadecimal digits that no other start has.
[[nodiscard]] std::string make_session();

void write_start(JsonText& json, const StationOptions& options, const Inspector& inspector, const std::string& session,
                 const std::string& source);

}  // namespace vialsight::station
