// Counts every operator new of the process, by whichever thread.
#pragma once

namespace vialsight::test {

void start_counting_allocations() noexcept;
// Allocations since the start; stops counting.
int stop_counting_allocations() noexcept;

}  // namespace vialsight::test
