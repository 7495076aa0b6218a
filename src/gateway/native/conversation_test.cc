// Conversation: which request a command becomes, what is answered at once, how answers look and in
// which order they leave.
#include "gateway/native/conversation.h"

#include "gateway/native/talk.h"
#include "model/headers.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::native {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

model::Answer error(ErrorCode code, std::string message) {
  return std::make_unique<Error>(Error{code, std::move(message)});
}

// ---- Commands

TEST(Commands, PushWithoutOptions) {
  Talk talk;
  EXPECT_EQ(talk.say("*4\r\n$4\r\npush\r\n$4\r\nmail\r\n$5\r\nemail\r\n$2\r\n{}\r\n"), "");
  const auto& push = talk.last<model::Push>();
  EXPECT_EQ(push.queue, "mail");
  EXPECT_EQ(push.type, "email");
  EXPECT_EQ(push.payload, "{}");
  EXPECT_EQ(push.options, nullptr);
  EXPECT_EQ(talk.answer(0, model::Pushed{model::JobId(17)}), "$2\r\n17\r\n");
}

TEST(Commands, PushWithEveryOption) {
  Talk talk;
  EXPECT_EQ(
      talk.say("PUSH q t p DELAY 5s PRIORITY 9 ATTEMPTS 3 BACKOFF 'fixed 1s' TIMEOUT 1m TTL "
               "2m UNIQUE k WINDOW 1h ONCONFLICT replace KEEP 1d AFTER 4 after_any 5 HEADER a "
               "b HEADER c ''\r\n"),
      "");
  const model::PushOptions& options = *talk.last<model::Push>().options;
  EXPECT_EQ(options.delay, seconds(5));
  EXPECT_EQ(options.priority, 9);
  EXPECT_EQ(options.max_attempts, 3u);
  EXPECT_EQ(options.backoff->kind, model::Backoff::Kind::fixed);
  EXPECT_EQ(options.timeout, minutes(1));
  EXPECT_EQ(options.ttl, minutes(2));
  EXPECT_EQ(options.unique_key, "k");
  EXPECT_EQ(options.unique_window, minutes(60));
  EXPECT_EQ(options.on_conflict, model::OnConflict::replace);
  EXPECT_EQ(options.keep, minutes(24 * 60));
  ASSERT_EQ(options.after.size(), 2u);
  EXPECT_EQ(options.after[0].id.value, 4u);
  EXPECT_FALSE(options.after[0].any_outcome);
  EXPECT_TRUE(options.after[1].any_outcome);
  ASSERT_EQ(options.headers.size(), 2u);
  EXPECT_EQ(options.headers[0].second, "b");
}

TEST(Commands, PushAtATimeAndABareAfterAny) {
  Talk talk;
  EXPECT_EQ(talk.say("PUSH q t p AT 1700000000000 AFTER 4 AFTER 5 AFTER_ANY\r\n"), "");
  const model::PushOptions& options = *talk.last<model::Push>().options;
  EXPECT_EQ(options.at, WallTime(Duration(1'700'000'000'000)));
  EXPECT_TRUE(options.after[0].any_outcome);
  EXPECT_TRUE(options.after[1].any_outcome);
}

TEST(Commands, PullAckFail) {
  Talk talk;
  EXPECT_EQ(talk.say("PULL a b COUNT 10 WAIT 30s LEASE 1m AS w1\r\n"), "");
  const auto& pull = talk.last<model::Pull>();
  EXPECT_EQ(*pull.queues, (std::vector<ByteView>{"a", "b"}));
  EXPECT_EQ(pull.count, 10u);
  EXPECT_EQ(pull.wait, seconds(30));
  EXPECT_EQ(pull.lease, minutes(1));
  EXPECT_EQ(pull.worker, "w1");

  EXPECT_EQ(talk.say("ACK 1 2\r\n"), "");
  EXPECT_EQ(talk.last<model::Ack>().id.value, 1u);
  EXPECT_EQ(talk.last<model::Ack>().token.value, 2u);
  EXPECT_EQ(talk.say("ACK 1 2 result abc\r\n"), "");
  EXPECT_EQ(talk.last<model::Ack>().result, "abc");

  EXPECT_EQ(talk.say("FAIL 1 2 'no such host'\r\n"), "");
  EXPECT_EQ(talk.last<model::Fail>().message, "no such host");
  EXPECT_FALSE(talk.last<model::Fail>().retry_after.has_value());
  EXPECT_EQ(talk.say("FAIL 1 2 x RETRY 5s\r\n"), "");
  EXPECT_EQ(talk.last<model::Fail>().retry_after, seconds(5));
  EXPECT_EQ(talk.say("FAIL 1 2 x DEAD\r\n"), "");
  EXPECT_TRUE(talk.last<model::Fail>().dead);
}

TEST(Commands, TheRestOfAJobsLife) {
  Talk talk;
  EXPECT_EQ(talk.say("RELEASE 1 2 DELAY 3s\r\nEXTEND 1 2 1m\r\nPROGRESS 1 2 50 half\r\nCANCEL 1\r\n"
                     "JOB 1\r\nAWAIT 1 10s\r\n"),
            "");
  const auto& requests = talk.batches.back().requests;
  ASSERT_EQ(requests.size(), 6u);
  EXPECT_EQ(std::get<model::Release>(requests[0].command).delay, seconds(3));
  EXPECT_EQ(std::get<model::Extend>(requests[1].command).lease, minutes(1));
  EXPECT_EQ(std::get<model::Progress>(requests[2].command).percent, 50);
  EXPECT_EQ(std::get<model::Progress>(requests[2].command).note, "half");
  EXPECT_EQ(std::get<model::Cancel>(requests[3].command).id.value, 1u);
  EXPECT_EQ(std::get<model::GetJob>(requests[4].command).id.value, 1u);
  EXPECT_EQ(std::get<model::Await>(requests[5].command).wait, seconds(10));
}

TEST(Commands, QueuesAndTheDead) {
  Talk talk;
  EXPECT_EQ(
      talk.say("QUEUE LIST\r\nQUEUE GET q\r\nQUEUE SET q priority 3 TTL 1m\r\nQUEUE PAUSE q\r\n"
               "QUEUE RESUME q\r\nQUEUE PURGE q\r\nQUEUE DELETE q\r\nQUEUE DELETE q FORCE\r\n"
               "DEAD LIST q COUNT 5 CURSOR 7\r\nDEAD REDRIVE q\r\nDEAD REDRIVE q 1 2\r\n"
               "DEAD DELETE q 3\r\nJOBS q STATE ready TYPE t OLDER 1m NEWER 1h COUNT 3\r\n"),
      "");
  const auto& requests = talk.batches.back().requests;
  ASSERT_EQ(requests.size(), 13u);
  EXPECT_TRUE(std::holds_alternative<model::ListQueues>(requests[0].command));
  EXPECT_EQ(std::get<model::GetQueue>(requests[1].command).queue, "q");
  EXPECT_EQ(std::get<model::SetQueue>(requests[2].command).change->priority, 3);
  EXPECT_EQ(std::get<model::SetQueue>(requests[2].command).change->ttl, minutes(1));
  EXPECT_TRUE(std::get<model::PauseQueue>(requests[3].command).paused);
  EXPECT_FALSE(std::get<model::PauseQueue>(requests[4].command).paused);
  EXPECT_EQ(std::get<model::PurgeQueue>(requests[5].command).queue, "q");
  EXPECT_FALSE(std::get<model::DeleteQueue>(requests[6].command).force);
  EXPECT_TRUE(std::get<model::DeleteQueue>(requests[7].command).force);
  const auto& dead = std::get<model::ListJobs>(requests[8].command);
  EXPECT_EQ(dead.state, model::JobState::dead);
  EXPECT_EQ(dead.count, 5u);
  EXPECT_EQ(dead.cursor.value, 7u);
  EXPECT_TRUE(std::get<model::RedriveDead>(requests[9].command).ids.empty());
  EXPECT_EQ(std::get<model::RedriveDead>(requests[10].command).ids.size(), 2u);
  EXPECT_EQ(std::get<model::DeleteDead>(requests[11].command).ids[0].value, 3u);
  const auto& jobs = std::get<model::ListJobs>(requests[12].command);
  EXPECT_EQ(jobs.state, model::JobState::ready);
  EXPECT_EQ(jobs.type, "t");
  EXPECT_EQ(jobs.older_than, minutes(1));
  EXPECT_EQ(jobs.newer_than, minutes(60));
}

struct Bad {
  const char* command;
  const char* reply;  ///< How the reply starts.
};

TEST(Commands, BadArgumentsNameFieldValueAndLimit) {
  const Bad cases[] = {
      {"PUSH q t", "-ARG wrong number of arguments for 'PUSH'; usage: PUSH queue type payload"},
      {R"(PUSH "a\x1b" t p)", R"(-ARG "a\x1b" is not a queue's name; allowed: 1 to 255)"},
      {"PUSH q '' p", "-ARG type is \"\"; allowed: 1 to 255 bytes"},
      {"PUSH q t p FOO 1", "-ARG PUSH: unknown option \"FOO\"; allowed: DELAY AT PRIORITY"},
      {"PUSH q t p DELAY", "-ARG PUSH: DELAY needs a value"},
      {"PUSH q t p HEADER :key a", "-ARG HEADER is \":key\"; allowed: a key that does not"},
      {"PUSH q t p HEADER a", "-ARG PUSH: HEADER needs a key and a value"},
      {"PUSH q t p DELAY soon", "-ARG DELAY is \"soon\"; allowed: a duration like 1500 (ms)"},
      {"PUSH q t p PRIORITY 256", "-ARG PRIORITY is \"256\"; allowed: a number from 0 to 255"},
      {"PUSH q t p ATTEMPTS 0", "-ARG ATTEMPTS is \"0\"; allowed: a number from 1 to 65535"},
      {"PUSH q t p ATTEMPTS 65536", "-ARG ATTEMPTS"},
      {"PUSH q t p BACKOFF maybe", "-ARG backoff: not a kind: \"maybe\""},
      {"PUSH q t p TIMEOUT 25h", "-ARG TIMEOUT is \"25h\"; allowed: a duration"},
      {"PUSH q t p DELAY 1s AT 1", "-ARG PUSH: DELAY and AT exclude each other"},
      {"PUSH q t p AT 253402300800000", "-ARG AT (unix time in ms)"},
      {"PUSH q t p UNIQUE ''", "-ARG UNIQUE is \"\""},
      {"PUSH q t p WINDOW 1s", "-ARG PUSH: WINDOW and ONCONFLICT need UNIQUE"},
      {"PUSH q t p UNIQUE k ONCONFLICT explode",
       "-ARG ONCONFLICT is \"explode\"; allowed: existing"},
      {"PUSH q t p GROUP g", "-ARG GROUP is not supported yet"},
      {"PUSH q t p AFTER x", "-ARG AFTER (a job's id) is \"x\""},
      {"PUSH q t p AFTER_ANY", "-ARG PUSH: AFTER_ANY needs a job's id"},
      {"PULL q COUNT 0", "-ARG COUNT is \"0\"; allowed: a number from 1 to 10000"},
      {"PULL q COUNT 10001", "-ARG COUNT"},
      {"PULL q LEASE 0", "-ARG LEASE"},
      {"PULL q WAIT", "-ARG PULL: \"WAIT\" needs a value"},
      {"PULL q COUNT 1 BAR 2", "-ARG option of PULL is \"BAR\"; allowed: COUNT n"},
      {"ACK x 2", "-ARG id is \"x\"; allowed: a job's id"},
      {"ACK 1 y", "-ARG token is \"y\"; allowed: a lease token"},
      {"ACK 1 2 RESULT", "-ARG option of ACK"},
      {"FAIL 1 2 x LATER", "-ARG option of FAIL is \"LATER\"; allowed: RETRY d, DEAD"},
      {"PROGRESS 1 2 101", "-ARG percent is \"101\"; allowed: a number from 0 to 100"},
      {"EXTEND 1 2 0", "-ARG lease is \"0\""},
      {"JOBS q STATE happy", "-ARG STATE is \"happy\"; allowed: scheduled"},
      {"QUEUE", "-ARG wrong number of arguments for 'QUEUE'"},
      {"QUEUE BURN q", "-ARG QUEUE is \"BURN\"; allowed: LIST"},
      {"QUEUE SET q priority", "-ARG wrong number"},
      {"QUEUE SET q colour red", "-ARG \"colour\" is not a field"},
      {"DEAD BURY q", "-ARG DEAD is \"BURY\"; allowed: LIST, REDRIVE, DELETE"},
      {"BACKUP here", "-ARG directory is \"here\"; allowed: an absolute path"},
      {"CRON LIST", "-ERR unknown command 'CRON', with args beginning with: 'LIST' "},
      {"PUSHX", "-ERR unknown command 'PUSHX'"},
      {"\"ACK \" 1 2", "-ERR unknown command 'ACK '"},
      {"SELECT 1", "-ARG DB index is \"1\"; allowed: 0"},
  };
  for (const Bad& bad : cases) {
    Talk talk;
    const std::string reply = talk.say(std::string(bad.command) + "\r\n");
    EXPECT_EQ(reply.substr(0, std::string(bad.reply).size()), bad.reply) << bad.command;
    EXPECT_TRUE(talk.batches.empty()) << bad.command;
    EXPECT_EQ(talk.conversation.outstanding(), 0u);
    EXPECT_EQ(talk.say("PING\r\n"), "+PONG\r\n") << bad.command;
  }
}

TEST(Commands, WhatIsTooBigSaysByHowMuch) {
  ConversationOptions options;
  options.limits.payload_bytes_max = 1000;
  options.limits.headers_bytes_max = 10;
  Talk talk(options);
  const auto bulk = [](const std::string& text) {
    return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
  };
  const std::string push = "*4\r\n$4\r\nPUSH\r\n$1\r\nq\r\n$1\r\nt\r\n";
  EXPECT_EQ(talk.say(push + bulk(std::string(1000, 'x'))), "");
  EXPECT_EQ(talk.batches.size(), 1u);
  Talk other(options);
  EXPECT_EQ(other.say(push + bulk(std::string(1001, 'x')) + "PING\r\n"),
            "-TOOBIG payload: 1001 bytes (limit 1000)\r\n+PONG\r\n");
  EXPECT_EQ(other.say("PUSH q t p HEADER 12345 123456\r\n"),
            "-TOOBIG keys and values of all HEADERs: 11 bytes (limit 10)\r\n");
  EXPECT_EQ(other.say("PUSH " + std::string(256, 'q') + " t p\r\n"),
            "-TOOBIG the queue's name has 256 bytes (limit 255)\r\n");
  EXPECT_EQ(other.say("PUSH q " + std::string(256, 't') + " p\r\n"),
            "-TOOBIG type: 256 bytes (limit 255)\r\n");
  EXPECT_TRUE(other.batches.empty());
  std::string pull = "PULL";
  for (int i = 0; i < 257; ++i)
    pull += " q";
  EXPECT_EQ(other.say(pull + "\r\n"), "-TOOBIG PULL: 257 queues (limit 256)\r\n");
}

// ---- Local commands

TEST(LocalCommands, WhatRedisClientsSendFirst) {
  Talk talk;
  EXPECT_EQ(talk.say("PING\r\nping hi\r\nECHO x\r\nSELECT 0\r\n"),
            "+PONG\r\n$2\r\nhi\r\n$1\r\nx\r\n+OK\r\n");
  EXPECT_EQ(talk.say("CLIENT SETINFO LIB-NAME redis-py\r\nCLIENT GETNAME\r\nCLIENT SETNAME me\r\n"
                     "CLIENT GETNAME\r\nCLIENT ID\r\n"),
            "+OK\r\n$-1\r\n+OK\r\n$2\r\nme\r\n:1\r\n");
  EXPECT_EQ(talk.say("COMMAND\r\nCOMMAND DOCS\r\nCONFIG GET maxmemory\r\nCONFIG GET save\r\n"),
            "*0\r\n*0\r\n*0\r\n*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
  EXPECT_EQ(talk.say("CLIENT MAINT_NOTIFICATIONS ON\r\n").substr(0, 4), "-ERR");
  EXPECT_EQ(talk.say("AUTH secret\r\n").substr(0, 4), "-ERR");
  EXPECT_EQ(talk.say("AUTH default secret\r\n"), "+OK\r\n");
  EXPECT_EQ(talk.say("AUTH root secret\r\n").substr(0, 10), "-WRONGPASS");
}

TEST(LocalCommands, HelloSwitchesTheProtocol) {
  Talk talk;
  EXPECT_EQ(talk.say("HELLO 4\r\n").substr(0, 8), "-NOPROTO");
  EXPECT_EQ(talk.say("HELLO 2\r\n").substr(0, 5), "*14\r\n");
  EXPECT_EQ(
      talk.say("hello 3 AUTH default p SETNAME me\r\n"),
      "%7\r\n$6\r\nserver\r\n$6\r\nsluice\r\n$7\r\nversion\r\n$5\r\n0.1.0\r\n$5\r\nproto\r\n:3"
      "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
      "$7\r\nmodules\r\n*0\r\n");
  EXPECT_EQ(talk.say("CLIENT GETNAME\r\n"), "$2\r\nme\r\n");
  EXPECT_EQ(talk.say("RESET\r\nCLIENT GETNAME\r\n"), "+RESET\r\n$-1\r\n");
}

TEST(LocalCommands, InfoIsWrittenFromTheEnginesFacts) {
  Talk talk;
  EXPECT_EQ(talk.say("INFO\r\n"), "");
  auto stats = std::make_unique<model::Stats>();
  stats->jobs[static_cast<std::size_t>(model::JobState::ready)] = 5;
  const std::string text = talk.answer(0, std::move(stats));
  EXPECT_NE(text.find("# Server\r\n"), std::string::npos);
  EXPECT_NE(text.find("redis_version:7.0.0\r\n"), std::string::npos);
  EXPECT_NE(text.find("loading:0\r\n"), std::string::npos);
  EXPECT_NE(text.find("ready:5\r\n"), std::string::npos);
  EXPECT_EQ(talk.say("INFO jobs\r\n"), "");
  const std::string jobs = talk.answer(1, std::make_unique<model::Stats>());
  EXPECT_NE(jobs.find("# Jobs\r\n"), std::string::npos);
  EXPECT_EQ(jobs.find("# Server\r\n"), std::string::npos);
}

TEST(LocalCommands, BackupIsAnOrder) {
  Talk talk;
  EXPECT_EQ(talk.say("BACKUP /b\r\nPING\r\n"), "");
  const std::vector<BackupOrder> orders = talk.conversation.take_backups();
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].directory, "/b");
  talk.conversation.answer_backup(orders[0], talk.port.backup("/b"));
  EXPECT_EQ(talk.take_output(), "*4\r\n$5\r\nbytes\r\n:4096\r\n$8\r\nsegments\r\n:2\r\n+PONG\r\n");
}

TEST(LocalCommands, QuitAndHttpEndTheConversation) {
  Talk talk;
  EXPECT_EQ(talk.say("QUIT\r\nPING\r\n"), "+OK\r\n");
  EXPECT_TRUE(talk.conversation.is_over());
  EXPECT_EQ(talk.say("PING\r\n"), "");
  Talk browser;
  EXPECT_EQ(browser.say("POST / HTTP/1.1\r\nPUSH q t p\r\n").substr(0, 4), "-ERR");
  EXPECT_TRUE(browser.conversation.is_over());
  EXPECT_TRUE(browser.batches.empty());
}

TEST(LocalCommands, LostFramingEndsTheConversationWithASentence) {
  Talk talk;
  EXPECT_EQ(talk.say("PING\r\n*1\r\nPING\r\n"),
            "+PONG\r\n-ERR Protocol error: expected '$' before an argument\r\n");
  EXPECT_TRUE(talk.conversation.is_over());
}

// ---- Answers

TEST(Answers, Scalars) {
  Talk talk;
  talk.say("ACK 1 2\r\nPULL q\r\nEXTEND 1 2 30s\r\nQUEUE PURGE q\r\nJOB 9\r\n");
  EXPECT_EQ(talk.answer(0, model::Done{}), "+OK\r\n");
  EXPECT_EQ(talk.answer(1, model::Nothing{}), "*-1\r\n");
  // The fake clock: journal time 1 s is 1700000001 in the calendar.
  EXPECT_EQ(talk.answer(2, model::Extended{Time(Duration(31'000))}), ":1700000031000\r\n");
  EXPECT_EQ(talk.answer(3, model::Counted{3}), ":3\r\n");
  EXPECT_EQ(talk.answer(4, error(ErrorCode::no_job, "no job 9")), "-NOJOB no job 9\r\n");
}

TEST(Answers, DeliveredJobs) {
  Talk talk;
  talk.say("PULL mail\r\nHELLO 3\r\nPULL mail\r\n");
  Buffer headers;
  model::put_header(headers, "trace", "abc");
  auto jobs = delivered(7, 9, "hi");
  std::get<std::unique_ptr<model::Delivered>>(jobs)->jobs[0].headers = headers.view();
  const std::string two = talk.answer(0, std::move(jobs));
  EXPECT_EQ(
      two.substr(0, two.find("%7\r\n")),
      "*1\r\n*16\r\n$2\r\nid\r\n$1\r\n7\r\n$5\r\ntoken\r\n$1\r\n9\r\n$5\r\nqueue\r\n$4\r\nmail"
      "\r\n$4\r\ntype\r\n$5\r\nemail\r\n$7\r\nattempt\r\n:1\r\n$7\r\npayload\r\n$2\r\nhi\r\n"
      "$7\r\nheaders\r\n*2\r\n$5\r\ntrace\r\n$3\r\nabc\r\n$8\r\ndeadline\r\n:1700000031000\r\n");
  EXPECT_EQ(talk.answer(1, delivered(7, 9, "hi")),
            "*1\r\n%8\r\n$2\r\nid\r\n$1\r\n7\r\n$5\r\ntoken\r\n$1\r\n9\r\n$5\r\nqueue\r\n$4\r\nmail"
            "\r\n$4\r\ntype\r\n$5\r\nemail\r\n$7\r\nattempt\r\n:1\r\n$7\r\npayload\r\n$2\r\nhi\r\n"
            "$7\r\nheaders\r\n%0\r\n$8\r\ndeadline\r\n:1700000031000\r\n");
}

TEST(Answers, AJobHasOnlyTheFieldsItHas) {
  Talk talk;
  talk.say("HELLO 3\r\nJOB 7\r\nJOB 7\r\nJOBS q\r\n");
  talk.take_output();
  auto plain = std::make_unique<model::JobInfo>();
  plain->id = model::JobId(7);
  plain->queue = "q";
  plain->type = "t";
  plain->state = model::JobState::ready;
  plain->max_attempts = 25;
  plain->created = Time(Duration(2'000));
  plain->payload = "p";
  EXPECT_EQ(
      talk.answer(0, std::make_unique<model::JobInfo>(*plain)),
      "%10\r\n$2\r\nid\r\n$1\r\n7\r\n$5\r\nqueue\r\n$1\r\nq\r\n$4\r\ntype\r\n$1\r\nt\r\n$5\r\n"
      "state\r\n$5\r\nready\r\n$8\r\npriority\r\n:0\r\n$7\r\nattempt\r\n:0\r\n$12\r\n"
      "max_attempts\r\n:25\r\n$7\r\ncreated\r\n:1700000002000\r\n$7\r\npayload\r\n$1\r\np\r\n"
      "$7\r\nhistory\r\n*0\r\n");
  auto full = std::make_unique<model::JobInfo>(*plain);
  full->due = Time(Duration(3'000));
  full->at = WallTime(Duration(5));
  full->worker = "w";
  full->error = "e";
  full->result = "r";
  full->has_result = true;
  full->progress_percent = 50;
  full->progress_note = "n";
  full->unique_key = "k";
  full->after = {{model::JobId(3), true}};
  full->headers = {{"a", "b"}};
  full->history = {{Time(Duration(2'000)), model::JobState::leased, 1, "w", ""}};
  const std::string text = talk.answer(1, std::make_unique<model::JobInfo>(*full));
  EXPECT_EQ(text.substr(0, 5), "%20\r\n");
  for (const char* part : {"due\r\n:1700000003000",
                           "at\r\n:5",
                           "worker\r\n$1\r\nw",
                           "error\r\n$1\r\ne",
                           "result\r\n$1\r\nr",
                           "progress\r\n:50",
                           "note\r\n$1\r\nn",
                           "unique\r\n$1\r\nk",
                           "after\r\n*1\r\n$1\r\n3",
                           "headers\r\n%1\r\n$1\r\na\r\n$1\r\nb",
                           "history\r\n*1\r\n%5\r\n$4\r\ntime"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  auto list = std::make_unique<model::JobList>();
  list->jobs.push_back(std::move(*full));
  list->cursor = model::JobId(7);
  const std::string listed = talk.answer(2, std::move(list));
  EXPECT_EQ(listed.substr(0, 42), "%2\r\n$6\r\ncursor\r\n$1\r\n7\r\n$4\r\njobs\r\n*1\r\n%18\r\n");
  EXPECT_EQ(listed.find("payload"), std::string::npos);
}

TEST(Answers, AQueueHasCountsAndPolicy) {
  Talk talk;
  talk.say("QUEUE GET q\r\nQUEUE LIST\r\n");
  auto queue = std::make_unique<model::QueueInfo>();
  queue->name = "q";
  queue->policy.paused = true;
  queue->jobs[static_cast<std::size_t>(model::JobState::dead)] = 4;
  queue->oldest_ready = Duration(12);
  const std::string text = talk.answer(0, std::make_unique<model::QueueInfo>(*queue));
  EXPECT_EQ(text.substr(0, 5), "*58\r\n");
  for (const char* part : {"paused\r\n:1",
                           "dead\r\n:4",
                           "backoff\r\n$33\r\nexponential 1s cap 10m",
                           "timeout\r\n:30000",
                           "overflow\r\n$6\r\nreject",
                           "oldest_ready_ms\r\n:12"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  auto list = std::make_unique<model::QueueList>();
  list->queues.push_back(std::move(*queue));
  EXPECT_EQ(talk.answer(1, std::move(list)), "*1\r\n" + text);
}

// ---- Order

TEST(Order, RepliesLeaveInTheOrderOfTheRequests) {
  Talk talk;
  EXPECT_EQ(talk.say("PUSH q t a\r\nPUSH q t b\r\nPING\r\nPUSH q t c\r\nNONSENSE\r\n"), "");
  EXPECT_EQ(talk.answer(2, model::Pushed{model::JobId(3)}), "");
  EXPECT_EQ(talk.answer(1, model::Pushed{model::JobId(2)}), "");
  EXPECT_GT(talk.conversation.unsent_bytes(), 0u);
  EXPECT_EQ(talk.answer(0, model::Pushed{model::JobId(1)}),
            "$1\r\n1\r\n$1\r\n2\r\n+PONG\r\n$1\r\n3\r\n-ERR unknown command 'NONSENSE', with args "
            "beginning with: \r\n");
  EXPECT_EQ(talk.conversation.unsent_bytes(), 0u);
  EXPECT_EQ(talk.conversation.outstanding(), 0u);
}

TEST(Order, RequestsBehindAWaitingPullAreExecutedAtOnce) {
  Talk talk;
  EXPECT_EQ(talk.say("PULL q WAIT 1h\r\nPUSH q t a\r\n"), "");
  ASSERT_EQ(talk.sequences.size(), 2u);
  EXPECT_EQ(talk.answer(1, model::Pushed{model::JobId(2)}), "");
  EXPECT_TRUE(talk.conversation.has_only_waits());
  EXPECT_EQ(talk.answer(0, model::Nothing{}), "*-1\r\n$1\r\n2\r\n");
}

TEST(Order, HelloHoldsForTheRepliesBehindIt) {
  Talk talk;
  EXPECT_EQ(talk.say("PULL q\r\nHELLO 3\r\nPULL q\r\n"), "");
  EXPECT_EQ(talk.answer(1, model::Nothing{}), "");
  const std::string replies = talk.answer(0, model::Nothing{});
  EXPECT_EQ(replies.substr(0, 9), "*-1\r\n%7\r\n");
  EXPECT_EQ(replies.substr(replies.size() - 3), "_\r\n");
}

TEST(Order, EndedWaitsAreNilAndTheirLateLeasesAreLost) {
  Talk talk;
  EXPECT_EQ(talk.say("PULL q WAIT 1h\r\nAWAIT 3 1h\r\nPUSH q t a\r\n"), "");
  EXPECT_FALSE(talk.conversation.has_only_waits());
  EXPECT_EQ(talk.answer(2, model::Pushed{model::JobId(2)}), "");
  ASSERT_TRUE(talk.conversation.has_only_waits());
  talk.conversation.end_waits();
  EXPECT_EQ(talk.take_output(), "*-1\r\n*-1\r\n$1\r\n2\r\n");
  EXPECT_EQ(talk.answer(0, delivered(7, 9, "hi")), "");
  const std::vector<model::Release> lost = talk.conversation.take_lost_leases();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].id.value, 7u);
  EXPECT_EQ(lost[0].token.value, 9u);
}

TEST(Order, HeldLeasesAreLostWhenTheClientLeaves) {
  Talk talk;
  EXPECT_EQ(talk.say("PULL a WAIT 1h\r\nPULL b\r\n"), "");
  EXPECT_EQ(talk.answer(1, delivered(7, 9, "hi")), "");
  EXPECT_TRUE(talk.conversation.take_lost_leases().empty());
  talk.conversation.abandon();
  const std::vector<model::Release> lost = talk.conversation.take_lost_leases();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].token.value, 9u);
}

TEST(Order, ParsingStopsWhenTooMuchIsOutstanding) {
  ConversationOptions options;
  options.outstanding_max = 2;
  Talk talk(options);
  EXPECT_EQ(talk.say("PUSH q t a\r\nPUSH q t b\r\nPUSH q t c\r\nPING\r\n"), "");
  EXPECT_EQ(talk.sequences.size(), 2u);
  EXPECT_TRUE(talk.conversation.is_full());
  EXPECT_EQ(talk.answer(0, model::Pushed{model::JobId(1)}), "$1\r\n1\r\n");
  EXPECT_EQ(talk.answer(1, model::Pushed{model::JobId(2)}), "$1\r\n2\r\n");
  EXPECT_EQ(talk.consume(), "");
  EXPECT_EQ(talk.last<model::Push>().payload, "c");
  EXPECT_EQ(talk.answer(2, model::Pushed{model::JobId(3)}), "$1\r\n3\r\n+PONG\r\n");
}

TEST(Order, AnyCutOfTheInputGivesTheSameRequests) {
  const std::string stream =
      "*4\r\n$4\r\nPUSH\r\n$1\r\nq\r\n$1\r\nt\r\n$4\r\nab\r\n\r\nPULL q\r\nPING\r\n"
      "*5\r\n$3\r\nACK\r\n$1\r\n1\r\n$1\r\n2\r\n$6\r\nRESULT\r\n$1\r\nr\r\n";
  Talk talk;
  for (const char c : stream)
    talk.say(ByteView(&c, 1));
  ASSERT_EQ(talk.batches.size(), 3u);
  EXPECT_EQ(std::get<model::Push>(talk.batches[0].requests[0].command).payload, "ab\r\n");
  EXPECT_EQ(std::get<model::Pull>(talk.batches[1].requests[0].command).queues->at(0), "q");
  EXPECT_EQ(std::get<model::Ack>(talk.batches[2].requests[0].command).result, "r");
}

/// Commands, some of them broken at a random byte, in random pieces: whatever comes, each request
/// has one reply and the conversation either goes on or is over.
TEST(Order, AnyBytesAreAnsweredOrEndTheConversation) {
  std::mt19937 random(11);
  const std::vector<std::string> parts{
      "*4\r\n$4\r\nPUSH\r\n$1\r\nq\r\n$1\r\nt\r\n$4\r\nabcd\r\n",
      "PUSH q t p DELAY 5s UNIQUE k WINDOW 1h AFTER 4 HEADER a b BACKOFF 'list 1s 2s'\r\n",
      "PULL q r COUNT 5 WAIT 1s AS w\r\n",
      "ACK 1 2 RESULT r\r\nFAIL 1 2 m RETRY 1s\r\nRELEASE 1 2 DELAY 1s\r\n",
      "QUEUE SET q backoff 'exponential 1s cap 1m jitter 5%'\r\nDEAD LIST q COUNT 2\r\n",
      "JOBS q STATE dead TYPE t OLDER 1s\r\nHELLO 3 SETNAME x\r\nINFO jobs\r\nCLIENT ID\r\n",
      "PING\r\nECHO 'x y'\r\nBACKUP /b\r\nAWAIT 1 1s\r\nEXTEND 1 2 1s\r\nPROGRESS 1 2 3\r\n",
  };
  for (int round = 0; round < 3000; ++round) {
    std::string stream;
    for (int i = 0; i < 5; ++i)
      stream += parts[random() % parts.size()];
    for (int i = 0; i < 3; ++i)
      stream[random() % stream.size()] = static_cast<char>(random());
    Talk talk;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t piece = std::min<std::size_t>(1 + random() % 60, stream.size() - at);
      talk.say(ByteView(stream).substr(at, piece));
      at += piece;
    }
    for (const BackupOrder& order : talk.conversation.take_backups()) {
      talk.conversation.answer_backup(order, talk.port.backup(order.directory));
    }
    std::size_t index = 0;
    for (const engine::RequestBatch& batch : talk.batches) {
      for (const engine::Request& request : batch.requests) {
        if (std::holds_alternative<model::GetStats>(request.command)) {
          talk.answer(index, std::make_unique<model::Stats>());
        } else {
          talk.answer(index, model::Done{});
        }
        ++index;
      }
    }
    EXPECT_EQ(talk.conversation.outstanding(), 0u);
    EXPECT_EQ(talk.conversation.unsent_bytes(), 0u);
    if (!talk.conversation.is_over()) talk.conversation.consume();
  }
}

}  // namespace
}  // namespace sluice::native
