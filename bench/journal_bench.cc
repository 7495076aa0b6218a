// The journal alone: the cost of a frame, of a group commit, of recovery and of reading back.
//
//   journal_bench --benchmark_filter=Commit
//
// Works in $SLUICE_BENCH_DIR (default: ./journal-bench), which is removed afterwards.
#include "base/check.h"
#include "io/posix.h"
#include "journal/log.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace sluice::journal {
namespace {

std::string bench_directory() {
  const char* named = std::getenv("SLUICE_BENCH_DIR");
  return named != nullptr ? named : "journal-bench";
}

Result<void> ignore(Position, ByteView) {
  return {};
}

/// A log in a fresh directory, gone with its owner.
class BenchLog {
 public:
  BenchLog() {
    std::filesystem::remove_all(path_);
    directory_ = std::move(*io::open_directory(path_));
    log_ = std::move(*Log::open(*directory_, LogOptions(), ignore, {}));
  }

  ~BenchLog() {
    log_.reset();
    directory_.reset();
    std::filesystem::remove_all(path_);
  }

  Log* operator->() { return log_.get(); }

  void append(const std::string& payload) {
    log_->open_frame();
    log_->frame().append(payload);
    log_->close_frame();
  }

  void commit(Sync sync) {
    Batch batch = log_->seal();
    check(log_->write(batch, sync).has_value());
    log_->retire(std::move(batch));
  }

  /// Opens the log again, as after the end of a process.
  void reopen(const OnFrame& on_frame) {
    log_.reset();
    directory_ = nullptr;
    directory_ = std::move(*io::open_directory(path_));
    log_ = std::move(*Log::open(*directory_, LogOptions(), on_frame, {}));
  }

 private:
  std::string path_ = bench_directory();
  std::unique_ptr<io::Directory> directory_;
  std::unique_ptr<Log> log_;
};

/// One frame into the open batch; batches of 10,000 are sealed, written without a sync and retired.
void Frame(benchmark::State& state) {
  BenchLog log;
  const std::string payload(static_cast<std::size_t>(state.range(0)), 'p');
  int pending = 0;
  for (auto _ : state) {
    log.append(payload);
    if (++pending == 10'000) {
      state.PauseTiming();
      log.commit(Sync::no);
      pending = 0;
      state.ResumeTiming();
    }
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

BENCHMARK(Frame)->Arg(40)->Arg(150)->Arg(1000)->Iterations(2'000'000);

/// Append, seal, write, fdatasync, retire: batches of range(0) frames of 150 bytes.
void Commit(benchmark::State& state) {
  BenchLog log;
  const std::string payload(150, 'p');
  for (auto _ : state) {
    for (std::int64_t i = 0; i < state.range(0); ++i)
      log.append(payload);
    log.commit(Sync::yes);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(Commit)->Arg(1)->Arg(10)->Arg(100)->Arg(1000)->Arg(10'000)->UseRealTime();

/// The processor's share of a frame from append to retire, without a sync.
void Throughput(benchmark::State& state) {
  BenchLog log;
  const std::string payload(150, 'p');
  for (auto _ : state) {
    for (int i = 0; i < 5000; ++i)
      log.append(payload);
    log.commit(Sync::no);
  }
  state.SetItemsProcessed(state.iterations() * 5000);
  state.SetBytesProcessed(state.iterations() * 5000 * 174);
}

BENCHMARK(Throughput)->Iterations(1500);

void fill(BenchLog& log, std::size_t bytes, std::size_t payload_bytes) {
  const std::string payload(payload_bytes, 'p');
  for (std::size_t done = 0; done < bytes;) {
    for (int i = 0; i < 1000; ++i) {
      log.append(payload);
      done += payload_bytes;
    }
    log.commit(Sync::no);
  }
  check(log->close().has_value());
}

/// Opening a log of 512 MiB that is in the page cache.
void Recovery(benchmark::State& state) {
  BenchLog log;
  fill(log, 512u << 20, static_cast<std::size_t>(state.range(0)));
  std::int64_t frames = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    log.reopen([&](Position, ByteView payload) {
      ++frames;
      bytes += static_cast<std::int64_t>(payload.size()) + 24;
      return Result<void>();
    });
  }
  state.SetItemsProcessed(frames);
  state.SetBytesProcessed(bytes);
}

BENCHMARK(Recovery)->Arg(40)->Arg(150)->Arg(4000)->Unit(benchmark::kMillisecond)->Iterations(3);

/// Reading frames of 150 bytes back: 0 in log order from the file, 1 at random from the file, 2 at
/// random from the cache.
void ReadBack(benchmark::State& state) {
  BenchLog log;
  const std::string payload(150, 'p');
  std::vector<Position> positions;
  const int frames = 2'000'000;
  for (int i = 0; i < frames; ++i) {
    positions.push_back(log->open_frame());
    log->frame().append(payload);
    log->close_frame();
    if (i % 1000 == 999) log.commit(Sync::no);
  }
  // The cache holds the newest part, far more than a tenth.
  const std::size_t first = state.range(0) == 2 ? positions.size() * 9 / 10 : 0;
  const std::size_t count = positions.size() / 10;
  const std::size_t step = state.range(0) == 0 ? 1 : 7919;
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(log->read(positions[first + next], 150)->data());
    next = (next + step) % count;
  }
}

BENCHMARK(ReadBack)->Arg(0)->Arg(1)->Arg(2);

}  // namespace
}  // namespace sluice::journal

BENCHMARK_MAIN();
