// Sessions and their threads: see session.h.
#include "gateway/session.h"

#include "base/check.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace sluice::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t read_bytes_min = 64u << 10;
constexpr std::size_t read_bytes_max = 256u << 10;
/// A client that has more than this to fetch is not read until it has fetched it.
constexpr std::size_t unsent_bytes_high = 1u << 20;
/// Buffers above this are given back when the connection rests.
constexpr std::size_t resting_bytes_max = 16u << 10;
/// A connection with requests under way is not read while all connections together have so much of
/// them that the engine has not come to.
constexpr std::size_t submitted_bytes_high = 64u << 20;
/// Closing connections that hold less than this would help little and hit the wrong ones.
constexpr std::size_t greedy_bytes_min = 256u << 10;
/// After so many connections left, memory is given back to the system.
constexpr std::size_t crowd_min = 1000;
/// A client that has been told the last and does not close is left after so long.
constexpr std::uint32_t parted_seconds_max = 2;

/// A peer that vanished without a word is found after two minutes. An option that cannot be set
/// makes the connection slower to react, not wrong: failures are ignored.
void set_options(tcp::socket& socket) {
  const auto set = [&socket](int level, int option, int value) {
    ::setsockopt(socket.native_handle(), level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

/// Submits for others and reads no replies.
class Janitor final : public engine::Session {
 public:
  void on_replies(std::vector<engine::SessionReply> /*replies*/) override {}
};

}  // namespace

Shared::Shared(engine::Port& engine, SessionOptions session_options)
    : port(engine),
      options(std::move(session_options)),
      together(options.together != nullptr ? options.together : std::make_shared<Together>()),
      janitor_(engine.attach(std::make_shared<Janitor>())) {}

void Shared::log(const std::string& line) const {
  if (options.on_event) options.on_event(line);
}

void Shared::release(const std::vector<model::Release>& leases) {
  if (leases.empty()) return;
  engine::RequestBatch batch;
  for (const model::Release& lease : leases)
    batch.requests.push_back({0, lease});
  counters.undelivered_leases_total += leases.size();
  port.submit(janitor_, std::move(batch));
}

void Shared::submit(engine::RequestBatch batch) {
  if (!batch.requests.empty()) port.submit(janitor_, std::move(batch));
}

bool Shared::has_too_much() const {
  return together->buffered_bytes.load() + together->submitted_bytes->load() >
         options.buffers_bytes_max;
}

void Shared::count_buffers(std::size_t more) {
  counters.buffered_bytes.fetch_add(more);
  together->buffered_bytes.fetch_add(more);
}

void Shared::count_connection() {
  counters.connections.fetch_add(1);
  together->connections.fetch_add(1);
}

void Shared::uncount_connection() {
  together->connections.fetch_sub(1);
  const std::lock_guard lock(mutex_);
  if (counters.connections.fetch_sub(1) == 1) is_empty_.notify_all();
}

void Shared::wait_until_empty(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  is_empty_.wait_until(lock, deadline, [this] { return counters.connections.load() == 0; });
}

void Shared::close_janitor() {
  port.detach(janitor_);
}

IoThread::IoThread(Shared& shared)
    : shared_(shared), work_(asio::make_work_guard(context_)), sweeper_(context_) {}

void IoThread::start() {
  asio::post(context_, [this] { sweep(); });
  thread_ = std::thread([this] { context_.run(); });
}

void IoThread::join() {
  asio::post(context_, [this] {
    is_ending_ = true;
    sweeper_.cancel();
  });
  work_.reset();
  if (thread_.joinable()) thread_.join();
  check(sessions_.empty());
  // What the engine was saying while the sessions were detached.
  std::vector<Parcel> late;
  {
    const std::lock_guard lock(mutex_);
    late.swap(inbox_);
  }
  std::vector<model::Release> leases;
  for (const Parcel& parcel : late) {
    for (const engine::SessionReply& reply : parcel.replies)
      collect_leases(reply.answer, leases);
  }
  shared_.release(leases);
}

void IoThread::submit(engine::SessionId session, engine::RequestBatch batch) {
  if (!shared_.port.submit_quietly(session, std::move(batch)) || is_help_due_) return;
  is_help_due_ = true;
  // Behind the sockets that are known to be readable: what they bring shares the sync.
  if (!is_behind_sync_) asio::post(context_, [this] { help(); });
}

/// Behind the sockets that are readable now. Asio looks at them behind what is posted, and hands
/// out what is readable behind what is posted meanwhile.
void IoThread::post_behind_sockets(void (IoThread::*call)()) {
  asio::post(context_, [this, call] { asio::post(context_, [this, call] { (this->*call)(); }); });
}

void IoThread::help() {
  is_help_due_ = false;
  {
    const std::lock_guard lock(mutex_);
    is_inbox_awaited_ = true;
  }
  if (!shared_.port.help()) return take_inbox();
  // What came during the sync is read before its replies are sent, which bring more.
  is_behind_sync_ = true;
  post_behind_sockets(&IoThread::go_on);
}

void IoThread::go_on() {
  is_behind_sync_ = false;
  const auto next = shared_.port.commit_not_before();
  take_inbox();
  if (!is_help_due_) return;
  std::this_thread::sleep_until(next);
  post_behind_sockets(&IoThread::help);
}

void IoThread::deliver(std::shared_ptr<Session> session,
                       std::vector<engine::SessionReply> replies) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    is_first = inbox_.empty() && !is_inbox_awaited_;
    inbox_.push_back({std::move(session), std::move(replies)});
  }
  if (is_first) asio::post(context_, [this] { take_inbox(); });
}

void IoThread::take_inbox() {
  {
    const std::lock_guard lock(mutex_);
    is_inbox_awaited_ = false;
    taken_.swap(inbox_);
  }
  for (Parcel& parcel : taken_)
    parcel.session->take_replies(std::move(parcel.replies));
  // Only now, so that a session with several parcels writes once.
  for (Parcel& parcel : taken_)
    parcel.session->go_on();
  taken_.clear();
  relieve();
}

void IoThread::relieve() {
  while (shared_.has_too_much()) {
    const auto greedy = std::max_element(
        sessions_.begin(), sessions_.end(), [](const auto& one, const auto& other) {
          return one->buffered_bytes() < other->buffered_bytes();
        });
    if (greedy == sessions_.end() || (*greedy)->buffered_bytes() < greedy_bytes_min) return;
    const std::shared_ptr<Session> session = *greedy;
    session->close_greedy();
  }
}

void IoThread::drain_all() {
  asio::post(context_, [this] {
    const std::vector<std::shared_ptr<Session>> sessions(sessions_.begin(), sessions_.end());
    for (const std::shared_ptr<Session>& session : sessions)
      session->drain();
  });
}

void IoThread::close_all() {
  asio::post(context_, [this] {
    const std::vector<std::shared_ptr<Session>> sessions(sessions_.begin(), sessions_.end());
    for (const std::shared_ptr<Session>& session : sessions)
      session->close();
  });
}

void IoThread::enter(std::shared_ptr<Session> session) {
  sessions_.insert(std::move(session));
}

void IoThread::leave(const std::shared_ptr<Session>& session) {
  sessions_.erase(session);
  ++left_;
  shared_.uncount_connection();
}

void IoThread::sweep() {
  if (is_ending_) return;
  const std::vector<std::shared_ptr<Session>> sessions(sessions_.begin(), sessions_.end());
  for (const std::shared_ptr<Session>& session : sessions)
    session->sweep();
  give_memory_back();
  sweeper_.expires_after(std::chrono::seconds(1));
  sweeper_.async_wait([this](const error_code& problem) {
    if (!problem) sweep();
  });
}

/// Once a crowd has left and it is quiet again: the allocator would keep what the crowd used, about
/// 50 KiB each, for a next one.
void IoThread::give_memory_back() {
  const bool is_quiet = left_ == left_before_;
  if (left_ >= crowd_min && is_quiet) {
    ::malloc_trim(0);
    left_ = 0;
  }
  left_before_ = left_;
}

Session::Session(Shared& shared,
                 IoThread& thread,
                 tcp::socket socket,
                 std::unique_ptr<Dialog> dialog)
    : shared_(shared),
      thread_(thread),
      socket_(std::move(socket)),
      dialog_(std::move(dialog)),
      read_bytes_(read_bytes_min) {}

void Session::start() {
  thread_.enter(shared_from_this());
  error_code problem;
  socket_.non_blocking(true, problem);
  if (problem) return close();
  set_options(socket_);
  id_ = shared_.port.attach(shared_from_this());
  is_attached_ = true;
  dialog_->start([weak = weak_from_this(), &context = thread_.context()] {
    asio::post(context, [weak] {
      if (const std::shared_ptr<Session> self = weak.lock()) self->go_on();
    });
  });
  submit(dialog_->take_requests());
  read();
}

void Session::on_replies(std::vector<engine::SessionReply> replies) {
  thread_.deliver(shared_from_this(), std::move(replies));
}

void Session::take_replies(std::vector<engine::SessionReply> replies) {
  std::size_t at = 0;
  while (at < replies.size()) {
    // One reply may be larger than the limit; but then nothing more until it is fetched.
    if (unsent_bytes() > shared_.options.output_bytes_max) close_slow();
    if (is_closed_) break;
    at = dialog_->answer_some(replies, at, unsent_bytes_high);
    if (at < replies.size()) flush();
  }
  std::vector<model::Release> leases = dialog_->take_lost_leases();
  for (; at < replies.size(); ++at)
    collect_leases(replies[at].answer, leases);
  shared_.release(leases);
}

void Session::go_on() {
  if (is_closed_) return;
  submit(dialog_->take_requests());
  flush();
  if (is_closed_ || !is_paused_ || !may_read()) return;
  consume();  // What was received before the pause.
  if (!is_closed_ && may_read()) read();
}

void Session::drain() {
  if (is_closed_) return close();
  is_draining_ = true;
  flush();
}

void Session::close() {
  if (!socket_.is_open()) return;
  leave();
  error_code ignored;  // The peer may be gone already; all that matters is that we let go.
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  thread_.leave(shared_from_this());
}

/// Leaves it to the client to close, for a while. A socket that is closed with input unread resets
/// the connection, and the client may lose the last that it was told (RFC 1122 §4.2.2.13): if it
/// does not expect the end, that is shown to it, and what it still sends is dropped.
void Session::hang_up(End end) {
  leave();
  error_code ignored;
  if (end == End::cut_off) socket_.shutdown(tcp::socket::shutdown_send, ignored);
  read();
}

/// Parts from the engine; only the socket is left.
void Session::leave() {
  if (is_closed_) return;
  is_closed_ = true;
  if (is_attached_) shared_.port.detach(id_);
  dialog_->abandon();
  shared_.release(dialog_->take_lost_leases());
  shared_.submit(dialog_->last_requests());
  dialog_->input() = Buffer();
  dialog_->output() = Buffer();
  writing_ = Buffer();
  written_ = 0;
  count_buffers();
}

void Session::close_slow() {
  if (is_closed_) return;
  shared_.counters.slow_clients_closed_total.fetch_add(1, std::memory_order_relaxed);
  shared_.log(fmt::format("event=slow_client_closed unsent_bytes={} limit={}",
                          unsent_bytes(),
                          shared_.options.output_bytes_max));
  close();
}

void Session::close_greedy() {
  if (is_closed_) return;
  shared_.counters.greedy_clients_closed_total.fetch_add(1, std::memory_order_relaxed);
  shared_.log(fmt::format("event=greedy_client_closed buffered_bytes={} all_bytes={} limit={}",
                          buffered_bytes(),
                          shared_.together->buffered_bytes.load(),
                          shared_.options.buffers_bytes_max));
  close();
}

std::size_t Session::buffered_bytes() const {
  return dialog_->buffered_bytes() + writing_.capacity();
}

void Session::count_buffers() {
  const std::size_t bytes = buffered_bytes();
  if (bytes == counted_bytes_) return;  // The usual case: all threads share the counter.
  shared_.count_buffers(bytes - counted_bytes_);
  counted_bytes_ = bytes;
}

void Session::sweep() {
  if (is_closed_) {
    if (++parted_seconds_ > parted_seconds_max) close();
    return;
  }
  if (writing_.empty() && writing_.capacity() > resting_bytes_max) writing_ = Buffer();
  Buffer& output = dialog_->output();
  if (output.empty() && output.capacity() > resting_bytes_max) output = Buffer();
  if (!dialog_->tick()) return close();
  submit(dialog_->take_requests());
  flush();
  if (is_closed_) return;
  const Duration silence_max = shared_.options.silence_max;
  if (dialog_->has_spoken() || silence_max.count() == 0) return;
  if (std::chrono::seconds(++silent_seconds_) <= silence_max) return;
  shared_.counters.silent_clients_closed_total.fetch_add(1, std::memory_order_relaxed);
  close();
}

void Session::wait_readable() {
  if (waits_readable_) return;
  waits_readable_ = true;
  if (dialog_->input().empty()) dialog_->input() = Buffer();
  count_buffers();
  socket_.async_wait(tcp::socket::wait_read,
                     [self = shared_from_this()](const error_code& problem) {
                       self->waits_readable_ = false;
                       if (problem) return self->close();
                       self->read();
                     });
}

void Session::wait_writable() {
  if (waits_writable_) return;
  waits_writable_ = true;
  socket_.async_wait(tcp::socket::wait_write,
                     [self = shared_from_this()](const error_code& problem) {
                       self->waits_writable_ = false;
                       if (self->is_closed_) return;
                       if (problem) return self->close();
                       self->go_on();
                     });
}

/// Reads once, so that other connections of the thread get their turn.
void Session::read() {
  if (waits_readable_) return;
  if (is_closed_) return drop_input();
  if (!may_read()) return;
  Buffer& input = dialog_->input();
  const std::size_t before = input.size();
  // The buffer doubles with what has really come, whatever length was announced.
  const std::size_t free = input.capacity() - before;
  const std::size_t room = std::clamp(free, read_bytes_, std::max(read_bytes_, unsent_bytes_high));
  char* const at = input.extend(room);
  error_code problem;
  const std::size_t received = socket_.read_some(asio::buffer(at, room), problem);
  input.truncate(before + received);
  if (problem == asio::error::would_block || problem == asio::error::try_again) {
    return wait_readable();
  }
  if (problem == asio::error::interrupted) return wait_readable();
  // The client will send no more; it may still read (`printf … | nc`). One that left altogether has
  // its waits ended at once and is found out by the write.
  if (problem == asio::error::eof) return drain();
  if (problem) return close();
  shared_.counters.received_bytes_total.fetch_add(received, std::memory_order_relaxed);
  consume();
  thread_.relieve();
  if (is_closed_ || !may_read()) return;
  if (received < room) {
    if (received < read_bytes_ / 4) read_bytes_ = std::max(read_bytes_ / 2, read_bytes_min);
    return wait_readable();
  }
  read_bytes_ = std::min(read_bytes_ * 2, read_bytes_max);
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (!self->is_closed_) self->read();
  });
}

void Session::drop_input() {
  std::array<char, read_bytes_min> dropped;
  error_code problem;
  socket_.read_some(asio::buffer(dropped), problem);
  if (problem == asio::error::would_block || problem == asio::error::try_again ||
      problem == asio::error::interrupted) {
    return wait_readable();
  }
  if (problem) return close();
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->read(); });
}

void Session::consume() {
  submit(dialog_->consume());
  start_chores();
  flush();
}

void Session::submit(engine::RequestBatch batch) {
  if (batch.requests.empty()) return;
  batch.charge = Charge(shared_.together->submitted_bytes, batch.bytes.capacity());
  thread_.submit(id_, std::move(batch));
}

/// Whether to go on reading; pauses when too much is outstanding or unsent, and goes on when half
/// is done. It is asked again at each reply; so what has none to expect is not paused for others.
bool Session::may_read() {
  if (is_draining_ || dialog_->is_over()) return false;
  const std::size_t outstanding_max = shared_.options.outstanding_max;
  const bool is_engine_behind = shared_.together->submitted_bytes->load() > submitted_bytes_high;
  const bool has_room =
      unsent_bytes() <= unsent_bytes_high && (!is_engine_behind || dialog_->has_only_waits());
  const std::size_t outstanding = dialog_->outstanding();
  is_paused_ = !has_room ||
               (is_paused_ ? outstanding > outstanding_max / 2 : outstanding >= outstanding_max);
  return !is_paused_;
}

void Session::flush() {
  if (!waits_writable_) send();
  if (is_closed_) return;
  count_buffers();
  end_if_done();
}

/// Writes until all is sent, or the socket has no more room.
void Session::send() {
  for (;;) {
    if (written_ == writing_.size()) {
      writing_.clear();
      written_ = 0;
      if (dialog_->output().empty()) return;
      writing_.swap(dialog_->output());
    }
    error_code problem;
    const std::size_t sent = socket_.write_some(
        asio::buffer(writing_.data() + written_, writing_.size() - written_), problem);
    written_ += sent;
    shared_.counters.sent_bytes_total.fetch_add(sent, std::memory_order_relaxed);
    if (problem == asio::error::would_block || problem == asio::error::try_again ||
        problem == asio::error::interrupted) {
      return wait_writable();
    }
    if (problem) return close();
  }
}

/// The end of a connection that is not read any more.
void Session::end_if_done() {
  if (!is_draining_ && !dialog_->is_over()) return;
  if (dialog_->outstanding() > 0 && dialog_->has_only_waits()) {
    dialog_->end_waits();
    submit(dialog_->take_requests());
    return flush();
  }
  if (dialog_->outstanding() > 0 || unsent_bytes() > 0) return;
  const End end = dialog_->end();
  if (is_draining_ || end == End::agreed) {
    close();
  } else {
    hang_up(end);
  }
}

void Session::start_chores() {
  for (Chore& chore : dialog_->take_chores()) {
    asio::post(shared_.blocking, [self = shared_from_this(), chore = std::move(chore)] {
      asio::post(self->thread_.context(), [self, finish = chore()] {
        if (self->is_closed_) return;
        finish();
        self->go_on();
      });
    });
  }
}

std::size_t Session::unsent_bytes() const {
  return dialog_->unsent_bytes() + writing_.size() - written_;
}

}  // namespace sluice::gateway
