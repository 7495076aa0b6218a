// Payload: the type and the bytes of a job, from a described struct (JSON) or raw.
//
//   struct SendMail { std::string to; std::string subject; };
//   BOOST_DESCRIBE_STRUCT(SendMail, (), (to, subject))
//   client.push("mail", SendMail{"ada@example.org", "hello"});      // type "SendMail", JSON
//   payload Result<SendMail> mail = sluice::decode<SendMail>(job);
#pragma once

#include <sluice/job.h>

#include <boost/describe/members.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>

namespace sluice {

/// A struct that Boost.Describe knows, of which Boost.JSON makes an object.
template <class T>
concept Described = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;

/// The name of a described struct without its namespaces: the job type it is pushed as. Worker
/// handlers for a struct listen to the same name.
template <Described T>
std::string_view type_name() {
#if defined(__clang__)
  constexpr std::string_view key = "T = ";
#else
  constexpr std::string_view key = "with T = ";
#endif
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find(key) + key.size());
  text = text.substr(0, text.find_first_of(";]"));
  const std::size_t scope = text.rfind("::");
  return scope == std::string_view::npos ? text : text.substr(scope + 2);
}

/// Non-aggregate, so that it may stand in a co_await expression.
class Payload {
 public:
  /// Raw bytes under a type name.
  Payload(std::string_view type, std::string bytes) : type_(type), bytes_(std::move(bytes)) {}

  /// A described struct as JSON under its own name.
  template <Described T>
  Payload(const T&
              value)  // NOLINT(google-explicit-constructor): push("mail", SendMail{…}) is the point
      : type_(type_name<T>()), bytes_(boost::json::serialize(boost::json::value_from(value))) {}

  const std::string& type() const { return type_; }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string type_;
  std::string bytes_;
};

/// The struct that a JSON payload (or result) was made from. Error: `arg` with what does not fit.
template <class T>
Result<T> decode(std::string_view json) {
  try {
    return boost::json::value_to<T>(boost::json::parse(json));
  } catch (const std::exception& wrong) {
    return fail(ErrorCode::arg,
                std::string("the payload is not the JSON expected: ") + wrong.what());
  }
}

template <class T>
Result<T> decode(const Job& job) {
  return decode<T>(job.payload);
}

/// Any value that Boost.JSON can convert, as JSON text: for results.
template <class T>
std::string encode(const T& value) {
  return boost::json::serialize(boost::json::value_from(value));
}

}  // namespace sluice
