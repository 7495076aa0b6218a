// The loops of the load generator; see bench_load.h.
#include "cli/bench_load.h"

#include "cli/exit.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include <sys/prctl.h>
#include <time.h>

namespace sluice::cli::bench {
namespace {

using namespace std::chrono_literals;

std::uint64_t ns(std::chrono::duration<double> time) {
  return static_cast<std::uint64_t>(time.count() * 1e9);
}

void sleep_until(std::uint64_t at_ns) {
  const timespec at{static_cast<time_t>(at_ns / 1'000'000'000u),
                    static_cast<long>(at_ns % 1'000'000'000u)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

/// What the threads of one run share.
struct Run {
  explicit Run(const Load& settings) : load(settings) {}

  const Load& load;
  std::atomic<bool> is_over{false};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> acked{0};  ///< Jobs whose last reply is here.
  std::atomic<std::uint64_t> pulled{0};
  std::uint64_t measure_from_ns = 0;  ///< latency: set before the threads start.
};

/// Threads that carry their first failure to the thread that joins them.
class Threads {
 public:
  explicit Threads(Run& run) : run_(run) {}

  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  ~Threads() {
    run_.is_over = true;
    join_all();
  }

  template <class Work>
  void start(Work work) {
    ++running_;
    threads_.emplace_back([this, work = std::move(work)]() mutable {
      ::prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);  // Paced sends must not be 50 µs late.
      try {
        work();
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        run_.is_over = true;
      }
      --running_;
    });
  }

  bool are_running() const { return running_ > 0; }

  void join() {
    join_all();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void join_all() {
    for (std::thread& thread : threads_)
      thread.join();
    threads_.clear();
  }

  Run& run_;
  std::vector<std::thread> threads_;
  std::atomic<int> running_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

/// Server CPU between two moments.
class Meter {
 public:
  explicit Meter(const Load& load) : pid_(load.server_pid) {
    if (pid_) start_ = process_use(*pid_);
    if (pid_ && !start_) {
      throw Exit{ExitCode::failed, "--server-pid names no running process"};
    }
    from_ns_ = monotonic_ns();
  }

  void finish(Outcome& outcome, std::uint64_t jobs) const {
    outcome.jobs = jobs;
    outcome.seconds = static_cast<double>(monotonic_ns() - from_ns_) / 1e9;
    if (!pid_) return;
    outcome.server_end = process_use(*pid_);
    if (outcome.server_end) {
      outcome.server_cpu_seconds = outcome.server_end->cpu_seconds - start_->cpu_seconds;
    }
  }

 private:
  std::optional<pid_t> pid_;
  std::optional<ProcessUse> start_;
  std::uint64_t from_ns_ = 0;
};

/// Waits until the threads are done or `end_ns`, with progress.
void watch(const Threads& threads,
           const Run& run,
           std::uint64_t end_ns,
           const OnProgress& on_progress) {
  std::uint64_t shown_ns = monotonic_ns();
  while (threads.are_running() && !run.is_over) {
    const std::uint64_t now = monotonic_ns();
    if (now >= end_ns) return;
    if (now - shown_ns > 100'000'000u) {
      on_progress(run.acked);
      shown_ns = now;
    }
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(2ms, std::chrono::nanoseconds(end_ns - now)));
  }
}

/// One producer: sends halves of the window and waits until the other half is acknowledged.
class Producer {
 public:
  Producer(Run& run, std::size_t index, bool has_delay = false)
      : run_(run),
        connection_(run.load.server),
        chunk_(std::max<std::size_t>(1, run.load.window / 2)),
        batch_({run.load.queue, run.load.payload_bytes, has_delay}, chunk_, index + 1),
        number_(std::uint64_t{index} << 40),
        random_(0x9e3779b97f4a7c15ull * (index + 1)) {}

  std::size_t chunk() const { return chunk_; }

  /// Sends `jobs` <= chunk(), then waits until all but half a window is acknowledged.
  void send_chunk(std::size_t jobs) {
    const std::uint64_t now = monotonic_ns();
    for (std::size_t i = 0; i < jobs; ++i)
      batch_.stamp(i, now, number_++);
    connection_.send(batch_.bytes(jobs));
    outstanding_ += jobs;
    run_.sent += jobs;
    settle(run_.load.window - std::min(run_.load.window, chunk_));
  }

  void delay_chunk(std::size_t jobs) {
    const auto most = static_cast<std::uint64_t>(run_.load.delay_max.count()) + 1;
    for (std::size_t i = 0; i < jobs; ++i) {
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      batch_.delay(i, random_ % most);
    }
  }

  /// Sends `jobs` whose due times start at `due_ns`, `gap_ns` apart; takes replies without waiting.
  void send_paced(std::size_t jobs, std::uint64_t due_ns, std::uint64_t gap_ns) {
    for (std::size_t i = 0; i < jobs; ++i)
      batch_.stamp(i, due_ns + i * gap_ns, number_++);
    connection_.send(batch_.bytes(jobs));
    outstanding_ += jobs;
    run_.sent += jobs;
    while (connection_.try_receive())
      outstanding_ -= connection_.drop_replies(outstanding_);
    settle(run_.load.window);
  }

  /// One push, waited for; how long it took.
  std::uint64_t send_one() {
    const std::uint64_t start = monotonic_ns();
    batch_.stamp(0, start, number_++);
    connection_.send(batch_.bytes(1));
    connection_.await_replies(1);
    return monotonic_ns() - start;
  }

  /// Waits until at most `most` pushes are unacknowledged. How many were acknowledged meanwhile is
  /// added to `acknowledged`.
  void settle(std::size_t most) {
    while (outstanding_ > most) {
      connection_.receive();
      const std::size_t done = connection_.drop_replies(outstanding_);
      outstanding_ -= done;
      acknowledged_ += done;
    }
  }

  /// Pushes acknowledged since the last call (settle() only).
  std::uint64_t take_acknowledged() { return std::exchange(acknowledged_, 0); }

 private:
  Run& run_;
  Connection connection_;
  std::size_t chunk_;
  PushBatch batch_;
  std::uint64_t number_;
  std::uint64_t random_;
  std::size_t outstanding_ = 0;
  std::uint64_t acknowledged_ = 0;
};

/// One consumer. Keeps two PULLs on their way so that the server never waits for it, and sends the
/// acks of one batch together with the next PULL; with `acks_apart` on a second connection, so that
/// no delivery waits behind an ack's fsync (replies of one connection are in order).
class Consumer {
 public:
  Consumer(Run& run, std::string_view wait, bool acks_apart) : run_(run), pulls_(run.load.server) {
    if (acks_apart) apart_ = std::make_unique<Connection>(run.load.server);
    const std::string count = std::to_string(run.load.batch);
    std::vector<ByteView> arguments{"PULL", run.load.queue, "COUNT", count};
    if (!wait.empty()) arguments.insert(arguments.end(), {"WAIT", wait});
    append_command(pull_, arguments);
  }

  void start() {
    for (std::size_t i = 0; i < pulls_in_flight; ++i)
      send_pull();
  }

  /// Takes the reply of one PULL, acknowledges its jobs and, if `again`, pulls anew. 0: nothing
  /// came.
  template <class OnJob>
  std::size_t turn(bool again, OnJob on_job) {
    take_acks_before_pull();
    const std::size_t jobs = pulls_.await_jobs();
    expected_.pop_front();
    output_.clear();
    for (std::size_t i = 0; i < jobs; ++i) {
      const PulledJob job = pulls_.next_job();
      on_job(job);
      output_ += "*3\r\n$3\r\nACK\r\n";
      output_ += job.id;
      output_ += job.token;
    }
    run_.pulled += jobs;
    if (apart_) {
      if (again) send_pull();
      send_acks_apart(jobs);
    } else {
      if (jobs > 0) expected_.push_back(jobs);
      if (again) {
        output_ += pull_;
        expected_.push_back(a_pull);
      }
      pulls_.send(output_);
    }
    return jobs;
  }

  /// Takes what is still on its way and acknowledges it.
  template <class OnJob>
  void finish(OnJob on_job) {
    while (std::count(expected_.begin(), expected_.end(), a_pull) > 0)
      turn(false, on_job);
    take_acks_before_pull();
    if (apart_) apart_->await_replies(std::exchange(acks_apart_, 0));
  }

 private:
  static constexpr std::size_t pulls_in_flight = 2;
  /// In `expected_`: the next reply is that of a PULL; any other number: so many acks.
  static constexpr std::size_t a_pull = 0;

  void send_pull() {
    pulls_.send(pull_);
    expected_.push_back(a_pull);
  }

  void take_acks_before_pull() {
    while (!expected_.empty() && expected_.front() != a_pull) {
      const std::size_t acks = expected_.front();
      pulls_.await_replies(acks);
      run_.acked += acks;
      expected_.pop_front();
    }
  }

  void send_acks_apart(std::size_t jobs) {
    apart_->send(output_);
    acks_apart_ += jobs;
    while (apart_->try_receive()) {
      const std::size_t done = apart_->drop_replies(acks_apart_);
      acks_apart_ -= done;
      run_.acked += done;
    }
  }

  Run& run_;
  Connection pulls_;
  std::unique_ptr<Connection> apart_;
  std::size_t acks_apart_ = 0;
  std::string pull_;
  std::string output_;
  std::deque<std::size_t> expected_;
};

/// Pushes of one connection until the time is over or its share of `count` is sent.
void push_all(
    Run& run, Producer& producer, std::uint64_t share, std::uint64_t end_ns, bool has_delay) {
  std::uint64_t left = share;
  while (left > 0 && !run.is_over && monotonic_ns() < end_ns) {
    const auto jobs = static_cast<std::size_t>(std::min<std::uint64_t>(producer.chunk(), left));
    if (has_delay) producer.delay_chunk(jobs);
    producer.send_chunk(jobs);
    left -= jobs;
    run.acked += producer.take_acknowledged();
  }
  producer.settle(0);
  run.acked += producer.take_acknowledged();
}

std::uint64_t share_of(const Load& load, std::size_t index) {
  if (load.count == 0) return UINT64_MAX;
  return load.count / load.connections + (index < load.count % load.connections ? 1 : 0);
}

/// With a count there is no time limit.
std::uint64_t end_of(const Load& load) {
  return load.count > 0 ? UINT64_MAX : monotonic_ns() + ns(load.time);
}

Outcome push_load(const Load& load, const OnProgress& on_progress, bool has_delay) {
  Run run(load);
  std::vector<std::unique_ptr<Producer>> producers;
  for (std::size_t i = 0; i < load.connections; ++i) {
    producers.push_back(std::make_unique<Producer>(run, i, has_delay));
  }
  const Meter meter(load);
  const std::uint64_t end_ns = end_of(load);
  Threads threads(run);
  for (std::size_t i = 0; i < load.connections; ++i) {
    threads.start([&run, &load, &producer = *producers[i], i, end_ns, has_delay] {
      push_all(run, producer, share_of(load, i), end_ns, has_delay);
    });
  }
  watch(threads, run, UINT64_MAX, on_progress);
  threads.join();
  Outcome outcome;
  meter.finish(outcome, run.acked);
  return outcome;
}

void collect(Outcome& outcome, std::vector<std::vector<std::uint32_t>>& parts) {
  for (const auto& part : parts) {
    outcome.latencies_ns.insert(outcome.latencies_ns.end(), part.begin(), part.end());
  }
  std::sort(outcome.latencies_ns.begin(), outcome.latencies_ns.end());
}

std::uint32_t bounded(std::uint64_t nanoseconds) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(nanoseconds, UINT32_MAX));
}

void consume(Run& run, Consumer& consumer, std::vector<std::uint32_t>& latencies) {
  const auto on_job = [&](const PulledJob& job) {
    if (run.measure_from_ns == 0) return;
    const std::uint64_t due = stamped_due(job.payload);
    if (due >= run.measure_from_ns) latencies.push_back(bounded(monotonic_ns() - due));
  };
  consumer.start();
  while (!run.is_over)
    consumer.turn(true, on_job);
  consumer.finish(on_job);
}

/// Gives consumers three seconds to take what has been pushed.
void await_consumers(const Run& run, const Threads& consumers) {
  const std::uint64_t give_up = monotonic_ns() + 3'000'000'000u;
  while (run.pulled < run.sent && consumers.are_running() && monotonic_ns() < give_up) {
    std::this_thread::sleep_for(1ms);
  }
}

void produce_bounded(Run& run, Producer& producer, std::uint64_t end_ns) {
  while (!run.is_over && monotonic_ns() < end_ns) {
    // The counters are read without a common cut: pulled may be ahead of sent for a moment.
    const auto waiting = static_cast<std::int64_t>(run.sent - run.pulled);
    if (waiting >= static_cast<std::int64_t>(run.load.backlog)) {
      std::this_thread::sleep_for(100us);
      continue;
    }
    producer.send_chunk(producer.chunk());
  }
  producer.settle(0);
}

void produce_paced(Run& run, Producer& producer, std::uint64_t start_ns, std::uint64_t end_ns) {
  const auto gap = static_cast<std::uint64_t>(1e9 / run.load.rate);
  for (std::uint64_t due = start_ns; !run.is_over && due < end_ns;) {
    sleep_until(due);
    const std::uint64_t late = monotonic_ns() - due;
    const auto jobs = std::min<std::uint64_t>(producer.chunk(), 1 + late / gap);
    producer.send_paced(static_cast<std::size_t>(jobs), due, gap);
    due += jobs * gap;
  }
  producer.settle(0);
}

}  // namespace

double Outcome::latency_us(double fraction) const {
  if (latencies_ns.empty()) return 0;
  const auto index = static_cast<std::size_t>(fraction * static_cast<double>(latencies_ns.size()));
  return latencies_ns[std::min(index, latencies_ns.size() - 1)] / 1000.0;
}

Outcome push(const Load& load, const OnProgress& on_progress) {
  return push_load(load, on_progress, false);
}

Outcome delayed(const Load& load, const OnProgress& on_progress) {
  return push_load(load, on_progress, true);
}

Outcome ping_push(const Load& load, const OnProgress& on_progress) {
  Run run(load);
  std::vector<std::unique_ptr<Producer>> producers;
  for (std::size_t i = 0; i < load.connections; ++i) {
    producers.push_back(std::make_unique<Producer>(run, i));
  }
  std::vector<std::vector<std::uint32_t>> latencies(load.connections);
  const Meter meter(load);
  const std::uint64_t end_ns = end_of(load);
  Threads threads(run);
  for (std::size_t i = 0; i < load.connections; ++i) {
    threads.start([&run, &load, &producer = *producers[i], &mine = latencies[i], i, end_ns] {
      for (std::uint64_t left = share_of(load, i);
           left > 0 && !run.is_over && monotonic_ns() < end_ns;
           --left) {
        mine.push_back(bounded(producer.send_one()));
        ++run.acked;
      }
    });
  }
  watch(threads, run, UINT64_MAX, on_progress);
  threads.join();
  Outcome outcome;
  meter.finish(outcome, run.acked);
  collect(outcome, latencies);
  return outcome;
}

Outcome cycle(const Load& load, const OnProgress& on_progress) {
  Run run(load);
  std::vector<std::unique_ptr<Producer>> producers;
  std::vector<std::unique_ptr<Consumer>> consumers;
  for (std::size_t i = 0; i < load.connections; ++i) {
    producers.push_back(std::make_unique<Producer>(run, i));
    consumers.push_back(std::make_unique<Consumer>(run, "50ms", false));
  }
  std::vector<std::vector<std::uint32_t>> unused(load.connections);
  const std::uint64_t measure_from = monotonic_ns() + ns(load.warm_up);
  const std::uint64_t end_ns = measure_from + ns(load.time);
  Outcome outcome;
  Threads consuming(run);
  Threads producing(run);
  for (std::size_t i = 0; i < load.connections; ++i) {
    consuming.start([&, i] { consume(run, *consumers[i], unused[i]); });
    producing.start([&, i] { produce_bounded(run, *producers[i], end_ns); });
  }
  watch(producing, run, measure_from, on_progress);
  const Meter meter(load);
  const std::uint64_t acked_before = run.acked;
  watch(producing, run, end_ns, on_progress);
  meter.finish(outcome, run.acked - acked_before);
  producing.join();
  await_consumers(run, consuming);
  run.is_over = true;
  consuming.join();
  outcome.left = run.sent - run.pulled;
  return outcome;
}

Outcome latency(const Load& load, const OnProgress& on_progress) {
  Run run(load);
  Producer producer(run, 0);
  Consumer consumer(run, "100ms", true);
  std::vector<std::vector<std::uint32_t>> latencies(1);
  latencies[0].reserve(static_cast<std::size_t>(load.rate * load.time.count() * 1.1) + 16);
  const std::uint64_t start_ns = monotonic_ns() + 1'000'000u;
  run.measure_from_ns = start_ns + ns(load.warm_up);
  const std::uint64_t end_ns = run.measure_from_ns + ns(load.time);
  Outcome outcome;
  Threads consuming(run);
  Threads producing(run);
  consuming.start([&] { consume(run, consumer, latencies[0]); });
  producing.start([&] { produce_paced(run, producer, start_ns, end_ns); });
  watch(producing, run, run.measure_from_ns, on_progress);
  const Meter meter(load);
  const std::uint64_t pulled_before = run.pulled;
  watch(producing, run, end_ns, on_progress);
  meter.finish(outcome, run.pulled - pulled_before);
  producing.join();
  await_consumers(run, consuming);
  run.is_over = true;
  consuming.join();
  outcome.left = run.sent - run.pulled;
  collect(outcome, latencies);
  return outcome;
}

Outcome drain(const Load& load, const OnProgress& on_progress) {
  Run run(load);
  std::vector<std::unique_ptr<Consumer>> consumers;
  for (std::size_t i = 0; i < load.connections; ++i) {
    consumers.push_back(std::make_unique<Consumer>(run, "", false));
  }
  const Meter meter(load);
  Threads threads(run);
  for (auto& consumer : consumers) {
    threads.start([&run, &load, &one = *consumer] {
      const auto ignore = [](const PulledJob&) {};
      one.start();
      while (!run.is_over && one.turn(true, ignore) > 0) {
        if (load.count > 0 && run.pulled >= load.count) break;
      }
      one.finish(ignore);
    });
  }
  watch(threads, run, UINT64_MAX, on_progress);
  threads.join();
  Outcome outcome;
  meter.finish(outcome, run.acked);
  return outcome;
}

}  // namespace sluice::cli::bench
