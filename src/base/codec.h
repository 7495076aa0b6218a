// Little-endian encoding of numbers and strings: Buffer grows by what is appended, Reader walks
// untrusted bytes and never reads past their end.
#pragma once

#include "base/bytes.h"

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace sluice {

static_assert(std::endian::native == std::endian::little,
              "records are read and written in place; a big-endian port swaps here");

/// Walks bytes from front to back. After the first failed read ok() is false, every further read
/// gives zero or empty, and the position stays: check ok() once at the end.
class Reader {
 public:
  explicit Reader(ByteView bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }

  bool at_end() const { return at_ == end_; }

  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  template <std::integral T>
  T number() {
    T value{};
    if (left() < sizeof value) {
      ok_ = false;
      at_ = end_;
      return value;
    }
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  ByteView bytes(std::size_t count) {
    if (left() < count) {
      ok_ = false;
      at_ = end_;
      return {};
    }
    ByteView view(at_, count);
    at_ += count;
    return view;
  }

  /// A string behind its length, as put_sized() wrote it.
  template <std::unsigned_integral Length>
  ByteView sized() {
    const auto length = number<Length>();
    return bytes(length);
  }

 private:
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

/// Appends the length as a Length, then the bytes. The caller has checked that it fits.
template <std::unsigned_integral Length>
void put_sized(Buffer& out, ByteView bytes) {
  out.append_raw(static_cast<Length>(bytes.size()));
  out.append(bytes);
}

}  // namespace sluice
