// Fuzz: whatever clients of AMQP send behind a proper begin, in whatever pieces, two of them at a
// time, the server neither crashes nor loses count. The real gateway, engine and core, with a
// journal in memory and no threads.
//
//   input: pieces, each one octet (which client, tick, time passes, the length) and its bytes
#include "engine/cycle.h"
#include "gateway/amqp/broker.h"
#include "gateway/amqp/connection.h"
#include "gateway/amqp/message.h"
#include "io/memory.h"
#include "wire/amqp/writer.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

namespace {

using namespace sluice;

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::size_t clients = 2;
const amqp::ConnectionOptions connection_options;

/// An engine that is called instead of running.
class Engine final : public engine::Port {
 public:
  Engine() {
    options_.headers_of = amqp::headers_of;
    options_.limits.payload_bytes_max = 1u << 16;
    options_.log.segment_bytes = 1u << 18;
    auto core = std::make_unique<core::Core>(options_.limits, std::uint16_t{0});
    log_ = std::move(*journal::Log::open(
        directory_, options_.log, [](Position, ByteView) { return Result<void>(); }, {}));
    require(core->finish_restore().has_value());
    cycle_ = std::make_unique<engine::Cycle>(
        *log_,
        std::move(core),
        nullptr,
        options_,
        counters_,
        [this](engine::SessionId session, std::vector<engine::SessionReply>& replies) {
          std::vector<engine::SessionReply>& of_session = replies_.at(session.value);
          for (engine::SessionReply& reply : replies)
            of_session.push_back(std::move(reply));
          return true;
        });
    require(cycle_->boot(now()).has_value());
    cycle_->set_push_room(~std::uint64_t{0}, "");
  }

  engine::SessionId attach(std::shared_ptr<engine::Session>) override { std::abort(); }

  void detach(engine::SessionId session) override { cycle_->abandon(session, now()); }

  void submit(engine::SessionId session, engine::RequestBatch batch) override {
    if (!batch.requests.empty()) cycle_->apply(session, std::move(batch), now());
    cycle_->advance(now());
    cycle_->commit(now(), true);
    require(!cycle_->failure());
  }

  const engine::Counters& counters() const override { return counters_; }

  Now now() const override { return {Time(Duration(ms_)), WallTime(Duration(ms_))}; }

  Result<engine::BackupDone> backup(std::string) override {
    return fail(ErrorCode::arg, "no backups here");
  }

  std::vector<engine::SessionReply> take_replies(std::size_t client) {
    return std::exchange(replies_.at(client), {});
  }

  void pass(std::int64_t ms) { ms_ += ms; }

  void check() const { cycle_->core().check_invariants(); }

 private:
  engine::EngineOptions options_;
  io::MemoryDirectory directory_;
  engine::Counters counters_;
  std::unique_ptr<journal::Log> log_;
  std::unique_ptr<engine::Cycle> cycle_;
  std::array<std::vector<engine::SessionReply>, clients> replies_;
  std::int64_t ms_ = 1'000'000;
};

class Client {
 public:
  Client(Engine& engine, amqp::Broker& broker, std::uint32_t number)
      : engine_(engine),
        number_(number),
        connection_(
            std::make_unique<amqp::Connection>(broker, engine, connection_options, number)) {
    connection_->start([] {});
    Buffer begin;
    begin.append(amqp::protocol_header);
    amqp::ConnectionStartOk start;
    start.mechanism.bytes = "PLAIN";
    start.response.bytes = ByteView("\0guest\0guest", 12);
    append_method(begin, 0, start);
    append_method(begin, 0, amqp::ConnectionTuneOk{2047, 8192, 0});
    amqp::ConnectionOpen open;
    open.virtual_host.bytes = "/";
    append_method(begin, 0, open);
    append_method(begin, 1, amqp::ChannelOpen{});
    receive(begin.view());
  }

  bool is_over() const { return connection_ == nullptr; }

  void receive(ByteView bytes) {
    if (is_over()) return;
    connection_->input().append(bytes);
    engine_.submit(engine::SessionId(number_), connection_->consume());
  }

  void tick() {
    if (!is_over() && !connection_->tick()) leave();
  }

  /// Whether it had something to do.
  bool go_on() {
    if (is_over()) return false;
    std::vector<engine::SessionReply> replies = engine_.take_replies(number_);
    const bool has_some = !replies.empty();
    for (std::size_t from = 0; from < replies.size();)
      from = connection_->answer_some(replies, from, SIZE_MAX / 2);
    engine_.submit(engine::SessionId(number_), connection_->take_requests());
    check_output();
    if (connection_->is_over()) leave();
    return has_some;
  }

  void leave() {
    if (is_over()) return;
    connection_->abandon();
    engine_.submit(engine::SessionId(number_), connection_->last_requests());
    connection_.reset();
    engine_.detach(engine::SessionId(number_));
    engine_.take_replies(number_);
  }

 private:
  /// Whole frames, and nothing else.
  void check_output() {
    Buffer& output = connection_->output();
    ByteView rest = output.view();
    while (!rest.empty()) {
      require(rest.size() >= amqp::frame_overhead_bytes);
      const std::size_t size =
          amqp::frame_overhead_bytes + amqp::load_big<std::uint32_t>(rest.data() + 3);
      require(rest.size() >= size && rest[size - 1] == amqp::frame_end);
      rest.remove_prefix(size);
    }
    output.clear();
  }

  Engine& engine_;
  std::uint32_t number_;
  std::unique_ptr<amqp::Connection> connection_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView rest(reinterpret_cast<const char*>(data), size);
  Engine engine;
  amqp::Broker broker;
  std::array<std::unique_ptr<Client>, clients> all;
  for (std::uint32_t number = 0; number < clients; ++number)
    all[number] = std::make_unique<Client>(engine, broker, number);
  const auto settle = [&] {
    for (int rounds = 0; rounds < 100; ++rounds) {
      bool has_more = false;
      for (const auto& client : all)
        has_more = client->go_on() || has_more;
      if (!has_more) return;
    }
  };
  settle();
  while (!rest.empty()) {
    const auto head = static_cast<std::uint8_t>(rest.front());
    rest.remove_prefix(1);
    const ByteView piece = rest.substr(0, std::size_t{8} << (head & 15));
    rest.remove_prefix(piece.size());
    if ((head & 0x20) != 0) engine.pass(1000);
    Client& client = *all[head >> 7];
    client.receive(piece);
    if ((head & 0x40) != 0) client.tick();
    settle();
  }
  for (const auto& client : all)
    client->leave();
  engine.submit(engine::SessionId(0), {});
  engine.check();
  return 0;
}
