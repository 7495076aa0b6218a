// Typed jobs: a described struct goes in as JSON and comes out as a struct; so does the result. The
// program pushes a job, runs the worker until that job has ended, and prints its result.
//
//   ./11_typed_worker sluice://127.0.0.1:7770
#include <sluice/worker.h>

#include <boost/describe/class.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using sluice::Awaitable;
using sluice::Context;

namespace {

struct Resize {
  std::string image;
  std::vector<int> widths;
};
BOOST_DESCRIBE_STRUCT(Resize, (), (image, widths))

struct Resized {
  std::vector<std::string> files;
};
BOOST_DESCRIBE_STRUCT(Resized, (), (files))

Awaitable<Resized> resize(Context& context, Resize job) {
  Resized done;
  for (const int width : job.widths) {
    co_await sluice::sleep_for(50ms);  // Here the work would be.
    done.files.push_back(job.image + "." + std::to_string(width));
    context.progress(static_cast<unsigned>(100 * done.files.size() / job.widths.size()));
  }
  co_return done;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string url = argc > 1 ? argv[1] : "sluice://127.0.0.1:7770";
  const auto client = sluice::Client::connect(url);
  if (!client) {
    std::fprintf(stderr, "%s\n", client.error().message.c_str());
    return 1;
  }
  const auto id = client->push("images", Resize{"cat.png", {100, 400, 1600}});
  if (!id) {
    std::fprintf(stderr, "%s\n", id.error().message.c_str());
    return 1;
  }

  sluice::Worker worker(sluice::WorkerOptions().url(url).queue("images"));
  worker.handle<Resize>(resize);  // Takes jobs of type "Resize": the struct's name.
  std::thread running([&worker] { static_cast<void>(worker.run()); });

  const auto job = client->await(*id, 30s);
  worker.stop();
  running.join();
  if (!job || !job->result) return 1;
  const auto resized = sluice::decode<Resized>(*job->result);
  if (!resized) return 1;
  for (const std::string& file : resized->files)
    std::printf("%s\n", file.c_str());
  return 0;
}
