// Commands of the native protocol as engine requests: which words there are, what their arguments
// mean, and what is said when they are wrong. The reference for users is docs/protocol.md.
//
// Everything is checked here that can be checked without knowing the state: counts, numbers, names,
// sizes. A request that is refused leaves nothing behind in the batch that the engine would see.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "engine/port.h"
#include "gateway/native/verbs.h"
#include "model/limits.h"
#include "wire/resp/parser.h"

#include <cstdint>
#include <string>

namespace sluice::native {

/// Turns arguments into requests of a batch. Remembers the last queue name that was found good, as
/// most clients use one: so not two threads at a time.
class Mapping {
 public:
  explicit Mapping(const model::Limits& limits) : limits_(limits) {}

  /// Appends the request that `arguments` (name first, has_right_count) ask for; INFO too. Its
  /// views point to where those of `arguments` point: the bytes go into `batch.bytes` afterwards.
  /// Errors: ARG, TOOBIG.
  Result<void> add(Verb verb,
                   const resp::Arguments& arguments,
                   engine::Sequence sequence,
                   engine::RequestBatch& batch);

  /// What to answer to a command that the parser skipped. Error TOOBIG or ARG.
  static Error refused(const resp::Refusal& refusal);

 private:
  Result<void> read(Verb verb, const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<void> push(const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<void> publish(const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<model::Push> read_job(const resp::Arguments& arguments,
                               std::size_t from,
                               engine::RequestBatch& batch) const;
  Result<void> pull(const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<void> queue(const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<void> dead(const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<void> jobs(const resp::Arguments& arguments, engine::RequestBatch& batch);
  Result<void> check_queue(ByteView name);

  model::Limits limits_;
  std::string good_queue_;
};

}  // namespace sluice::native
