// The handlers of operator new and std::terminate. What runs here must not allocate.
#include "server/last_resort.h"

#include "server/exit.h"

#include <boost/system/system_error.hpp>

#include <array>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>

#include <sys/uio.h>
#include <unistd.h>

namespace sluice::server {
namespace {

[[noreturn]] void end(std::string_view why) {
  constexpr std::string_view begin = "sluice: the system refuses what the process needs: ";
  constexpr std::string_view next =
      "; it ends as by a crash: what was acknowledged is there at the next start\n";
  std::array<iovec, 3> line{};
  std::size_t count = 0;
  for (const std::string_view part : {begin, why, next}) {
    line.at(count++) = {const_cast<char*>(part.data()), part.size()};
  }
  [[maybe_unused]] const ssize_t written = ::writev(STDERR_FILENO, line.data(), line.size());
  std::_Exit(static_cast<int>(ExitCode::refused));
}

[[noreturn]] void out_of_memory() {
  end("memory");
}

std::terminate_handler report_bug = nullptr;

/// Called before any unwinding, as nothing catches these exceptions.
[[noreturn]] void on_uncaught() {
  try {
    if (std::current_exception()) throw;
  } catch (const std::bad_alloc&) {
    out_of_memory();
  } catch (const std::system_error& refusal) {
    end(refusal.what());
  } catch (const boost::system::system_error& refusal) {
    end(refusal.what());
  } catch (...) {
    report_bug();
  }
  report_bug();
  std::abort();
}

}  // namespace

void end_clearly_when_refused() {
  std::set_new_handler(out_of_memory);
  report_bug = std::set_terminate(on_uncaught);
}

}  // namespace sluice::server
