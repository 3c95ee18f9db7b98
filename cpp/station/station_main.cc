// vialsight-station: the inspector process of a line.
#include <cstdio>

#include "station/source_factory.h"

int main() {
  std::fprintf(stderr, "error: not yet\n");
  return 2;
}
