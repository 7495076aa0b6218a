// ContentAssembler: see assembler.h.
#include "wire/amqp/assembler.h"

#include "base/check.h"

#include <utility>

namespace sluice::amqp {

void ContentAssembler::start(const BasicPublish& publish) {
  check(!is_busy());
  done();
  publish_ = publish;
  state_ = State::header;
}

Assembled ContentAssembler::next(const Frame& frame) {
  switch (state_) {
    case State::header:
      return take_header(frame);
    case State::body:
      return take_body(frame);
    case State::idle:
      break;
  }
  return refused({.code = ReplyCode::unexpected_frame,
                  .sentence = "expected a method frame, got a content frame"});
}

inline Assembled ContentAssembler::take_header(const Frame& frame) {
  if (frame.type != FrameType::header) {
    return refused({.code = ReplyCode::unexpected_frame,
                    .sentence = "expected a content header, got another frame"});
  }
  const Parsed<ContentHeader> header = decode_content_header(frame.payload);
  if (!header) return refused(header.error());
  if (header->class_id != content_class_id) {
    return refused({.code = ReplyCode::unexpected_frame,
                    .sentence = "a content header is of another class than its method"});
  }
  if (header->body_bytes > body_bytes_max_) {
    return refused({.code = ReplyCode::precondition_failed,
                    .sentence = "the message is too large, in octets",
                    .value = header->body_bytes,
                    .limit = body_bytes_max_});
  }
  content_.properties = header->properties;
  is_kept_ = false;
  body_bytes_ = header->body_bytes;
  if (body_bytes_ == 0) {
    state_ = State::idle;
    return Assembled::content;
  }
  state_ = State::body;
  return Assembled::more;
}

inline Assembled ContentAssembler::take_body(const Frame& frame) {
  if (frame.type != FrameType::body) {
    return refused({.code = ReplyCode::unexpected_frame,
                    .sentence = "expected a content body, got another frame"});
  }
  const std::uint64_t bytes = body_.size() + frame.payload.size();
  if (bytes > body_bytes_) {
    return refused({.code = ReplyCode::unexpected_frame,
                    .sentence = "a body is longer than its header says, in octets",
                    .value = bytes,
                    .limit = body_bytes_});
  }
  const bool is_whole = frame.payload.size() == body_bytes_;
  if (!is_whole) body_.append(frame.payload);
  if (bytes < body_bytes_) return Assembled::more;
  content_.body = is_whole ? frame.payload : body_.view();
  check(content_.body.size() == body_bytes_);
  state_ = State::idle;
  return Assembled::content;
}

void ContentAssembler::keep() {
  if (!is_busy() || is_kept_) return;
  // What is viewed may lie in kept_ already.
  const std::size_t exchange = publish_.exchange.bytes.size();
  const std::size_t key = publish_.routing_key.bytes.size();
  Buffer kept(exchange + key + content_.properties.size());
  kept.append(publish_.exchange.bytes);
  kept.append(publish_.routing_key.bytes);
  kept.append(content_.properties);
  kept_ = std::move(kept);
  const ByteView view = kept_.view();
  publish_.exchange.bytes = view.substr(0, exchange);
  publish_.routing_key.bytes = view.substr(exchange, key);
  content_.properties = view.substr(exchange + key);
  is_kept_ = true;
}

void ContentAssembler::done() {
  state_ = State::idle;
  publish_ = {};
  content_ = {};
  is_kept_ = false;
  // Both are empty for a message that came in one piece.
  if (kept_.capacity() > 0) kept_ = Buffer();
  if (body_.capacity() > 0) body_ = Buffer();
}

Assembled ContentAssembler::refused(Problem problem) {
  problem_ = problem;
  done();
  return Assembled::refused;
}

}  // namespace sluice::amqp
