// For tests: a gateway on a real engine in a directory of its own, and how to wait for it.
#pragma once

#include "base/check.h"
#include "engine/engine.h"
#include "io/posix.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <stdlib.h>

namespace sluice::gateway {

/// Waits for what another thread will make true.
inline bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

template <class Gateway, class Options>
class TestServer {
 public:
  explicit TestServer(Options options = {}) {
    char name[] = "/tmp/sluice-gateway-XXXXXX";
    path_ = ::mkdtemp(name);
    directory_ = std::move(*io::open_directory(path_));
    Result<std::unique_ptr<engine::Engine>> opened =
        engine::Engine::open(*directory_, clock_, engine::EngineOptions());
    check(opened.has_value());
    engine_ = std::move(*opened);
    gateway_ = std::make_unique<Gateway>(*engine_, std::move(options));
    check(gateway_->start("127.0.0.1", 0).has_value());
  }

  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  ~TestServer() {
    stop();
    engine_->stop();
    gateway_.reset();
    engine_.reset();
    directory_.reset();
    std::filesystem::remove_all(path_);
  }

  /// The gateway, in good order; the engine runs on.
  void stop() { gateway_->stop(std::chrono::seconds(20)); }

  std::uint16_t port() const { return gateway_->port(); }

  Gateway& gateway() { return *gateway_; }

 private:
  std::string path_;
  io::SystemClock clock_;
  std::unique_ptr<io::Directory> directory_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace sluice::gateway
