// Output: what one call of the core leaves behind: facts, and replies that may be given once those
// are durable. RecordReader: how the core asks for bytes that are elsewhere in the log.
#pragma once

#include "base/bytes.h"
#include "base/position.h"
#include "base/result.h"
#include "model/reply.h"

#include <cstddef>
#include <vector>

namespace sluice::core {

/// Where one call of the core writes to.
struct Output {
  Buffer* facts = nullptr;
  Position base;          ///< Of the first byte this call appends to `facts`.
  std::size_t start = 0;  ///< facts->size() at that moment.
  std::vector<model::Reply> replies;

  void open(Buffer& frame, Position at) {
    facts = &frame;
    base = at;
    start = frame.size();
  }

  Position here() const { return base.plus(facts->size() - start); }

  /// Whether this call has written facts.
  bool has_facts() const { return facts->size() != start; }
};

/// How carry() gets at bytes that are elsewhere in the log (results).
class RecordReader {
 public:
  virtual Result<ByteView> read(Position at, std::size_t size) = 0;

 protected:
  ~RecordReader() = default;
};

}  // namespace sluice::core
