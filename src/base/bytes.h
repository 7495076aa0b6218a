// ByteView and Buffer: opaque bytes, seen and built. A ByteView is a parameter of functions that
// finish before returning; the few structs that hold one say which buffer travels along.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace sluice {

/// Opaque bytes (not necessarily text) owned by somebody else.
using ByteView = std::string_view;

/// What operator new would do where there are no exceptions.
[[noreturn, gnu::cold]] inline void out_of_memory() {
  if (const std::new_handler handler = std::get_new_handler()) handler();
  std::abort();
}

/// A growable array of bytes for encoding. Unlike std::string it does not zero what will be
/// overwritten, and clear() keeps the memory.
class Buffer {
 public:
  Buffer() = default;

  explicit Buffer(std::size_t capacity) { reserve(capacity); }

  Buffer(Buffer&& other) noexcept { swap(other); }

  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  ~Buffer() { std::free(data_); }

  const char* data() const { return data_; }

  char* data() { return data_; }

  std::size_t size() const { return size_; }

  std::size_t capacity() const { return capacity_; }

  bool empty() const { return size_ == 0; }

  ByteView view() const { return {data_, size_}; }

  /// Forgets the content from `size` on, keeps the memory. `size` <= size().
  void truncate(std::size_t size) { size_ = size; }

  void clear() { size_ = 0; }

  void reserve(std::size_t capacity) {
    if (capacity > capacity_) grow(capacity);
  }

  /// Makes room for `count` more bytes and returns where to write them; they are uninitialised.
  char* extend(std::size_t count) {
    if (size_ + count > capacity_) [[unlikely]]
      grow(size_ + count);
    char* at = data_ + size_;
    size_ += count;
    return at;
  }

  void append(ByteView bytes) {
    if (!bytes.empty()) std::memcpy(extend(bytes.size()), bytes.data(), bytes.size());
  }

  /// Appends the bytes of a trivially copyable value in host order (little-endian machines only;
  /// base/codec.h asserts that).
  template <class T>
  void append_raw(const T& value) {
    std::memcpy(extend(sizeof value), &value, sizeof value);
  }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  void grow(std::size_t needed) {
    std::size_t capacity = capacity_ < 4096 ? 4096 : capacity_ * 2;
    if (capacity < needed) capacity = needed;
    // realloc moves large blocks by remapping pages: no copy for the journal's batches.
    void* moved = std::realloc(data_, capacity);
    if (moved == nullptr) [[unlikely]]
      out_of_memory();
    data_ = static_cast<char*>(moved);
    capacity_ = capacity;
  }

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace sluice
