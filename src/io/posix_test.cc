// The real file system behind io/directory.h, in a directory under /tmp.
#include "io/posix.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::io {
namespace {

class Posix : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-io-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    directory_ = std::move(*open_directory(root_ + "/data"));
  }

  void TearDown() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<File> create(const std::string& name) {
    return std::move(*directory_->open(name, OpenMode::create_new));
  }

  std::string root_;
  std::unique_ptr<Directory> directory_;
};

mode_t mode_of(const std::string& path) {
  struct stat facts{};
  EXPECT_EQ(::stat(path.c_str(), &facts), 0);
  return facts.st_mode & 07777;
}

TEST_F(Posix, DirectoriesAreMadeWithTheirParentsForTheOwnerAlone) {
  ASSERT_TRUE(open_directory(root_ + "/a/b/c/"));
  for (const char* made : {"/a", "/a/b", "/a/b/c"})
    EXPECT_EQ(mode_of(root_ + made), 0700u);
  EXPECT_TRUE(open_directory(root_ + "/a/b/c"));
}

TEST_F(Posix, AFileInTheWayIsNamed) {
  create("file");
  const auto opened = open_directory(root_ + "/data/file/sub");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message,
            "cannot create directory " + root_ + "/data/file/sub: Not a directory");
  EXPECT_FALSE(open_directory(""));
  EXPECT_FALSE(open_existing_directory(root_ + "/none"));
}

TEST_F(Posix, FilesAreForTheOwnerAlone) {
  create("file");
  EXPECT_EQ(mode_of(root_ + "/data/file"), 0600u);
}

TEST_F(Posix, BytesComeBackAndReadsEndAtTheEnd) {
  const auto file = create("file");
  ASSERT_TRUE(file->write_at(10, "hello"));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(*file->size(), 15u);
  file->forget_cache();
  char bytes[32];
  EXPECT_EQ(*file->read_at(10, bytes, sizeof bytes), 5u);
  EXPECT_EQ(std::string(bytes, 5), "hello");
  EXPECT_EQ(*file->read_at(100, bytes, sizeof bytes), 0u);
}

TEST_F(Posix, AllocationExtendsWithZerosAndKeepsWhatIsThere) {
  const auto file = create("file");
  ASSERT_TRUE(file->write_at(0, "x"));
  ASSERT_TRUE(file->allocate(1 << 20));
  EXPECT_EQ(*file->size(), 1u << 20);
  ASSERT_TRUE(file->allocate(100));
  EXPECT_EQ(*file->size(), 1u << 20);
  char bytes[2];
  EXPECT_EQ(*file->read_at(0, bytes, 2), 2u);
  EXPECT_EQ(bytes[0], 'x');
  EXPECT_EQ(bytes[1], '\0');
  ASSERT_TRUE(file->truncate(1));
  EXPECT_EQ(*file->size(), 1u);
}

TEST_F(Posix, OpenModesAreKept) {
  EXPECT_FALSE(directory_->open("file", OpenMode::read_write));
  EXPECT_FALSE(directory_->open("file", OpenMode::read_only));
  create("file");
  const auto again = directory_->open("file", OpenMode::create_new);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, "cannot create " + root_ + "/data/file: File exists");
  const auto readable = directory_->open("file", OpenMode::read_only);
  const auto written = (*readable)->write_at(0, "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::io);
  EXPECT_NE(written.error().message.find("file: Bad file descriptor"), std::string::npos);
}

TEST_F(Posix, NamesAreListedRenamedAndRemoved) {
  create("b");
  create("a");
  EXPECT_EQ(*directory_->list(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(directory_->rename("a", "c"));
  ASSERT_TRUE(directory_->remove("b"));
  ASSERT_TRUE(directory_->sync());
  EXPECT_EQ(*directory_->list(), std::vector<std::string>{"c"});
  EXPECT_FALSE(directory_->remove("b"));
  EXPECT_FALSE(directory_->rename("b", "d"));
}

TEST_F(Posix, TheLockIsHeldOnceAndNamesItsHolder) {
  ASSERT_TRUE(directory_->lock());
  const auto second = open_directory(root_ + "/data");
  const Result<void> refused = (*second)->lock();
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("in use by process " + std::to_string(::getpid())),
            std::string::npos)
      << refused.error().message;
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  directory_.reset();
  EXPECT_TRUE((*second)->lock());
}

TEST_F(Posix, WhoeverReadsSharesTheLockAndIsNotTakenForItsLastHolder) {
  ASSERT_TRUE(directory_->lock());
  directory_.reset();
  const int reader = ::open((root_ + "/data/LOCK").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(reader, LOCK_SH | LOCK_NB), 0);
  const auto second = open_directory(root_ + "/data");
  const Result<void> refused = (*second)->lock();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_NE(refused.error().message.find("being read"), std::string::npos)
      << refused.error().message;
  ::close(reader);
  EXPECT_TRUE((*second)->lock());
}

TEST_F(Posix, WhatIsOnlyReservedLiesBehindTheEndOfTheData) {
  const std::unique_ptr<File> file = create("a");
  ASSERT_TRUE(file->allocate(8u << 20));
  ASSERT_TRUE(file->write_at(100'000, "here"));
  const Result<std::uint64_t> before_sync = file->data_end();
  ASSERT_TRUE(before_sync);
  EXPECT_GE(*before_sync, 100'004u);
  ASSERT_TRUE(file->sync());
  file->forget_cache();
  const Result<std::uint64_t> end = file->data_end();
  ASSERT_TRUE(end);
  EXPECT_GE(*end, 100'004u);
  EXPECT_LE(*end, 8u << 20);
  ASSERT_TRUE(file->write_at(8u << 20, "beyond"));
  EXPECT_EQ(*file->data_end(), (8u << 20) + 6);
}

TEST_F(Posix, FreeSpaceIsKnown) {
  EXPECT_GT(*directory_->free_bytes(), 0u);
}

TEST(SystemClock, RunsForwardsAndKnowsTheCentury) {
  SystemClock clock;
  const Duration before = clock.since_boot();
  EXPECT_GT(before.count(), 0);
  EXPECT_GE(clock.since_boot(), before);
  EXPECT_GT(clock.wall().time_since_epoch(), std::chrono::hours(24 * 365) * 50);
}

}  // namespace
}  // namespace sluice::io
