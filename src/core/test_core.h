// A core without engine and journal, for tests: apply commands at a time, look at the answers.
#pragma once

#include "base/check.h"
#include "core/core.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::core {

class TestCore final : public RecordReader {
 public:
  explicit TestCore(const model::Limits& limits = {}) : limits_(limits) { start(); }

  Core* operator->() { return &*core_; }

  /// The server goes down for a time, and comes back with what it has written.
  void restart(Duration down) {
    ms_ += down.count();
    start();
  }

  Now now() const { return {Time(Duration(ms_)), WallTime(Duration(ms_))}; }

  /// Time passes, and everything that becomes due is done. Returns the replies that this gave.
  std::vector<model::Reply> pass(Duration time) {
    ms_ += time.count();
    std::vector<model::Reply> replies;
    std::size_t steps = 1000;
    for (bool more = true; more;) {
      for (model::Reply& reply :
           call([&](Output& out) { more = core_->tick(now(), steps, out); })) {
        replies.push_back(std::move(reply));
      }
    }
    return replies;
  }

  /// What one call of the core replies.
  template <class Call>
  std::vector<model::Reply> call(Call run) {
    Buffer facts;
    Output out;
    out.open(facts, end());
    run(out);
    frames_.push_back(facts.size());
    log_.append(facts.view());
    return std::move(out.replies);
  }

  /// What one of the frames has at this place.
  Result<ByteView> read(Position at, std::size_t size) override {
    if (is_unreadable) return fail(ErrorCode::corrupt, "a bad sector");
    return ByteView(log_).substr(at.offset() - first, size);
  }

  bool is_unreadable = false;

  /// Publishes all dead letters that wait for it.
  void forward_dead(const Core::HeadersOf& headers_of = {}) {
    for (bool more = true; more;) {
      call([&](Output& out) { more = core_->forward_dead(now(), headers_of, *this, out); });
    }
  }

  /// Whether the last call wrote facts.
  bool has_written() const { return frames_.back() > 0; }

  /// How many bytes of facts the last call wrote.
  std::size_t written_bytes() const { return frames_.back(); }

  /// All replies that the command gives, to whomever.
  std::vector<model::Reply> replies(std::uint64_t ticket, const model::Command& command) {
    return call([&](Output& out) { core_->apply(command, model::Ticket(ticket), now(), out); });
  }

  /// The answer to a command that is answered at once.
  model::Answer apply(const model::Command& command) {
    constexpr std::uint64_t own_ticket = 1'000'000;
    for (model::Reply& reply : replies(own_ticket, command)) {
      if (reply.ticket == model::Ticket(own_ticket)) return std::move(reply.answer);
    }
    check(false);
    return {};
  }

  model::JobId push(std::string_view queue, const model::PushOptions* options = nullptr) {
    return std::get<model::Pushed>(apply(model::Push{queue, "type", "payload", options})).id;
  }

  /// Leases the next job of the queue; there must be one.
  model::Delivery pull(std::string_view queue, std::string_view worker = {}) {
    const std::vector<ByteView> queues{queue};
    model::Pull command;
    command.queues = &queues;
    command.worker = worker;
    const model::Answer answer = apply(command);
    return std::get<std::unique_ptr<model::Delivered>>(answer)->jobs.at(0);
  }

  model::JobInfo info(model::JobId id) {
    const model::Answer answer = apply(model::GetJob{id});
    return *std::get<std::unique_ptr<model::JobInfo>>(answer);
  }

  model::JobState state(model::JobId id) { return info(id).state; }

  /// The code of an error answer.
  static ErrorCode error_of(const model::Answer& answer) {
    return std::get<std::unique_ptr<Error>>(answer)->code;
  }

 private:
  static constexpr std::uint32_t first = 64;  ///< The first byte of the log.

  Position end() const { return {1, static_cast<std::uint32_t>(first + log_.size())}; }

  void start() {
    core_.emplace(limits_, std::uint16_t{0});
    std::uint32_t offset = first;
    for (const std::size_t bytes : frames_) {
      const ByteView frame = ByteView(log_).substr(offset - first, bytes);
      check(core_->restore(Position(1, offset), frame).has_value());
      offset += static_cast<std::uint32_t>(bytes);
    }
    check(core_->finish_restore().has_value());
    call([this](Output& out) { core_->boot(now(), out); });
    for (bool more = true; more;)
      call([&](Output& out) { more = core_->clear_transient(now(), 2, out); });
  }

  const model::Limits limits_;
  std::optional<Core> core_;
  std::string log_;
  std::vector<std::size_t> frames_;  // The sizes.
  std::int64_t ms_ = 1'000'000;
};

}  // namespace sluice::core
