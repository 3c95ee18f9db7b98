// Status and Result: how the library reports misuse and broken artifacts.
//
// A Status is a code plus one sentence: what was expected, what came, what to do. A Result<T> is a T or the Status that
// says why there is none. Nothing here throws except Result::value(). Lateness and faults of a strip are not errors:
// they are verdicts (see decision.h). Header-only and valid C++17, so that the backend module can share it.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace vialsight {

enum class Code : std::uint8_t {
  kOk = 0,
  kInvalidArgument,     // the caller passed something that can never work
  kNotFound,            // a file or an entry is missing
  kDataCorrupt,         // an artifact is not what its manifest says
  kUnsupported,         // a format version, operation or option this build does not know
  kFailedPrecondition,  // the call came in the wrong order, in a forked process or on an uncalibrated bundle
  kResourceExhausted,   // buffers are still in use or memory is not available
  kBackendFault,        // the inference backend failed
  kPermissionDenied,    // the operating system does not allow what the options ask for
};

// Stable lower-case name of a code, for logs ("invalid_argument").
[[nodiscard]] constexpr const char* name_of(Code code) noexcept {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalidArgument:
      return "invalid_argument";
    case Code::kNotFound:
      return "not_found";
    case Code::kDataCorrupt:
      return "data_corrupt";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kFailedPrecondition:
      return "failed_precondition";
    case Code::kResourceExhausted:
      return "resource_exhausted";
    case Code::kBackendFault:
      return "backend_fault";
    case Code::kPermissionDenied:
      return "permission_denied";
  }
  return "unknown";
}

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;  // ok
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const noexcept { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const noexcept { return code_; }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// Thrown by Result::value() only.
class BadResultAccess : public std::runtime_error {
 public:
  explicit BadResultAccess(const Status& status)
      : std::runtime_error(std::string(name_of(status.code())) + ": " + status.message()) {}
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor): reads as a return
  // An ok status is no value: it becomes an error, so that `return result.status()` can never report success.
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    if (status_.ok()) status_ = Status(Code::kFailedPrecondition, "a result was made of an ok status, without a value");
  }

  [[nodiscard]] bool ok() const noexcept { return value_.has_value(); }
  [[nodiscard]] const Status& status() const noexcept { return status_; }

  // The value; throws BadResultAccess when there is none.
  [[nodiscard]] T& value() & {
    require_value();
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    require_value();
    return *value_;
  }
  [[nodiscard]] T&& value() && {
    require_value();
    return std::move(*value_);
  }

 private:
  void require_value() const {
    if (!value_.has_value()) throw BadResultAccess(status_);
  }

  std::optional<T> value_;
  Status status_;
};

}  // namespace vialsight
