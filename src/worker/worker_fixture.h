// What the worker's tests share: its events to wait for, a worker on a thread, a server.
#pragma once

#include "worker/test_server.h"

#include <sluice/async.h>
#include <sluice/worker.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::worker {

/// Collects the events of a worker; a test can wait for one.
class Events {
 public:
  std::function<void(const WorkerEvent&)> hook() {
    return [this](const WorkerEvent& event) {
      const std::scoped_lock lock(mutex_);
      seen_.push_back(event);
      changed_.notify_all();
    };
  }

  /// The first event of this name; waits for it. An empty one after a minute.
  WorkerEvent wait_for(const std::string& name) {
    std::unique_lock lock(mutex_);
    WorkerEvent found;
    changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      for (const WorkerEvent& event : seen_) {
        if (event.name == name) found = event;
      }
      return !found.name.empty();
    });
    return found;
  }

  bool has(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    for (const WorkerEvent& event : seen_) {
      if (event.name == name) return true;
    }
    return false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<WorkerEvent> seen_;
};

/// A worker that runs on a thread of its own until it is stopped, at the latest here.
class WorkerRun {
 public:
  explicit WorkerRun(Worker& worker)
      : worker_(worker), thread_([this] { result_ = worker_.run(); }) {}

  ~WorkerRun() { stop(); }

  WorkerRun(const WorkerRun&) = delete;
  WorkerRun& operator=(const WorkerRun&) = delete;

  void stop() {
    worker_.stop();
    if (thread_.joinable()) thread_.join();
  }

  std::thread::id thread() const { return thread_.get_id(); }

  const Result<void>& result() const { return result_; }

 private:
  Worker& worker_;
  Result<void> result_;
  std::thread thread_;
};

/// A server and a client.
class WorkerTest : public testing::Test {
 protected:
  WorkerTest() : client(server.client()) {}

  WorkerOptions options() {
    return WorkerOptions()
        .url(server.url())
        .queue("q")
        .handle_signals(false)
        .on_event(events.hook());
  }

  JobId push(const Payload& job, const PushOptions& asked = {}) {
    const Result<JobId> id = client.push("q", job, asked);
    EXPECT_TRUE(id.has_value()) << id.error().message;
    return *id;
  }

  JobInfo final_state(JobId id) {
    const Result<JobInfo> job = client.await(id, std::chrono::seconds(60));
    EXPECT_TRUE(job.has_value()) << job.error().message;
    return *job;
  }

  /// Polls the server until the job is in this state. A job that a worker has released may be given
  /// to the last pull of the same worker, and back as the server sees that its connection is gone.
  bool reaches(JobId id, JobState state) {
    for (int i = 0; i < 6000; ++i) {
      const Result<JobInfo> job = client.job(id);
      if (job && job->state == state) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  TestServer server;
  Client client;
  Events events;
};

}  // namespace sluice::worker
