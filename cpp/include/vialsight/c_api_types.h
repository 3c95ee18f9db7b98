/* Structs of the C API (c_api.h). C99; every width is fixed.
 *
 * They begin with struct_size, which the caller sets to sizeof of the struct it was compiled with; it is a multiple
 * of 8. Later versions add fields at the end only. Read by the library: fields that a smaller struct lacks take their
 * defaults; a larger struct is taken when all that this library does not know is zero, else VIALSIGHT_UNSUPPORTED.
 * Written by the library: what fits is filled, what it does not know is zeroed, struct_size stays. */
#ifndef VIALSIGHT_C_API_TYPES_H_
#define VIALSIGHT_C_API_TYPES_H_

#include <stdint.h>

#include "vialsight/c_api_codes.h"

#define VIALSIGHT_NO_DEADLINE INT64_MAX

typedef struct vialsight_layout {
  uint64_t struct_size;
  int32_t frame_width;  /* pixels */
  int32_t frame_height; /* pixels */
  int32_t bit_depth;    /* 8: VIALSIGHT_GRAY8; 9 to 16: VIALSIGHT_GRAY16 */
  int32_t frames;       /* F, per strip */
  int32_t vials;        /* V */
  int32_t regions;      /* R; a strip has F*V*R patches */
  int32_t patch_size;   /* P, edge in pixels */
  int32_t reserved;
} vialsight_layout;

/* See inspector_options.h; fill with vialsight_options_init before changing any field. */
typedef struct vialsight_options {
  uint64_t struct_size;
  int32_t level;
  int32_t require_thresholds; /* 0 or 1, as are the other flags */
  int32_t require_fresh_frames;
  int32_t threads;
  int64_t margin_us;
  const char* backend_module; /* UTF-8; NULL: beside libvialsight.so */
  int32_t isolation;
  int32_t lock_memory;
  int32_t priority; /* SCHED_FIFO 1 to 99; 0: as the caller */
  int32_t cpu_count;
  const int32_t* cpus; /* cpu_count logical CPUs; NULL: all */
  const char* worker_program;
  int64_t worker_batch_timeout_ms;
  int64_t worker_start_timeout_ms;
} vialsight_options;

/* A grayscale image, borrowed during the call. Native-endian uint16 for VIALSIGHT_GRAY16. */
typedef struct vialsight_frame {
  uint64_t struct_size;
  const void* data;
  int64_t row_stride_bytes;
  int32_t width;
  int32_t height;
  int32_t format;
  int32_t reserved; /* 0 */
} vialsight_frame;

typedef struct vialsight_stamp {
  uint64_t struct_size;
  uint64_t strip_id;
  int64_t exposed_ns; /* on the clock of vialsight_now_ns */
  int32_t frame_index;
  int32_t reserved; /* 0 */
} vialsight_stamp;

typedef struct vialsight_verdict {
  uint64_t struct_size;
  uint64_t strip_id;
  int32_t verdict;
  int32_t reason;
  double extract_s;
  double infer_s;
  double score_s;
  double total_s;
  double after_last_frame_s;
  double slack_s;  /* infinite without a deadline */
  double locate_s; /* 0 where the bundle does not locate */
} vialsight_verdict;

/* Where the product lies in a frame, see locator.h and pose.h. */
typedef struct vialsight_location {
  uint64_t struct_size;
  int32_t found;
  int32_t reason; /* VIALSIGHT_LOCATED where found is 1, else why not */
  double dx;      /* pixels; dx, dy and turn are where the search ended, found or not */
  double dy;
  double turn; /* radians about the frame's centre */
  double residual;
  double contrast;
  int32_t steps;
  int32_t reserved;
} vialsight_location;

typedef struct vialsight_statistics {
  uint64_t struct_size;
  uint64_t strips; /* = accepted + sum of rejected */
  uint64_t accepted;
  uint64_t rejected[VIALSIGHT_REASON_CAPACITY]; /* by reason */
  uint64_t overruns;
  double batch_cost_s;
  uint64_t frames_not_located;
} vialsight_statistics;

typedef struct vialsight_health {
  uint64_t struct_size;
  int32_t ready;
  int32_t worker_pid; /* 0: none */
  uint64_t heartbeat;
  uint64_t restarts;
} vialsight_health;

/* See handshake.h. accept is 1 only where result_valid is; reason is of a valid reject. */
typedef struct vialsight_signals {
  uint64_t struct_size;
  int32_t ready;
  int32_t busy;
  int32_t result_valid;
  int32_t accept;
  int32_t reason;
  int32_t reserved;
  uint64_t strip_id;
  uint64_t heartbeat;
} vialsight_signals;

typedef struct vialsight_counters {
  uint64_t struct_size;
  uint64_t triggers; /* = accepted + sum of rejected + in_flight */
  uint64_t accepted;
  uint64_t rejected[VIALSIGHT_REASON_CAPACITY]; /* by reason */
  uint64_t in_flight;
} vialsight_counters;

#endif /* VIALSIGHT_C_API_TYPES_H_ */
