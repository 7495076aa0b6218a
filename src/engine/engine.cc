// Engine: the threads around Cycle, the inbox that gateways fill, and the sessions to reply to.
// While the engine's thread rests, one that serves clients may take a turn in its place (help());
// the journal's takes one behind each batch that it has written (go_on()).
#include "engine/engine.h"

#include "base/check.h"
#include "engine/commit_delay.h"
#include "engine/life.h"
#include "engine/scrubber.h"
#include "io/parker.h"
#include "io/posix.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <algorithm>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice::engine {
namespace {

/// A turn with more to do than this is the engine's own: clients are served meanwhile.
constexpr std::size_t help_requests_max = 16;
constexpr std::size_t help_bytes_max = 4u << 10;
constexpr std::size_t help_batches_max = 16;

/// So long that waits at most behind a batch that the journal's thread writes.
constexpr Duration wait_for_disk_max = std::chrono::milliseconds(20);

/// Copies `bytes` of a file. The copy is synced.
Result<void> copy_file(io::Directory& from, io::Directory& to, const journal::Log::Extent& extent) {
  Result<std::unique_ptr<io::File>> source = from.open(extent.file, io::OpenMode::read_only);
  if (!source) return tl::unexpected<Error>(source.error());
  Result<std::unique_ptr<io::File>> target = to.open(extent.file, io::OpenMode::create_new);
  if (!target) return tl::unexpected<Error>(target.error());
  std::vector<char> block(1u << 20);
  for (std::uint64_t at = 0; at < extent.bytes;) {
    const std::size_t want = std::min<std::uint64_t>(block.size(), extent.bytes - at);
    const Result<std::size_t> got = (*source)->read_at(at, block.data(), want);
    if (!got) return tl::unexpected<Error>(got.error());
    if (*got == 0) return sluice::fail(ErrorCode::io, extent.file + " ended while it was copied");
    if (Result<void> put = (*target)->write_at(at, ByteView(block.data(), *got)); !put) return put;
    at += *got;
  }
  return (*target)->sync();
}

}  // namespace

class Engine::Impl {
 public:
  Impl(io::Directory& directory, io::Clock& clock, EngineOptions options)
      : directory_(directory),
        clock_(clock),
        options_(std::move(options)),
        commit_delay_(options_.commit_delay_max) {}

  Result<void> open();
  void stop();
  SessionId attach(std::shared_ptr<Session> session);
  void detach(SessionId session);
  void submit(SessionId session, RequestBatch batch);
  bool submit_quietly(SessionId session, RequestBatch batch);
  bool help();
  std::chrono::steady_clock::time_point commit_not_before();
  Result<BackupDone> backup(std::string path);

  Now now() const { return life_->now(); }

  const Counters& counters() const { return counters_; }

 private:
  void run();
  void begin_turn();
  bool turn(bool may_write);
  void go_on();
  void wait();
  bool has_work() const;
  bool is_inbox_little() const;
  void wake();
  bool send(SessionId session, std::vector<SessionReply>& replies);
  bool put(Inbound inbound, bool is_little = false, std::size_t awaited = 0);
  void run_on_engine(std::function<void()> task);
  std::vector<journal::Log::Extent> durable_extents();

  io::Directory& directory_;
  io::Clock& clock_;
  const EngineOptions options_;
  Counters counters_;
  std::unique_ptr<Life> life_;
  std::unique_ptr<Scrubber> scrubber_;  ///< Null: the journal is not scrubbed.

  std::mutex turn_mutex_;       ///< Of life_: who has it takes the turn. Locked before mutex_.
  std::vector<Inbound> taken_;  ///< What this turn is about.
  Parker parker_;               ///< The engine's thread parks between its turns.

  mutable std::mutex mutex_;  ///< Guards what follows.
  std::vector<Inbound> inbox_;
  std::size_t awaited_ = 0;  ///< Requests in the inbox that were left to help() and have a reply.
  CommitDelay commit_delay_;
  bool has_room_ = true;  ///< What is in the inbox may be taken.
  bool has_written_ = false;
  bool is_resting_ = false;    ///< Nobody called it: others may take a turn.
  bool is_all_little_ = true;  ///< Each batch in the inbox.
  bool is_in_turn_ = false;    ///< Who takes it looks at the inbox behind it.
  bool is_writing_ = false;    ///< The journal's thread writes for a moment, and looks at it then.
  bool is_stopping_ = false;
  /// When the engine's thread has something to do even if nobody asks.
  std::chrono::steady_clock::time_point next_turn_;

  std::mutex sessions_mutex_;
  boost::unordered_flat_map<std::uint32_t, std::shared_ptr<Session>> sessions_;
  std::uint32_t next_session_ = 1;

  std::thread thread_;
};

// -- Start and stop. -----------------------------------------------------------------------------

Result<void> Engine::Impl::open() {
  Result<Restored> restored = restore(directory_, clock_, options_);
  if (!restored) return tl::unexpected<Error>(restored.error());
  Result<std::unique_ptr<Life>> life = Life::begin(
      std::move(*restored),
      directory_,
      clock_,
      options_,
      counters_,
      [this](journal::Log& log) {
        return std::make_unique<ThreadCommitter>(log, [this] { go_on(); });
      },
      [this](SessionId id, std::vector<SessionReply>& replies) { return send(id, replies); });
  if (!life) return tl::unexpected<Error>(life.error());
  life_ = std::move(*life);
  thread_ = std::thread([this] { run(); });
  if (options_.scrub_period.count() > 0) {
    scrubber_ = std::make_unique<Scrubber>(
        directory_,
        options_.scrub_period,
        [this] { return durable_extents(); },
        counters_,
        options_.on_event);
  }
  return {};
}

void Engine::Impl::stop() {
  if (scrubber_ != nullptr) scrubber_->stop();  // It asks the engine's thread for extents.
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return;
    is_stopping_ = true;
  }
  parker_.unpark();
  if (thread_.joinable()) thread_.join();
}

// -- The engine's thread. ------------------------------------------------------------------------

void Engine::Impl::run() {
  for (bool is_stopping = false; !is_stopping; wait()) {
    const std::lock_guard turn_lock(turn_mutex_);
    {
      const std::lock_guard lock(mutex_);
      begin_turn();
      is_stopping = is_stopping_;
      next_turn_ = std::chrono::steady_clock::time_point::max();
    }
    turn(true);
    if (is_stopping) return life_->end();
  }
}

/// Requires both mutexes.
void Engine::Impl::begin_turn() {
  if (has_room_) {
    taken_.swap(inbox_);
    awaited_ = 0;
    is_all_little_ = true;
  }
  has_written_ = false;
  is_resting_ = false;
  is_in_turn_ = true;
}

/// Requires turn_mutex_ and begin_turn(). `may_write`: a small batch, here and now. True: the
/// engine's thread has something to do, or has to wake sooner than it was going to.
bool Engine::Impl::turn(bool may_write) {
  life_->apply(taken_);
  taken_.clear();
  bool is_idle = false;
  {
    const std::lock_guard lock(mutex_);
    is_idle = inbox_.empty();
  }
  life_->commit(may_write && is_idle);
  Duration limit = std::min(life_->idle_for().value_or(Life::space_check), Life::space_check);
  const std::lock_guard lock(mutex_);
  has_room_ = life_->has_room();
  is_resting_ = has_room_ && inbox_.empty() && life_->is_at_rest();
  is_writing_ = life_->is_writing_quickly();
  if (is_writing_) limit = std::min(limit, wait_for_disk_max);
  is_in_turn_ = false;
  const auto next = std::chrono::steady_clock::now() + limit;
  const bool is_sooner = next < next_turn_;
  if (is_sooner) next_turn_ = next;
  return is_sooner || has_work();
}

void Engine::Impl::wait() {
  std::unique_lock lock(mutex_);
  while (!has_work()) {
    const auto left = next_turn_ - std::chrono::steady_clock::now();
    if (left.count() <= 0) return;
    lock.unlock();
    parker_.park_for(left);
    lock.lock();
  }
}

/// Requires mutex_.
bool Engine::Impl::has_work() const {
  if (is_stopping_ || has_written_) return true;
  return has_room_ && !inbox_.empty() && !(is_writing_ && is_inbox_little());
}

/// Requires mutex_. What is in the inbox can be left to others than the engine's thread.
bool Engine::Impl::is_inbox_little() const {
  return is_all_little_ && inbox_.size() <= help_batches_max;
}

/// A turn of the journal's thread, which has written a batch: it says what that allows, and goes
/// on with the next one. The engine's thread is not woken for it.
void Engine::Impl::go_on() {
  const std::unique_lock turn_lock(turn_mutex_, std::try_to_lock);
  if (!turn_lock) return wake();  // Who takes it may have looked for the batch before.
  {
    const std::lock_guard lock(mutex_);
    begin_turn();
  }
  if (turn(false)) parker_.unpark();
}

void Engine::Impl::wake() {
  {
    const std::lock_guard lock(mutex_);
    has_written_ = true;
    if (is_in_turn_) return;
  }
  parker_.unpark();
}

/// A turn on the caller's thread. If the engine's thread wakes meanwhile, it waits for its end.
bool Engine::Impl::help() {
  const std::unique_lock turn_lock(turn_mutex_, std::try_to_lock);
  if (!turn_lock) {  // Who takes it may have looked at the inbox before.
    parker_.unpark();
    return false;
  }
  std::size_t awaited = 0;
  {
    const std::lock_guard lock(mutex_);
    if (inbox_.empty()) return false;
    if (!is_resting_ || !is_inbox_little() || is_stopping_) {
      parker_.unpark();
      return false;
    }
    awaited = awaited_;
    begin_turn();
  }
  const std::uint64_t syncs = counters_.syncs_total.load(std::memory_order_relaxed);
  if (turn(true)) parker_.unpark();
  if (counters_.syncs_total.load(std::memory_order_relaxed) == syncs) return false;
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  return commit_delay_.synced(now, life_->last_sync_took(), awaited);
}

std::chrono::steady_clock::time_point Engine::Impl::commit_not_before() {
  const std::lock_guard lock(mutex_);
  const auto time = commit_delay_.not_before(awaited_);
  if (time > std::chrono::steady_clock::now()) {
    counters_.commit_delays_total.fetch_add(1, std::memory_order_relaxed);
  }
  return time;
}

// -- The port. -----------------------------------------------------------------------------------

SessionId Engine::Impl::attach(std::shared_ptr<Session> session) {
  const std::lock_guard lock(sessions_mutex_);
  const SessionId id(next_session_++);
  sessions_.emplace(id.value, std::move(session));
  return id;
}

void Engine::Impl::detach(SessionId session) {
  {
    const std::lock_guard lock(sessions_mutex_);
    sessions_.erase(session.value);
  }
  put({.session = session, .is_detach = true});
}

void Engine::Impl::submit(SessionId session, RequestBatch batch) {
  put({.session = session, .batch = std::move(batch)});
}

bool Engine::Impl::submit_quietly(SessionId session, RequestBatch batch) {
  const bool is_little =
      batch.requests.size() <= help_requests_max && batch.bytes.size() <= help_bytes_max;
  const auto awaited =
      is_little ? std::ranges::count(batch.requests, true, &Request::has_reply) : 0;
  return put({.session = session, .batch = std::move(batch)},
             is_little,
             static_cast<std::size_t>(awaited));
}

/// True: the engine rests, and need not be woken for so little.
bool Engine::Impl::put(Inbound inbound, bool is_little, std::size_t awaited) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(inbound));
    awaited_ += awaited;
    is_all_little_ = is_all_little_ && is_little;
    if (is_resting_ && is_inbox_little()) return true;
    if (is_in_turn_ || (is_writing_ && is_inbox_little())) return false;
  }
  parker_.unpark();
  return false;
}

bool Engine::Impl::send(SessionId session, std::vector<SessionReply>& replies) {
  std::shared_ptr<Session> target;
  {
    const std::lock_guard lock(sessions_mutex_);
    const auto found = sessions_.find(session.value);
    if (found == sessions_.end()) return false;
    target = found->second;
  }
  target->on_replies(std::move(replies));
  return true;
}

void Engine::Impl::run_on_engine(std::function<void()> task) {
  std::promise<void> done;
  put({.task = [&task, &done] {
    task();
    done.set_value();
  }});
  done.get_future().wait();
}

/// What there is to scrub now. It is not pinned: a segment may be gone when its turn comes.
std::vector<journal::Log::Extent> Engine::Impl::durable_extents() {
  std::vector<journal::Log::Extent> extents;
  run_on_engine([&] {
    extents = life_->log().pin();
    life_->log().unpin();
  });
  return extents;
}

Result<BackupDone> Engine::Impl::backup(std::string path) {
  if (Result<std::unique_ptr<io::Directory>> there = io::open_existing_directory(path); there) {
    return sluice::fail(ErrorCode::arg, "backup: " + path + " exists; name a new directory");
  }
  Result<std::unique_ptr<io::Directory>> target = io::open_directory(path);
  if (!target) return tl::unexpected<Error>(target.error());
  std::vector<journal::Log::Extent> extents;
  run_on_engine([&] { extents = life_->log().pin(); });
  BackupDone done;
  Result<void> copied;
  for (const journal::Log::Extent& extent : extents) {
    copied = copy_file(directory_, **target, extent);
    if (!copied) break;
    done.bytes += extent.bytes;
    ++done.segments;
  }
  run_on_engine([this] { life_->log().unpin(); });
  if (copied) copied = (*target)->sync();
  if (!copied) return tl::unexpected<Error>(copied.error());
  return done;
}

// -- The public face. ----------------------------------------------------------------------------

Result<std::unique_ptr<Engine>> Engine::open(io::Directory& directory,
                                             io::Clock& clock,
                                             EngineOptions options) {
  auto impl = std::make_unique<Impl>(directory, clock, std::move(options));
  if (Result<void> opened = impl->open(); !opened) return tl::unexpected<Error>(opened.error());
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() {
  impl_->stop();
}

void Engine::stop() {
  impl_->stop();
}

SessionId Engine::attach(std::shared_ptr<Session> session) {
  return impl_->attach(std::move(session));
}

void Engine::detach(SessionId session) {
  impl_->detach(session);
}

void Engine::submit(SessionId session, RequestBatch batch) {
  impl_->submit(session, std::move(batch));
}

bool Engine::submit_quietly(SessionId session, RequestBatch batch) {
  return impl_->submit_quietly(session, std::move(batch));
}

bool Engine::help() {
  return impl_->help();
}

std::chrono::steady_clock::time_point Engine::commit_not_before() {
  return impl_->commit_not_before();
}

const Counters& Engine::counters() const {
  return impl_->counters();
}

Now Engine::now() const {
  return impl_->now();
}

Result<BackupDone> Engine::backup(std::string directory) {
  return impl_->backup(std::move(directory));
}

}  // namespace sluice::engine
