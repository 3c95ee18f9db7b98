#include "station/system_error.h"

#include <cerrno>
#include <system_error>

namespace vialsight::station {
namespace {

Code code_of(int error) noexcept {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Code::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kPermissionDenied;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
      return Code::kResourceExhausted;
    default:
      return Code::kInvalidArgument;
  }
}

}  // namespace

Status system_error(const std::string& what, int error) {
  return {code_of(error), what + ": " + std::generic_category().message(error)};
}

}  // namespace vialsight::station
