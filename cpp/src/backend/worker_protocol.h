// What the control program and its vialsight-worker agree on.
//
// The control program starts the worker with the arguments of WorkerArgument and four inherited descriptors. Patches
// and outputs lie in two shared memories without names, which vanish with the last process that has them; neither can
// be resized, and the worker cannot write to the patches. The outputs' holds a block per output, one after the other,
// each of room for as many patches as the inputs' memory holds. A socket carries one request at a time and its
// reply, packet by packet; its end, whoever dies, wakes the other side. Both programs come from one build:
// kWorkerProtocol.
#pragma once

#include <array>
#include <cstdint>

namespace vialsight {

inline constexpr int kWorkerProtocol = 3;
inline constexpr const char* kWorkerProgram = "vialsight-worker";

enum WorkerArgument : int {
  kArgumentProtocol = 1,  // kWorkerProtocol
  kArgumentModule,        // path of the backend module
  kArgumentInput,         // name of a node
  kArgumentPatchSize,
  kArgumentThreads,
  kArgumentPrecision,  // of Precision
  kArgumentBatches,    // "20,4", or "-"
  kArgumentDevice,     // may be empty
  kArgumentPriority,   // of Scheduling
  kArgumentCpus,       // "0,1", or "-"
  kArgumentLockMemory,
  kArgumentOutputs,  // from here on one each: "height,width,role,name"
};

enum WorkerDescriptor : int {
  kDescriptorSocket = 3,
  kDescriptorInputs,
  kDescriptorOutputs,
  kDescriptorModel,
  kDescriptorEnd,
};

// Counted in patches, from the beginning of the inputs and of each output's block. count 0 asks only for an answer.
struct WorkerRequest {
  std::uint64_t sequence = 0;  // from 1; 0 is the reply that says whether the worker has started
  std::uint64_t input = 0;
  std::uint64_t output = 0;
  std::uint64_t count = 0;
};

struct WorkerReply {
  std::uint64_t sequence = 0;
  std::uint32_t code = 0;            // Code
  std::array<char, 1000> text = {};  // of the Status, cut off; ends with a zero
};

}  // namespace vialsight
