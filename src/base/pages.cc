// Pages: mmap(2), and transparent huge pages by madvise(2) where "huge" was asked for.
#include "base/pages.h"

#include "base/bytes.h"
#include "base/check.h"

#include <cstdint>

#include <sys/mman.h>

namespace sluice {
namespace {

void unmap(char* at, std::size_t bytes) {
  if (bytes > 0) check(::munmap(at, bytes) == 0);
}

std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

Pages::Pages(std::size_t bytes, Kind kind) {
  size_ = rounded_up(bytes, page_bytes);
  // What is mapped begins at any page: as much too much, and what surrounds the rest goes back.
  const std::size_t aligned_to = size_ < huge_page_bytes ? page_bytes : huge_page_bytes;
  const std::size_t mapped = size_ + aligned_to - page_bytes;
  void* const at =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) [[unlikely]]
    out_of_memory();
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  const std::size_t before = rounded_up(address, aligned_to) - address;
  data_ = static_cast<char*>(at) + before;
  unmap(static_cast<char*>(at), before);
  unmap(data_ + size_, mapped - before - size_);
  // Advice: a kernel without huge pages says EINVAL, and everything works as well.
  if (kind == Kind::huge) ::madvise(data_, size_, MADV_HUGEPAGE);
}

Pages::~Pages() {
  unmap(data_, size_);
}

}  // namespace sluice
