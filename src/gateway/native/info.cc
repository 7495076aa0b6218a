// INFO: see info.h.
#include "gateway/native/info.h"

#include "model/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include <unistd.h>

namespace sluice::native {
namespace {

using Out = std::back_insert_iterator<std::string>;

void server_section(std::string& text, const InfoSources& from) {
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(from.now - from.facts.started);
  // Clients read redis_version to decide what they may ask for, and wait while loading is 1.
  fmt::format_to(Out(text),
                 "sluice_version:{}\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n"
                 "process_id:{}\r\naddress:{}\r\ndata_directory:{}\r\nsync:{}\r\n"
                 "uptime_in_seconds:{}\r\nepoch:{}\r\n",
                 from.facts.version,
                 ::getpid(),
                 from.facts.address,
                 from.facts.data_directory,
                 from.facts.sync,
                 uptime.count(),
                 from.stats.epoch);
}

/// The names of Redis; those of other protocols' gateways have a prefix.
void put_clients(std::string& text, const char* prefix, const gateway::Counters& gateway) {
  const auto put = [&](const char* name, const std::atomic<std::uint64_t>& value) {
    fmt::format_to(Out(text), "{}{}:{}\r\n", prefix, name, value.load());
  };
  put("connected_clients", gateway.connections);
  put("total_connections_received", gateway.connections_total);
  put("rejected_connections", gateway.rejected_connections_total);
  put("total_net_input_bytes", gateway.received_bytes_total);
  put("total_net_output_bytes", gateway.sent_bytes_total);
  put("slow_clients_closed", gateway.slow_clients_closed_total);
  put("greedy_clients_closed", gateway.greedy_clients_closed_total);
  put("silent_clients_closed", gateway.silent_clients_closed_total);
  put("undelivered_leases", gateway.undelivered_leases_total);
  put("client_buffers_bytes", gateway.buffered_bytes);
}

void clients_section(std::string& text, const InfoSources& from) {
  if (from.gateway == nullptr) return;
  put_clients(text, "", *from.gateway);
  if (from.facts.amqp != nullptr) put_clients(text, "amqp_", *from.facts.amqp);
}

void memory_section(std::string& text, const InfoSources& from) {
  fmt::format_to(Out(text), "used_memory:{}\r\n", from.stats.memory_bytes);
}

void persistence_section(std::string& text, const InfoSources& from) {
  const engine::Counters& engine = from.engine;
  fmt::format_to(Out(text),
                 "loading:0\r\njournal_bytes:{}\r\njournal_segments:{}\r\nlive_bytes:{}\r\n"
                 "written_bytes_total:{}\r\ncleaned_bytes_total:{}\r\nscrubbed_bytes_total:{}\r\n"
                 "damaged_segments_total:{}\r\nsyncs_total:{}\r\n"
                 "sync_microseconds_total:{}\r\ncommit_delays_total:{}\r\n"
                 "disk_free_bytes:{}\r\nout_of_space:{}\r\nlow_on_memory:{}\r\n",
                 engine.journal_bytes.load(),
                 engine.journal_segments.load(),
                 from.stats.live_bytes,
                 engine.written_bytes_total.load(),
                 engine.cleaned_bytes_total.load(),
                 engine.scrubbed_bytes_total.load(),
                 engine.damaged_segments_total.load(),
                 engine.syncs_total.load(),
                 engine.sync_microseconds_total.load(),
                 engine.commit_delays_total.load(),
                 engine.disk_free_bytes.load(),
                 engine.is_out_of_space.load() ? 1 : 0,
                 engine.is_low_on_memory.load() ? 1 : 0);
}

void jobs_section(std::string& text, const InfoSources& from) {
  fmt::format_to(Out(text), "queues:{}\r\n", from.stats.queues);
  for (std::size_t i = 0; i < model::job_state_count; ++i) {
    fmt::format_to(
        Out(text), "{}:{}\r\n", model::name(static_cast<model::JobState>(i)), from.stats.jobs[i]);
  }
}

void stats_section(std::string& text, const InfoSources& from) {
  const model::Stats& stats = from.stats;
  fmt::format_to(Out(text),
                 "total_commands_processed:{}\r\npushed_total:{}\r\npulled_total:{}\r\n"
                 "succeeded_total:{}\r\nfailed_total:{}\r\ndead_total:{}\r\n"
                 "expired_leases_total:{}\r\n",
                 from.engine.commands_total.load(),
                 stats.pushed_total,
                 stats.pulled_total,
                 stats.succeeded_total,
                 stats.failed_total,
                 stats.dead_total,
                 stats.expired_leases_total);
}

void replication_section(std::string& text, const InfoSources& /*from*/) {
  text += "role:master\r\nconnected_slaves:0\r\n";
}

struct Section {
  const char* title;
  const char* name;
  void (*write)(std::string&, const InfoSources&);
};

constexpr std::array<Section, 7> sections_of_info{{
    {"Server", "server", server_section},
    {"Clients", "clients", clients_section},
    {"Memory", "memory", memory_section},
    {"Persistence", "persistence", persistence_section},
    {"Jobs", "jobs", jobs_section},
    {"Stats", "stats", stats_section},
    {"Replication", "replication", replication_section},
}};

bool is_everything(const std::string& section) {
  return section == "all" || section == "everything" || section == "default";
}

}  // namespace

std::string info_text(const InfoSources& sources, const std::vector<std::string>& sections) {
  const bool has_all =
      sections.empty() || std::any_of(sections.begin(), sections.end(), is_everything);
  std::string text;
  for (const Section& section : sections_of_info) {
    const bool is_wanted =
        has_all || std::find(sections.begin(), sections.end(), section.name) != sections.end();
    if (!is_wanted) continue;
    if (!text.empty()) text += "\r\n";
    text += "# ";
    text += section.title;
    text += "\r\n";
    section.write(text, sources);
  }
  return text;
}

}  // namespace sluice::native
