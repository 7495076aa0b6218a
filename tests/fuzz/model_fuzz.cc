// Fuzz: any bytes, eight to an operation, are a history in which the core does what the reference
// does (pair.h).
#include "reference/pair.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

/// Longer inputs are slower and find nothing that shorter ones do not.
constexpr std::size_t numbers_max = 400;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::reference;
  Script script(std::min(size / sizeof(std::uint64_t), numbers_max));
  if (script.empty()) return 0;
  std::memcpy(script.data(), data, script.size() * sizeof(std::uint64_t));
  try {
    run(script, {});
  } catch (const Mismatch& mismatch) {
    std::fprintf(stderr, "%s\n", mismatch.what());
    std::abort();
  }
  return 0;
}
