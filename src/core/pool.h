// Pool: objects that never move and are known by a number, in as little memory as they need.
#pragma once

#include "base/pages.h"

#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

namespace sluice::core {

/// Numbers of objects that were removed are used again, the latest one first.
template <class T>
class Pool {
 public:
  /// The number of a new T().
  std::uint32_t add() {
    std::uint32_t number = free_;
    if (number == none) {
      if (end_ % chunk_size == 0) add_chunk();
      number = end_++;
    } else {
      std::memcpy(&free_, &(*this)[number], sizeof free_);
    }
    ++size_;
    new (&(*this)[number]) T();
    return number;
  }

  /// There is one of this number, as for the operators.
  void remove(std::uint32_t number) {
    std::memcpy(static_cast<void*>(&(*this)[number]), &free_, sizeof free_);
    free_ = number;
    --size_;
  }

  // Each command asks for many: two loads, without the library's checks, which GCC makes calls of.
  [[gnu::always_inline]] T& operator[](std::uint32_t number) {
    return chunks_.data()[number / chunk_size][number % chunk_size];
  }

  [[gnu::always_inline]] const T& operator[](std::uint32_t number) const {
    return chunks_.data()[number / chunk_size][number % chunk_size];
  }

  std::size_t size() const { return size_; }

 private:
  static_assert(std::is_trivially_destructible_v<T>);
  static_assert(sizeof(T) >= sizeof(std::uint32_t));

  static constexpr std::uint32_t none = UINT32_MAX;
  static constexpr std::size_t chunk_size = huge_page_bytes / sizeof(T);

  /// A few objects cost what they take; where there are many they come in huge pages.
  void add_chunk() {
    const auto kind = chunks_.empty() ? Pages::Kind::ordinary : Pages::Kind::huge;
    memory_.emplace_back(huge_page_bytes, kind);
    chunks_.push_back(reinterpret_cast<T*>(memory_.back().data()));
  }

  std::vector<Pages> memory_;  ///< Of chunks_.
  std::vector<T*> chunks_;
  std::uint32_t end_ = 0;      ///< No number is as large.
  std::uint32_t free_ = none;  ///< What was removed last; it has the number of what was before.
  std::size_t size_ = 0;
};

}  // namespace sluice::core
