/* Codes of the C API (c_api.h). C99.
 *
 * The numbers below never change their meaning, and no number is used twice. A later version may add some: treat an
 * unknown status as an error, an unknown reason as a reject. 0 is ok only for a status; a zeroed verdict rejects. */
#ifndef VIALSIGHT_C_API_CODES_H_
#define VIALSIGHT_C_API_CODES_H_

#include <stdint.h>

typedef int32_t vialsight_status;
enum {
  VIALSIGHT_OK = 0,
  VIALSIGHT_INVALID_ARGUMENT = 1,
  VIALSIGHT_NOT_FOUND = 2,
  VIALSIGHT_DATA_CORRUPT = 3,
  VIALSIGHT_UNSUPPORTED = 4,
  VIALSIGHT_FAILED_PRECONDITION = 5,
  VIALSIGHT_RESOURCE_EXHAUSTED = 6,
  VIALSIGHT_BACKEND_FAULT = 7,
  VIALSIGHT_PERMISSION_DENIED = 8
};
enum { VIALSIGHT_REJECT = 0, VIALSIGHT_ACCEPT = 1 }; /* verdict */
enum {                                               /* reason */
       VIALSIGHT_REASON_NONE = 0,
       VIALSIGHT_REASON_DEFECT = 1,
       VIALSIGHT_REASON_DEADLINE_MISSED = 2,
       VIALSIGHT_REASON_FRAME_MISSING = 3,
       VIALSIGHT_REASON_FRAME_INVALID = 4,
       VIALSIGHT_REASON_SCORE_INVALID = 5,
       VIALSIGHT_REASON_BACKEND_FAULT = 6,
       VIALSIGHT_REASON_NOT_READY = 7,
       VIALSIGHT_REASON_FRAME_STALE = 8,
       VIALSIGHT_REASON_NOT_LOCATED = 9
};
#define VIALSIGHT_REASON_CAPACITY 32 /* room for reasons to come */
enum {                               /* why a product was not located in a frame */
       VIALSIGHT_LOCATED = 0,
       VIALSIGHT_UNLOCATED_NOT_FINITE = 1,
       VIALSIGHT_UNLOCATED_CONTRAST = 2,
       VIALSIGHT_UNLOCATED_DEGENERATE = 3,
       VIALSIGHT_UNLOCATED_OUTSIDE_REACH = 4,
       VIALSIGHT_UNLOCATED_NO_CONVERGENCE = 5,
       VIALSIGHT_UNLOCATED_RESIDUAL = 6,
       VIALSIGHT_UNLOCATED_NOT_SEARCHED = 7
};
enum { VIALSIGHT_LEVEL_PATCH = 0, VIALSIGHT_LEVEL_STRIP = 1, VIALSIGHT_LEVEL_RUN = 2 };
enum { VIALSIGHT_GRAY8 = 0, VIALSIGHT_GRAY16 = 1 };
enum { VIALSIGHT_IN_PROCESS = 0, VIALSIGHT_WORKER = 1 }; /* isolation */

#endif /* VIALSIGHT_C_API_CODES_H_ */
