// The engine in the client's process: a Link that talks to it through the same conversation as a
// connection of the server does, in bytes. So there is one meaning of every command, and a program
// can move from embedded to a server by changing one line.

#include "client/open.h"
#include "engine/engine.h"
#include "gateway/native/conversation.h"
#include "io/posix.h"

#include <boost/asio/post.hpp>

#include <atomic>
#include <thread>

namespace sluice::client {
namespace {

namespace asio = boost::asio;

/// Requests of one link that the engine works on at a time; more wait in the conversation's input.
constexpr std::size_t outstanding_max = std::size_t{1} << 16;

/// Takes answers that nobody waits for.
class Nobody final : public engine::Session {
 public:
  void on_replies(std::vector<engine::SessionReply>) override {}
};

/// Why the engine stopped. Written once by the engine's thread, read by any after has_happened.
struct Failure {
  std::atomic<bool> has_happened{false};
  Error error;
};

/// The engine and what it stands on. Shared by the core and its links; the last one stops it.
class Process {
 public:
  static Result<std::shared_ptr<Process>> open(const std::string& path,
                                               engine::EngineOptions options,
                                               std::shared_ptr<const Failure> failure) {
    auto process = std::make_shared<Process>();
    process->failure_ = std::move(failure);
    auto directory = io::open_directory(path);
    if (!directory) return tl::unexpected<Error>(std::move(directory.error()));
    process->directory_ = std::move(*directory);
    auto engine = engine::Engine::open(*process->directory_, process->clock_, std::move(options));
    if (!engine) return tl::unexpected<Error>(std::move(engine.error()));
    process->engine_ = std::move(*engine);
    process->facts_.data_directory = path;
    process->facts_.address = "embedded";
    process->facts_.started = process->engine_->now().time;
    process->nobody_ = process->engine_->attach(std::make_shared<Nobody>());
    return process;
  }

  Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  ~Process() {
    if (engine_ != nullptr) engine_->stop();
  }

  engine::Engine& engine() { return *engine_; }

  native::Facts& facts() { return facts_; }

  /// Null while the engine is well.
  const Error* failure() const {
    return failure_->has_happened.load(std::memory_order_acquire) ? &failure_->error : nullptr;
  }

  /// Jobs leased to callers who left go back to their queues.
  void release(const std::vector<model::Release>& leases) {
    if (leases.empty()) return;
    engine::RequestBatch batch;
    for (const model::Release& lease : leases) {
      batch.requests.push_back({.sequence = ++releases_, .command = lease});
    }
    engine_->submit(nobody_, std::move(batch));
  }

 private:
  std::unique_ptr<io::Directory> directory_;
  io::SystemClock clock_;
  native::Facts facts_;
  std::unique_ptr<engine::Engine> engine_;
  std::shared_ptr<const Failure> failure_;  ///< Shared with the engine's on_failure.
  engine::SessionId nobody_;
  std::atomic<engine::Sequence> releases_{0};  ///< Links may have threads of their own.
};

class EmbeddedLink final : public Link {
 public:
  EmbeddedLink(const asio::any_io_executor& executor, std::shared_ptr<Process> process)
      : Link(executor, reply_bytes_max, {ErrorCode::io, "the engine did not take it in time"}),
        executor_(executor),
        process_(std::move(process)) {}

 private:
  static constexpr std::size_t reply_bytes_max = std::size_t{1} << 30;

  /// The engine's end of a conversation: carries answers over to the executor's thread.
  class Answers final : public engine::Session {
   public:
    Answers(asio::any_io_executor executor, std::weak_ptr<Link> link, std::uint64_t conversation)
        : executor_(std::move(executor)), link_(std::move(link)), conversation_(conversation) {}

    void on_replies(std::vector<engine::SessionReply> replies) override {
      asio::post(
          executor_,
          [link = link_, conversation = conversation_, replies = std::move(replies)]() mutable {
            if (const auto alive = std::static_pointer_cast<EmbeddedLink>(link.lock())) {
              alive->answered(conversation, std::move(replies));
            }
          });
    }

   private:
    asio::any_io_executor executor_;
    std::weak_ptr<Link> link_;
    std::uint64_t conversation_;
  };

  void wake() override;
  void drop() override;
  void closed() override;
  void late() override;
  void open();
  void turn();
  void answered(std::uint64_t conversation, std::vector<engine::SessionReply> replies);
  void hand_over();
  void start_backups();
  bool is_current(std::uint64_t conversation) const;
  void leave();

  asio::any_io_executor executor_;
  std::shared_ptr<Process> process_;
  engine::SessionId session_id_;
  std::optional<native::Conversation> conversation_;  ///< Number connections_total_.
  std::vector<std::jthread> backups_;
  bool has_turn_ = false;
};

/// Everything that is called in one turn of the executor goes over in one batch.
void EmbeddedLink::wake() {
  if (has_turn_ || is_closed_) return;
  has_turn_ = true;
  asio::post(executor_, [weak = weak_from_this()] {
    if (const auto self = std::static_pointer_cast<EmbeddedLink>(weak.lock())) self->turn();
  });
}

void EmbeddedLink::turn() {
  has_turn_ = false;
  if (is_closed_) return;
  if (const Error* failure = process_->failure()) return close(Error(*failure));
  if (!conversation_.has_value()) open();
  std::string commands;
  pipeline_.take_output(commands, std::chrono::steady_clock::now());
  conversation_->input().append(commands);
  hand_over();
}

void EmbeddedLink::open() {
  native::ConversationOptions options;
  options.outstanding_max = outstanding_max;
  conversation_.emplace(process_->engine(), process_->facts(), nullptr, std::move(options));
  ++connections_total_;
  session_id_ = process_->engine().attach(
      std::make_shared<Answers>(executor_, weak_from_this(), connections_total_));
  // The reply to HELLO is dropped: this side knows who answers.
  conversation_->input().append(hello({}, {}, {}));
  conversation_->consume();
  conversation_->output().clear();
}

/// Commands to the engine, replies to the calls.
void EmbeddedLink::hand_over() {
  engine::RequestBatch batch = conversation_->consume();
  if (!batch.requests.empty()) process_->engine().submit(session_id_, std::move(batch));
  start_backups();
  Buffer& output = conversation_->output();
  if (output.empty()) return;
  const Result<void> fed = pipeline_.feed(output.view());
  output.clear();
  if (!fed) return close(fed.error());
  if (pipeline_.has_output()) wake();  // Jobs that nobody waits for are given back.
  if (conversation_->is_over() && conversation_->outstanding() == 0) drop();
}

bool EmbeddedLink::is_current(std::uint64_t conversation) const {
  return conversation_.has_value() && conversation == connections_total_;
}

void EmbeddedLink::answered(std::uint64_t conversation, std::vector<engine::SessionReply> replies) {
  if (is_closed_) return;
  if (!is_current(conversation)) {  // Of a conversation that was dropped meanwhile.
    std::vector<model::Release> leases;
    for (const engine::SessionReply& reply : replies)
      gateway::collect_leases(reply.answer, leases);
    process_->release(leases);
    return;
  }
  conversation_->answer(std::move(replies));
  hand_over();  // Commands that did not fit before, too.
}

void EmbeddedLink::start_backups() {
  for (native::BackupOrder& order : conversation_->take_backups()) {
    backups_.emplace_back([this, order = std::move(order), conversation = connections_total_] {
      auto done = process_->engine().backup(order.directory);
      asio::post(executor_,
                 [this, weak = weak_from_this(), order, conversation, done = std::move(done)] {
                   const auto self = weak.lock();
                   if (self == nullptr || is_closed_) return;
                   backups_.clear();
                   if (!is_current(conversation)) return;
                   conversation_->answer_backup(order, done);
                   hand_over();
                 });
    });
  }
}

void EmbeddedLink::drop() {
  leave();
  const Error why{ErrorCode::closed, "the conversation with the engine was ended"};
  pipeline_.on_break(why, std::chrono::steady_clock::now());
  if (pipeline_.has_output()) wake();
}

void EmbeddedLink::late() {
  // Nothing to do: the engine in one's own process does not get lost, and its late replies are
  // dropped as they come.
}

void EmbeddedLink::leave() {
  if (!conversation_.has_value()) return;
  process_->engine().detach(session_id_);
  conversation_.reset();
}

void EmbeddedLink::closed() {
  backups_.clear();  // Joins: a backup ends at disk speed.
  leave();
  process_.reset();
}

journal::LogOptions log_options(const EmbeddedOptions& options) {
  journal::LogOptions log;
  log.segment_bytes = options.segment_bytes();
  log.tail_cache_bytes = options.cache_bytes();
  return log;
}

engine::SyncPolicy sync_policy(const EmbeddedOptions& options) {
  if (!options.sync().has_value()) return {.kind = engine::SyncPolicy::Kind::never};
  if (*options.sync() == Duration{0}) return {};
  return {.kind = engine::SyncPolicy::Kind::interval, .interval = *options.sync()};
}

}  // namespace

Result<std::shared_ptr<Core>> embedded_core(const asio::any_io_executor& executor,
                                            const std::string& directory,
                                            const EmbeddedOptions& options) {
  // The engine may report its end before there is a core; both only meet on the executor.
  const auto core_to_fail = std::make_shared<std::weak_ptr<Core>>();
  engine::EngineOptions engine_options;
  engine_options.log = log_options(options);
  engine_options.sync = sync_policy(options);
  const auto failure = std::make_shared<Failure>();
  engine_options.on_failure = [executor, core_to_fail, failure](const Error& error) {
    failure->error = error;
    failure->has_happened.store(true, std::memory_order_release);
    asio::post(executor, [core_to_fail, error] {
      if (const auto core = core_to_fail->lock()) core->fail(error);
    });
  };
  auto process = Process::open(directory, std::move(engine_options), failure);
  if (!process) return tl::unexpected<Error>(std::move(process.error()));
  auto make_link =
      [process = std::move(*process)](const asio::any_io_executor& on) -> std::shared_ptr<Link> {
    return std::make_shared<EmbeddedLink>(on, process);
  };
  auto core = std::make_shared<Core>(executor, std::move(make_link), CoreLimits{});
  *core_to_fail = core;
  return core;
}

}  // namespace sluice::client
