// A bundle's files while somebody changes them: what was checked is what is used, or there is an error.
#include "bundle/bundle_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>

#include "bundle_writer.h"
#include "temporary_folder.h"
#include "vialsight/bundle.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

template <typename T>
void expect_error(const Result<T>& result, Code code, const std::string& text) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code);
  EXPECT_THAT(result.status().message(), HasSubstr(text));
}

constexpr const char* kModelName = "model.pb";

class BundleFilesTest : public ::testing::Test {
 protected:
  BundleFilesTest() { BundleWriter().write(path); }

  [[nodiscard]] BundleFolder open() const { return BundleFolder::open(path).value(); }
  [[nodiscard]] OpenFile open_file(std::uint64_t size, int flags = O_RDONLY) const {
    return {FileDescriptor(::open((path / kModelName).c_str(), flags | O_CLOEXEC)), kModelName, size};
  }
  [[nodiscard]] std::uint64_t model_size() const { return std::filesystem::file_size(path / kModelName); }

  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "small.vsb";
};

TEST_F(BundleFilesTest, ReadsAWholeFile) {
  const Result<OpenFile> file = open().open_file(kModelName);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file.value().size, model_size());
  const Result<std::vector<std::byte>> bytes = read_all(file.value());
  ASSERT_TRUE(bytes.ok());
  EXPECT_THAT(bytes.value(), SizeIs(model_size()));
}

TEST_F(BundleFilesTest, NoticesAFileThatGrew) {
  expect_error(read_all(open_file(model_size() - 1)), Code::kDataCorrupt, "model.pb: changed while it was read");
}

TEST_F(BundleFilesTest, NoticesAFileThatShrank) {
  expect_error(read_all(open_file(model_size() + 1)), Code::kDataCorrupt, "model.pb: changed while it was read");
}

TEST_F(BundleFilesTest, ReportsAFileThatCannotBeRead) {
  expect_error(read_all(open_file(model_size(), O_WRONLY)), Code::kDataCorrupt, "model.pb: cannot be read: ");
}

TEST_F(BundleFilesTest, FindsALinkThatReplacedAFileAfterTheFolderWasChecked) {
  const BundleFolder checked = open();
  std::filesystem::remove(path / kModelName);
  std::filesystem::create_symlink("manifest.json", path / kModelName);
  expect_error(checked.open_file(kModelName), Code::kDataCorrupt, "expected a regular file, got a symbolic link");
}

TEST_F(BundleFilesTest, FindsAPipeThatReplacedAFileAfterTheFolderWasChecked) {
  const BundleFolder checked = open();
  std::filesystem::remove(path / kModelName);
  ASSERT_EQ(::mkfifo((path / kModelName).c_str(), 0600), 0);
  expect_error(checked.open_file(kModelName), Code::kDataCorrupt, "expected a regular file, got something else");
}

TEST_F(BundleFilesTest, FindsASocketThatReplacedAFileAfterTheFolderWasChecked) {
  const BundleFolder checked = open();
  std::filesystem::remove(path / kModelName);
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string name = (path / kModelName).string();
  ASSERT_LT(name.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, name.c_str(), name.size());
  ASSERT_EQ(::bind(socket.get(), static_cast<const sockaddr*>(static_cast<const void*>(&address)), sizeof address), 0);
  expect_error(checked.open_file(kModelName), Code::kNotFound, "model.pb: cannot be opened: ");
}

TEST_F(BundleFilesTest, FindsAFileInPlaceOfAFolder) {
  expect_error(open().open_file("model.pb/inputs.npy"), Code::kDataCorrupt, "expected a folder, got something else");
}

TEST_F(BundleFilesTest, RefusesAManifestThatIsFarTooLarge) {
  std::filesystem::resize_file(path / kManifestName, (std::uintmax_t{64} << 20) + 1);  // a sparse file
  expect_error(Bundle::load(path), Code::kDataCorrupt, "manifest.json: expected at most 67108864 bytes, got 67108865");
}

#ifndef VIALSIGHT_SANITIZED  // UndefinedBehaviorSanitizer needs descriptors of its own
// Allows as many more descriptors as it is told to, for as long as it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(int more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const FileDescriptor next(::open("/", O_RDONLY | O_CLOEXEC));
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(next.get() + more);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(BundleFilesTest, ReportsThatThereAreNoDescriptorsForTheFolder) {
  const DescriptorLimit limit(0);
  expect_error(BundleFolder::open(path), Code::kNotFound, "no bundle folder here: ");
}

TEST_F(BundleFilesTest, ReportsThatThereAreNoDescriptorsToListTheFolder) {
  const BundleFolder bundle = open();
  const DescriptorLimit limit(0);
  const Status status = bundle.check_contents({});
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("cannot be listed: "));
}

TEST_F(BundleFilesTest, ReportsThatThereAreNoDescriptorsToListTheGoldenFolder) {
  const BundleFolder bundle = open();
  std::vector<std::string> names;
  for (const auto& [name, bytes] : BundleWriter().files) names.push_back(name);
  const DescriptorLimit limit(1);
  const Status status = bundle.check_contents(names);
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("golden/.: cannot be listed: "));
}

#endif

// A debugger or a profiler interrupts reads with signals.
TEST_F(BundleFilesTest, ReadsOnAfterASignal) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};  // without SA_RESTART: read returns EINTR
  struct sigaction before = {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  int ends[2] = {};
  ASSERT_EQ(::pipe(ends), 0);
  const pthread_t reader = ::pthread_self();
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ::pthread_kill(reader, SIGUSR1);
    }
    EXPECT_EQ(::write(ends[1], "four", 4), 4);
    ::close(ends[1]);
  });
  const Result<std::vector<std::byte>> bytes = read_all(OpenFile{FileDescriptor(ends[0]), "pipe", 4});
  writer.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_TRUE(bytes.ok()) << bytes.status().message();
  EXPECT_THAT(bytes.value(), SizeIs(4));
}

}  // namespace
}  // namespace vialsight::test
