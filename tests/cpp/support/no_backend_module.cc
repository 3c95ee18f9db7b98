// A library that is no backend.
extern "C" __attribute__((visibility("default"))) int vialsight_no_backend() noexcept { return 0; }
