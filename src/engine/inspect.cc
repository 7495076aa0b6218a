// Two passes over the log: the first builds the state, the second meets each job's record again.
#include "engine/inspect.h"

#include "core/core.h"
#include "core/facts.h"
#include "journal/log.h"
#include "model/headers.h"

#include <utility>

namespace sluice::engine {
namespace {

class Inspection {
 public:
  Inspection(io::Directory& directory, const OnJob& on_job)
      : directory_(directory), on_job_(on_job) {}

  Result<void> run() {
    Result<void> restored = journal::read_log(
        directory_, [this](Position at, ByteView frame) { return core_.restore(at, frame); });
    if (restored) restored = core_.finish_restore();
    if (!restored) return restored;
    return journal::read_log(directory_,
                             [this](Position at, ByteView frame) { return show_jobs(at, frame); });
  }

 private:
  /// The jobs that have their home in this frame.
  Result<void> show_jobs(Position at, ByteView frame) {
    core::FactReader facts(frame, at);
    while (!facts.at_end()) {
      const Position position = facts.position();
      const Result<core::Fact> fact = facts.next();
      if (!fact) return tl::unexpected<Error>(fact.error());
      const auto* record = std::get_if<core::JobRecord>(&*fact);
      if (record == nullptr) continue;
      const std::unique_ptr<model::JobInfo> job = find(record->id);
      if (job == nullptr || job->home != position) continue;
      job->type = std::string(record->type);
      job->created = record->created;
      job->payload = std::string(record->payload);
      model::for_each_header(record->headers, [&job](ByteView key, ByteView value) {
        job->headers.emplace_back(key, value);
      });
      on_job_(*job);
    }
    return {};
  }

  std::unique_ptr<model::JobInfo> find(model::JobId id) {
    out_.open(no_facts_, Position());
    core_.apply(model::GetJob{id}, model::Ticket(), Now{}, out_);
    model::Answer answer = std::move(out_.replies.back().answer);
    out_.replies.clear();
    auto* info = std::get_if<std::unique_ptr<model::JobInfo>>(&answer);
    return info == nullptr ? nullptr : std::move(*info);
  }

  io::Directory& directory_;
  const OnJob& on_job_;
  core::Core core_{model::Limits(), 0};
  Buffer no_facts_;  ///< Asking writes none.
  core::Output out_;
};

}  // namespace

Result<void> for_each_job(io::Directory& directory, const OnJob& on_job) {
  return Inspection(directory, on_job).run();
}

}  // namespace sluice::engine
