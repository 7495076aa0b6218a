// `sluice top`: a live view of the queues with rates, on the whole screen.
//
// Each frame is QUEUE LIST and INFO; rates are the differences of the *_total counts since the
// frame before. `q` or Ctrl-C ends it; the terminal is put back whatever happens (Screen).
#include "cli/command.h"
#include "cli/output.h"
#include "cli/top_frame.h"
#include "cli/units.h"

#include <fmt/format.h>

#include <csignal>
#include <optional>
#include <thread>

#include <CLI/Option.hpp>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view hide_cursor = "\x1b[?25l";
constexpr std::string_view show_cursor = "\x1b[?25h";
constexpr std::string_view other_screen = "\x1b[?1049h";
constexpr std::string_view first_screen = "\x1b[?1049l";
constexpr std::string_view home = "\x1b[H";
constexpr std::string_view clear_line = "\x1b[K\r\n";
constexpr std::string_view clear_below = "\x1b[J";
constexpr std::string_view reverse = "\x1b[7m";
constexpr std::string_view plain = "\x1b[0m";
constexpr Duration interval_min{100};

volatile std::sig_atomic_t g_signal = 0;  // The only thing a signal handler may touch.

void note_signal(int number) {
  g_signal = number;
}

void write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(STDOUT_FILENO, text.data(), text.size());
    if (wrote < 0 && errno != EINTR) throw Exit{ExitCode::failed, "cannot write to the terminal"};
    if (wrote > 0) text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

/// The terminal in single-key mode on its second screen, for as long as this lives.
class Screen {
 public:
  Screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    struct sigaction action{};
    action.sa_handler = note_signal;  // Without SA_RESTART: poll() ends, the loop sees it.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) {
      ::sigaction(number, &action, nullptr);
    }
    write_out(other_screen);
    write_out(hide_cursor);
  }

  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  ~Screen() {
    std::string all(show_cursor);
    all += first_screen;
    (void)!::write(STDOUT_FILENO, all.data(), all.size());
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

  static std::pair<std::size_t, std::size_t> size() {
    winsize window{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0) return {24, 80};
    return {window.ws_row, window.ws_col};
  }

  static void draw(const std::vector<std::string>& lines) {
    const auto [rows, columns] = size();
    std::string frame(home);
    for (std::size_t i = 0; i < lines.size() && i + 1 < rows; ++i) {
      const bool is_title = i == title_line;
      if (is_title) frame += reverse;
      frame += clipped(lines[i], columns);
      if (is_title) frame += plain;
      frame += clear_line;
    }
    frame += clear_below;
    write_out(frame);
  }

 private:
  termios before_{};
};

/// Waits for a key until `until`; true when the view is to end.
bool is_end_asked(Clock::time_point until) {
  while (true) {
    if (g_signal != 0 && g_signal != SIGWINCH) return true;
    if (g_signal == SIGWINCH) {
      g_signal = 0;
      return false;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    if (::poll(&keys, 1, static_cast<int>(left)) <= 0) continue;
    char key = 'q';  // Also what a closed terminal means.
    if (::read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == '\x03')
      return true;
    if (key == ' ') return false;
  }
}

Sample sample(const Client& client) {
  Sample taken;
  taken.queues = take(client.queue_list());
  taken.info = take(client.info());
  taken.time = Clock::now();
  return taken;
}

void live(const Client& client, Duration interval) {
  std::optional<Screen> screen(std::in_place);
  Sample before = sample(client);
  Clock::time_point next = Clock::now();
  Screen::draw(frame_lines(before, before));
  while (true) {
    next = std::max(next + interval, Clock::now());
    if (is_end_asked(std::min(next, before.time + interval))) return;
    Result<std::vector<QueueInfo>> queues = client.queue_list();
    if (!queues) {
      // Restarting, perhaps: the client reconnects by itself.
      Screen::draw({"", queues.error().message, "", "trying again; q quits"});
      continue;
    }
    const Sample current = sample(client);
    Screen::draw(frame_lines(before, current));
    before = current;
  }
}

void once(const Client& client, Duration interval, bool is_json) {
  const Sample before = sample(client);
  std::this_thread::sleep_for(interval);
  const Sample current = sample(client);
  if (is_json) {
    print_json(frame_json(before, current));
    return;
  }
  for (const std::string& line : frame_lines(before, current))
    fmt::print("{}\n", line);
}

}  // namespace

void add_top(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  auto interval = std::make_shared<std::string>("1s");
  auto is_once = std::make_shared<bool>(false);
  CLI::App* const command = add_command(app, "top", "Watch the queues live", common);
  command->add_option("--interval", *interval, "Between two frames")->capture_default_str();
  command->add_flag("--once", *is_once, "Print one frame and end");
  on_run(command, exit_code, [common, interval, is_once] {
    const Duration pause = std::max(interval_min, duration(*interval, "--interval"));
    if (common->json && !*is_once) {
      throw Exit{ExitCode::usage, "--json prints one document; say --once too"};
    }
    if (!*is_once && (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)) {
      throw Exit{ExitCode::usage, "top needs a terminal; use --once to print one frame"};
    }
    const Client client = connect(*common);
    if (*is_once) {
      once(client, pause, common->json);
    } else {
      live(client, pause);
    }
  });
}

}  // namespace sluice::cli
