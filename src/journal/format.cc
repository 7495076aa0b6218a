// Encoding of segment headers and names (journal/format.h).
#include "journal/format.h"

#include "base/codec.h"

namespace sluice::journal {

namespace {

constexpr std::size_t header_checksum_at = 56;
constexpr std::string_view suffix = ".seg";
constexpr std::size_t digits = 16;

template <class T>
void put(SegmentHeaderBytes& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace

SegmentHeaderBytes encode(const SegmentHeader& header) {
  SegmentHeaderBytes bytes{};
  std::memcpy(bytes.data(), segment_magic.data(), segment_magic.size());
  put(bytes, 8, format_version);
  put(bytes, 12, program_version);
  put(bytes, 16, header.log_id);
  put(bytes, 24, std::uint64_t{header.segment});
  put(bytes, 32, header.first_sequence);
  put(bytes, 40, header.previous_end);
  put(bytes, 44, header.oldest_segment);
  put(bytes, header_checksum_at, std::uint64_t{XXH3_64bits(bytes.data(), header_checksum_at)});
  return bytes;
}

DecodedHeader decode_header(ByteView bytes, std::uint32_t number) {
  DecodedHeader decoded;
  if (bytes.size() < segment_header_bytes) return decoded;
  if (bytes.substr(0, segment_magic.size()) != segment_magic) return decoded;
  Reader in(bytes.substr(segment_magic.size()));
  decoded.version = in.number<std::uint32_t>();
  in.number<std::uint32_t>();  // created_by is for people.
  decoded.header.log_id = in.number<std::uint64_t>();
  const auto stored_number = in.number<std::uint64_t>();
  decoded.header.first_sequence = in.number<std::uint64_t>();
  decoded.header.previous_end = in.number<std::uint32_t>();
  decoded.header.oldest_segment = in.number<std::uint32_t>();
  in.number<std::uint64_t>();
  const auto checksum = in.number<std::uint64_t>();
  if (checksum != XXH3_64bits(bytes.data(), header_checksum_at)) return decoded;
  if (decoded.version > format_version) {
    decoded.state = HeaderState::newer_version;
    return decoded;
  }
  if (stored_number != number) return decoded;
  decoded.header.segment = number;
  decoded.state = HeaderState::valid;
  return decoded;
}

std::string segment_name(std::uint32_t number) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string name(digits, '0');
  for (std::size_t i = digits; number != 0; number >>= 4)
    name[--i] = hex[number & 15];
  return name.append(suffix);
}

std::optional<std::uint32_t> segment_number(std::string_view name) {
  if (name.size() != digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(0, digits)) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'a' || c > 'f')) return std::nullopt;
    if (number >> 28 != 0) return std::nullopt;
    number = number << 4 | static_cast<std::uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
  }
  if (number == 0) return std::nullopt;
  return static_cast<std::uint32_t>(number);
}

}  // namespace sluice::journal
