// Channel<T>: a bounded queue between coroutines. Producers wait while it is full, consumers while
// it is empty.
//
//   Channel<Page> pages(16);
//   group.spawn(crawl(pages));                                  // co_await pages.send(page);
//   close() while (auto page = co_await pages.receive()) index(*page);  // ends after close()
//
// First come, first served on both sides. Threads: all users share an executor that runs one thing
// at a time.
#pragma once

#include <sluice/async/limit.h>

#include <deque>

namespace sluice {

template <class T>
class Channel {
 public:
  /// Holds up to `capacity` values; 0: a send waits until a receiver takes its value.
  explicit Channel(std::size_t capacity) : state_(std::make_shared<State>()) {
    state_->capacity = capacity;
  }

  /// Closes it: whoever waits is told.
  ~Channel() { close(); }

  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  Channel(Channel&&) = delete;
  Channel& operator=(Channel&&) = delete;

  /// True: the channel has it. False: it is closed and the value dropped. Errors: operation_aborted
  /// when cancelled while waiting (the value is dropped).
  Awaitable<bool> send(T value) { return send_to(state_, std::move(value)); }

  /// The next value; none: closed and empty. Errors: operation_aborted when cancelled; a value that
  /// arrives together with the cancellation is returned, not lost.
  Awaitable<std::optional<T>> receive() { return receive_from(state_); }

  /// False if it is full or closed; then `value` is untouched.
  bool try_send(T& value) { return state_->offer(value); }

  std::optional<T> try_receive() { return state_->take(); }

  /// Further sends are refused, waiting ones too; what is inside can still be received. Idempotent.
  void close() { state_->close(); }

  bool is_closed() const { return state_->is_closed; }

  std::size_t size() const { return state_->items.size(); }

 private:
  struct Sender : detail::Waiter {
    Sender(const asio::any_io_executor& executor, T v) : Waiter(executor), value(std::move(v)) {}

    T value;
    bool is_taken = false;
  };

  struct Receiver : detail::Waiter {
    using Waiter::Waiter;
    std::optional<T> value;
  };

  struct State {
    std::size_t capacity = 0;
    bool is_closed = false;
    std::deque<T> items;
    detail::Line<Sender> senders;
    detail::Line<Receiver> receivers;

    bool offer(T& value) {
      if (is_closed) return false;
      if (!receivers.empty()) {
        Receiver& receiver = receivers.front();
        receiver.value.emplace(std::move(value));
        receiver.wake();
        return true;
      }
      if (items.size() >= capacity) return false;
      items.push_back(std::move(value));
      return true;
    }

    std::optional<T> take() {
      std::optional<T> value;
      if (!items.empty()) {
        value.emplace(std::move(items.front()));
        items.pop_front();
      }
      if (!senders.empty()) {
        Sender& sender = senders.front();
        if (value) {
          items.push_back(std::move(sender.value));
        } else {
          value.emplace(std::move(sender.value));
        }
        sender.is_taken = true;
        sender.wake();
      }
      return value;
    }

    void close() {
      is_closed = true;
      while (!receivers.empty())
        receivers.front().wake();
      while (!senders.empty())
        senders.front().wake();
    }
  };

  /// Puts back what a receiver was handed if its coroutine dies before it could take it.
  struct PutBack {
    PutBack(State& s, Receiver& r) : state(s), receiver(r) {}

    PutBack(const PutBack&) = delete;
    PutBack& operator=(const PutBack&) = delete;

    ~PutBack() {
      if (receiver.value) state.items.push_front(std::move(*receiver.value));
    }

    State& state;
    Receiver& receiver;
  };

  static Awaitable<bool> send_to(std::shared_ptr<State> state, T value) {
    if (state->is_closed) co_return false;
    if (state->offer(value)) co_return true;
    Sender sender(co_await asio::this_coro::executor, std::move(value));
    state->senders.push_back(sender);
    const bool woken = co_await sender.wait();
    if (!woken) detail::throw_cancelled();
    co_return sender.is_taken;
  }

  static Awaitable<std::optional<T>> receive_from(std::shared_ptr<State> state) {
    std::optional<T> value = state->take();
    if (value || state->is_closed) co_return value;
    Receiver receiver(co_await asio::this_coro::executor);
    PutBack guard(*state, receiver);
    state->receivers.push_back(receiver);
    const bool woken = co_await receiver.wait();
    if (!woken) detail::throw_cancelled();
    value.swap(receiver.value);
    co_return value;
  }

  std::shared_ptr<State> state_;
};

}  // namespace sluice
