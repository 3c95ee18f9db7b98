/* Inspects recorded strips, one slot each, and prints what a PLC would see. C99.
 *
 * usage: inspect_recorded NAME.vsb BUDGET_MS in-process|worker FRAME.pgm...     the frames of a strip one after another
 *        exit 0: all strips were inspected, accepted or not; 2: something could not be. Binary 8-bit PGM files.
 * Build outside this repository: find_package(vialsight CONFIG REQUIRED), link vialsight::vialsight_c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vialsight/c_api.h"

static int failed(vialsight_status status) {
  if (status != VIALSIGHT_OK) {
    fprintf(stderr, "error: %s: %s\n", vialsight_status_name(status), vialsight_last_error());
  }
  return status != VIALSIGHT_OK;
}

/* Fills `pixels`; a frame without data is refused, and makes its strip a reject. */
static vialsight_frame read_pgm(const char* path, unsigned char* pixels, size_t capacity) {
  vialsight_frame frame = {sizeof frame, NULL, 0, 0, 0, VIALSIGHT_GRAY8, 0};
  int maximum = 0;
  FILE* file = fopen(path, "rb");
  if (file == NULL) return frame;
  if (fscanf(file, "P5 %" SCNd32 " %" SCNd32 " %d", &frame.width, &frame.height, &maximum) == 3 && maximum == 255 &&
      fgetc(file) != EOF && frame.width > 0 && frame.height > 0 &&
      (size_t)frame.width <= capacity / (size_t)frame.height) {
    const size_t size = (size_t)frame.width * (size_t)frame.height;
    frame.row_stride_bytes = frame.width;
    if (fread(pixels, 1, size, file) == size) frame.data = pixels;
  }
  fclose(file);
  return frame;
}

static void show(const char* step, const vialsight_handshake* handshake) {
  vialsight_signals plc = {0};
  plc.struct_size = sizeof plc;
  failed(vialsight_handshake_signals(handshake, &plc)); /* then they are zero: not ready, nothing valid */
  printf("%-11s ready=%d busy=%d valid=%d accept=%d reason=%s strip=%" PRIu64 " heartbeat=%" PRIu64 "\n", step,
         plc.ready, plc.busy, plc.result_valid, plc.accept, vialsight_reason_name(plc.reason), plc.strip_id,
         plc.heartbeat);
}

static int inspect(vialsight_handshake* handshake, uint64_t strip_id, int64_t budget_ns, char** paths,
                   const vialsight_layout* layout, unsigned char* pixels) {
  const size_t capacity = (size_t)layout->frame_width * (size_t)layout->frame_height;
  vialsight_verdict result = {0};
  result.struct_size = sizeof result;
  if (failed(vialsight_handshake_trigger(handshake, strip_id, vialsight_now_ns() + budget_ns))) return 2;
  show("trigger", handshake);
  for (int32_t i = 0; i < layout->frames && paths[i] != NULL; ++i) { /* each is scored while the next one is read */
    const vialsight_frame frame = read_pgm(paths[i], pixels, capacity);
    failed(vialsight_handshake_submit(handshake, i, &frame));
  }
  if (failed(vialsight_handshake_finish(handshake, &result))) return 2;
  show("finish", handshake);
  printf("strip %" PRIu64 " %s reason=%s slack_ms=%.1f\n", result.strip_id, vialsight_verdict_name(result.verdict),
         vialsight_reason_name(result.reason), result.slack_s * 1e3);
  if (failed(vialsight_handshake_acknowledge(handshake, strip_id))) return 2;
  show("acknowledge", handshake);
  return 0;
}

int main(int argc, char** argv) {
  vialsight_bundle* bundle = NULL;
  vialsight_inspector* inspector = NULL;
  vialsight_handshake* handshake = NULL;
  unsigned char* pixels = NULL;
  vialsight_options options = {0};
  vialsight_layout layout = {0};
  options.struct_size = sizeof options;
  layout.struct_size = sizeof layout;
  int code = argc < 5 ? 2 : 0;
  if (code != 0) fprintf(stderr, "usage: inspect_recorded NAME.vsb BUDGET_MS in-process|worker FRAME.pgm...\n");
  if (code == 0 && (failed(vialsight_bundle_load(argv[1], &bundle)) ||
                    failed(vialsight_bundle_layout(bundle, &layout)) || failed(vialsight_options_init(&options)))) {
    code = 2;
  }
  options.isolation = code == 0 && strcmp(argv[3], "worker") == 0 ? VIALSIGHT_WORKER : VIALSIGHT_IN_PROCESS;
  options.require_fresh_frames = 0; /* recorded images may come again; a camera's must not */
  if (code == 0 && (failed(vialsight_inspector_create(bundle, &options, &inspector)) ||
                    failed(vialsight_handshake_create(inspector, &handshake)) ||
                    (pixels = malloc((size_t)layout.frame_width * (size_t)layout.frame_height)) == NULL)) {
    code = 2;
  }
  uint64_t strip_id = 0;
  for (int i = 4; code == 0 && i < argc; i += layout.frames) {
    code = inspect(handshake, ++strip_id, strtoll(argv[2], NULL, 10) * 1000000, argv + i, &layout, pixels);
  }
  free(pixels);
  failed(vialsight_handshake_destroy(handshake)); /* in this order; NULL is none */
  failed(vialsight_inspector_destroy(inspector));
  failed(vialsight_bundle_destroy(bundle));
  return code;
}
