// Service: what every process of the demo does besides its work: one thread, SIGTERM ends it, and
// its ports go to whoever started it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <cstdint>
#include <functional>

namespace orders {

struct Service {
  /// SIGTERM and SIGINT stop run().
  Service();

  /// Writes "PORT\n" to `fd` (or to stdout when it is negative) and closes it.
  static void ready(int fd, std::uint16_t port, std::uint16_t second_port = 0);

  void run() { io.run(); }

  boost::asio::io_context io;
  boost::asio::signal_set stop_signals;
};

}  // namespace orders
