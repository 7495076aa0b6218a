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

TEST(Memory, ForgettingTheFrontKeepsThePageInWhichItEnds) {
  MemoryDirectory directory;
  const auto file = create(directory, "file");
  const std::string page(4096, 'a');
  ASSERT_TRUE(file->write_at(0, page + "end"));
  directory.fail_at(Call::sync, 1);
  EXPECT_FALSE(file->sync());  // The pages are clean now and not on the device.
  file->forget_front(page.size() + 3);
  EXPECT_EQ(directory.content("file"), std::string(4096, '\0') + "end");
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

TEST(Memory, AListingAndASizeCanFailToo) {
  MemoryDirectory directory;
  const auto file = create(directory, "file");
  directory.fail_at(Call::list, 1);
  EXPECT_FALSE(directory.list());
  EXPECT_TRUE(directory.list());
  directory.fail_at(Call::size, 2);
  EXPECT_TRUE(file->size());
  EXPECT_FALSE(file->data_end());
  EXPECT_TRUE(file->size());
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

TEST(Memory, AnAccidentStopsTheCallInTheMiddleAndEveryLaterOne) {
  std::set<std::size_t> written;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MemoryDirectory directory;
    const auto file = create(directory, "file");
    directory.stop_at(2, MemoryDirectory::Accident::kill, seed);
    ASSERT_TRUE(file->write_at(0, "0123456789"));
    EXPECT_FALSE(directory.is_down());
    EXPECT_FALSE(file->write_at(10, "0123456789"));
    EXPECT_TRUE(directory.is_down());
    EXPECT_FALSE(file->write_at(20, "0123456789"));
    EXPECT_FALSE(directory.open("file", OpenMode::read_only));
    EXPECT_FALSE(directory.remove("file"));
    EXPECT_FALSE(directory.sync());
    directory.restart();
    EXPECT_TRUE(directory.open("file", OpenMode::read_only));
    written.insert(directory.content("file").size());
  }
  EXPECT_GT(written.size(), 3u);
  EXPECT_GE(*written.begin(), 10u);
  EXPECT_LE(*written.rbegin(), 20u);
}

TEST(Memory, PowerLostWithinASyncLeavesItDoneOrNot) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MemoryDirectory directory;
    directory.put("file", std::string(512, 'a'));
    const auto file = std::move(*directory.open("file", OpenMode::read_write));
    ASSERT_TRUE(file->write_at(0, std::string(512, 'b')));
    directory.stop_at(1, MemoryDirectory::Accident::power_loss, seed);
    EXPECT_FALSE(file->sync());
    found.insert(directory.content("file"));
  }
  EXPECT_TRUE(found.contains(std::string(512, 'a')));
  EXPECT_TRUE(found.contains(std::string(512, 'b')));
}

TEST(Memory, ASyncThatLiesLeavesWhatPowerLossTakes) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MemoryDirectory directory;
    directory.put("file", std::string(512, 'a'));
    const auto file = std::move(*directory.open("file", OpenMode::read_write));
    directory.lie_at(MemoryDirectory::Lie::nothing_durable, 1, seed);
    ASSERT_TRUE(file->write_at(0, std::string(512, 'b')));
    EXPECT_TRUE(file->sync());
    EXPECT_EQ(directory.lies(), 1u);
    directory.crash(seed);
    found.insert(directory.content("file"));
  }
  EXPECT_TRUE(found.contains(std::string(512, 'a')));
}

TEST(Memory, AStaleSectorReadsAsNewUntilTheCacheIsForgotten) {
  MemoryDirectory directory;
  directory.put("file", std::string(1024, 'a'));
  const auto file = std::move(*directory.open("file", OpenMode::read_write));
  directory.lie_at(MemoryDirectory::Lie::stale_sector, 1, 7);
  ASSERT_TRUE(file->write_at(0, std::string(1024, 'b')));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(directory.content("file"), std::string(1024, 'b'));
  directory.crash(1);
  const std::string half(512, 'a');
  const std::string rest(512, 'b');
  const std::string content = directory.content("file");
  EXPECT_TRUE(content == half + rest || content == rest + half);
}

TEST(Memory, AMisplacedSectorLandsInTheWrongPlace) {
  std::set<std::string> victims;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MemoryDirectory directory;
    directory.put("file", std::string(512, 'a'));
    directory.put("other", std::string(512, 'c'));
    const auto file = std::move(*directory.open("file", OpenMode::read_write));
    directory.lie_at(MemoryDirectory::Lie::misplaced_sector, 1, seed);
    ASSERT_TRUE(file->write_at(0, std::string(512, 'b')));
    ASSERT_TRUE(file->sync());
    directory.crash(seed);
    EXPECT_EQ(directory.content("file"), std::string(512, 'a'));
    victims.insert(directory.content("other"));
  }
  EXPECT_TRUE(victims.contains(std::string(512, 'b')));
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
