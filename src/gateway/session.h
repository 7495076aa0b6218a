// Session: one connection, between its socket, its Dialog and the engine's port. IoThread: a thread
// with its io_context and the connections that live on it. Whatever the protocol is.
//
// Callbacks, not coroutines: what a connection waits for (bytes, room to write, replies, the end of
// the server) are four independent events on one state, and each reads or writes what it can
// without blocking. A connection that waits holds no buffer for reading.
//
//   socket readable ─► read ─► Dialog::consume ─► Port::submit_quietly
//   engine's turn ─► on_replies ─► IoThread's inbox ─► Dialog::answer_some ─► one write
#pragma once

#include "engine/port.h"
#include "gateway/counters.h"
#include "gateway/dialog.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace sluice::gateway {

/// Limits of a gateway, and what it says.
struct SessionOptions {
  /// Threads that read, parse and write. 1 … 64.
  std::size_t io_threads = 1;
  /// With other gateways; null: this one is alone.
  std::shared_ptr<Together> together;
  /// Open connections of all of them; further ones are told `full` and closed.
  std::size_t connections_max = 10'000;
  std::string full;
  /// Requests of one connection without a reply, beyond which it is not read until half are done.
  std::size_t outstanding_max = 10'000;
  /// Replies that wait for one client; when it has not taken so much and more comes, it is closed.
  std::size_t output_bytes_max = 64u << 20;
  /// What all connections together have received and not handed on, or not sent yet; beyond, the
  /// one that holds most is closed.
  std::size_t buffers_bytes_max = 1u << 30;
  /// A connection that has not said who it is after this long is closed; 0: never.
  Duration silence_max = std::chrono::seconds(60);
  /// One line of key=value text about something worth a log entry. Any thread of the gateway.
  std::function<void(const std::string&)> on_event;
};

/// What all sessions of a gateway share. Any thread.
class Shared {
 public:
  Shared(engine::Port& engine, SessionOptions session_options);

  void log(const std::string& line) const;
  /// Gives leases back that no client was told of.
  void release(const std::vector<model::Release>& leases);
  /// For a session that is gone. Nobody reads the replies.
  void submit(engine::RequestBatch batch);
  void close_janitor();

  engine::Port& port;
  const SessionOptions options;
  Counters counters;
  const std::shared_ptr<Together> together;
  boost::asio::thread_pool blocking{2};  ///< What dialogs call chores.

  /// Whether connections hold more than they may together.
  bool has_too_much() const;
  /// The buffers of a connection have grown by so much; of unsigned numbers, so also less.
  void count_buffers(std::size_t more);
  /// A connection came or is gone for good.
  void count_connection();
  void uncount_connection();
  /// Waits until there is none, or the deadline passes.
  void wait_until_empty(std::chrono::steady_clock::time_point deadline);

 private:
  std::mutex mutex_;  ///< Of the count, for is_empty_.
  std::condition_variable is_empty_;
  engine::SessionId janitor_;  ///< Submits what no session can any more.
};

class Session;

class IoThread {
 public:
  explicit IoThread(Shared& shared);

  void start();
  /// Runs what was posted, then ends. All sessions are gone.
  void join();

  boost::asio::io_context& context() { return context_; }

  /// For a session of this thread, on it: Port::submit_quietly(), and Port::help() behind what it
  /// does now, or when it is best done.
  void submit(engine::SessionId session, engine::RequestBatch batch);
  /// Hands replies over to a session of this thread. Any thread; never blocks for long.
  void deliver(std::shared_ptr<Session> session, std::vector<engine::SessionReply> replies);
  /// Tells every session to come to its end, or to end now. Any thread.
  void drain_all();
  void close_all();

  // On this thread.
  void enter(std::shared_ptr<Session> session);
  void leave(const std::shared_ptr<Session>& session);
  /// Closes those of its sessions that hold most, while all connections hold too much together.
  void relieve();

 private:
  struct Parcel {
    std::shared_ptr<Session> session;
    std::vector<engine::SessionReply> replies;
  };

  void post_behind_sockets(void (IoThread::*call)());
  void help();
  void go_on();
  void take_inbox();
  void sweep();
  void give_memory_back();

  Shared& shared_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer sweeper_;
  std::unordered_set<std::shared_ptr<Session>> sessions_;
  bool is_help_due_ = false;
  bool is_behind_sync_ = false;  ///< go_on() sees to help().
  std::mutex mutex_;             ///< Of the next two: the engine's turn and this thread meet here.
  bool is_inbox_awaited_ = false;  ///< This thread looks at it next, and needs not be told.
  std::vector<Parcel> inbox_;
  std::vector<Parcel> taken_;
  bool is_ending_ = false;
  std::size_t left_ = 0;         ///< Sessions that left since memory was last given back …
  std::size_t left_before_ = 0;  ///< … and how many that were at the last sweep.
  std::thread thread_;
};

class Session final : public engine::Session, public std::enable_shared_from_this<Session> {
 public:
  Session(Shared& shared,
          IoThread& thread,
          boost::asio::ip::tcp::socket socket,
          std::unique_ptr<Dialog> dialog);

  // All but on_replies() on the session's thread.
  void start();
  /// In the engine's turn, on any thread.
  void on_replies(std::vector<engine::SessionReply> replies) override;
  void take_replies(std::vector<engine::SessionReply> replies);
  /// Once after a batch of take_replies(): goes on reading, writes what there is.
  void go_on();
  /// Reads no more, closes when everything is answered.
  void drain();
  void close();
  /// Once a second: frees memory that is not needed, closes clients that never spoke.
  void sweep();
  /// What its buffers hold.
  std::size_t buffered_bytes() const;
  void close_greedy();

 private:
  void count_buffers();
  void wait_readable();
  void wait_writable();
  void read();
  void consume();
  bool may_read();
  void flush();
  void send();
  void end_if_done();
  void hang_up(End end);
  void leave();
  void drop_input();
  void submit(engine::RequestBatch batch);
  void start_chores();
  std::size_t unsent_bytes() const;
  void close_slow();

  Shared& shared_;
  IoThread& thread_;
  boost::asio::ip::tcp::socket socket_;
  const std::unique_ptr<Dialog> dialog_;
  engine::SessionId id_;
  Buffer writing_;           ///< Taken from the dialog's output.
  std::size_t written_ = 0;  ///< How much of it is sent.
  std::size_t read_bytes_;   ///< Room for the next read.
  std::uint32_t silent_seconds_ = 0;
  std::size_t counted_bytes_ = 0;  ///< Its part of the counter of all buffers.
  bool is_attached_ = false;
  bool is_closed_ = false;            ///< It has parted from the engine …
  std::uint32_t parted_seconds_ = 0;  ///< … and drops what the peer sends until that closes.
  bool is_draining_ = false;
  bool is_paused_ = false;  ///< Not read, until it has taken or been given what is outstanding.
  bool waits_readable_ = false;
  bool waits_writable_ = false;
};

}  // namespace sluice::gateway
