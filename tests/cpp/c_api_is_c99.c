/* Compiled only: every call of the C API is declared as C99 understands it. */
#include "vialsight/c_api.h"

int c_api_is_c99(void) {
  vialsight_options options = {0};
  vialsight_verdict verdict = {0};
  options.struct_size = sizeof options;
  return verdict.verdict == VIALSIGHT_ACCEPT && options.level == VIALSIGHT_LEVEL_PATCH && VIALSIGHT_NO_DEADLINE > 0;
}
