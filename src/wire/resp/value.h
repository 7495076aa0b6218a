// Value: one RESP value as a tree that owns its bytes. What a client gets back.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::resp {

enum class Kind : std::uint8_t {
  null,        ///< "_", "$-1" or "*-1".
  simple,      ///< "+"; text.
  error,       ///< "-" or "!"; text is "CODE message".
  integer,     ///< ":"
  bulk,        ///< "$"; text.
  array,       ///< "*"; items.
  map,         ///< "%"; items are key, value, key, value, …
  set,         ///< "~"; items.
  push,        ///< ">"; items. Out of band: not the reply to a request.
  boolean,     ///< "#"; integer is 1 or 0.
  real,        ///< ","
  big_number,  ///< "("; text.
  verbatim,    ///< "="; text without the three letters and colon in front.
};

struct Value {
  Kind kind = Kind::null;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<Value> items;

  bool is_null() const { return kind == Kind::null; }

  bool is_error() const { return kind == Kind::error; }

  bool is_text() const {
    return kind == Kind::bulk || kind == Kind::simple || kind == Kind::verbatim;
  }

  /// The value behind `key` in a map, or in the flat array that stands for one in RESP2. Null if it
  /// is not there.
  const Value* find(ByteView key) const {
    if (kind != Kind::map && kind != Kind::array) return nullptr;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i].is_text() && items[i].text == key) return &items[i + 1];
    }
    return nullptr;
  }

  friend bool operator==(const Value&, const Value&) = default;
};

}  // namespace sluice::resp
