// model: runs many random histories through the core and the reference (pair.h).
//
//   model [--sequences N] [--operations N] [--seed S]      seeds S, S+1, …; prints a ledger line
//         [--shrink 0]                                     ends at the first difference
//   model --script 1f,2a,…                                 one history, told line by line
//
// Histories run in child processes, so that a broken invariant (check() aborts) or a hang is found
// and made smaller like any other difference: operations are left out while the rest still fails.
#include "reference/pair.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::reference {
namespace {

constexpr std::uint64_t sequences_per_child = 1000;
/// One history takes milliseconds.
constexpr unsigned hang_seconds = 20;
/// One history in so many is restored after each of its operations.
constexpr std::uint64_t restored_each = 50;

struct Options {
  std::uint64_t sequences = 50'000;
  std::uint64_t operations = 200;
  std::uint64_t seed = 1;
  std::uint64_t shrink = 1;  ///< 0: only whether they agree; the first difference ends it.
};

/// Where a child says what it is doing; its parent reads it when the child is dead.
struct Shared {
  std::uint64_t seed;
  std::uint64_t operations;
  char failure[1024];
};

std::uint64_t random(std::uint64_t& state) {  // SplitMix64
  state += 0x9e3779b97f4a7c15u;
  std::uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Script script_of(std::uint64_t seed, std::uint64_t operations) {
  Script script;
  script.reserve(operations + 1);
  std::uint64_t state = seed * 0x1000193u;
  for (std::uint64_t index = 0; index <= operations; ++index)
    script.push_back(random(state));
  return script;
}

/// Runs `work` in a child. False: it differed, died or hung; `shared` says more.
template <class Work>
bool succeeds(Shared& shared, Work work) {
  std::snprintf(shared.failure, sizeof shared.failure, "it was killed: a broken invariant, a hang");
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    try {
      work();
    } catch (const Mismatch& mismatch) {
      std::snprintf(shared.failure, sizeof shared.failure, "%s", mismatch.what());
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) std::abort();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool fails(Shared& shared, const Script& script, bool restores_after_each) {
  return !succeeds(shared, [&] {
    close(STDERR_FILENO);  // An aborting check() says the same each time.
    alarm(hang_seconds);
    run(script, {restores_after_each, {}});
  });
}

/// Delta debugging: leaves out as many operations as possible, then makes their numbers small.
Script shrink(Shared& shared, Script script, bool restores_after_each) {
  for (std::size_t size = script.size() / 2; size > 0; size /= 2) {
    for (std::size_t at = 1; at < script.size();) {
      Script fewer = script;
      const auto begin = fewer.begin() + static_cast<std::ptrdiff_t>(at);
      const std::size_t count = std::min(size, script.size() - at);
      fewer.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
      if (fails(shared, fewer, restores_after_each)) {
        script = std::move(fewer);
      } else {
        at += size;
      }
    }
  }
  for (std::size_t at = 0; at < script.size(); ++at) {
    for (unsigned bits = 4; bits < 64; bits += 4) {
      Script smaller = script;
      smaller[at] &= (std::uint64_t{1} << bits) - 1;
      if (!fails(shared, smaller, restores_after_each)) continue;
      script = std::move(smaller);
      break;
    }
  }
  return script;
}

std::string written(const Script& script) {
  std::string text;
  for (const std::uint64_t number : script) {
    char hex[20];
    std::snprintf(hex, sizeof hex, "%lx", number);
    text += (text.empty() ? "" : ",") + std::string(hex);
  }
  return text;
}

Script read_script(const char* text) {
  Script script;
  char* end = nullptr;
  for (; *text != '\0'; text = *end == ',' ? end + 1 : end) {
    script.push_back(std::strtoull(text, &end, 16));
    if (end == text) break;
  }
  return script;
}

void report(Shared& shared, std::uint64_t seed, const Options& options) {
  std::printf("seed %lu differs: %s\n", seed, shared.failure);
  if (options.shrink == 0) return;
  const bool restores = seed % restored_each == 0;
  const Script small = shrink(shared, script_of(seed, options.operations), restores);
  fails(shared, small, restores);
  std::printf("the shortest history that fails (%zu operations): %s\n  model --script %s\n",
              small.size() - 1,
              shared.failure,
              written(small).c_str());
}

int run_script(const Script& script) {
  try {
    run(script, {true, [](const std::string& line) { std::printf("%s\n", line.c_str()); }});
  } catch (const Mismatch& mismatch) {
    std::printf("differs: %s\n", mismatch.what());
    return 1;
  }
  std::printf("both sides agree\n");
  return 0;
}

int run_sequences(const Options& options) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto& shared = *new (memory) Shared{};
  std::uint64_t failures = 0;
  std::uint64_t next = options.seed;
  const std::uint64_t end = options.seed + options.sequences;
  const std::uint64_t failures_max = options.shrink == 0 ? 1 : 5;
  while (next < end && failures < failures_max) {
    const std::uint64_t until = std::min(end, next + sequences_per_child);
    const bool is_fine = succeeds(shared, [&] {
      for (; next < until; ++next) {
        shared.seed = next;
        alarm(hang_seconds);
        run(script_of(next, options.operations), {next % restored_each == 0, {}});
        shared.operations += options.operations;
      }
    });
    next = until;
    if (is_fine) continue;
    ++failures;
    next = shared.seed + 1;
    report(shared, next - 1, options);
  }
  std::printf(
      "ledger: {\"tool\": \"model\", \"counts\": {\"sequences\": %lu, \"operations\": %lu}, "
      "\"failures\": %lu}\n",
      next - options.seed,
      shared.operations,
      failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluice::reference

int main(int count, char** arguments) {
  using namespace sluice::reference;
  Options options;
  for (int index = 1; index < count; index += 2) {
    const std::string name = arguments[index];
    const char* value = index + 1 < count ? arguments[index + 1] : "";
    if (name == "--script") {
      return run_script(read_script(value));
    }
    std::uint64_t* number = name == "--sequences"    ? &options.sequences
                            : name == "--operations" ? &options.operations
                            : name == "--seed"       ? &options.seed
                            : name == "--shrink"     ? &options.shrink
                                                     : nullptr;
    if (number == nullptr || *value == '\0') {
      std::fprintf(stderr,
                   "usage: model [--sequences N] [--operations N] [--seed S]\n"
                   "       model --script HEX,HEX,...\n");
      return 2;
    }
    *number = std::strtoull(value, nullptr, 0);
  }
  return run_sequences(options);
}
