// Jobs that depend on each other, and a key that makes a second push the same job.
//
//   ./06_unique_after sluice://127.0.0.1:7770
#include <sluice/client.h>

#include <iostream>

using namespace std::chrono_literals;
using sluice::PushOptions;

int main(int argc, char** argv) {
  const auto client = sluice::Client::connect(argc > 1 ? argv[1] : "sluice://127.0.0.1:7770");
  if (!client) return std::cerr << client.error().message << '\n', 1;

  // The customer clicked twice: one invoice. Such a push is repeated by the client itself when the
  // connection breaks, because it cannot become two jobs.
  const auto once = PushOptions().unique("invoice:42").window(1h);
  const sluice::JobId invoice = client->push("pdf", "invoice", "42", once).value();
  const sluice::JobId again = client->push("pdf", "invoice", "42", once).value();
  std::cout << "one invoice: " << std::boolalpha << (invoice == again) << '\n';

  // The email waits for the invoice; it dies with a reason if the invoice does.
  const sluice::JobId email =
      client->push("mail", "receipt", "42", PushOptions().after(invoice)).value();
  std::cout << "email: " << name(client->job(email)->state) << '\n';

  const sluice::Job job = client->pull("pdf").value().at(0);
  if (!client->ack(job, "invoice-42.pdf")) return 1;
  std::cout << "email: " << name(client->job(email)->state) << '\n';
}
