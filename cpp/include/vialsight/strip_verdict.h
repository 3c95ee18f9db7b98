// What an Inspector says: of a strip (StripVerdict), of all strips (Statistics), of itself (Health).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vialsight/decision.h"
#include "vialsight/locator.h"

namespace vialsight {

// Wall-clock time of one strip, in seconds. Stages overlap with the exposure of later frames.
struct StageTimes {
  double locate_s = 0.0;  // 0 where the bundle does not locate
  double extract_s = 0.0;
  double infer_s = 0.0;
  double score_s = 0.0;
  double total_s = 0.0;             // open to verdict
  double after_last_frame_s = 0.0;  // last submit to verdict
};

struct StripVerdict {
  std::uint64_t strip_id = 0;
  Verdict verdict = Verdict::kReject;
  Reason reason = Reason::kNotReady;
  std::vector<float> scores;            // φ [F][V][R]; NaN where no score was made in time
  std::vector<float> component_scores;  // [F][V][R][K] of Score::components; NaN as in scores
  std::vector<double> thresholds;       // [R]
  std::vector<Verdict> vials;           // [V]
  // Where the product lies in each frame [F], so far as it was looked for; empty where the bundle does not locate.
  // kNotLocated with all of them found: they lie too far from one another.
  std::vector<Location> locations;
  StageTimes times;
  double slack_s = 0.0;  // deadline minus the time of the verdict; infinite without a deadline
};

struct Statistics {
  std::uint64_t strips = 0;  // verdicts returned; = accepted + sum of rejected
  std::uint64_t accepted = 0;
  std::uint64_t rejected[kReasonCount] = {};  // by Reason
  std::uint64_t overruns = 0;                 // batches that ended too late to count, after deadline - margin
  double batch_cost_s = 0.0;                  // running estimate of all that is done with one frame
  std::uint64_t frames_not_located = 0;       // frames in which the product was looked for and not found
};

struct Health {
  bool ready = false;           // a strip opened now would be inspected
  std::uint64_t heartbeat = 0;  // counts several times a second; stands still while a batch runs or hangs
  std::uint64_t restarts = 0;   // of the worker; 0 without one
  int worker_pid = 0;           // 0: none, or not running
  std::string last_fault;       // why a frame could last not be scored: its pixels, or the backend; empty: never yet
};

}  // namespace vialsight
