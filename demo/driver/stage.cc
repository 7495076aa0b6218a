// Starting the processes in the order in which they need each other.
#include "driver/stage.h"

#include <sluice/client.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fmt/core.h>

#include <thread>
#include <utility>

namespace orders {
namespace {

constexpr std::chrono::seconds server_start_max(20);

/// A port that nobody uses now. The server gets a fixed one, so that it is found again after its
/// restart.
std::uint16_t free_port() {
  boost::asio::io_context io;
  const boost::asio::ip::tcp::endpoint any(boost::asio::ip::address_v4::loopback(), 0);
  return boost::asio::ip::tcp::acceptor(io, any).local_endpoint().port();
}

}  // namespace

sluice::Result<Stage> Stage::start(const StageOptions& options) {
  Stage stage(options);
  const auto started = stage.start_all();
  if (!started) return tl::unexpected(started.error());
  return stage;
}

Stage::~Stage() {
  // The customers' door first, then the worker, then what they used.
  api_.reset();
  worker_.reset();
  server_.reset();
}

sluice::Result<void> Stage::start_all() {
  std::error_code ec;
  for (const auto& directory : {invoices(), mails(), logs()}) {
    std::filesystem::create_directories(directory, ec);
    if (ec) return sluice::fail(sluice::ErrorCode::io, directory.string() + ": " + ec.message());
  }
  const auto keep = [](std::optional<Child>& place,
                       sluice::Result<Child> child) -> sluice::Result<void> {
    if (!child) return tl::unexpected(child.error());
    place.emplace(std::move(*child));
    return {};
  };
  auto started = keep(payments_, start_part("payments", {}));
  if (started) started = keep(mail_, start_part("mail", {"--mails", mails().string()}));
  if (!started) return started;
  resp_port_ = free_port();
  started = start_server();
  if (started) started = wait_for_server();
  if (!started) return started;

  std::vector<std::string> shop = {"--sluice-url",
                                   sluice_url(),
                                   "--payments-port",
                                   std::to_string(payments_port()),
                                   "--smtp-port",
                                   std::to_string(mail_->ports()[0]),
                                   "--invoices",
                                   invoices().string()};
  if (options_.is_careless) shop.emplace_back("--careless");
  started = keep(worker_, start_part("worker", shop));
  if (started) started = keep(api_, start_part("api", shop));
  return started;
}

sluice::Result<Child> Stage::start_part(const std::string& name,
                                        std::vector<std::string> arguments) {
  std::vector<std::string> command = {"/proc/self/exe", name};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return Child::start(name, std::move(command), logs() / (name + ".log"), true);
}

sluice::Result<void> Stage::start_server() {
  const auto data = options_.directory / "sluice-data";
  auto child = Child::start("server",
                            {options_.sluice,
                             "serve",
                             "--data",
                             data.string(),
                             "--resp",
                             fmt::format("127.0.0.1:{}", resp_port_),
                             "--amqp",
                             "off"},
                            logs() / "server.log",
                            false);
  if (!child) return tl::unexpected(child.error());
  server_.emplace(std::move(*child));
  return {};
}

/// Blocks: at the start there is nothing else to do.
sluice::Result<void> Stage::wait_for_server() {
  const auto once = sluice::ClientOptions().timeout(std::chrono::milliseconds(500));
  const auto deadline = std::chrono::steady_clock::now() + server_start_max;
  while (server_->is_running() && std::chrono::steady_clock::now() < deadline) {
    if (sluice::Client::connect(sluice_url(), once)) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto log = logs() / "server.log";
  return sluice::fail(sluice::ErrorCode::io,
                      fmt::format("{} serve did not start; --sluice FILE says which program to "
                                  "run. The end of {}:\n{}",
                                  options_.sluice,
                                  log.string(),
                                  tail(log)));
}

std::string Stage::sluice_url() const {
  return fmt::format("sluice://127.0.0.1:{}", resp_port_);
}

std::string Stage::fallen() {
  for (auto* child : {&payments_, &mail_, &server_, &worker_, &api_}) {
    if (*child && !(*child)->is_running()) return (*child)->name();
  }
  return {};
}

}  // namespace orders
