// Pages: memory that is mapped by itself, for what is large and stays.
#pragma once

#include <cstddef>
#include <utility>

namespace sluice {

inline constexpr std::size_t page_bytes = 4u << 10;
inline constexpr std::size_t huge_page_bytes = 2u << 20;

class Pages {
 public:
  enum class Kind : unsigned char {
    ordinary,  ///< A page is there once it is touched: what is never used costs nothing.
    huge,      ///< So is one of 2 MiB, where the machine has them: as slow as a few ordinary ones.
  };

  Pages() = default;
  /// Zeroed bytes, at least so many and whole pages; if they fill a huge page they begin at one.
  /// Without memory it does what operator new does where there are no exceptions.
  Pages(std::size_t bytes, Kind kind);

  Pages(Pages&& other) noexcept { swap(other); }

  Pages& operator=(Pages&& other) noexcept {
    swap(other);
    return *this;
  }

  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages();

  /// Null if there are none. They stay where they are.
  char* data() const { return data_; }

  std::size_t size() const { return size_; }

 private:
  void swap(Pages& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sluice
