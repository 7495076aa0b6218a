// Conversation: one client's connection without the connection. Bytes go in, requests for the
// engine come out; answers go in, bytes come out. Knows no sockets and no threads: the session
// (session.h) drives it from a socket, the embedded client from memory.
//
//   conversation.input().append(received);                        // or read straight into it
//   engine::RequestBatch batch = conversation.consume();
//   if (!batch.requests.empty()) port.submit(id, std::move(batch));
//   … Session::on_replies(replies), handed over to this thread …
//   conversation.answer(std::move(replies));
//   send(conversation.output()); conversation.output().clear();
//
// RESP answers in the order of the requests, the engine in the order in which things become true.
// So each request has a sequence number, and an answer that comes early is held until those before
// it are there; requests behind a PULL that waits are executed at once, only their replies wait. In
// the usual case (the answer is the next one) it is rendered straight into the output.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "engine/port.h"
#include "gateway/counters.h"
#include "gateway/dialog.h"
#include "gateway/native/facts.h"
#include "gateway/native/mapping.h"
#include "gateway/native/rendering.h"
#include "model/limits.h"
#include "wire/resp/parser.h"
#include "wire/resp/writer.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::native {

struct ConversationOptions {
  model::Limits limits;
  /// Requests without a reply beyond which consume() stops parsing. At least 1.
  std::size_t outstanding_max = 10'000;
  /// Said by CLIENT ID.
  std::uint64_t client_id = 1;
};

/// A BACKUP to be made on a thread that may block: Port::backup(directory), then answer_backup().
struct BackupOrder {
  engine::Sequence sequence = 0;
  resp::Version version = resp::Version::resp2;  ///< Of its reply.
  std::string directory;
};

/// Not thread-safe.
class Conversation final : public gateway::Dialog {
 public:
  /// `port`, `facts` and `counters` (may be null) outlive the conversation. Of the port only
  /// counters() and now() are used: submitting is the caller's part.
  Conversation(engine::Port& port,
               const Facts& facts,
               const gateway::Counters* counters,
               ConversationOptions options);

  Buffer& input() override { return input_; }

  /// How many bytes must be added to input() before consume() can do more; a hint for reading.
  std::size_t needed() const { return parser_.needed(); }

  engine::RequestBatch consume() override;

  /// Renders what is next in order into output(), holds the rest.
  void answer(std::vector<engine::SessionReply> replies);
  std::size_t answer_some(std::vector<engine::SessionReply>& replies,
                          std::size_t from,
                          std::size_t bytes) override;

  std::vector<BackupOrder> take_backups() { return std::exchange(backups_, {}); }

  void answer_backup(const BackupOrder& order, const Result<engine::BackupDone>& done);
  std::vector<gateway::Chore> take_chores() override;

  Buffer& output() override { return output_; }

  std::size_t unsent_bytes() const override { return output_.size() + held_bytes_; }

  std::size_t buffered_bytes() const override {
    return input_.capacity() + output_.capacity() + held_bytes_;
  }

  /// Requests whose reply is not in output() yet.
  std::size_t outstanding() const override { return next_sequence_ - next_reply_; }

  bool is_full() const { return outstanding() >= options_.outstanding_max; }

  /// The client said QUIT or lost the framing: nothing more is read. Close once all is answered
  /// and sent.
  gateway::End end() const override { return end_; }

  /// Whether everything that is still unanswered is a PULL or AWAIT that waits.
  bool has_only_waits() const override { return unanswered_ == waiting_.size(); }

  /// Answers them with nil, for a server that stops. Requires has_only_waits(). Leases that still
  /// come for them are in take_lost_leases().
  void end_waits() override;

  /// The client is gone: leases in replies that were held for their turn are lost too.
  void abandon() override;

  /// Leases of jobs that the client was never told of: to be released.
  std::vector<model::Release> take_lost_leases() override {
    return std::exchange(lost_leases_, {});
  }

  /// Whether the client has sent a complete command yet.
  bool has_spoken() const override { return has_spoken_; }

 private:
  /// A reply that is there before its turn; or the place of one that is not.
  struct Held {
    enum class Kind : std::uint8_t { missing, answer, text };
    Kind kind = Kind::missing;
    resp::Version version_after = resp::Version::resp2;  ///< text: of the replies behind it.
    std::size_t bytes = 0;
    model::Answer answer;
    std::string text;
  };

  void handle(const resp::Arguments& arguments, engine::RequestBatch& batch);
  void handle_local(Verb verb, const resp::Arguments& arguments, engine::RequestBatch& batch);
  void hand_over_bytes(engine::RequestBatch& batch, std::size_t consumed);
  engine::Sequence expect_answer();

  // Local commands (local.cc); each answers through reply_text().
  void info(const resp::Arguments& arguments, engine::RequestBatch& batch);
  void hello(const resp::Arguments& arguments);
  void auth(const resp::Arguments& arguments);
  void client(const resp::Arguments& arguments);
  void command(const resp::Arguments& arguments);
  void config(const resp::Arguments& arguments);
  void backup(const resp::Arguments& arguments);
  void unknown(const resp::Arguments& arguments);

  /// Puts a local reply in its place: what `write` (a function of Writer&) appends.
  template <class Write>
  void reply(Write write);
  void reply_error(ByteView code, ByteView message);

  void reply_error(const Error& error) { reply_error(name(error.code), error.message); }

  void hold_text(engine::Sequence sequence, resp::Version version, ByteView text);

  void answer_one(engine::SessionReply& reply);
  void render_next(const model::Answer& answer);
  void flush_held();
  void lose(const model::Answer& answer);
  void forget_wait(engine::Sequence sequence);
  const Calendar& calendar();

  engine::Port& port_;
  const Facts& facts_;
  const gateway::Counters* counters_;
  ConversationOptions options_;
  resp::CommandParser parser_;
  Mapping mapping_;

  Buffer input_;
  Buffer output_;
  Buffer scratch_;
  std::size_t last_batch_ = 0;          ///< Requests of the last batch; a guess for the next.
  engine::Sequence next_sequence_ = 0;  ///< Of the next request.
  engine::Sequence next_reply_ = 0;     ///< Whose reply goes out next.
  std::size_t unanswered_ = 0;          ///< Requests that the engine (or a backup) still works on.
  std::deque<Held> held_;               ///< [i] is the reply to next_reply_ + i.
  std::size_t held_bytes_ = 0;
  std::vector<engine::Sequence> waiting_;  ///< PULLs and AWAITs that may block, ascending.
  std::vector<std::pair<engine::Sequence, std::vector<std::string>>> infos_;  ///< INFO's sections.
  std::vector<BackupOrder> backups_;
  std::vector<model::Release> lost_leases_;
  std::optional<Calendar> calendar_;  ///< For the answers of one call.

  resp::Version asked_version_ = resp::Version::resp2;  ///< Of the next command's reply.
  resp::Version reply_version_ = resp::Version::resp2;  ///< Of the reply to next_reply_.
  std::string client_name_;
  gateway::End end_ = gateway::End::none;
  bool has_spoken_ = false;
};

}  // namespace sluice::native
