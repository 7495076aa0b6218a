// Setting the stage, running the show, and leaving it open to look at.
#include "driver/demo.h"

#include "driver/show.h"
#include "service.h"

#include <sluice/async_client.h>

#include <boost/asio/co_spawn.hpp>
#include <fmt/core.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <optional>
#include <utility>

#include <unistd.h>

namespace orders {
namespace {

using namespace std::chrono_literals;

/// The demo's directory; a temporary one goes when the demo does.
class Place {
 public:
  explicit Place(std::filesystem::path wish)
      : path_(std::move(wish)), is_temporary_(path_.empty()) {
    if (is_temporary_) {
      std::string made = (std::filesystem::temp_directory_path() / "orders-demo-XXXXXX").string();
      if (::mkdtemp(made.data()) != nullptr) path_ = made;
      return;
    }
    std::error_code ec;
    std::filesystem::create_directories(path_, ec);
    path_ = std::filesystem::absolute(path_, ec);
  }

  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  ~Place() {
    std::error_code ec;
    if (is_temporary_ && !path_.empty()) std::filesystem::remove_all(path_, ec);
  }

  bool is_usable() const {
    std::error_code ec;
    return std::filesystem::is_empty(path_, ec) && !ec;
  }

  const std::filesystem::path& path() const { return path_; }

  bool is_temporary() const { return is_temporary_; }

  /// Something went wrong: somebody will want to look.
  void keep() { is_temporary_ = false; }

 private:
  std::filesystem::path path_;
  bool is_temporary_;
};

std::string find_sluice(const std::string& wish) {
  if (!wish.empty()) return wish;
  std::error_code ec;
  const auto beside = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path() / "sluice";
  return std::filesystem::exists(beside, ec) ? beside.string() : "sluice";
}

void print_where(const Stage& stage, const Place& place, const std::string& sluice) {
  fmt::print(
      "\nEverything is still open:\n"
      "  {0} queues --url {1}\n"
      "  {0} jobs payments --url {1}\n"
      "  {0} top --url {1}\n"
      "  curl -s http://127.0.0.1:{2}/              # what the payment provider counted\n"
      "  curl -s -d "
      "'{{\"customer\":\"Ada\",\"email\":\"ada@example.com\",\"card\":\"tok_1\",\"items\":"
      "[{{\"name\":\"Teapot\",\"quantity\":1,\"price_cents\":1950}}]}}' "
      "http://127.0.0.1:{3}/orders\n"
      "  curl -s http://127.0.0.1:{3}/orders/ID     # the states of that order's jobs\n"
      "  kill -9 {4}                             # the server; the demo starts it again\n"
      "  {5}/   mails, PDFs, logs{6}\n"
      "Ctrl-C ends it.\n",
      sluice,
      stage.sluice_url(),
      stage.payments_port(),
      stage.api_port(),
      stage.server_pid(),
      place.path().string(),
      place.is_temporary() ? " (removed at the end; --dir DIR keeps)" : "");
  std::fflush(stdout);
}

/// Until Ctrl-C; a server that is killed from outside comes back.
asio::awaitable<void> stay_open(Stage& stage) {
  for (;;) {
    co_await sluice::sleep_for(200ms);
    const std::string fallen = stage.fallen();
    if (fallen.empty()) continue;
    fmt::print("{} has ended\n", fallen);
    if (fallen != "server") co_return;
    const auto started = stage.start_server();
    if (!started) co_return;
    fmt::print("the server is started again: pid {}\n", stage.server_pid());
    std::fflush(stdout);
  }
}

/// Runs `task` on `service`; nothing when a signal ended the service first.
template <class T>
std::optional<T> run_until_done(Service& service, asio::awaitable<T> task) {
  std::optional<T> outcome;
  asio::co_spawn(service.io, std::move(task), [&](std::exception_ptr thrown, T value) {
    if (thrown) log_escaped(thrown);
    if (!thrown) outcome.emplace(std::move(value));
    service.io.stop();
  });
  service.io.restart();
  service.run();
  return outcome;
}

int verdict(const Report& report, const Stage& stage, Place& place) {
  fmt::print("\n{}\n", table(report));
  std::ofstream(place.path() / "report.json") << to_json(report) << '\n';
  const auto faults = report.faults();
  if (faults.empty()) {
    fmt::print("Every accepted order is complete, and nobody paid twice.\n");
    return 0;
  }
  place.keep();
  fmt::print("NOT as it should be (logs are in {}):\n", stage.logs().string());
  for (const std::string& fault : faults)
    fmt::print("  {}\n", fault);
  return 1;
}

int perform(Service& service,
            const DemoOptions& options,
            Stage& stage,
            Place& place,
            const std::string& sluice) {
  constexpr int interrupted = 130;
  const auto client_options = sluice::ClientOptions().timeout(30s).name("orders-demo");
  auto client =
      sluice::AsyncClient::connect(service.io.get_executor(), stage.sluice_url(), client_options);
  if (!client) {
    fmt::print(stderr, "{}\n", client.error().message);
    return 2;
  }
  Show show(options, stage, *client);
  const auto report = run_until_done(service, show.run());
  if (!report) return interrupted;
  if (!*report) {
    place.keep();
    fmt::print(stderr,
               "the demo cannot go on: {}\nlogs are in {}\n",
               report->error().message,
               stage.logs().string());
    return 2;
  }
  const int code = verdict(**report, stage, place);
  const bool has_audience = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (options.is_once || !has_audience) return code;
  print_where(stage, place, sluice);
  asio::co_spawn(service.io, stay_open(stage), [&](std::exception_ptr thrown) {
    log_escaped(thrown);
    service.io.stop();
  });
  service.io.restart();
  service.run();
  return code;
}

}  // namespace

int run_demo(const DemoOptions& options) {
  Place place(options.directory);
  if (!place.is_usable()) {
    fmt::print(stderr, "--dir {}: must be a new or an empty directory\n", place.path().string());
    place.keep();
    return 2;
  }
  StageOptions wish{place.path(), find_sluice(options.sluice), options.is_careless};
  fmt::print("the orders shop, in {}\n", place.path().string());
  std::fflush(stdout);
  // The stage outlives the service, whose coroutines use it; a signal from here on ends both.
  std::optional<Stage> stage;
  Service service;
  auto started = Stage::start(wish);
  if (!started) {
    place.keep();
    fmt::print(stderr, "cannot set the stage: {}\n", started.error().message);
    return 2;
  }
  stage.emplace(std::move(*started));
  return perform(service, options, *stage, place, wish.sluice);
}

}  // namespace orders
