// A queue's policy, a job that cannot succeed, and a second chance for it.
//
//   ./07_dead_letters sluice://127.0.0.1:7770
#include <sluice/client.h>

#include <iostream>

using namespace std::chrono_literals;
using sluice::Backoff;

int main(int argc, char** argv) {
  const auto client = sluice::Client::connect(argc > 1 ? argv[1] : "sluice://127.0.0.1:7770");
  if (!client) return std::cerr << client.error().message << '\n', 1;

  // What jobs of this queue get when they do not say.
  const auto set = client->queue_set(
      "cards", sluice::QueueChange().max_attempts(1).backoff(Backoff::fixed(5s)).timeout(1min));
  if (!set) return std::cerr << set.error().message << '\n', 1;

  const sluice::JobId id = client->push("cards", "charge", "order 42").value();
  const sluice::Job job = client->pull("cards").value().at(0);
  if (!client->fail(job, "card declined")) return 1;

  const sluice::JobPage page = client->dead_list("cards").value();
  for (const sluice::JobInfo& dead : page.jobs) {
    std::cout << dead.type << " is " << name(dead.state) << ": " << dead.error << '\n';
  }
  std::cout << "redriven: " << client->dead_redrive("cards", {id}).value() << '\n';
  const sluice::QueueInfo queue = client->queue_get("cards").value();
  std::cout << "ready: " << queue.count(sluice::JobState::ready) << '\n';
}
