// Reads a snapshot as its description says, with the offsets written out, as any other process would.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace vialsight::test {

class SnapshotReader {
 public:
  explicit SnapshotReader(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about = {};
    if (file < 0 || ::fstat(file, &about) != 0) throw std::runtime_error("no snapshot at " + path);
    size_ = static_cast<std::size_t>(about.st_size);
    mode_ = about.st_mode & 07777;
    void* memory = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    if (memory == MAP_FAILED) throw std::runtime_error("cannot map " + path);
    memory_ = static_cast<char*>(memory);
  }
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;
  ~SnapshotReader() { ::munmap(memory_, size_); }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] unsigned mode() const { return mode_; }

  // Bytes as they are, of what is fixed.
  [[nodiscard]] std::string bytes(std::size_t offset, std::size_t size) const { return load(offset, size); }
  template <typename T>
  [[nodiscard]] T fixed(std::size_t offset) const {
    return value_of<T>(load(offset, sizeof(T)), 0);
  }

  // A block that was whole when it was read.
  [[nodiscard]] std::string block(std::size_t offset, std::size_t size) const {
    for (;;) {
      const std::uint32_t before = lock(offset);
      const std::string copy = load(offset + 4, size - 4);
      if (before % 2 == 0 && lock(offset) == before) return std::string(4, '\0') + copy;
    }
  }
  [[nodiscard]] std::string status() const { return block(fixed<std::uint64_t>(64), fixed<std::uint64_t>(72)); }
  [[nodiscard]] std::string strip(std::uint64_t n) const { return ring(80, n, 256); }
  [[nodiscard]] std::string pictures(std::uint64_t n) const { return ring(96, n, 8); }
  [[nodiscard]] std::string live(std::uint64_t n) const { return ring(112, n, 2); }

  template <typename T>
  [[nodiscard]] static T value_of(const std::string& bytes, std::size_t offset) {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
  }

 private:
  [[nodiscard]] std::string ring(std::size_t header, std::uint64_t n, std::uint64_t blocks) const {
    const auto size = fixed<std::uint64_t>(header + 8);
    return block(fixed<std::uint64_t>(header) + n % blocks * size, size);
  }
  [[nodiscard]] std::uint32_t lock(std::size_t offset) const {
    return std::atomic_ref<std::uint32_t>(*static_cast<std::uint32_t*>(static_cast<void*>(memory_ + offset)))
        .load(std::memory_order_acquire);
  }
  // Word by word where that is possible, each with acquire order.
  [[nodiscard]] std::string load(std::size_t offset, std::size_t size) const {
    std::string copy(size, '\0');
    for (std::size_t i = 0; i < size;) {
      if ((offset + i) % 8 == 0 && size - i >= 8) {
        auto* word = static_cast<std::uint64_t*>(static_cast<void*>(memory_ + offset + i));
        const std::uint64_t value = std::atomic_ref<std::uint64_t>(*word).load(std::memory_order_acquire);
        std::memcpy(copy.data() + i, &value, sizeof value);
        i += 8;
      } else {
        copy[i] = std::atomic_ref<char>(memory_[offset + i]).load(std::memory_order_acquire);
        ++i;
      }
    }
    return copy;
  }

  char* memory_ = nullptr;
  std::size_t size_ = 0;
  unsigned mode_ = 0;
};

}  // namespace vialsight::test
