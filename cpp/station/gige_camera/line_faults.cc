#include "station/gige_camera/line_faults.h"

#include <utility>

namespace vialsight::station {
namespace {

// Of 2^53 values in [0, 1): std::uniform_real_distribution is not the same in all libraries.
double unit(std::mt19937_64& random) { return static_cast<double>(random() >> 11U) * 0x1p-53; }

}  // namespace

const char* name_of(LineFault fault) noexcept {
  switch (fault) {
    case LineFault::kNone:
      return "";
    case LineFault::kLostPackets:
      return "lost_packets";
    case LineFault::kLate:
      return "late";
    case LineFault::kLost:
      return "lost";
    case LineFault::kUntriggered:
      return "untriggered";
    case LineFault::kRepeated:
      return "repeated";
    case LineFault::kSwapped:
      return "swapped";
  }
  return "";
}

std::string StripFault::text() const {
  if (fault == LineFault::kNone) return {};
  return std::string(name_of(fault)) + ":" + std::to_string(frame);
}

LineFault FaultPlan::choose() {
  double left = unit(random_);
  for (const auto& [share, fault] :
       {std::pair{shares_.lose_packets, LineFault::kLostPackets}, std::pair{shares_.late, LineFault::kLate},
        std::pair{shares_.missing / 2, LineFault::kLost}, std::pair{shares_.missing / 2, LineFault::kUntriggered},
        std::pair{shares_.repeat, LineFault::kRepeated}, std::pair{shares_.swap, LineFault::kSwapped}}) {
    if (left < share) return fault;
    left -= share;
  }
  return LineFault::kNone;
}

StripFault FaultPlan::next(std::size_t frames) {
  StripFault chosen{choose(), 0};
  const std::uint64_t draw = random_();  // always, so that one fault's share does not move the others'
  const bool swapped = chosen.fault == LineFault::kSwapped;
  if (swapped && frames < 2) return {};
  if (chosen.fault != LineFault::kNone) chosen.frame = static_cast<std::size_t>(draw % (swapped ? frames - 1 : frames));
  return chosen;
}

}  // namespace vialsight::station
