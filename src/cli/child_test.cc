// Child against real shells.
#include "cli/child.h"

#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

Child::Clock::time_point soon() {
  return Child::Clock::now() + 20s;
}

ChildOptions command(std::string text, ByteView input = {}) {
  ChildOptions options;
  options.command = std::move(text);
  options.input = input;
  return options;
}

class ChildTest : public testing::Test {
 protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }
};

TEST_F(ChildTest, GivesInputAndTakesOutput) {
  Child child(command("cat; echo end >&2", "hello"));
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_TRUE(child.has_exited());
  EXPECT_EQ(child.exit_status(), 0);
  EXPECT_EQ(child.output(), "hello");
  EXPECT_EQ(child.error_tail(), "end\n");
}

TEST_F(ChildTest, CarriesMoreThanAPipeHolds) {
  const std::string input(1'000'000, 'x');
  Child child(command("cat", input));
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_EQ(child.output(), input);
  EXPECT_FALSE(child.is_output_cut());
}

TEST_F(ChildTest, DoesNotMindAChildThatReadsNothing) {
  const std::string input(1'000'000, 'x');
  Child child(command("exit 3", input));
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_EQ(child.exit_text(), "exit 3");
}

TEST_F(ChildTest, CutsOutputAndKeepsTheTailOfErrors) {
  ChildOptions options = command("printf abcdef; printf uvwxyz >&2");
  options.output_bytes_max = 3;
  options.error_tail_bytes_max = 2;
  Child child(std::move(options));
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_EQ(child.output(), "abc");
  EXPECT_TRUE(child.is_output_cut());
  EXPECT_EQ(child.error_tail(), "yz");
}

TEST_F(ChildTest, SetsTheEnvironmentOnTopOfItsOwn) {
  ::setenv("SLUICE_CHILD_TEST", "outer", 1);
  ChildOptions options = command("printf \"$SLUICE_CHILD_TEST $SLUICE_NEW\"");
  options.environment = {"SLUICE_CHILD_TEST=inner", "SLUICE_NEW=new"};
  Child child(std::move(options));
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_EQ(child.output(), "inner new");
}

TEST_F(ChildTest, ReturnsAtTheDeadlineAndWhenWoken) {
  Child child(command("read never_comes < /dev/zero; sleep 60"));
  EXPECT_FALSE(child.run_until(Child::Clock::now() + 10ms, -1));
  const Descriptor wake(::eventfd(1, EFD_CLOEXEC));
  EXPECT_FALSE(child.run_until(soon(), wake.fd()));
}

TEST_F(ChildTest, SignalsTheWholeGroup) {
  Child child(command("trap 'exit 7' TERM; echo up; sleep 60 & wait"));
  while (child.output().empty())
    child.run_until(Child::Clock::now() + 5ms, -1);
  child.signal(SIGTERM);
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_EQ(child.exit_text(), "exit 7");
}

TEST_F(ChildTest, SaysWhichSignalEndedIt) {
  Child child(command("kill -KILL $$"));
  ASSERT_TRUE(child.run_until(soon(), -1));
  EXPECT_FALSE(child.has_exited());
  EXPECT_EQ(child.exit_text(), "killed by signal 9");
}

TEST_F(ChildTest, EndsWhatTheCommandLeftRunning) {
  // The background process holds stdout open; the child is over all the same, and so is it.
  Child child(command("sleep 60 & echo $!"));
  ASSERT_TRUE(child.run_until(soon(), -1));
  const pid_t left = std::atoi(child.output().c_str());
  ASSERT_GT(left, 0);
  const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, left, 0)));
  if (!process.is_open()) return;  // Gone and reaped already.
  pollfd ended{process.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
}

}  // namespace
}  // namespace sluice::cli
