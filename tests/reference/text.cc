// A command in one line: its name and what it says beyond its defaults.
#include "reference/text.h"

namespace sluice::reference {
namespace {

class Line {
 public:
  explicit Line(std::string name) : line_(std::move(name)) {}

  Line& add(const char* what, const std::string& value) {
    if (!value.empty()) line_ += std::string(" ") + what + "=" + value;
    return *this;
  }

  Line& add(const char* what, ByteView value) { return add(what, std::string(value)); }

  Line& add(const char* what, std::uint64_t value) { return add(what, std::to_string(value)); }

  Line& add(const char* what, model::JobId id) { return add(what, id.value); }

  Line& add(const char* what, Duration value) { return add(what, std::to_string(value.count())); }

  template <class T>
  Line& add(const char* what, const std::optional<T>& value) {
    return value ? add(what, *value) : *this;
  }

  std::string line() const { return line_; }

 private:
  std::string line_;
};

std::string ids(const std::vector<model::JobId>& all) {
  std::string text;
  for (const model::JobId id : all)
    text += std::to_string(id.value) + ",";
  return text;
}

std::string line(const model::Push& push) {
  Line line("push " + std::string(push.queue));
  if (push.options == nullptr) return line.line();
  const model::PushOptions& options = *push.options;
  line.add("delay", options.delay).add("ttl", options.ttl).add("keep", options.keep);
  line.add("timeout", options.timeout).add("unique", options.unique_key);
  if (options.at) line.add("at", options.at->time_since_epoch());
  if (options.priority) line.add("priority", std::uint64_t{*options.priority});
  if (options.max_attempts) line.add("attempts", std::uint64_t{*options.max_attempts});
  if (!options.unique_key.empty()) {
    line.add("on_conflict", static_cast<std::uint64_t>(options.on_conflict));
    line.add("window", options.unique_window);
  }
  for (const model::Dependency& each : options.after)
    line.add(each.any_outcome ? "after_any" : "after", each.id);
  return line.line() + (options.is_transient ? " transient" : "");
}

std::string line(const model::Publish& publish) {
  Line text("publish to " + std::string(publish.exchange));
  text.add("key", publish.key);
  if (publish.more_keys != nullptr) {
    for (const ByteView key : *publish.more_keys)
      text.add("key", key);
  }
  return text.line() + " " + line(publish.job);
}

std::string line(const model::Binding& binding) {
  Line text(std::string(binding.exchange) + " to " + std::string(binding.destination));
  text.add("key", binding.key);
  for (const auto& [name, value] : binding.headers)
    text.add("header", std::string(name) + "=" + std::string(value));
  return text.line() + (binding.is_any_enough ? " any" : " all");
}

std::string line(const model::RoutingCommand& command) {
  if (const auto* put = std::get_if<model::PutExchange>(&command)) {
    const model::Exchange& as = *put->as;
    return Line("exchange " + std::string(put->exchange))
               .add("kind", model::name(as.kind))
               .add("alternate", as.alternate)
               .line() +
           (as.is_durable ? "" : " transient") + (as.is_auto_delete ? " auto-delete" : "") +
           (as.is_internal ? " internal" : "");
  }
  if (const auto* gone = std::get_if<model::DeleteExchange>(&command)) {
    return "delete exchange " + std::string(gone->exchange) + (gone->if_unused ? " if unused" : "");
  }
  if (const auto* bind = std::get_if<model::Bind>(&command)) return "bind " + line(*bind->binding);
  if (const auto* unbind = std::get_if<model::Unbind>(&command)) {
    return "unbind " + line(*unbind->binding);
  }
  const auto* get = std::get_if<model::GetExchange>(&command);
  return get == nullptr ? "exchanges" : "get exchange " + std::string(get->exchange);
}

std::string line(const model::Pull& pull) {
  Line line("pull");
  for (const ByteView queue : *pull.queues)
    line.add("queue", queue);
  line.add("count", std::uint64_t{pull.count}).add("wait", pull.wait).add("lease", pull.lease);
  if (pull.duty != model::Duty::lease) line.add("duty", static_cast<std::uint64_t>(pull.duty));
  if (pull.rank != 0) line.add("rank", static_cast<std::uint64_t>(pull.rank + 10));
  return line.add("worker", pull.worker).line() + (pull.stay_bytes > 0 ? " stays" : "");
}

std::string line(const model::Ack& ack) {
  return Line("ack").add("id", ack.id).add("token", ack.token.value).line();
}

std::string line(const model::Fail& failed) {
  return Line("fail")
      .add("id", failed.id)
      .add("token", failed.token.value)
      .add("retry_after", failed.retry_after)
      .add("dead", std::uint64_t{failed.dead})
      .line();
}

std::string line(const model::Release& release) {
  return Line("release")
      .add("id", release.id)
      .add("delay", release.delay)
      .add("counts", std::uint64_t{release.counts})
      .line();
}

std::string line(const model::Extend& extend) {
  return Line("extend").add("id", extend.id).add("lease", extend.lease).line();
}

std::string line(const model::Progress& progress) {
  return Line("progress").add("id", progress.id).line();
}

std::string line(const model::Cancel& cancel) {
  return Line("cancel").add("id", cancel.id).line();
}

std::string line(const model::GetJob& get) {
  return Line("job").add("id", get.id).line();
}

std::string line(const model::Await& await) {
  return Line("await").add("id", await.id).add("wait", await.wait).line();
}

std::string line(const model::Abandon& abandon) {
  return Line("abandon").add("first", abandon.first.value).add("last", abandon.last.value).line();
}

std::string line(const model::ListJobs& list) {
  Line line("list " + std::string(list.queue));
  if (list.state) line.add("state", name(*list.state));
  return line.add("cursor", list.cursor).add("count", std::uint64_t{list.count}).line();
}

std::string line(const model::SetQueue& set) {
  const model::PolicyChange& change = *set.change;
  Line line("set " + std::string(set.queue));
  line.add("delay", change.delay).add("timeout", change.timeout).add("ttl", change.ttl);
  line.add("keep", change.keep).add("max_length", change.max_length);
  if (change.keep_max) line.add("keep_max", std::uint64_t{*change.keep_max});
  if (change.overflow) line.add("overflow", static_cast<std::uint64_t>(*change.overflow));
  if (change.max_attempts) line.add("attempts", std::uint64_t{*change.max_attempts});
  return line.add("dead_letter", change.dead_letter).line();
}

std::string line(const model::DeclareQueue& declare) {
  const model::QueuePolicy& as = *declare.as;
  return Line("declare " + std::string(declare.queue))
             .add("arguments", as.arguments)
             .add("attempts", std::uint64_t{as.max_attempts})
             .add("keep", as.keep)
             .add("priority_max", std::uint64_t{as.priority_max})
             .add("ttl_max", as.ttl_max)
             .add("max_length", as.max_length)
             .add("max_bytes", as.max_bytes)
             .add("overflow", static_cast<std::uint64_t>(as.overflow))
             .add("dead_letter", as.dead_letter)
             .line() +
         (as.is_durable ? "" : " transient") + (as.is_auto_delete ? " auto-delete" : "") +
         (as.is_ttl_for_started ? " ttl-for-started" : "") +
         (as.is_length_of_ready ? " length-of-ready" : "");
}

std::string line(const model::PauseQueue& pause) {
  return (pause.paused ? "pause " : "resume ") + std::string(pause.queue);
}

std::string line(const model::GetQueue& get) {
  return "queue " + std::string(get.queue);
}

std::string line(const model::ListQueues&) {
  return "queues";
}

std::string line(const model::PurgeQueue& purge) {
  return "purge " + std::string(purge.queue) + (purge.ready_only ? " ready" : "");
}

std::string line(const model::DeleteQueue& gone) {
  return "delete " + std::string(gone.queue) + (gone.force ? " force" : "") +
         (gone.if_empty ? " if empty" : "");
}

std::string line(const model::RedriveDead& drive) {
  return Line("redrive " + std::string(drive.queue)).add("ids", ids(drive.ids)).line();
}

std::string line(const model::DeleteDead& gone) {
  return Line("delete dead of " + std::string(gone.queue)).add("ids", ids(gone.ids)).line();
}

std::string line(const model::GetStats&) {
  return "stats";
}

}  // namespace

std::string text(const model::Command& command) {
  return std::visit([](const auto& each) { return line(each); }, command);
}

}  // namespace sluice::reference
