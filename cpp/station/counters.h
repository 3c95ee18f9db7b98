// Counters: what became of the strips that came in. At every moment, exactly:
// triggers = accepted + sum of rejected + in_flight.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vialsight/decision.h"

namespace vialsight::station {

struct Counters {
  std::uint64_t triggers = 0;
  std::uint64_t accepted = 0;
  std::array<std::uint64_t, kReasonCount> rejected = {};  // by Reason
  std::uint64_t in_flight = 0;

  void begin() noexcept {
    ++triggers;
    ++in_flight;
  }
  // Of a strip that begin() counted.
  void finish(Verdict verdict, Reason reason) noexcept {
    --in_flight;
    if (verdict == Verdict::kAccept) {
      ++accepted;
    } else {
      ++rejected[static_cast<std::size_t>(reason)];
    }
  }

  friend bool operator==(const Counters&, const Counters&) = default;
};

}  // namespace vialsight::station
