// Inspectors and the processes that fork() makes: refused there with a sentence, and never at the parent's cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "forked.h"
#include "vialsight/handshake.h"
#include "worker_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Clock::time_point kNoDeadline = Clock::time_point::max();

std::string text_of(const Status& status) { return std::string(name_of(status.code())) + ": " + status.message(); }
std::string text_of(const StripVerdict& verdict) {
  return std::string(name_of(verdict.verdict)) + " " + name_of(verdict.reason);
}

// Both isolations, on the backend module that reconstructs every patch as itself unless told otherwise.
class ForkTest : public WorkerTest, public ::testing::WithParamInterface<Isolation> {
 protected:
  ForkTest() { options.isolation = GetParam(); }
  // The parent inspects as before, its worker is the one it had, and was not started again.
  void expect_unharmed(Inspector& inspector, const Health& before) {
    for (int strip = 0; strip < 3; ++strip) {
      EXPECT_EQ(inspect(inspector, 0, kAmple).verdict, Verdict::kAccept);
    }
    const Health health = inspector.health();
    EXPECT_TRUE(health.ready);
    EXPECT_EQ(health.worker_pid, before.worker_pid);
    EXPECT_EQ(health.restarts, 0U);
    EXPECT_EQ(health.last_fault, "");
  }
  void expect_refused(const std::function<std::string(Inspector&)>& use, const ::testing::Matcher<std::string>& text) {
    SKIP_WITH_A_SANITIZER();
    Inspector inspector = create();
    const Health before = inspector.health();
    EXPECT_THAT(in_child([&] { return use(inspector); }), text);
    expect_unharmed(inspector, before);
  }
};

INSTANTIATE_TEST_SUITE_P(Isolations, ForkTest, ::testing::Values(Isolation::kInProcess, Isolation::kWorker),
                         name_of_isolation);

TEST_P(ForkTest, UsableSaysWhy) {
  expect_refused([](Inspector& inspector) { return text_of(inspector.usable()); },
                 AllOf(kNamesTheFork, HasSubstr("failed_precondition")));
}

TEST_P(ForkTest, UsableIsOkInTheProcessThatMadeIt) { EXPECT_TRUE(create().usable().ok()); }

TEST_P(ForkTest, OpenIsRefused) {
  expect_refused([](Inspector& inspector) { return text_of(inspector.open(1, kNoDeadline)); }, kNamesTheFork);
}

TEST_P(ForkTest, SubmitIsRefused) {
  expect_refused(
      [](Inspector& inspector) {
        const Image pixels = image(0);
        return text_of(inspector.submit(0, view(pixels))) + text_of(inspector.submit(0, view(pixels), FrameStamp{}));
      },
      kNamesTheFork);
}

TEST_P(ForkTest, InspectAndCloseReject) {
  expect_refused(
      [](Inspector& inspector) {
        const Image pixels = image(0);
        const FrameView frames[] = {view(pixels), view(pixels)};
        return text_of(inspector.inspect(1, frames, kNoDeadline)) + "; " + text_of(inspector.close());
      },
      "reject not_ready; reject not_ready");
}

TEST_P(ForkTest, ScoresAndMapsAreRefused) {
  expect_refused(
      [](Inspector& inspector) {
        return text_of(inspector.score_patches({}, {}, 0, {})) + text_of(inspector.map(0, 0, 0, {})) +
               (inspector.images(0, 0, 0).has_value() ? "images" : "no images");
      },
      AllOf(HasSubstr("score_patches: this Inspector was made by process"), HasSubstr("map: this Inspector was made"),
            HasSubstr("no images")));
}

TEST_P(ForkTest, HealthSaysWhy) {
  expect_refused(
      [](Inspector& inspector) {
        const Health health = inspector.health();
        const bool nothing = !health.ready && !inspector.ready() && health.worker_pid == 0 && health.heartbeat == 0 &&
                             inspector.heartbeat() == 0 && inspector.statistics().strips == 0;
        return health.last_fault + (nothing ? " nothing" : " something");
      },
      AllOf(kNamesTheFork, HasSubstr(" nothing")));
}

TEST_P(ForkTest, TheBundleCanBeRead) {
  expect_refused([](Inspector& inspector) { return inspector.bundle().name(); }, "small");
}

TEST_P(ForkTest, TheDestructorLeavesTheParentAlone) {
  SKIP_WITH_A_SANITIZER();
  auto inspector = std::make_unique<Inspector>(create());
  const Health before = inspector->health();
  EXPECT_EQ(in_child([&] {
              inspector.reset();
              return std::string("gone");
            }),
            "gone");
  expect_unharmed(*inspector, before);
}

TEST_P(ForkTest, AssigningOverItLeavesTheParentAlone) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  EXPECT_EQ(in_child([&] {
              Inspector moved = std::move(inspector);
              inspector = create();  // over nothing
              moved = create();      // over the parent's
              return text_of(inspect(moved, 0, kAmple)) + "; " + text_of(inspect(inspector, 0, kAmple));
            }),
            "accept none; accept none");
  expect_unharmed(inspector, before);
}

// With what a library registers for it, as a program that calls exit().
TEST_P(ForkTest, AnOrdinaryEndLeavesTheParentAlone) {
  SKIP_WITH_A_SANITIZER();
  static std::optional<Inspector> inspector;
  inspector.emplace(create());
  const Health before = inspector->health();
  EXPECT_EQ(in_child([] { return std::string("told"); }, Ending::kOrdinary), "told");
  expect_unharmed(*inspector, before);
  inspector.reset();
}

TEST_P(ForkTest, ManyChildrenAreRefused) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(in_child([&] { return text_of(inspector.open(1, kNoDeadline)); }), kNamesTheFork);
  }
  expect_unharmed(inspector, before);
}

TEST_P(ForkTest, AGrandchildIsRefused) {
  expect_refused(
      [](Inspector& inspector) { return in_child([&inspector] { return text_of(inspector.open(1, kNoDeadline)); }); },
      kNamesTheFork);
}

TEST_P(ForkTest, AChildOfAnotherThreadIsRefused) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  std::string text;
  std::thread([&] { text = in_child([&] { return text_of(inspector.open(1, kNoDeadline)); }); }).join();
  EXPECT_THAT(text, kNamesTheFork);
  expect_unharmed(inspector, before);
}

// Its own locks are held by threads that do not come along.
TEST_P(ForkTest, AForkInTheMiddleOfInspectionsIsRefused) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  std::atomic<bool> done = false;
  std::thread inspecting([&] {
    while (!done) EXPECT_EQ(inspect(inspector, 0, kAmple).verdict, Verdict::kAccept);
  });
  for (int i = 0; i < 30; ++i) {
    EXPECT_THAT(in_child([&] {
                  (void)inspector.statistics();
                  return inspector.health().last_fault + text_of(inspector.score_patches({}, {}, 0, {}));
                }),
                kNamesTheFork);
  }
  done = true;
  inspecting.join();
  expect_unharmed(inspector, before);
}

TEST_P(ForkTest, AnOpenSlotOfTheParentStaysOpen) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Image pixels = image(0);
  ASSERT_TRUE(inspector.open(7, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(0, view(pixels)).ok());
  EXPECT_THAT(in_child([&] { return text_of(inspector.close()); }), "reject not_ready");
  ASSERT_TRUE(inspector.submit(1, view(pixels)).ok());
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.strip_id, 7U);
}

TEST_P(ForkTest, AChildMakesItsOwn) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  EXPECT_EQ(in_child([&] {
              Inspector own = create();
              return text_of(inspect(own, 0, kAmple)) + (own.usable().ok() ? "" : " not usable");
            }),
            "accept none");
  expect_unharmed(inspector, before);
}

TEST_P(ForkTest, AForkBeforeItIsFine) {
  SKIP_WITH_A_SANITIZER();
  EXPECT_EQ(in_child([&] {
              Inspector inspector = create();
              return text_of(inspect(inspector, 0, kAmple));
            }),
            "accept none");
}

// exec replaces all that was copied; what the program inherits are descriptors that are not close-on-exec.
TEST_P(ForkTest, AProgramStartedWithExecIsFine) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  const pid_t child = ::vfork();
  if (child == 0) {
    ::execl("/bin/true", "true", nullptr);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  expect_unharmed(inspector, before);
}

TEST_P(ForkTest, AHandshakeIsRefused) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  const Health before = inspector.health();
  Handshake handshake = Handshake::create(inspector).value();
  const Image pixels = image(0);
  EXPECT_THAT(in_child([&] {
                return text_of(handshake.trigger(1, kNoDeadline)) + text_of(handshake.submit(0, view(pixels))) +
                       text_of(handshake.acknowledge(1)) + text_of(handshake.finish()) +
                       text_of(Handshake::create(inspector).status());
              }),
              AllOf(HasSubstr("trigger: this Handshake was made by process"), HasSubstr("submit: this Handshake"),
                    HasSubstr("acknowledge: this Handshake"), HasSubstr("reject not_ready"),
                    HasSubstr("Handshake: this Inspector was made"), kNamesTheFork));
  expect_unharmed(inspector, before);
}

// A child that polls the signals of its copy must not take an old accept for a new one.
TEST_P(ForkTest, AHandshakeShowsNoOldResult) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  Handshake handshake = Handshake::create(inspector).value();
  const Image pixels = image(0);
  ASSERT_TRUE(handshake.trigger(1, kNoDeadline).ok());
  ASSERT_TRUE(handshake.submit(0, view(pixels)).ok());
  ASSERT_TRUE(handshake.submit(1, view(pixels)).ok());
  ASSERT_EQ(handshake.finish().verdict, Verdict::kAccept);
  EXPECT_EQ(in_child([&] {
              const bool zero = handshake.signals() == Signals{} && handshake.counters() == HandshakeCounters{};
              return std::string(zero ? "nothing" : "something");
            }),
            "nothing");
  EXPECT_TRUE(handshake.signals().accept);
  EXPECT_TRUE(handshake.acknowledge(1).ok());
}

TEST_P(ForkTest, ABusyHandshakeIsDestroyedInAChild) {
  SKIP_WITH_A_SANITIZER();
  Inspector inspector = create();
  std::optional<Handshake> handshake = Handshake::create(inspector).value();
  const Image pixels = image(0);
  ASSERT_TRUE(handshake->trigger(1, kNoDeadline).ok());
  ASSERT_TRUE(handshake->submit(0, view(pixels)).ok());
  EXPECT_EQ(in_child([&] {
              handshake.reset();
              return std::string("gone");
            }),
            "gone");
  ASSERT_TRUE(handshake->submit(1, view(pixels)).ok());
  EXPECT_EQ(handshake->finish().verdict, Verdict::kAccept);
}

}  // namespace
}  // namespace vialsight::test
