// TestServer: for tests of the worker: an engine and its gateway in this process, on a loopback
// port and a temporary directory, which can be taken down and brought up again.
#pragma once

#include "base/check.h"
#include "engine/engine.h"
#include "gateway/native/gateway.h"
#include "io/posix.h"

#include <sluice/client.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <stdlib.h>

namespace sluice::worker {

class TestServer {
 public:
  TestServer() {
    std::string pattern = "/tmp/sluice_worker_test.XXXXXX";
    check(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    up();
  }

  ~TestServer() {
    if (engine_ != nullptr) down();
    std::filesystem::remove_all(path_);
  }

  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  void up() {
    auto directory = io::open_directory(path_);
    check(directory.has_value());
    directory_ = std::move(*directory);
    engine::EngineOptions options;
    options.log.segment_bytes = 4u << 20;
    options.log.tail_cache_bytes = 4u << 20;
    options.limits.disk_free_bytes_min = 0;
    auto engine = engine::Engine::open(*directory_, clock_, std::move(options));
    if (!engine) std::fprintf(stderr, "%s\n", engine.error().message.c_str());
    check(engine.has_value());
    engine_ = std::move(*engine);
    gateway_ = std::make_unique<native::Gateway>(*engine_, native::GatewayOptions());
    const Result<void> started = gateway_->start("127.0.0.1", port_);
    if (!started) std::fprintf(stderr, "%s\n", started.error().message.c_str());
    check(started.has_value());
    port_ = gateway_->port();
  }

  void down() {
    gateway_->stop(Duration{0});
    engine_->stop();
    gateway_.reset();
    engine_.reset();
    directory_.reset();
  }

  std::string url() const { return "sluice://127.0.0.1:" + std::to_string(port_); }

  Client client() const {
    auto client = Client::connect(url());
    if (!client) std::fprintf(stderr, "%s\n", client.error().message.c_str());
    check(client.has_value());
    return *client;
  }

 private:
  std::string path_;
  std::uint16_t port_ = 0;
  io::SystemClock clock_;
  std::unique_ptr<io::Directory> directory_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<native::Gateway> gateway_;
};

}  // namespace sluice::worker
