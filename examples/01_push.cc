// Push a job: a described struct becomes a JSON payload, its name the job's type.
//
//   ./01_push sluice://127.0.0.1:7770
#include <sluice/client.h>

#include <boost/describe/class.hpp>

#include <iostream>

using namespace std::chrono_literals;

struct SendMail {
  std::string to;
  std::string subject;
};
BOOST_DESCRIBE_STRUCT(SendMail, (), (to, subject))

int main(int argc, char** argv) {
  const auto client = sluice::Client::connect(argc > 1 ? argv[1] : "sluice://127.0.0.1:7770");
  if (!client) return std::cerr << client.error().message << '\n', 1;

  // When push() returns, the job is on the disk of the server.
  const auto id =
      client->push("mail",
                   SendMail{"ada@example.org", "Welcome"},
                   sluice::PushOptions().delay(30s).max_attempts(5).header("tenant", "acme"));
  if (!id) return std::cerr << id.error().message << '\n', 1;

  const auto job = client->job(*id);
  if (!job) return std::cerr << job.error().message << '\n', 1;
  std::cout << job->type << ' ' << job->payload << " is " << name(job->state) << '\n';
}
