// Value: what Client::call() gives for a command that has no function here.
#pragma once

#include <sluice/error.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sluice {

/// A tree of null, booleans, integers, numbers, strings (bytes), arrays and maps. An error within
/// an array is an Error; an error as the whole reply is the Result's error instead.
struct Value {
  using Array = std::vector<Value>;
  using Map = std::vector<std::pair<Value, Value>>;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Map, Error> data;

  Value() = default;

  explicit Value(decltype(data) what) : data(std::move(what)) {}

  bool is_null() const { return data.index() == 0; }

  const std::string* text() const { return std::get_if<std::string>(&data); }

  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data); }

  const Array* array() const { return std::get_if<Array>(&data); }

  const Map* map() const { return std::get_if<Map>(&data); }

  /// The value of a map's text key, or null.
  const Value* find(std::string_view key) const;
};

}  // namespace sluice
