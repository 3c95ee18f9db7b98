// Shared memory without a name.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "vialsight/outputs.h"
#include "vialsight/status.h"

namespace vialsight {

// Bytes shared with whoever gets the descriptor; of a fixed size, so that nobody can take them away (SIGBUS).
class SharedMemory {
 public:
  // Zeroed memory that only this process's mapping can write (where the kernel knows F_SEAL_FUTURE_WRITE, 5.1), unless
  // `others_write`. kResourceExhausted: no memory or descriptors.
  [[nodiscard]] static Result<SharedMemory> create(const char* name, std::size_t size, bool others_write);
  // Maps the memory behind an inherited descriptor. kInvalidArgument: there is none.
  [[nodiscard]] static Result<SharedMemory> map(int descriptor, bool writable);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<float> floats() const noexcept {
    return {reinterpret_cast<float*>(data_), size_ / sizeof(float)};
  }

 private:
  SharedMemory(FileDescriptor descriptor, std::byte* data, std::size_t size) noexcept
      : descriptor_(std::move(descriptor)), data_(data), size_(size) {}

  FileDescriptor descriptor_;
  std::byte* data_;
  std::size_t size_;
};

// Floats that `patches` patches of every output take.
[[nodiscard]] std::size_t floats_of(const std::vector<OutputSpec>& outputs, std::size_t patches);
// The block of each output in `memory`, which has room for floats_of.
[[nodiscard]] std::vector<std::span<float>> blocks_of(const std::vector<OutputSpec>& outputs, std::size_t patches,
                                                      std::span<float> memory);

}  // namespace vialsight
