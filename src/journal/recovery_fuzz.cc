// Fuzz: whatever is found in a data directory, opening it refuses or gives a prefix of what was
// written, and a log that opens can be used, ended and opened again.
//
// The first byte says how the rest is used: as the content of segment files, or as a list of
// damages done to a healthy log (checksums keep plain mutations from getting anywhere).
#include "base/check.h"
#include "base/codec.h"
#include "io/memory.h"
#include "journal/format.h"
#include "journal/log.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice::journal {
namespace {

using Frames = std::vector<std::string>;
using Files = std::map<std::string, std::string>;

LogOptions small() {
  LogOptions options;
  options.segment_bytes = segment_bytes_min;
  options.tail_cache_bytes = 16u << 10;
  return options;
}

Result<std::unique_ptr<Log>> open(io::MemoryDirectory& directory, Frames& frames) {
  directory.kill();
  frames.clear();
  return Log::open(directory,
                   small(),
                   [&](Position, ByteView payload) {
                     frames.emplace_back(payload);
                     return Result<void>();
                   },
                   {});
}

struct Healthy {
  Frames frames;
  Files files;

  Healthy() {
    io::MemoryDirectory directory;
    Frames none;
    const std::unique_ptr<Log> log = std::move(*open(directory, none));
    for (std::size_t i = 0; i < 100; ++i) {
      frames.push_back(std::to_string(i) + std::string(i * 7 % 200, '.'));
      log->open_frame();
      log->frame().append(frames.back());
      log->close_frame();
      if (i % 5 != 0) continue;
      Batch batch = log->seal();
      check(log->write(batch, Sync::yes).has_value());
      log->retire(std::move(batch));
    }
    Batch batch = log->seal();
    check(log->write(batch, Sync::yes).has_value());
    const Result<std::vector<std::string>> names = directory.list();
    for (const std::string& name : *names)
      files[name] = directory.content(name);
  }
};

void damage(Files& files, Reader& in) {
  const auto kind = in.number<std::uint8_t>();
  const auto which = in.number<std::uint8_t>();
  if (files.empty()) return;
  const auto file = std::next(files.begin(), which % files.size());
  std::string& content = file->second;
  const std::size_t at = content.empty() ? 0 : in.number<std::uint16_t>() % content.size();
  const std::size_t count =
      std::min<std::size_t>(in.number<std::uint16_t>() % 600, content.size() - at);
  switch (kind % 6) {
    case 0:
      content.resize(at);
      break;
    case 1:
      std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(at), count, '\0');
      break;
    case 2:
      files.erase(file);
      break;
    case 3: {
      const std::size_t from = content.empty() ? 0 : in.number<std::uint16_t>() % content.size();
      const std::string piece = content.substr(from, count);
      content.replace(at, std::min(piece.size(), content.size() - at), piece);
      break;
    }
    case 4: {
      const ByteView piece = in.bytes(std::min(count, in.left()));
      content.replace(at, std::min(piece.size(), content.size() - at), std::string(piece));
      break;
    }
    default:
      if (!content.empty()) content[at] = static_cast<char>(content[at] ^ (1 << (count % 8)));
      break;
  }
}

void open_and_use(const Files& files, const Frames* expected) {
  io::MemoryDirectory directory;
  for (const auto& [name, content] : files)
    directory.put(name, content);
  static_cast<void>(check_log(directory, [](Position, ByteView) { return Result<void>(); }));
  Frames found;
  Result<std::unique_ptr<Log>> log = open(directory, found);
  if (!log) return;
  if (expected != nullptr) {
    check(found.size() <= expected->size());
    check(std::equal(found.begin(), found.end(), expected->begin()));
  }
  (*log)->open_frame();
  (*log)->frame().append("one more");
  (*log)->close_frame();
  check((*log)->close().has_value());
  Frames again;
  log = open(directory, again);
  check(log.has_value());
  found.emplace_back("one more");
  check(again == found);
}

}  // namespace
}  // namespace sluice::journal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::journal;
  static const Healthy healthy;
  if (size == 0) return 0;
  const sluice::ByteView bytes(reinterpret_cast<const char*>(data), size);
  if (data[0] % 2 == 0) {
    const std::size_t cut = size > 1 ? 1 + data[1] * (size - 1) / 256 : 1;
    open_and_use({{segment_name(1), std::string(bytes.substr(1, cut - 1))},
                  {segment_name(2), std::string(bytes.substr(cut))}},
                 nullptr);
    return 0;
  }
  Files files = healthy.files;
  sluice::Reader in(bytes.substr(1));
  while (!in.at_end())
    damage(files, in);
  open_and_use(files, &healthy.frames);
  return 0;
}
