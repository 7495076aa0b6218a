// The commands that the gateway answers itself: what Redis clients send before and beside their own
// (what each client sends is in docs/protocol.md, "Clients"), INFO and BACKUP.
#include "gateway/native/arguments.h"
#include "gateway/native/conversation.h"
#include "gateway/native/reply.h"
#include "gateway/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::native {
namespace {

using gateway::is_word;
using gateway::shown;
using resp::Arguments;
using resp::Version;
using resp::Writer;

/// How much of an unknown command's arguments is repeated to the client, as in Redis.
constexpr std::size_t echoed_bytes_max = 128;

constexpr std::size_t client_name_bytes_max = 255;

bool is_client_name(ByteView name) {
  return name.size() <= client_name_bytes_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c != 0x7f; });
}

std::string lower_case(ByteView text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// What HELLO asks for.
struct Hello {
  std::optional<Version> version;
  std::optional<std::string> name;
  const char* code = nullptr;  ///< Set: refuse with this code and message.
  std::string message;
};

Hello refuse(const char* code, std::string message) {
  Hello hello;
  hello.code = code;
  hello.message = std::move(message);
  return hello;
}

constexpr ByteView wrong_user =
    "invalid username-password pair; this server has no users, only 'default' with any password";

Hello read_hello(const Arguments& arguments) {
  Hello hello;
  if (arguments.size() == 1) return hello;
  if (arguments[1] != "2" && arguments[1] != "3") {
    return refuse("NOPROTO", "unsupported protocol version; this server speaks 2 and 3");
  }
  hello.version = arguments[1] == "3" ? Version::resp3 : Version::resp2;
  std::size_t at = 2;
  while (at < arguments.size()) {
    if (is_word(arguments[at], "AUTH") && at + 2 < arguments.size()) {
      if (arguments[at + 1] != "default") return refuse("WRONGPASS", std::string(wrong_user));
      at += 3;
    } else if (is_word(arguments[at], "SETNAME") && at + 1 < arguments.size()) {
      if (!is_client_name(arguments[at + 1])) {
        return refuse("ARG", "a client's name has at most 255 bytes and no spaces");
      }
      hello.name = std::string(arguments[at + 1]);
      at += 2;
    } else {
      return refuse("ARG",
                    fmt::format("HELLO: option {}; allowed: AUTH user password, SETNAME name",
                                shown(arguments[at])));
    }
  }
  return hello;
}

void write_pairs(Writer& out, std::initializer_list<std::pair<ByteView, ByteView>> pairs) {
  out.map(pairs.size());
  for (const auto& [key, value] : pairs) {
    out.bulk(key);
    out.bulk(value);
  }
}

}  // namespace

void Conversation::handle_local(Verb verb,
                                const Arguments& arguments,
                                engine::RequestBatch& batch) {
  switch (verb) {
    case Verb::backup:
      return backup(arguments);
    case Verb::info:
      return info(arguments, batch);
    case Verb::ping:
      return reply([&](Writer& out) {
        if (arguments.size() == 1) return out.simple("PONG");
        out.bulk(arguments[1]);
      });
    case Verb::echo:
      return reply([&](Writer& out) { out.bulk(arguments[1]); });
    case Verb::hello:
      return hello(arguments);
    case Verb::auth:
      return auth(arguments);
    case Verb::select:
      if (arguments[1] == "0") return reply([](Writer& out) { out.simple("OK"); });
      return reply_error(bad_argument("DB index", arguments[1], "0, the only one").value());
    case Verb::client:
      return client(arguments);
    case Verb::command:
      return command(arguments);
    case Verb::config:
      return config(arguments);
    case Verb::quit:
      end_ = gateway::End::agreed;
      return reply([](Writer& out) { out.simple("OK"); });
    case Verb::reset:
      asked_version_ = Version::resp2;
      client_name_.clear();
      return reply([](Writer& out) { out.simple("RESET"); });
    case Verb::push:
    case Verb::pull:
    case Verb::ack:
    case Verb::fail:
    case Verb::release:
    case Verb::extend:
    case Verb::progress:
    case Verb::cancel:
    case Verb::job:
    case Verb::await:
    case Verb::jobs:
    case Verb::queue:
    case Verb::dead:
    case Verb::publish:
    case Verb::exchange:
    case Verb::bind:
    case Verb::unbind:
    case Verb::unknown:
      return;
  }
}

void Conversation::info(const Arguments& arguments, engine::RequestBatch& batch) {
  std::vector<std::string> sections;
  for (std::size_t i = 1; i < arguments.size(); ++i)
    sections.push_back(lower_case(arguments[i]));
  const Result<void> added = mapping_.add(Verb::info, arguments, next_sequence_, batch);
  if (!added) return reply_error(added.error());
  infos_.emplace_back(expect_answer(), std::move(sections));
}

void Conversation::hello(const Arguments& arguments) {
  Hello hello = read_hello(arguments);
  if (hello.code != nullptr) return reply_error(hello.code, hello.message);
  if (hello.version) asked_version_ = *hello.version;
  if (hello.name) client_name_ = std::move(*hello.name);
  reply([&](Writer& out) {
    out.map(7);
    out.bulk("server");
    out.bulk("sluice");
    out.bulk("version");
    out.bulk(facts_.version);
    out.bulk("proto");
    out.integer(static_cast<int>(asked_version_));
    out.bulk("id");
    out.integer(static_cast<std::int64_t>(options_.client_id));
    out.bulk("mode");
    out.bulk("standalone");
    out.bulk("role");
    out.bulk("master");
    out.bulk("modules");
    out.array(0);
  });
}

void Conversation::auth(const Arguments& arguments) {
  if (arguments.size() == 2) {
    return reply_error("ERR",
                       "AUTH <password> called without any password configured for the default "
                       "user: this server has no users");
  }
  if (arguments[1] != "default") return reply_error("WRONGPASS", wrong_user);
  reply([](Writer& out) { out.simple("OK"); });
}

void Conversation::client(const Arguments& arguments) {
  const ByteView word = arguments[1];
  const std::size_t count = arguments.size();
  if (is_word(word, "SETNAME") && count == 3) {
    if (!is_client_name(arguments[2])) {
      return reply_error("ARG", "a client's name has at most 255 bytes and no spaces");
    }
    client_name_ = arguments[2];
    return reply([](Writer& out) { out.simple("OK"); });
  }
  if (is_word(word, "SETINFO") && count == 4) return reply([](Writer& out) { out.simple("OK"); });
  if (is_word(word, "ID") && count == 2) {
    return reply([&](Writer& out) { out.integer(static_cast<std::int64_t>(options_.client_id)); });
  }
  if (is_word(word, "GETNAME") && count == 2) {
    return reply([&](Writer& out) {
      if (client_name_.empty()) return out.null();
      out.bulk(client_name_);
    });
  }
  reply_error(
      "ERR",
      fmt::format("unknown subcommand or wrong number of arguments for CLIENT {}; usage: {}",
                  shown(word),
                  syntax(Verb::client)));
}

void Conversation::command(const Arguments& arguments) {
  if (arguments.size() == 1) return reply([](Writer& out) { out.array(0); });
  if (is_word(arguments[1], "COUNT")) {
    return reply([](Writer& out) { out.integer(verb_count); });
  }
  if (is_word(arguments[1], "DOCS")) return reply([](Writer& out) { out.map(0); });
  reply([](Writer& out) { out.array(0); });  // INFO, LIST, GETKEYS, …
}

void Conversation::config(const Arguments& arguments) {
  if (!is_word(arguments[1], "GET") || arguments.size() < 3) {
    return reply_error("ERR",
                       "CONFIG knows only GET; settings are flags, SLUICE_… variables or keys of "
                       "the configuration file (docs/configuration.md)");
  }
  // redis-benchmark asks for these two and warns when it gets nothing.
  reply([&](Writer& out) {
    if (is_word(arguments[2], "SAVE")) return write_pairs(out, {{"save", ""}});
    if (is_word(arguments[2], "APPENDONLY")) return write_pairs(out, {{"appendonly", "yes"}});
    out.map(0);
  });
}

void Conversation::backup(const Arguments& arguments) {
  const ByteView directory = arguments[1];
  const bool has_control = directory.find('\0') != ByteView::npos;
  if (directory.empty() || directory[0] != '/' || has_control) {
    return reply_error(
        bad_argument("directory", directory, "an absolute path on the server's machine").value());
  }
  backups_.push_back({expect_answer(), asked_version_, std::string(directory)});
}

void Conversation::unknown(const Arguments& arguments) {
  // A web page can make a browser send lines of HTTP here; as in Redis, they end the connection
  // before a request's body can hold commands.
  if (is_word(arguments[0], "POST") || is_word(arguments[0], "HOST:")) {
    end_ = gateway::End::cut_off;
    return reply_error("ERR", "this is not an HTTP port; closing the connection");
  }
  std::string message =
      fmt::format("unknown command '{}', with args beginning with: ", arguments[0].substr(0, 64));
  for (std::size_t i = 1; i < arguments.size() && message.size() < 2 * echoed_bytes_max; ++i) {
    message += fmt::format("'{}' ", arguments[i].substr(0, echoed_bytes_max));
  }
  reply_error("ERR", message);
}

void Conversation::reply_error(ByteView code, ByteView message) {
  reply([&](Writer& out) { out.error(code, message); });
}

}  // namespace sluice::native
