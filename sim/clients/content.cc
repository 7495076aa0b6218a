// Content of a job from its uid.
#include "sim/clients/content.h"

#include "sim/random.h"

#include <charconv>

namespace sluice::sim {

Content content_of(Uid uid, std::size_t payload_bytes, std::size_t headers) {
  Random random(uid);
  Content content;
  content.type = "type-" + std::to_string(uid % 7);
  content.payload = std::to_string(uid) + ":";
  content.payload.reserve(payload_bytes + sizeof(std::uint64_t));
  while (content.payload.size() < payload_bytes) {
    const std::uint64_t bytes = random.next();
    content.payload.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  }
  for (std::size_t i = 0; i < headers; ++i) {
    content.headers.emplace_back("header-" + std::to_string(i), std::to_string(random.next()));
  }
  return content;
}

Uid uid_of(std::string_view payload) {
  Uid uid = 0;
  const char* const end = payload.data() + payload.size();
  const auto [rest, problem] = std::from_chars(payload.data(), end, uid);
  const bool is_whole = problem == std::errc() && rest != end && *rest == ':';
  return is_whole ? uid : 0;
}

}  // namespace sluice::sim
