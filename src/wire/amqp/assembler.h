// ContentAssembler: Basic.Publish, its content header and its body frames, put together again. One
// for each channel, as the frames of channels are interleaved (AMQP 0-9-1 §4.2.6).
//
//                start(publish)          header, size > 0
//        idle ──────────────────► header ─────────────────► body ──┐ body frame
//         ▲                          │ size 0                │  ◄───┘
//         └──────── content ◄────────┴───────────────────────┘ size reached
//
//   if (assembler.is_busy() || frame.type != FrameType::method) {
//     switch (assembler.next(frame)) {...}                // content: use(assembler.content())
//   } else { ... assembler.start(publish) ... }
//   before the input moves: for each channel that is busy, assembler.keep()
//
// Nothing is copied that need not be: the message of one body frame that arrives in one piece is
// handed out as views into the input. A body of several frames is appended to a buffer that grows
// with what has arrived, never with what was announced (RELIABILITY A7).
#pragma once

#include "base/bytes.h"
#include "wire/amqp/basic_methods.h"
#include "wire/amqp/content.h"
#include "wire/amqp/frame.h"
#include "wire/amqp/reply_code.h"

#include <cstdint>

namespace sluice::amqp {

enum class Assembled : std::uint8_t {
  more,     ///< Frames are missing.
  content,  ///< publish() and content() have a message.
  refused,  ///< problem() says why; the frame's content is given up.
};

class ContentAssembler {
 public:
  /// A larger body is refused when it is announced.
  explicit ContentAssembler(std::uint64_t body_bytes_max) : body_bytes_max_(body_bytes_max) {}

  /// A header frame is to follow. Not while it is busy.
  void start(const BasicPublish& publish);

  /// Between start() and the message's last frame.
  bool is_busy() const { return state_ != State::idle; }

  /// Takes a frame of the channel. Problems, as RabbitMQ has them:
  ///   505 UNEXPECTED_FRAME     not the frame that is due, a header of another class, or more body
  ///                            than announced; ends the connection
  ///   502 SYNTAX_ERROR         a malformed header; ends the connection
  ///   406 PRECONDITION_FAILED  the body is larger than body_bytes_max; ends the channel, whose
  ///                            frames are then dropped by the caller
  Assembled next(const Frame& frame);

  /// Copies what is viewed of the input. To be called before the input moves, if is_busy().
  void keep();

  /// After `content`: the message. Valid until the input moves, done() or start().
  const BasicPublish& publish() const { return publish_; }

  const Content& content() const { return content_; }

  /// Whether some of it is in this object's memory: kept, or a body of several frames. Otherwise
  /// all of it is where start() and next() got it from.
  bool holds_bytes() const { return !kept_.empty() || !body_.empty(); }

  /// After `refused`.
  const Problem& problem() const { return problem_; }

  /// The message was used, or is given up half received: idle again, with its memory given back.
  /// There may be thousands of channels, so an idle one holds nothing.
  void done();

 private:
  enum class State : std::uint8_t { idle, header, body };

  Assembled take_header(const Frame& frame);
  Assembled take_body(const Frame& frame);
  Assembled refused(Problem problem);

  std::uint64_t body_bytes_max_;
  State state_ = State::idle;
  bool is_kept_ = false;          ///< publish_ and properties view kept_.
  std::uint64_t body_bytes_ = 0;  ///< As announced.
  BasicPublish publish_;
  Content content_;
  Buffer kept_;
  Buffer body_;  ///< What has arrived of a body of several frames.
  Problem problem_;
};

}  // namespace sluice::amqp
