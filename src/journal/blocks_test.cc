// Reading back from segment files: in order, out of order, across blocks, from more files than are
// kept open, and what is said when the disk gives nothing or too little.
#include "journal/blocks.h"

#include "io/memory.h"
#include "journal/format.h"

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

using Call = io::MemoryDirectory::Call;

constexpr std::uint32_t block = 256u << 10;  // As blocks.cc reads them.
constexpr std::uint32_t file_bytes = 5 * block;

class Blocks : public testing::Test {
 protected:
  Blocks() {
    content_.reserve(file_bytes);
    while (content_.size() < file_bytes)
      content_ += std::to_string(content_.size()) + ' ';
    content_.resize(file_bytes);
    write(1, content_);
  }

  void write(std::uint32_t segment, ByteView bytes) {
    auto file = directory_.open(segment_name(segment), io::OpenMode::create_new);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, bytes));
  }

  /// Whether the reader gives what is in the file there.
  bool reads(std::uint32_t offset, std::size_t size, std::uint32_t segment = 1) {
    const Result<ByteView> bytes = reader_.read(Position(segment, offset), size, file_bytes);
    return bytes && *bytes == ByteView(content_).substr(offset, size);
  }

  ErrorCode problem(std::uint32_t offset, std::size_t size, std::uint32_t segment = 1) {
    const Result<ByteView> bytes = reader_.read(Position(segment, offset), size, file_bytes);
    EXPECT_FALSE(bytes);
    return bytes ? ErrorCode::arg : bytes.error().code;
  }

  io::MemoryDirectory directory_;
  BlockReader reader_{directory_};
  std::string content_;
};

TEST_F(Blocks, GoingThroughAFileInOrderReadsEachBlockOnce) {
  constexpr std::uint32_t step = 1000;  // No divisor of a block: some records lie across two.
  ASSERT_TRUE(reads(0, step));
  ASSERT_TRUE(reads(step, step));
  // The first block is there now, and each further one is read once.
  for (std::uint32_t at = 2 * step; at + step <= file_bytes; at += step)
    ASSERT_TRUE(reads(at, step)) << at;
}

TEST_F(Blocks, OutOfOrderAndLargeRecordsComeWholeToo) {
  EXPECT_TRUE(reads(3 * block + 17, 100));
  EXPECT_TRUE(reads(block - 50, 100));           // across two blocks, neither of which is there
  EXPECT_TRUE(reads(10, file_bytes - 20));       // across all
  EXPECT_TRUE(reads(0, 100) && reads(100, 50));  // now the first block is
  EXPECT_TRUE(reads(block - 50, 100));
  EXPECT_TRUE(reads(block - 50, 2 * block));
}

TEST_F(Blocks, MoreFilesAndBlocksThanAreKeptAreReadAgain) {
  constexpr std::uint32_t files = 40;
  for (std::uint32_t segment = 2; segment <= files; ++segment)
    write(segment, content_);
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t segment = 1; segment <= files; ++segment)
      ASSERT_TRUE(reads(100, 100, segment)) << segment;
  }
}

TEST_F(Blocks, AFileThatGrewIsReadAgain) {
  write(2, ByteView(content_).substr(0, 1000));
  const auto read = [this](std::uint32_t offset, std::uint32_t written_end) {
    return reader_.read(Position(2, offset), 100, written_end).has_value();
  };
  EXPECT_TRUE(read(0, 1000));
  EXPECT_TRUE(read(500, 1000));  // The block is here with 1,000 bytes.
  auto file = directory_.open(segment_name(2), io::OpenMode::read_write);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(1000, ByteView(content_).substr(1000, 1000)));
  EXPECT_TRUE(read(1900, 2000));
}

TEST_F(Blocks, WhatIsForgottenIsReadFromTheFileAgain) {
  EXPECT_TRUE(reads(0, 100) && reads(100, 100));
  ASSERT_TRUE(directory_.remove(segment_name(1)));
  EXPECT_TRUE(reads(200, 100));  // from the block in memory
  reader_.forget(1);
  EXPECT_EQ(problem(200, 100), ErrorCode::io);
}

TEST_F(Blocks, AFileThatIsTooShortIsCorruptionWithItsPlace) {
  write(2, ByteView(content_).substr(0, 1000));
  EXPECT_EQ(problem(950, 100, 2), ErrorCode::corrupt);  // alone
  EXPECT_EQ(problem(950, 100, 2), ErrorCode::corrupt);  // as a block
  const Result<ByteView> bytes = reader_.read(Position(2, 950), 100, file_bytes);
  ASSERT_FALSE(bytes);
  EXPECT_NE(bytes.error().message.find(segment_name(2)), std::string::npos);
  write(3, ByteView(content_).substr(0, block + 10));
  ASSERT_TRUE(reads(0, 100, 3) && reads(100, 100, 3));
  EXPECT_EQ(problem(block - 50, 100, 3), ErrorCode::corrupt);  // the second of two blocks
}

TEST_F(Blocks, WhatTheDiskSaysIsTold) {
  directory_.fail_at(Call::open, 1);
  EXPECT_EQ(problem(0, 100), ErrorCode::io);  // alone
  directory_.fail_at(Call::open, 1);
  EXPECT_EQ(problem(0, 100), ErrorCode::io);  // as a block
  directory_.fail_at(Call::read, 1);
  EXPECT_EQ(problem(0, 100), ErrorCode::io);
  directory_.fail_at(Call::read, 1);
  EXPECT_EQ(problem(3 * block, 100), ErrorCode::io);
  directory_.clear_faults();
  EXPECT_TRUE(reads(0, 100));
  directory_.fail_at(Call::read, 1);
  EXPECT_EQ(problem(block - 50, 100), ErrorCode::io);  // the second of two blocks
  directory_.clear_faults();
  EXPECT_TRUE(reads(block - 50, 100));
}

TEST_F(Blocks, AReaderThatGoesOnToTheNextBlockReadsItWhole) {
  EXPECT_TRUE(reads(0, 100));           // alone
  EXPECT_TRUE(reads(block + 17, 100));  // somebody was in the block before: the whole block
  directory_.clear_faults();
  EXPECT_TRUE(reads(block + 1000, 100) && reads(2 * block - 50, 50));
  EXPECT_EQ(directory_.calls(Call::read), 0u);
  EXPECT_TRUE(reads(2 * block + 17, 100));  // the block before is here: this one, too
  directory_.clear_faults();
  EXPECT_TRUE(reads(2 * block + 1000, 100));
  EXPECT_EQ(directory_.calls(Call::read), 0u);
}

}  // namespace
}  // namespace sluice::journal
