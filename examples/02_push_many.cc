// Push many jobs in few round trips, take them in batches, and ack each batch in one.
//
//   ./02_push_many sluice://127.0.0.1:7770
#include <sluice/client.h>

#include <iostream>

int main(int argc, char** argv) {
  const auto client = sluice::Client::connect(argc > 1 ? argv[1] : "sluice://127.0.0.1:7770");
  if (!client) return std::cerr << client.error().message << '\n', 1;

  std::vector<sluice::PushItem> items;
  for (int i = 0; i < 10'000; ++i) {
    items.emplace_back("numbers", sluice::Payload("square", std::to_string(i)));
  }
  std::size_t pushed = 0;
  for (const auto& id : client->push_many(items))
    pushed += id.has_value();  // One result per item.
  std::cout << "pushed " << pushed << '\n';

  std::size_t done = 0;
  for (;;) {
    const auto jobs = client->pull("numbers", sluice::PullOptions().count(1000));
    if (!jobs) return std::cerr << jobs.error().message << '\n', 1;
    if (jobs->empty()) break;
    std::vector<sluice::AckItem> acks;
    for (const sluice::Job& job : *jobs) {
      const long number = std::stol(job.payload);
      acks.emplace_back(job, std::to_string(number * number));
    }
    for (const auto& acked : client->ack_many(acks))
      done += acked.has_value();
  }
  std::cout << "done " << done << '\n';
}
