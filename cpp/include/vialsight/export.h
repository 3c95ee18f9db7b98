// Marks what libvialsight.so exports; everything else stays hidden.
#pragma once

#if defined(VIALSIGHT_BUILDING)
#define VIALSIGHT_API __attribute__((visibility("default")))
#else
#define VIALSIGHT_API
#endif
