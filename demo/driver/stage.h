// Stage: every process of the demo, and where its things are.
#pragma once

#include "driver/process.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace orders {

struct StageOptions {
  std::filesystem::path directory;  ///< Exists and is empty.
  std::string sluice;               ///< The server's program.
  bool is_careless = false;
};

/// DIR/sluice-data, DIR/invoices, DIR/mails, DIR/logs. The processes end with it, in the reverse
/// order of their start.
class Stage {
 public:
  /// Starts all. Error: io, with the end of the log of what did not start.
  static sluice::Result<Stage> start(const StageOptions& options);

  Stage(Stage&&) = default;
  Stage& operator=(Stage&&) = default;
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage();

  std::string sluice_url() const;

  std::uint16_t api_port() const { return api_->ports()[0]; }

  std::uint16_t payments_port() const { return payments_->ports()[0]; }

  std::uint16_t mail_page_port() const { return mail_->ports()[1]; }

  std::filesystem::path invoices() const { return options_.directory / "invoices"; }

  std::filesystem::path mails() const { return options_.directory / "mails"; }

  std::filesystem::path logs() const { return options_.directory / "logs"; }

  pid_t server_pid() const { return server_->pid(); }

  /// kill -9: nothing is flushed, nobody is told.
  void kill_server() { server_->kill(); }

  /// Starts the server on the same data and port; clients find it again by themselves.
  sluice::Result<void> start_server();
  /// The name of a process that ended by itself; empty when all run.
  std::string fallen();

 private:
  explicit Stage(StageOptions options) : options_(std::move(options)) {}

  sluice::Result<void> start_all();
  sluice::Result<void> wait_for_server();
  sluice::Result<Child> start_part(const std::string& name, std::vector<std::string> arguments);

  StageOptions options_;
  std::uint16_t resp_port_ = 0;
  std::optional<Child> payments_;
  std::optional<Child> mail_;
  std::optional<Child> server_;
  std::optional<Child> worker_;
  std::optional<Child> api_;
};

}  // namespace orders
