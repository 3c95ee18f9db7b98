#include "station/folder_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "station/queued_source.h"
#include "station/snapshot_layout.h"
#include "station/system_error.h"

namespace vialsight::station {
namespace {

namespace fs = std::filesystem;

constexpr int kLargestNumber = 65535;  // of a PGM header

// The next number of a PGM header, comments in front of it skipped; -1: there is none.
int header_number(std::istream& input) {
  while (input >> std::ws && input.peek() == '#') {
    while (input.get() != '\n' && input) {
    }
  }
  int number = 0;
  return input >> number && number >= 0 && number <= kLargestNumber ? number : -1;
}

Status wrong(const fs::path& path, const std::string& what) {
  return {Code::kInvalidArgument, "image '" + path.string() + "': " + what};
}

Status read_pgm(const fs::path& path, const Layout& layout, std::vector<std::byte>& pixels) {
  std::ifstream input(path, std::ios::binary);
  char magic[2] = {};
  if (!input.read(magic, 2)) return wrong(path, "cannot be read");
  const int width = header_number(input);
  const int height = header_number(input);
  const int maxval = header_number(input);
  const int expected = (1 << layout.bit_depth) - 1;
  if (std::memcmp(magic, "P5", 2) != 0 || width != layout.frame_width || height != layout.frame_height ||
      maxval > expected || (maxval > 255) != (layout.bit_depth > 8)) {
    return wrong(path, "expected a binary PGM (P5) of " + std::to_string(layout.frame_width) + "x" +
                           std::to_string(layout.frame_height) + " pixels with maxval " + std::to_string(expected) +
                           ", got " + std::to_string(width) + "x" + std::to_string(height) + " with maxval " +
                           std::to_string(maxval));
  }
  input.get();  // the one white space behind the header
  input.read(static_cast<char*>(static_cast<void*>(pixels.data())), static_cast<std::streamsize>(pixels.size()));
  if (static_cast<std::size_t>(input.gcount()) != pixels.size()) return wrong(path, "ends within its pixels");
  if (layout.bit_depth > 8) {  // big-endian in the file
    for (std::size_t i = 0; i + 1 < pixels.size(); i += 2) std::swap(pixels[i], pixels[i + 1]);
  }
  return {};
}

class FolderSource final : public QueuedSource {
 public:
  FolderSource(std::string path, std::vector<fs::path> images, const Layout& layout, std::chrono::nanoseconds slot)
      : QueuedSource(layout), path_(std::move(path)), images_(std::move(images)), slot_(slot) {}
  ~FolderSource() override { stop(); }

  [[nodiscard]] std::string describe() const override { return "folder '" + path_ + "'"; }

 protected:
  Status open() override {
    due_ = Clock::now();
    return {};
  }
  void read_frame(Buffer& buffer) override;

 private:
  std::string path_;
  std::vector<fs::path> images_;
  std::chrono::nanoseconds slot_;
  std::size_t read_ = 0;  // images
  Clock::time_point due_;
};

void FolderSource::read_frame(Buffer& buffer) {
  buffer.kind = SourceEvent::Kind::kEnd;
  if (read_ == images_.size()) return;
  const auto frames = static_cast<std::size_t>(layout().frames);
  if (Status status = read_pgm(images_[read_], layout(), buffer.pixels); !status.ok()) {
    buffer.kind = SourceEvent::Kind::kError;
    buffer.text = status.message();
    return;
  }
  buffer.kind = SourceEvent::Kind::kFrame;
  buffer.strip_id = read_ / frames + 1;
  buffer.frame_index = static_cast<int>(read_ % frames);
  if (buffer.frame_index == 0) {
    wait_until(due_);
    due_ += slot_;
  }
  ++read_;
}

}  // namespace

Result<std::unique_ptr<FrameSource>> make_folder_source(const std::string& path, const Layout& layout,
                                                        std::chrono::nanoseconds slot) {
  std::error_code error;
  std::vector<fs::path> images;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".pgm") images.push_back(entry.path());
  }
  if (error) return system_error("--source folder: cannot read '" + path + "'", error.value());
  std::sort(images.begin(), images.end());
  const auto frames = static_cast<std::size_t>(layout.frames);
  if (images.empty()) return Status(Code::kNotFound, "--source folder: expected *.pgm images in '" + path + "'");
  if (images.size() % frames != 0) {
    return Status(Code::kInvalidArgument, "--source folder: expected " + std::to_string(frames) +
                                              " images per strip in '" + path + "', got " +
                                              std::to_string(images.size()) + " altogether");
  }
  return std::unique_ptr<FrameSource>(std::make_unique<FolderSource>(path, std::move(images), layout, slot));
}

}  // namespace vialsight::station
