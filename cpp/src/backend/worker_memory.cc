#include "backend/worker_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace vialsight {
namespace {

Status exhausted(const char* what) {
  return {Code::kResourceExhausted,
          std::string("worker: ") + what + " of shared memory: " + std::generic_category().message(errno)};
}

}  // namespace

Result<SharedMemory> SharedMemory::create(const char* name, std::size_t size, bool others_write) {
  FileDescriptor descriptor(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor.valid()) return exhausted("creation");
  if (::ftruncate(descriptor.get(), static_cast<off_t>(size)) != 0) return exhausted("size");
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  if (data == MAP_FAILED) return exhausted("mapping");
  SharedMemory memory(std::move(descriptor), static_cast<std::byte*>(data), size);
  // Without what an old kernel does not know, a worker that runs wild is contained a little less.
  if (!others_write) (void)::fcntl(memory.descriptor(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  if (::fcntl(memory.descriptor(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return exhausted("sealing");
  }
  return memory;
}

Result<SharedMemory> SharedMemory::map(int descriptor, bool writable) {
  struct stat information = {};
  if (::fstat(descriptor, &information) != 0 || information.st_size <= 0) {
    return Status(Code::kInvalidArgument, "worker: expected shared memory at descriptor " + std::to_string(descriptor));
  }
  const auto size = static_cast<std::size_t>(information.st_size);
  void* data = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor, 0);
  if (data == MAP_FAILED) return exhausted("mapping");
  return SharedMemory(FileDescriptor(descriptor), static_cast<std::byte*>(data), size);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

std::size_t floats_of(const std::vector<OutputSpec>& outputs, std::size_t patches) {
  std::size_t result = 0;
  for (const OutputSpec& output : outputs) result += patches * output.pixels();
  return result;
}

std::vector<std::span<float>> blocks_of(const std::vector<OutputSpec>& outputs, std::size_t patches,
                                        std::span<float> memory) {
  std::vector<std::span<float>> result;
  for (const OutputSpec& output : outputs) {
    result.push_back(memory.first(patches * output.pixels()));
    memory = memory.subspan(result.back().size());
  }
  return result;
}

}  // namespace vialsight
