// The load of the peers: what a queue under comparison implements (Producer, Consumer), and the
// modes that drive it, which are those of `sluice bench` (src/cli/bench_load.h says the method).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

namespace peers {

/// Prints and ends the process: a failed measurement has no result.
[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "fatal: %s\n", what.c_str());
  std::exit(1);
}

std::uint64_t monotonic_ns();

/// PROGRAM MODE [--key value]…
class Arguments {
 public:
  Arguments(int argc, char** argv);

  const std::string& mode() const { return mode_; }

  std::string text(const std::string& key, const std::string& otherwise) const;
  double number(const std::string& key, double otherwise) const;
  std::size_t size(const std::string& key, std::size_t otherwise) const;

 private:
  std::string mode_;
  std::map<std::string, std::string> values_;
};

class Producer {
 public:
  virtual ~Producer() = default;
  /// Encodes one job into the batch.
  virtual void post(const char* payload, std::size_t bytes) = 0;
  /// Sends the batch.
  virtual void flush() = 0;
  /// Waits until at most `most` jobs are unacknowledged.
  virtual void settle(std::size_t most) = 0;
  /// Takes acknowledgements that are here, without waiting.
  virtual void poll() = 0;
};

using OnJob = std::function<void(const char* payload, std::size_t bytes)>;

class Consumer {
 public:
  virtual ~Consumer() = default;
  /// Takes up to `most` jobs, calls `on_job` for each and acknowledges each; 0 when none came
  /// within `timeout_ms`. Acknowledgements may travel with the next fetch.
  virtual std::size_t fetch(std::size_t most, int timeout_ms, const OnJob& on_job) = 0;
  /// Until the server took every acknowledgement.
  virtual void finish() = 0;
};

using MakeProducer = std::function<std::unique_ptr<Producer>()>;
using MakeConsumer = std::function<std::unique_ptr<Consumer>()>;

/// One JSON object on stdout, with the names that `sluice bench --json` uses.
class Report {
 public:
  void add(const std::string& key, double value);
  void add(const std::string& key, const std::string& value);
  /// Sorts them.
  void add_latencies(std::vector<std::uint32_t>& nanoseconds, const std::string& prefix = "");

  void print() const { std::printf("%s}\n", text_.c_str()); }

 private:
  void add_key(const std::string& key);
  std::string text_ = "{";
};

/// Time and CPU of the server (pid 0: not measured) from here to finish().
class Meter {
 public:
  explicit Meter(pid_t server);
  void finish(Report& report, std::uint64_t jobs) const;

 private:
  double cpu() const;

  pid_t pid_;
  double start_;
  std::uint64_t from_;
};

/// push | ping-push | cycle | latency; returns the exit code.
int drive(const Arguments& arguments, const MakeProducer& producer, const MakeConsumer& consumer);

}  // namespace peers
