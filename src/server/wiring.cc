// The parts of the server put together.
#include "server/wiring.h"

#include "base/check.h"
#include "engine/engine.h"
#include "engine/question.h"
#include "gateway/amqp/gateway.h"
#include "gateway/amqp/message.h"
#include "gateway/native/gateway.h"
#include "io/posix.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <set>
#include <utility>

namespace sluice::server {
namespace {

constexpr std::chrono::seconds stats_wait_max{10};

Ending ending_of(const Error& error, const std::string& data) {
  if (error.code == ErrorCode::corrupt) {
    return {ExitCode::corrupt,
            fmt::format("{}; nothing was changed. `sluice check {}` lists all damage, with "
                        "`--salvage NEW_DIR` it copies what is intact",
                        error.message,
                        data)};
  }
  if (error.code == ErrorCode::busy) return {ExitCode::in_use, error.message};
  return {ExitCode::disk_failure, error.message};
}

}  // namespace

class Wiring::Impl {
 public:
  explicit Impl(const Config& config_) : config(config_) {}

  const Config& config;
  std::function<void(const std::string&)> on_event;
  io::SystemClock clock;
  std::unique_ptr<io::Directory> directory;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<native::Gateway> gateway;
  std::unique_ptr<amqp::Gateway> amqp;
};

Wiring::Wiring(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Wiring::~Wiring() = default;

tl::expected<std::unique_ptr<Wiring>, Ending> Wiring::open(const Config& config,
                                                           WiringEvents events) {
  auto impl = std::make_unique<Impl>(config);
  auto directory = io::open_directory(config.data);
  if (!directory) return tl::unexpected(ending_of(directory.error(), config.data));
  impl->directory = std::move(*directory);

  engine::EngineOptions options;
  options.limits = config.limits;
  options.log = config.log;
  options.sync = config.sync;
  options.commit_delay_max = std::chrono::microseconds(config.commit_delay_microseconds_max);
  options.scrub_period = config.scrub_period;
  options.headers_of = amqp::headers_of;
  options.on_failure = std::move(events.on_failure);
  options.on_progress = std::move(events.on_progress);
  options.on_event = events.on_event;
  impl->on_event = std::move(events.on_event);
  auto engine = engine::Engine::open(*impl->directory, impl->clock, std::move(options));
  if (!engine) return tl::unexpected(ending_of(engine.error(), config.data));
  impl->engine = std::move(*engine);
  return std::unique_ptr<Wiring>(new Wiring(std::move(impl)));
}

namespace {

/// Null while there are no users: then the port lets guests in, and is on loopback.
amqp::Login login_of(const Config& config) {
  if (config.users.empty()) return nullptr;
  return [&users = config.users](const std::string& name, const std::string& password) {
    const User* user = find_user(users, name, password);
    return user == nullptr ? std::vector<std::string>() : user->vhosts;
  };
}

/// A virtual host is there because somebody may open it.
std::vector<std::string> vhosts_of(const Config& config) {
  std::set<std::string> names;
  for (const User& user : config.users)
    names.insert(user.vhosts.begin(), user.vhosts.end());
  names.erase("/");
  return {names.begin(), names.end()};
}

}  // namespace

tl::expected<Wiring::Addresses, Ending> Wiring::listen(const std::string& version,
                                                       std::uint32_t connections_max) {
  const Config& config = impl_->config;
  gateway::SessionOptions sessions;
  sessions.io_threads = config.io_threads;
  sessions.together = std::make_shared<gateway::Together>();
  sessions.connections_max = connections_max;
  sessions.outstanding_max = config.pipeline_max;
  sessions.output_bytes_max = config.output_bytes_max;
  sessions.buffers_bytes_max = config.buffers_bytes_max;
  sessions.silence_max = config.silence_max;
  // What a gateway reports is about clients: worth a look, and no person has to act at once.
  sessions.on_event = [on_event = impl_->on_event](const std::string& event) {
    on_event("level=warn " + event);
  };
  native::GatewayOptions options{{sessions}, config.limits, {}};
  options.facts.version = version;
  options.facts.data_directory = config.data;
  options.facts.sync = text(config.sync);
  if (config.amqp) {
    impl_->amqp = std::make_unique<amqp::Gateway>(
        *impl_->engine,
        amqp::GatewayOptions{{sessions}, {config.limits, login_of(config), vhosts_of(config)}});
    options.facts.amqp = &impl_->amqp->counters();
  }
  impl_->gateway = std::make_unique<native::Gateway>(*impl_->engine, std::move(options));
  Addresses addresses;
  const Result<void> started = impl_->gateway->start(config.resp.host, config.resp.port);
  if (!started) return tl::unexpected(Ending{ExitCode::unavailable, started.error().message});
  addresses.resp = impl_->gateway->address();
  if (!config.amqp) return addresses;
  const Result<void> fine = impl_->amqp->start(config.amqp->host, config.amqp->port);
  if (!fine && config.is_amqp_asked_for) {
    return tl::unexpected(Ending{ExitCode::unavailable, fine.error().message});
  }
  if (fine) {
    addresses.amqp = impl_->amqp->address();
  } else {
    addresses.amqp_problem = fine.error().message;
  }
  return addresses;
}

model::Stats Wiring::stats() {
  engine::Question question(*impl_->engine);
  const std::optional<model::Answer> answer = question.ask(model::GetStats{}, stats_wait_max);
  if (!answer) return {};  // The disk failed at once; whoever waits for that says so.
  const auto* stats = std::get_if<std::unique_ptr<model::Stats>>(&*answer);
  check(stats != nullptr);
  return **stats;
}

const engine::Counters& Wiring::counters() const {
  return impl_->engine->counters();
}

void Wiring::stop_gateway(Duration grace) {
  const auto start = std::chrono::steady_clock::now();
  if (impl_->gateway != nullptr) impl_->gateway->stop(grace);
  const auto passed =
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - start);
  if (impl_->amqp != nullptr) impl_->amqp->stop(std::max(grace - passed, Duration(0)));
}

void Wiring::stop_engine() {
  impl_->engine->stop();
}

}  // namespace sluice::server
