// Octets of AMQP: numbers in network byte order and strings behind their length (AMQP 0-9-1
// §4.2.5). OctetReader walks untrusted bytes and never reads past their end.
#pragma once

#include "base/bytes.h"

#include <boost/endian/conversion.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::amqp {

template <std::integral T>
T load_big(const char* from) {
  return boost::endian::endian_load<T, sizeof(T), boost::endian::order::big>(
      reinterpret_cast<const unsigned char*>(from));
}

/// Writes at `to` and returns the byte behind.
template <std::integral T>
char* put_big(char* to, T value) {
  boost::endian::endian_store<T, sizeof(T), boost::endian::order::big>(
      reinterpret_cast<unsigned char*>(to), value);
  return to + sizeof(T);
}

inline char* put_octets(char* to, ByteView octets) {
  if (!octets.empty()) std::memcpy(to, octets.data(), octets.size());
  return to + octets.size();
}

/// After the first failed read ok() is false and every further read gives zero or empty: check ok()
/// once at the end.
class OctetReader {
 public:
  explicit OctetReader(ByteView octets) : at_(octets.data()), end_(octets.data() + octets.size()) {}

  bool ok() const { return ok_; }

  bool at_end() const { return at_ == end_; }

  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  const char* at() const { return at_; }

  template <std::integral T>
  T number() {
    if (left() < sizeof(T)) [[unlikely]]
      return static_cast<T>(fail());
    const T value = load_big<T>(at_);
    at_ += sizeof(T);
    return value;
  }

  ByteView octets(std::size_t count) {
    if (left() < count) [[unlikely]] {
      fail();
      return {};
    }
    const ByteView view(at_, count);
    at_ += count;
    return view;
  }

  ByteView short_string() { return octets(number<std::uint8_t>()); }

  ByteView long_string() { return octets(number<std::uint32_t>()); }

 private:
  int fail() {
    ok_ = false;
    at_ = end_;
    return 0;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace sluice::amqp
