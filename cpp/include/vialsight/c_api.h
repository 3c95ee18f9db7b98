/* The C API: the ABI that holds across compilers and versions. C99. Link vialsight::vialsight_c.
 *
 * A slot is open, submit for each frame, close; or trigger, submit, finish, acknowledge on a handshake. What the calls
 * do and promise is in inspector.h and handshake.h; this page says what C adds.
 *
 * Every call returns a status, except those that return text or the time. After any other status than VIALSIGHT_OK,
 * vialsight_last_error() names the call and says what was expected, what came, what to do. A strip that is rejected is
 * no error. Nothing is thrown, printed or aborted.
 *
 * Handles are opaque and must not be dereferenced. NULL, destroyed handles, handles of another kind and other pointers
 * are told from living ones and refused. Destroy a handle once no other thread uses it; destroying NULL does nothing.
 * While a handshake lives, its inspector cannot be destroyed, and slots are opened and closed through it alone.
 * Threads: as in C++, one control thread per inspector; statistics, health, signals and counters from any thread.
 * Processes: inspectors and handshakes are of the process that made them. In one that came of a fork, every call on
 * them is VIALSIGHT_FAILED_PRECONDITION, with a sentence that says so, and outputs are rejects or zero; destroying them
 * there does nothing to the parent. Create after the fork, or start the child with exec. Bundles may be used in both.
 * Deadlines and stamps are nanoseconds of CLOCK_MONOTONIC; VIALSIGHT_NO_DEADLINE waits for ever.
 * Counts are checked: an array of another length than the layout asks for is refused and stays as it was. Texts are
 * UTF-8, ended by a zero, and refused where `capacity` bytes do not hold them. Codes and structs:
 * see c_api_codes.h and c_api_types.h. */
#ifndef VIALSIGHT_C_API_H_
#define VIALSIGHT_C_API_H_

#include "vialsight/c_api_types.h"

#if defined(VIALSIGHT_C_BUILDING)
#define VIALSIGHT_C_API __attribute__((visibility("default")))
#else
#define VIALSIGHT_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vialsight_bundle vialsight_bundle;
typedef struct vialsight_inspector vialsight_inspector;
typedef struct vialsight_handshake vialsight_handshake;

VIALSIGHT_C_API const char* vialsight_version(void); /* "0.1.0" */
VIALSIGHT_C_API int64_t vialsight_now_ns(void);
/* Of this thread's last call that failed; it stays until the next one that fails. Never NULL. */
VIALSIGHT_C_API const char* vialsight_last_error(void);
/* "invalid_argument", "accept", "frame_missing", "strip"; "unknown" for other numbers. Never NULL. */
VIALSIGHT_C_API const char* vialsight_status_name(int32_t status);
VIALSIGHT_C_API const char* vialsight_verdict_name(int32_t verdict);
VIALSIGHT_C_API const char* vialsight_reason_name(int32_t reason);
VIALSIGHT_C_API const char* vialsight_level_name(int32_t level);
VIALSIGHT_C_API const char* vialsight_unlocated_name(int32_t reason); /* "none", "outside_reach" */

/* Bundle: loaded once, for any number of inspectors; may be destroyed before them. */
VIALSIGHT_C_API vialsight_status vialsight_bundle_load(const char* folder, vialsight_bundle** bundle);
VIALSIGHT_C_API vialsight_status vialsight_bundle_destroy(vialsight_bundle* bundle);
VIALSIGHT_C_API vialsight_status vialsight_bundle_name(const vialsight_bundle* bundle, char* text, uint64_t capacity);
/* 64 hexadecimal digits that name the whole bundle. */
VIALSIGHT_C_API vialsight_status vialsight_bundle_sha256(const vialsight_bundle* bundle, char* text, uint64_t capacity);
VIALSIGHT_C_API vialsight_status vialsight_bundle_layout(const vialsight_bundle* bundle, vialsight_layout* layout);
VIALSIGHT_C_API vialsight_status vialsight_bundle_region_name(const vialsight_bundle* bundle, int32_t region,
                                                              char* text, uint64_t capacity);
/* x, y, width, height in frame pixels. */
VIALSIGHT_C_API vialsight_status vialsight_bundle_box(const vialsight_bundle* bundle, int32_t vial, int32_t region,
                                                      int32_t box[4]);
/* R thresholds of a level. VIALSIGHT_FAILED_PRECONDITION: not calibrated. */
VIALSIGHT_C_API vialsight_status vialsight_bundle_thresholds(const vialsight_bundle* bundle, int32_t level,
                                                             double* thresholds, uint64_t count);

/* Inspector. Slow to create: seconds. `options` NULL: all defaults. */
VIALSIGHT_C_API vialsight_status vialsight_options_init(vialsight_options* options);
VIALSIGHT_C_API vialsight_status vialsight_inspector_create(const vialsight_bundle* bundle,
                                                            const vialsight_options* options,
                                                            vialsight_inspector** inspector);
VIALSIGHT_C_API vialsight_status vialsight_inspector_destroy(vialsight_inspector* inspector);

VIALSIGHT_C_API vialsight_status vialsight_open(vialsight_inspector* inspector, uint64_t strip_id, int64_t deadline_ns);
/* Any error makes the strip a reject, an unreadable frame or stamp included. */
VIALSIGHT_C_API vialsight_status vialsight_submit(vialsight_inspector* inspector, int32_t frame_index,
                                                  const vialsight_frame* frame);
VIALSIGHT_C_API vialsight_status vialsight_submit_stamped(vialsight_inspector* inspector, int32_t frame_index,
                                                          const vialsight_frame* frame, const vialsight_stamp* stamp);
/* Without an open slot: a reject, and VIALSIGHT_FAILED_PRECONDITION. With a `verdict` that cannot be written, nothing
 * is closed. The same holds of vialsight_handshake_finish. */
VIALSIGHT_C_API vialsight_status vialsight_close(vialsight_inspector* inspector, vialsight_verdict* verdict);
/* `frames`: an array of `count` structs of one struct_size. */
VIALSIGHT_C_API vialsight_status vialsight_inspect(vialsight_inspector* inspector, uint64_t strip_id,
                                                   const vialsight_frame* frames, uint64_t count, int64_t deadline_ns,
                                                   vialsight_verdict* verdict);

/* Of the strip closed last: scores [F][V][R] (NaN: none made), thresholds [R], verdicts [V], images of P*P floats;
 * a reconstruction where the network gives none is refused: VIALSIGHT_INVALID_ARGUMENT. */
VIALSIGHT_C_API vialsight_status vialsight_scores(const vialsight_inspector* inspector, float* scores, uint64_t count);
VIALSIGHT_C_API vialsight_status vialsight_thresholds(const vialsight_inspector* inspector, double* thresholds,
                                                      uint64_t count);
VIALSIGHT_C_API vialsight_status vialsight_vials(const vialsight_inspector* inspector, int32_t* vials, uint64_t count);
/* VIALSIGHT_FAILED_PRECONDITION: the bundle does not locate; VIALSIGHT_INVALID_ARGUMENT: there is no such frame. */
VIALSIGHT_C_API vialsight_status vialsight_get_location(const vialsight_inspector* inspector, int32_t frame,
                                                        vialsight_location* location);
/* VIALSIGHT_NOT_FOUND: this patch was not scored. */
VIALSIGHT_C_API vialsight_status vialsight_images(const vialsight_inspector* inspector, int32_t frame, int32_t vial,
                                                  int32_t region, float* input, float* reconstruction, uint64_t count);
/* What a heatmap shows: the map of the bundle's score, P*P floats. Errors as vialsight_images. */
VIALSIGHT_C_API vialsight_status vialsight_map(const vialsight_inspector* inspector, int32_t frame, int32_t vial,
                                               int32_t region, float* map, uint64_t count);
/* `count` patches of P*P floats, patch i of region i modulo R; `reconstructions` may be NULL, and must be where the
 * network gives none. Not while a slot is open. */
VIALSIGHT_C_API vialsight_status vialsight_score_patches(vialsight_inspector* inspector, const float* patches,
                                                         uint64_t count, uint64_t batch_size, float* scores,
                                                         float* reconstructions);

VIALSIGHT_C_API vialsight_status vialsight_get_statistics(const vialsight_inspector* inspector,
                                                          vialsight_statistics* statistics);
VIALSIGHT_C_API vialsight_status vialsight_get_health(const vialsight_inspector* inspector, vialsight_health* health);
/* Why a frame could last not be scored, cut off where `capacity` bytes do not hold it; empty: never yet. */
VIALSIGHT_C_API vialsight_status vialsight_last_fault(const vialsight_inspector* inspector, char* text,
                                                      uint64_t capacity);

/* Handshake: one per inspector, which outlives it. */
VIALSIGHT_C_API vialsight_status vialsight_handshake_create(vialsight_inspector* inspector,
                                                            vialsight_handshake** handshake);
VIALSIGHT_C_API vialsight_status vialsight_handshake_destroy(vialsight_handshake* handshake);
VIALSIGHT_C_API vialsight_status vialsight_handshake_trigger(vialsight_handshake* handshake, uint64_t strip_id,
                                                             int64_t deadline_ns);
VIALSIGHT_C_API vialsight_status vialsight_handshake_submit(vialsight_handshake* handshake, int32_t frame_index,
                                                            const vialsight_frame* frame);
VIALSIGHT_C_API vialsight_status vialsight_handshake_submit_stamped(vialsight_handshake* handshake, int32_t frame_index,
                                                                    const vialsight_frame* frame,
                                                                    const vialsight_stamp* stamp);
VIALSIGHT_C_API vialsight_status vialsight_handshake_finish(vialsight_handshake* handshake, vialsight_verdict* verdict);
VIALSIGHT_C_API vialsight_status vialsight_handshake_acknowledge(vialsight_handshake* handshake, uint64_t strip_id);
VIALSIGHT_C_API vialsight_status vialsight_handshake_signals(const vialsight_handshake* handshake,
                                                             vialsight_signals* signals);
VIALSIGHT_C_API vialsight_status vialsight_handshake_counters(const vialsight_handshake* handshake,
                                                              vialsight_counters* counters);

#ifdef __cplusplus
}
#endif

#endif /* VIALSIGHT_C_API_H_ */
