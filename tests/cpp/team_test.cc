#include "base/team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "allocation_counter.h"

namespace vialsight::test {
namespace {

TEST(TeamTest, DoesEveryTaskOnce) {
  for (const std::size_t members : {1U, 2U, 5U}) {
    Team team(members);
    EXPECT_EQ(team.members(), members);
    for (const std::size_t tasks : {0U, 1U, 2U, 20U, 1000U, 3U}) {
      std::vector<std::atomic<int>> done(tasks);
      team.run(tasks, [&](std::size_t task, std::size_t) { ++done[task]; });
      EXPECT_THAT(done, ::testing::Each(::testing::Eq(1)));
    }
  }
}

TEST(TeamTest, AMemberHasOneTaskAtATime) {
  Team team(4);
  std::vector<std::atomic<int>> at_work(team.members());
  std::atomic<bool> shared = false;
  for (int round = 0; round < 200; ++round) {
    team.run(16, [&](std::size_t, std::size_t member) {
      if (++at_work.at(member) != 1) shared = true;
      std::this_thread::yield();
      --at_work.at(member);
    });
  }
  EXPECT_FALSE(shared);
}

// Two tasks that wait for each other end only where two threads have them.
TEST(TeamTest, MembersWorkSideBySide) {
  Team team(2);
  std::mutex mutex;
  std::condition_variable met;
  std::set<std::thread::id> here;
  team.run(2, [&](std::size_t, std::size_t) {
    std::unique_lock lock(mutex);
    here.insert(std::this_thread::get_id());
    met.notify_all();
    met.wait(lock, [&] { return here.size() == 2; });
  });
  EXPECT_EQ(here.size(), 2U);
}

TEST(TeamTest, WhatTasksWroteIsThereAfterwards) {
  Team team(3);
  std::vector<std::size_t> values(64);
  for (std::size_t round = 1; round <= 500; ++round) {
    team.run(values.size(), [&](std::size_t task, std::size_t) { values[task] += round; });
  }
  EXPECT_THAT(values, ::testing::Each(500U * 501U / 2U));
}

TEST(TeamTest, DoesNotAllocate) {
  Team team(2);
  std::atomic<int> sum = 0;
  team.run(4, [&](std::size_t, std::size_t) { ++sum; });
  start_counting_allocations();
  for (int round = 0; round < 10; ++round) team.run(8, [&](std::size_t, std::size_t) { ++sum; });
  EXPECT_EQ(stop_counting_allocations(), 0);
  EXPECT_EQ(sum, 84);
}

}  // namespace
}  // namespace vialsight::test
