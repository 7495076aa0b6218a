// Random histories: append, seal, write, clean, lose power or be killed, start again, over and
// over. After each start the log holds exactly a run of what was appended that has everything
// durable.
#include "journal/format.h"
#include "journal/test_log.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace sluice::journal {
namespace {

/// Throws, so that the same history runs under RapidCheck and without.
void require(bool condition, boost::source_location where = BOOST_CURRENT_LOCATION) {
  if (!condition) throw std::runtime_error("line " + std::to_string(where.line()));
}

/// What must be true of the log, in numbers of frames since the beginning of time. Each frame's
/// payload starts with its number.
struct Model {
  std::size_t appended = 0;
  std::size_t durable = 0;         ///< Frames below were reported durable.
  std::size_t written = 0;         ///< Frames below were written.
  std::size_t first = 0;           ///< Frames below were dropped by cleaning,
  std::size_t first_possible = 0;  ///< of those, the ones below surely are gone.
};

class History {
 public:
  void run(const std::vector<std::uint32_t>& steps) {
    for (const std::uint32_t step : steps)
      take(step % 16, step / 16);
    start_again([&] { log_.crash(1); });
  }

 private:
  void take(std::uint32_t kind, std::uint32_t value) {
    if (kind < 6) return append(value % 700);
    if (kind < 8) return write(Sync::yes);
    if (kind < 9) return write(Sync::no);
    if (kind < 10) return seal_then_append_then_write(value);
    if (kind < 12) return clean(value);
    if (kind < 13) return start_again([&] { log_.kill(); });
    if (kind < 14) return end_cleanly();
    if (kind < 15) return read_back(value);
    start_again([&] { log_.crash(value); });
  }

  void append(std::size_t bytes) {
    std::string payload = std::to_string(model_.appended++) + " ";
    payload.append(bytes, static_cast<char>('a' + bytes % 26));
    positions_.push_back(log_.append(payload));
    payloads_.push_back(std::move(payload));
  }

  void write(Sync sync) {
    require(log_.commit(sync).has_value());
    note_written(model_.appended, sync);
  }

  void note_written(std::size_t upto, Sync sync) {
    model_.written = upto;
    if (sync == Sync::yes) model_.durable = upto;
  }

  void seal_then_append_then_write(std::uint32_t value) {
    Batch batch = log_->seal();
    const std::size_t sealed = model_.appended;
    append(value % 100);
    read_back(value);
    require(log_->write(batch, Sync::yes).has_value());
    log_->retire(std::move(batch));
    note_written(sealed, Sync::yes);
  }

  /// Drops the oldest segment if all of it is durable; nothing in it lives on.
  void clean(std::uint32_t value) {
    if (log_->segment_count() < 2 || model_.durable != model_.appended) return;
    std::size_t seen = 0;
    for (bool is_end = false; !is_end;) {
      const Result<bool> scanned =
          log_->scan_oldest(value % 3000, [&](Position at, ByteView bytes) {
            const std::size_t number = model_.first + seen++;
            require(payload(number) == bytes);
            require(at == position(number));
            return Result<void>();
          });
      require(scanned.has_value());
      is_end = *scanned || value % 3000 == 0;
      if (is_end && !*scanned) return;
    }
    require(log_->drop_oldest(log_->durable_end()).has_value());
    model_.first += seen;
  }

  void end_cleanly() {
    require(log_->close().has_value());
    note_written(model_.appended, Sync::yes);
    start_again([&] { log_.kill(); });
  }

  void read_back(std::uint32_t value) {
    if (model_.first == model_.appended) return;
    const std::size_t number = model_.first + value % (model_.appended - model_.first);
    const Result<ByteView> bytes = log_->read(position(number), payload(number).size());
    require(bytes.has_value());
    require(*bytes == payload(number));
  }

  template <class End>
  void start_again(End end) {
    end();
    const Result<void> opened = log_.open();
    if (!opened) throw std::runtime_error(opened.error().message);
    const std::vector<std::string>& found = log_.recovered();
    // Segments dropped shortly before may be back; nothing else is missing in front.
    std::size_t first = model_.first;
    if (!found.empty()) first = static_cast<std::size_t>(std::atoll(found.front().c_str()));
    require(first <= model_.first);
    require(first >= model_.first_possible);
    require(first + found.size() >= model_.durable);
    require(first + found.size() <= model_.appended);
    for (std::size_t i = 0; i < found.size(); ++i)
      require(found[i] == payload(first + i));
    forget_after(first + found.size());
    model_.first = model_.first_possible = first;
    for (std::size_t i = 0; i < found.size(); ++i)
      positions_[first + i] = log_.positions()[i];
    require(log_->durable_end() == log_->end());
  }

  void forget_after(std::size_t count) {
    payloads_.resize(count);
    positions_.resize(count);
    model_.appended = model_.durable = model_.written = count;
  }

  const std::string& payload(std::size_t number) const { return payloads_.at(number); }

  Position position(std::size_t number) const { return positions_.at(number); }

  TestLog log_;
  Model model_;
  std::vector<std::string> payloads_;
  std::vector<Position> positions_;
};

TEST(History, AfterAnyAccidentTheLogIsARunOfWhatWasAppendedWithAllThatWasDurable) {
  const bool is_true = rc::check([] {
    const auto steps =
        *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::arbitrary<std::uint32_t>());
    History().run(steps);
  });
  EXPECT_TRUE(is_true);
}

TEST(History, LongOnesToo) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::vector<std::uint32_t> steps;
    std::uint64_t state = seed * 1'000'003;
    for (int i = 0; i < 1200; ++i) {
      state = mix(state + 1);
      steps.push_back(static_cast<std::uint32_t>(state));
    }
    ASSERT_NO_THROW(History().run(steps));
  }
}

}  // namespace
}  // namespace sluice::journal
