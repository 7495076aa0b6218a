// The modes of the peers' load; see load.h.
#include "cli/process_use.h"
#include "load.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

namespace peers {
namespace {

struct Load {
  explicit Load(const Arguments& arguments)
      : payload_bytes(arguments.size("size", 100)),
        window(arguments.size("window", 1000)),
        chunk(std::max<std::size_t>(1, window / 2)),
        batch(arguments.size("batch", 100)),
        backlog(arguments.size("backlog", 10'000)),
        secs(arguments.number("secs", 3)),
        warm_up(arguments.number("warm-up", 0.5)),
        rate(arguments.number("rate", 5000)),
        server_pid(static_cast<pid_t>(arguments.number("server-pid", 0))) {}

  std::size_t payload_bytes, window, chunk, batch, backlog;
  double secs, warm_up, rate;
  pid_t server_pid;
};

/// Random printable bytes behind the time it was due (8 bytes) and its number (8 bytes).
class Payload {
 public:
  explicit Payload(std::size_t bytes) : bytes_(std::max<std::size_t>(bytes, 16)) {
    std::uint64_t state = 88172645463325252ull;
    for (char& c : bytes_) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      c = static_cast<char>('!' + state % 90);
    }
  }

  const char* next(std::uint64_t due_ns) {
    std::memcpy(bytes_.data(), &due_ns, sizeof due_ns);
    std::memcpy(bytes_.data() + sizeof due_ns, &number_, sizeof number_);
    ++number_;
    return bytes_.data();
  }

 private:
  std::vector<char> bytes_;
  std::uint64_t number_ = 0;
};

std::uint64_t after(std::uint64_t start, double seconds) {
  return start + static_cast<std::uint64_t>(seconds * 1e9);
}

void sleep_until(std::uint64_t at_ns) {
  const timespec at{static_cast<time_t>(at_ns / 1'000'000'000u),
                    static_cast<long>(at_ns % 1'000'000'000u)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

void send_chunk(Producer& producer, Payload& payload, const Load& load) {
  const std::uint64_t now = monotonic_ns();
  for (std::size_t i = 0; i < load.chunk; ++i) {
    producer.post(payload.next(now), load.payload_bytes);
  }
  producer.flush();
  producer.settle(load.window - load.chunk);
}

void push(const Load& load, const MakeProducer& make, Report& report) {
  const auto producer = make();
  Payload payload(load.payload_bytes);
  std::uint64_t jobs = 0;
  const Meter meter(load.server_pid);
  const std::uint64_t end = after(monotonic_ns(), load.secs);
  for (; monotonic_ns() < end; jobs += load.chunk)
    send_chunk(*producer, payload, load);
  producer->settle(0);
  meter.finish(report, jobs);
}

std::uint32_t bounded(std::uint64_t ns) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(ns, UINT32_MAX));
}

void ping_push(const Load& load, const MakeProducer& make, Report& report) {
  const auto producer = make();
  Payload payload(load.payload_bytes);
  std::vector<std::uint32_t> latencies;
  const Meter meter(load.server_pid);
  const std::uint64_t end = after(monotonic_ns(), load.secs);
  for (std::uint64_t start = monotonic_ns(); start < end; start = monotonic_ns()) {
    producer->post(payload.next(start), load.payload_bytes);
    producer->flush();
    producer->settle(0);
    latencies.push_back(bounded(monotonic_ns() - start));
  }
  meter.finish(report, latencies.size());
  report.add_latencies(latencies);
}

/// Watches for times in which a processor stood still, whoever was to run on it: that of a virtual
/// machine that has used up its share of the host does. A thread on each comes before all others,
/// and sleeps.
class Watch {
 public:
  Watch() {
    const unsigned processors = std::thread::hardware_concurrency();
    has_watched_.resize(processors);
    seen_.resize(processors);
    for (unsigned each = 0; each < processors; ++each)
      threads_.emplace_back([this, each] { watch(each); });
  }

  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  ~Watch() { stop(); }

  void stop() {
    is_over_ = true;
    for (std::thread& thread : std::exchange(threads_, {}))
      thread.join();
    for (const std::vector<Still>& seen : std::exchange(seen_, {}))
      stills_.insert(stills_.end(), seen.begin(), seen.end());
  }

  /// After stop(), as the next: whether any of it fell between `from` and `to`.
  bool has_stood_still(std::uint64_t from, std::uint64_t to) const {
    return std::any_of(stills_.begin(), stills_.end(), [=](const Still& still) {
      return still.from < to && still.to > from;
    });
  }

  /// How much of the time of all processors from `from` to `to`. None: it was not allowed to watch.
  std::optional<double> share_of(std::uint64_t from, std::uint64_t to) const {
    if (std::count(has_watched_.begin(), has_watched_.end(), 0) > 0) return std::nullopt;
    std::uint64_t sum = 0;
    for (const Still& still : stills_) {
      if (still.from >= from && still.to <= to) sum += still.to - still.from;
    }
    return static_cast<double>(sum) / static_cast<double>((to - from) * has_watched_.size());
  }

 private:
  struct Still {
    std::uint64_t from;
    std::uint64_t to;
  };

  static constexpr std::uint64_t step_ns = 1'000'000;
  static constexpr std::uint64_t still_ns_min = 3'000'000;

  void watch(unsigned processor) {
    cpu_set_t only{};
    CPU_SET(processor, &only);
    const sched_param first{1};
    has_watched_[processor] = ::sched_setaffinity(0, sizeof only, &only) == 0 &&
                              ::sched_setscheduler(0, SCHED_FIFO, &first) == 0;
    if (has_watched_[processor] == 0) return;
    std::uint64_t last = monotonic_ns();
    while (!is_over_) {
      sleep_until(last + step_ns);
      const std::uint64_t now = monotonic_ns();
      if (now - last > still_ns_min) seen_[processor].push_back({last, now});
      last = now;
    }
  }

  std::atomic<bool> is_over_{false};
  std::vector<char> has_watched_;         ///< Each its thread's, until that is joined; so are
  std::vector<std::vector<Still>> seen_;  ///< these.
  std::vector<Still> stills_;             ///< After stop().
  std::vector<std::thread> threads_;
};

/// A job: when it was due to be pushed, and when it was here.
struct Timed {
  std::uint64_t due;
  std::uint64_t done;
};

struct Run {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> pulled{0};
  std::atomic<bool> is_over{false};
  std::uint64_t measure_from = 0;
  std::uint64_t end = 0;
  std::vector<Timed> timed;  ///< Of the consumer's thread, until it is joined.
};

void report_latencies(const Run& run, const Watch& watch, Report& report) {
  std::vector<std::uint32_t> all;
  std::vector<std::uint32_t> undisturbed;
  for (const Timed& each : run.timed) {
    all.push_back(bounded(each.done - each.due));
    if (!watch.has_stood_still(each.due, each.done)) undisturbed.push_back(all.back());
  }
  report.add_latencies(all);
  const std::optional<double> stood_still = watch.share_of(run.measure_from, run.end);
  if (!stood_still) return;
  report.add("stood_still", *stood_still);
  report.add_latencies(undisturbed, "undisturbed_");
}

void consume(Run& run, Consumer& consumer, const Load& load, bool is_timed) {
  const auto on_job = [&](const char* payload, std::size_t) {
    std::uint64_t due = 0;
    std::memcpy(&due, payload, sizeof due);
    if (is_timed && due >= run.measure_from) run.timed.push_back({due, monotonic_ns()});
  };
  while (!run.is_over)
    run.pulled += consumer.fetch(load.batch, 100, on_job);
  consumer.finish();
}

void produce_bounded(Run& run, Producer& producer, const Load& load) {
  Payload payload(load.payload_bytes);
  while (monotonic_ns() < run.end) {
    const auto waiting = static_cast<std::int64_t>(run.sent - run.pulled);
    if (waiting >= static_cast<std::int64_t>(load.backlog)) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      continue;
    }
    send_chunk(producer, payload, load);
    run.sent += load.chunk;
  }
  producer.settle(0);
}

void produce_paced(Run& run, Producer& producer, const Load& load, std::uint64_t start) {
  Payload payload(load.payload_bytes);
  const auto gap = static_cast<std::uint64_t>(1e9 / load.rate);
  for (std::uint64_t due = start; due < run.end;) {
    sleep_until(due);
    const std::uint64_t now = monotonic_ns();
    std::uint64_t jobs = 0;
    for (; due <= now && jobs < load.chunk; due += gap, ++jobs) {
      producer.post(payload.next(due), load.payload_bytes);
    }
    producer.flush();
    run.sent += jobs;
    producer.poll();
    producer.settle(load.window);
  }
  producer.settle(0);
}

/// cycle and latency: a producer and a consumer at once.
void both(const Load& load,
          bool is_paced,
          const MakeProducer& make_producer,
          const MakeConsumer& make_consumer,
          Report& report) {
  Run run;
  std::optional<Watch> watch;
  if (is_paced) watch.emplace();
  const auto consumer = make_consumer();
  const auto producer = make_producer();
  const std::uint64_t start = monotonic_ns();
  run.measure_from = after(start, load.warm_up);
  run.end = after(run.measure_from, load.secs);
  std::thread consuming([&] { consume(run, *consumer, load, is_paced); });
  std::thread producing([&] {
    ::prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    if (is_paced) {
      produce_paced(run, *producer, load, start);
    } else {
      produce_bounded(run, *producer, load);
    }
  });
  sleep_until(run.measure_from);
  const std::uint64_t before = run.pulled;
  const Meter meter(load.server_pid);
  sleep_until(run.end);
  meter.finish(report, run.pulled - before);
  producing.join();
  const std::uint64_t give_up = after(monotonic_ns(), 3);
  while (run.pulled < run.sent && monotonic_ns() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  run.is_over = true;
  consuming.join();
  report.add("left", static_cast<double>(run.sent - run.pulled));
  if (!is_paced) return;
  watch->stop();
  report_latencies(run, *watch, report);
}

}  // namespace

Meter::Meter(pid_t server) : pid_(server), start_(cpu()), from_(monotonic_ns()) {}

void Meter::finish(Report& report, std::uint64_t jobs) const {
  const double seconds = static_cast<double>(monotonic_ns() - from_) / 1e9;
  report.add("jobs", static_cast<double>(jobs));
  report.add("seconds", seconds);
  report.add("jobs_per_second", static_cast<double>(jobs) / seconds);
  if (pid_ > 0 && jobs > 0) {
    report.add("server_cpu_us_per_job", (cpu() - start_) * 1e6 / static_cast<double>(jobs));
  }
}

double Meter::cpu() const {
  if (pid_ <= 0) return 0;
  const auto use = sluice::cli::process_use(pid_);
  if (!use) die("--server-pid names no running process");
  return use->cpu_seconds;
}

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Arguments::Arguments(int argc, char** argv) {
  if (argc < 2) die("usage: PROGRAM MODE [--key value]...");
  mode_ = argv[1];
  for (int i = 2; i + 1 < argc; i += 2)
    values_[std::string(argv[i]).substr(2)] = argv[i + 1];
}

std::string Arguments::text(const std::string& key, const std::string& otherwise) const {
  const auto found = values_.find(key);
  return found == values_.end() ? otherwise : found->second;
}

double Arguments::number(const std::string& key, double otherwise) const {
  const auto found = values_.find(key);
  return found == values_.end() ? otherwise : std::strtod(found->second.c_str(), nullptr);
}

std::size_t Arguments::size(const std::string& key, std::size_t otherwise) const {
  return static_cast<std::size_t>(number(key, static_cast<double>(otherwise)));
}

void Report::add_key(const std::string& key) {
  if (text_.size() > 1) text_ += ", ";
  text_ += '"' + key + "\": ";
}

void Report::add(const std::string& key, double value) {
  add_key(key);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  text_ += digits;
}

void Report::add(const std::string& key, const std::string& value) {
  add_key(key);
  text_ += '"' + value + '"';
}

void Report::add_latencies(std::vector<std::uint32_t>& nanoseconds, const std::string& prefix) {
  if (nanoseconds.empty()) return;
  std::sort(nanoseconds.begin(), nanoseconds.end());
  const auto at = [&](double fraction) {
    const auto index = static_cast<std::size_t>(fraction * static_cast<double>(nanoseconds.size()));
    return nanoseconds[std::min(index, nanoseconds.size() - 1)] / 1000.0;
  };
  add(prefix + "p50_us", at(0.5));
  add(prefix + "p99_us", at(0.99));
  add(prefix + "p999_us", at(0.999));
  add(prefix + "max_us", at(1));
}

int drive(const Arguments& arguments, const MakeProducer& producer, const MakeConsumer& consumer) {
  const Load load(arguments);
  Report report;
  report.add("mode", arguments.mode());
  if (arguments.mode() == "push") {
    push(load, producer, report);
  } else if (arguments.mode() == "ping-push") {
    ping_push(load, producer, report);
  } else if (arguments.mode() == "cycle" || arguments.mode() == "latency") {
    both(load, arguments.mode() == "latency", producer, consumer, report);
  } else {
    die("no mode " + arguments.mode());
  }
  report.print();
  return 0;
}

}  // namespace peers
