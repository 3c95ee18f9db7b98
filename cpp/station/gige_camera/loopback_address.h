// serve_on: lets Aravis' fake camera live on any loopback address.
//
// Aravis looks for the address among those that an interface has, and lo has 127.0.0.1 alone, while Linux lets everyone
// bind all of 127.0.0.0/8. So this program brings its own getifaddrs, in which lo has the address asked for: several
// cameras run side by side, GVCP's port 3956 being the same for all, and nobody needs to be root.
#pragma once

#include <string>

#include "vialsight/status.h"

namespace vialsight::station {

// Before the first camera, once. kInvalidArgument: no IPv4 address. Others than 127.0.0.0/8 are left to the interfaces.
[[nodiscard]] Status serve_on(const std::string& address);

// Whether a camera can be had there: the address is ours, and nobody has its GVCP port. Aravis' camera does not say.
[[nodiscard]] bool is_free_for_camera(const std::string& address);

}  // namespace vialsight::station
