// The engine in your process: no server, the same semantics, durable in a directory.
//
//   ./03_embedded /tmp/my-jobs
#include <sluice/client.h>

#include <iostream>

int main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : "./jobs";
  sluice::JobId id;
  {
    // One process at a time may open a directory; a second one is told which process has it.
    const auto client = sluice::Client::embedded(directory);
    if (!client) return std::cerr << client.error().message << '\n', 1;
    id = client->push("thumbnails", "make", "cat.png").value();
  }  // Closed: the engine stops, the directory is free. A kill -9 here would lose nothing either.

  const auto client = sluice::Client::embedded(directory);
  if (!client) return std::cerr << client.error().message << '\n', 1;
  std::cout << "after reopening: " << name(client->job(id)->state) << '\n';

  const auto jobs = client->pull("thumbnails");
  if (!jobs) return std::cerr << jobs.error().message << '\n', 1;
  for (const sluice::Job& job : *jobs) {
    std::cout << job.type << ' ' << job.payload << ", attempt " << job.attempt << '\n';
    if (const auto acked = client->ack(job, "cat.small.png"); !acked) return 1;
  }
  std::cout << "result: " << client->job(id)->result.value_or("none") << '\n';
}
