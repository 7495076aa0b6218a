// Verifying a segment of a log that is in use: scrubbing. What recovery and check.cc do for a log
// at rest, without stopping anyone.
#include "journal/log.h"
#include "journal/scan.h"

#include <array>

namespace sluice::journal {
namespace {

constexpr std::uint64_t report_bytes = 1u << 20;

tl::unexpected<Error> damaged(const io::Directory& directory,
                              std::uint32_t segment,
                              std::uint64_t offset,
                              const std::string& what) {
  return damaged_at(directory,
                    segment,
                    offset,
                    what +
                        "; take a backup now, then stop the server and let `sluice check` show "
                        "what is left");
}

}  // namespace

Result<void> verify_segment(io::Directory& directory,
                            const Log::Extent& extent,
                            const OnVerified& on_verified) {
  Result<std::unique_ptr<io::File>> file = directory.open(extent.file, io::OpenMode::read_only);
  if (!file) return tl::unexpected<Error>(file.error());
  (*file)->forget_front(extent.bytes);
  std::array<char, segment_header_bytes> head{};
  const Result<std::size_t> got = (*file)->read_at(0, head.data(), head.size());
  if (!got) return tl::unexpected<Error>(got.error());
  const std::uint32_t number = segment_number(extent.file).value_or(0);
  check(number != 0);
  const DecodedHeader decoded = decode_header({head.data(), *got}, number);
  if (decoded.state != HeaderState::valid) {
    return damaged(directory, number, 0, "its header fails its checksum");
  }
  const auto end = static_cast<std::uint32_t>(extent.bytes);
  FrameScanner scanner(**file,
                       {segment_salt(decoded.header.log_id, number), segment_header_bytes, end},
                       decoded.header.first_sequence);
  std::uint64_t reported = 0;
  while (scanner.next()) {
    if (scanner.offset() - reported < report_bytes) continue;
    if (!on_verified(scanner.offset() - reported)) return {};
    reported = scanner.offset();
  }
  if (scanner.error()) return tl::unexpected<Error>(*scanner.error());
  if (scanner.offset() != end) {
    return damaged(directory,
                   number,
                   scanner.offset(),
                   "no intact frame with sequence " + std::to_string(scanner.next_sequence()));
  }
  (*file)->forget_front(
      extent.bytes);  // Nobody asked for these bytes: leave the cache to those who do.
  file->reset();      // Once it is dropped, its space is wanted.
  on_verified(end - reported);
  return {};
}

}  // namespace sluice::journal
