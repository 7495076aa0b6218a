// Gateway: see gateway.h.
#include "gateway/native/gateway.h"

#include "gateway/native/conversation.h"

#include <fmt/format.h>

#include <utility>

namespace sluice::native {
namespace {

gateway::SessionOptions session_options(gateway::SessionOptions options) {
  options.full = fmt::format("-BUSY max connections reached: {}\r\n", options.connections_max);
  return options;
}

}  // namespace

Gateway::Gateway(engine::Port& port, GatewayOptions options)
    : port_(port),
      options_(std::move(options)),
      facts_(options_.facts),
      listener_(port, session_options(options_), [this](std::uint64_t client_id) {
        return make_dialog(client_id);
      }) {
  facts_.started = port.now().time;
}

std::unique_ptr<gateway::Dialog> Gateway::make_dialog(std::uint64_t client_id) {
  ConversationOptions options;
  options.limits = options_.limits;
  options.outstanding_max = options_.outstanding_max;
  options.client_id = client_id;
  return std::make_unique<Conversation>(port_, facts_, &counters(), options);
}

Result<void> Gateway::start(const std::string& host, std::uint16_t port) {
  Result<void> started = listener_.start(host, port);
  if (started) facts_.address = listener_.address();
  return started;
}

std::uint16_t Gateway::port() const {
  return listener_.port();
}

std::string Gateway::address() const {
  return listener_.address();
}

const gateway::Counters& Gateway::counters() const {
  return listener_.counters();
}

void Gateway::stop(Duration grace) {
  listener_.stop(grace);
}

}  // namespace sluice::native
