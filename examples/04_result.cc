// Hand work over and wait for its result. A thread plays the worker.
//
//   ./04_result sluice://127.0.0.1:7770
#include <sluice/client.h>

#include <iostream>
#include <thread>

using namespace std::chrono_literals;

void work(const sluice::Client& client) {
  // Waits at the server until a job comes; other calls of this client are not held up.
  const auto jobs = client.pull("greetings", sluice::PullOptions().wait(10s).as("greeter"));
  if (!jobs) return;
  for (const sluice::Job& job : *jobs) {
    const auto half = client.progress(job, 50, "thinking");
    const auto acked = client.ack(job, "hello, " + job.payload);
    if (!half || !acked) std::cerr << "somebody else has the job now\n";
  }
}

int main(int argc, char** argv) {
  const auto client = sluice::Client::connect(argc > 1 ? argv[1] : "sluice://127.0.0.1:7770");
  if (!client) return std::cerr << client.error().message << '\n', 1;

  std::thread worker(work, std::cref(*client));
  const auto id = client->push("greetings", "greet", "Ada", sluice::PushOptions().keep(1h));
  const auto job = client->await(id.value(), 10s);  // No polling.
  worker.join();

  if (!job) return std::cerr << job.error().message << '\n', 1;
  if (!job->result) return std::cerr << "not done yet: " << name(job->state) << '\n', 1;
  std::cout << name(job->state) << " by " << job->worker << ": " << *job->result << '\n';
}
