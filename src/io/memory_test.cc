// The memory directory keeps to its model: what was synced stays, the rest meets its fate.
#include "io/memory.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace sluice::io {
namespace {

using Call = MemoryDirectory::Call;

std::unique_ptr<File> create(MemoryDirectory& directory, const std::string& name) {
  return std::move(*directory.open(name, OpenMode::create_new));
}

TEST(Memory, WhatIsSyncedSurvivesEveryPowerLoss) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    MemoryDirectory directory;
    const auto file = create(directory, "file");
    ASSERT_TRUE(file->write_at(0, std::string(2000, 'a')));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(directory.sync());
    ASSERT_TRUE(file->write_at(2000, std::string(2000, 'b')));
    directory.crash(seed);
    EXPECT_EQ(directory.content("file").substr(0, 2000), std::string(2000, 'a'));
  }
}

TEST(Memory, WhatIsNotSyncedIsKeptDroppedAndTornInTurn) {
  std::set<std::string> fates;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    MemoryDirectory directory;
    const auto file = create(directory, "file");
    ASSERT_TRUE(file->allocate(512));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(directory.sync());
    ASSERT_TRUE(file->write_at(0, std::string(512, 'b')));
    directory.crash(seed);
    const std::string content = directory.content("file");
    fates.insert(content == std::string(512, 'b')    ? "kept"
                 : content == std::string(512, '\0') ? "dropped"
                                                     : "torn");
  }
  EXPECT_EQ(fates.size(), 3u);
}

TEST(Memory, NamesAreDurableAfterADirectorySyncOnly) {
  std::set<bool> is_there;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MemoryDirectory directory;
    const auto file = create(directory, "file");
    ASSERT_TRUE(file->sync());
    directory.crash(seed);
    is_there.insert(directory.contains("file"));
  }
  EXPECT_EQ(is_there.size(), 2u);
}

TEST(Memory, AFailedSyncLeavesPagesThatReadAsNewUntilTheCacheIsForgotten) {
  MemoryDirectory directory;
  const auto file = create(directory, "file");
  ASSERT_TRUE(file->write_at(0, "old"));
  ASSERT_TRUE(file->sync());
  ASSERT_TRUE(file->write_at(0, "new"));
  directory.fail_at(Call::sync, 1);
  EXPECT_FALSE(file->sync());
  EXPECT_TRUE(file->sync()) << "the second one lies, as Linux does";
  EXPECT_EQ(directory.content("file"), "new");
  file->forget_cache();
  EXPECT_EQ(directory.content("file"), "old");
}

TEST(Memory, TheNthCallFailsOnceOrFromThenOn) {
  MemoryDirectory directory;
  const auto file = create(directory, "file");
  directory.fail_at(Call::write, 2);
  EXPECT_TRUE(file->write_at(0, "a"));
  EXPECT_FALSE(file->write_at(0, "a"));
  EXPECT_TRUE(file->write_at(0, "a"));
  directory.fail_at(Call::write, 1, true);
  EXPECT_FALSE(file->write_at(0, "a"));
  EXPECT_FALSE(file->write_at(0, "a"));
  directory.clear_faults();
  EXPECT_TRUE(file->write_at(0, "a"));
}

TEST(Memory, AFullDiskTakesWhatFitsAndOverwritesGoOn) {
  MemoryDirectory directory;
  directory.set_capacity(1000);
  const auto file = create(directory, "file");
  EXPECT_TRUE(file->allocate(900));
  EXPECT_FALSE(file->allocate(1100));
  const Result<void> written = file->write_at(800, std::string(300, 'x'));
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("No space left"), std::string::npos);
  EXPECT_EQ(*file->size(), 1000u);
  EXPECT_TRUE(file->write_at(0, std::string(1000, 'y')));
  EXPECT_EQ(*directory.free_bytes(), 0u);
}

TEST(Memory, FilesOfAnEarlierLifeAreDead) {
  MemoryDirectory directory;
  const auto file = create(directory, "file");
  ASSERT_TRUE(directory.lock());
  EXPECT_FALSE(directory.lock());
  directory.kill();
  EXPECT_FALSE(file->write_at(0, "x"));
  EXPECT_TRUE(directory.contains("file"));
  EXPECT_TRUE(directory.lock());
}

}  // namespace
}  // namespace sluice::io
