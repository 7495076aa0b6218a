// The in-memory directory: sparse pages with a cached and a durable side.
#include "io/memory.h"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <utility>

namespace sluice::io {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t sector_bytes = 512;
constexpr std::size_t sectors_per_page = page_bytes / sector_bytes;

struct Page {
  std::array<char, page_bytes> cached{};
  std::array<char, page_bytes> durable{};
  std::uint8_t dirty = 0;  ///< One bit a sector.
};

tl::unexpected<Error> failed(const std::string& what, const std::string& name, const char* why) {
  return fail(ErrorCode::io, "cannot " + what + " " + name + ": " + why);
}

}  // namespace

struct MemoryDirectory::Node {
  std::map<std::uint64_t, Page> pages;
  std::uint64_t size = 0;
  std::uint64_t durable_size = 0;
  std::uint64_t allocated = 0;  ///< High-water mark of size, what the file takes of the capacity.

  template <class Visit>  // Visit(Page&, offset in page, count, offset from start of range)
  void visit(std::uint64_t offset, std::size_t size_bytes, Visit each) {
    std::size_t done = 0;
    while (done < size_bytes) {
      const std::size_t within = (offset + done) % page_bytes;
      const std::size_t count = std::min(page_bytes - within, size_bytes - done);
      each(pages[(offset + done) / page_bytes], within, count, done);
      done += count;
    }
  }

  void write(std::uint64_t offset, ByteView bytes) {
    visit(
        offset, bytes.size(), [&](Page& page, std::size_t at, std::size_t count, std::size_t from) {
          std::copy_n(bytes.data() + from, count, page.cached.data() + at);
          for (std::size_t s = at / sector_bytes; s <= (at + count - 1) / sector_bytes; ++s) {
            page.dirty = static_cast<std::uint8_t>(page.dirty | (1u << s));
          }
        });
    grow(offset + bytes.size());
  }

  void grow(std::uint64_t to) {
    size = std::max(size, to);
    allocated = std::max(allocated, size);
  }

  std::size_t read(std::uint64_t offset, char* to, std::size_t wanted) const {
    if (offset >= size) return 0;
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(wanted, size - offset));
    for (std::size_t done = 0; done < count;) {
      const std::size_t within = (offset + done) % page_bytes;
      const std::size_t step = std::min(page_bytes - within, count - done);
      const auto page = pages.find((offset + done) / page_bytes);
      if (page == pages.end()) {
        std::fill_n(to + done, step, '\0');
      } else {
        std::copy_n(page->second.cached.data() + within, step, to + done);
      }
      done += step;
    }
    return count;
  }

  void cut(std::uint64_t to) {
    if (to < size) {
      const std::size_t tail = size - to;
      visit(to, tail, [](Page& page, std::size_t at, std::size_t count, std::size_t) {
        std::fill_n(page.cached.data() + at, count, '\0');
        for (std::size_t s = at / sector_bytes; s <= (at + count - 1) / sector_bytes; ++s) {
          page.dirty = static_cast<std::uint8_t>(page.dirty | (1u << s));
        }
      });
    }
    size = to;
    allocated = to;
  }

  void make_durable() {
    for (auto& [number, page] : pages) {
      if (page.dirty != 0) copy_dirty(page, page.cached, page.durable);
    }
    durable_size = size;
  }

  static void copy_dirty(Page& page,
                         const std::array<char, page_bytes>& from,
                         std::array<char, page_bytes>& to) {
    for (std::size_t s = 0; s < sectors_per_page; ++s) {
      if ((page.dirty >> s & 1) == 0) continue;
      std::copy_n(from.data() + s * sector_bytes, sector_bytes, to.data() + s * sector_bytes);
    }
    page.dirty = 0;
  }

  /// What Linux does when writeback fails: the pages are clean now, and nothing was written.
  void lose_dirty_marks() {
    for (auto& [number, page] : pages)
      page.dirty = 0;
  }

  void forget_clean() {
    for (auto& [number, page] : pages) {
      for (std::size_t s = 0; s < sectors_per_page; ++s) {
        if ((page.dirty >> s & 1) != 0) continue;
        std::copy_n(page.durable.data() + s * sector_bytes,
                    sector_bytes,
                    page.cached.data() + s * sector_bytes);
      }
    }
  }

  /// What power loss makes of one unsynced sector.
  static void lose_power(const char* cached, char* durable, std::mt19937_64& random) {
    const std::uint64_t fate = random() % 10;
    if (fate < 4) {
      std::copy_n(cached, sector_bytes, durable);
    } else if (fate < 5) {
      std::copy_n(cached, random() % sector_bytes, durable);
    } else if (fate < 6) {
      for (std::size_t i = 0; i < sector_bytes; ++i) {
        if (durable[i] != cached[i]) durable[i] = static_cast<char>(random());
      }
    }
  }

  /// Decides for every unsynced sector and for the size; the cache is the device afterwards.
  void lose_power(std::mt19937_64& random) {
    for (auto& [number, page] : pages) {
      for (std::size_t s = 0; s < sectors_per_page; ++s) {
        if ((page.dirty >> s & 1) == 0) continue;
        const std::size_t at = s * sector_bytes;
        lose_power(page.cached.data() + at, page.durable.data() + at, random);
      }
      page.dirty = 0;
      page.cached = page.durable;
    }
    if (size != durable_size && random() % 2 == 0) durable_size = size;
    size = durable_size;
    allocated = size;
    // Sectors behind the end are gone, so that growing again shows zeros.
    if (const auto beyond = pages.lower_bound((size + page_bytes - 1) / page_bytes);
        beyond != pages.end()) {
      pages.erase(beyond, pages.end());
    }
    if (size % page_bytes != 0) {
      if (const auto last = pages.find(size / page_bytes); last != pages.end()) {
        const std::size_t keep = size % page_bytes;
        std::fill(last->second.cached.begin() + static_cast<std::ptrdiff_t>(keep),
                  last->second.cached.end(),
                  '\0');
        last->second.durable = last->second.cached;
      }
    }
  }
};

class MemoryFile final : public File {
 public:
  using Call = MemoryDirectory::Call;

  MemoryFile(MemoryDirectory& directory,
             std::shared_ptr<MemoryDirectory::Node> node,
             std::string name,
             OpenMode mode)
      : directory_(directory),
        node_(std::move(node)),
        name_(std::move(name)),
        is_writable_(mode != OpenMode::read_only),
        life_(directory.life_) {}

  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead() || !is_writable_) return failed("write to", name_, "Bad file descriptor");
    if (directory_.is_failing(Call::write)) {
      node_->write(offset, bytes.substr(0, bytes.size() / 2));
      return failed("write to", name_, "Input/output error");
    }
    return directory_.write(*node_, offset, bytes, name_);
  }

  Result<std::size_t> read_at(std::uint64_t offset, char* to, std::size_t size) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead()) return failed("read", name_, "Bad file descriptor");
    if (directory_.is_failing(Call::read)) return failed("read", name_, "Input/output error");
    return node_->read(offset, to, size);
  }

  Result<void> sync() override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead()) return failed("sync", name_, "Bad file descriptor");
    if (directory_.is_failing(Call::sync)) {
      node_->lose_dirty_marks();
      return failed("sync", name_, "Input/output error");
    }
    node_->make_durable();
    return {};
  }

  Result<void> allocate(std::uint64_t size) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead() || !is_writable_) return failed("allocate", name_, "Bad file descriptor");
    if (directory_.is_failing(Call::allocate)) {
      return failed("allocate", name_, "No space left on device");
    }
    if (size <= node_->size) return {};
    if (directory_.capacity_ &&
        directory_.used_bytes() - node_->allocated + size > *directory_.capacity_) {
      return failed("allocate", name_, "No space left on device");
    }
    node_->grow(size);
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead() || !is_writable_) return failed("cut", name_, "Bad file descriptor");
    node_->cut(size);
    return {};
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead()) return failed("ask for the size of", name_, "Bad file descriptor");
    return node_->size;
  }

  void forget_cache() override {
    const std::lock_guard lock(directory_.mutex_);
    if (!is_dead()) node_->forget_clean();
  }

 private:
  bool is_dead() const { return life_ != directory_.life_; }

  MemoryDirectory& directory_;
  std::shared_ptr<MemoryDirectory::Node> node_;  // Shared with the names that lead to it.
  std::string name_;
  bool is_writable_;
  std::uint64_t life_;
};

MemoryDirectory::MemoryDirectory(std::string name) : name_(std::move(name)) {}

MemoryDirectory::~MemoryDirectory() = default;

bool MemoryDirectory::is_failing(Call call) {
  Plan& plan = plans_[call];
  ++plan.calls;
  if (plan.fail_at == 0 || plan.calls < plan.fail_at) return false;
  return plan.is_persistent || plan.calls == plan.fail_at;
}

std::uint64_t MemoryDirectory::used_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [name, node] : names_)
    used += node->allocated;
  return used;
}

Result<void> MemoryDirectory::write(Node& node,
                                    std::uint64_t offset,
                                    ByteView bytes,
                                    const std::string& name) {
  const std::uint64_t end = offset + bytes.size();
  if (capacity_ && end > node.allocated) {
    const std::uint64_t used = used_bytes();
    const std::uint64_t room = (used < *capacity_ ? *capacity_ - used : 0) + node.allocated;
    if (end > room) {
      if (room > offset) node.write(offset, bytes.substr(0, room - offset));
      return failed("write to", name, "No space left on device");
    }
  }
  if (!bytes.empty()) node.write(offset, bytes);
  return {};
}

Result<std::unique_ptr<File>> MemoryDirectory::open(const std::string& name, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  const char* verb = mode == OpenMode::create_new ? "create" : "open";
  if (is_failing(Call::open)) return failed(verb, name_ + "/" + name, "Input/output error");
  auto found = names_.find(name);
  if (mode == OpenMode::create_new) {
    if (found != names_.end()) return failed(verb, name_ + "/" + name, "File exists");
    found = names_.emplace(name, std::make_shared<Node>()).first;
  } else if (found == names_.end()) {
    return failed(verb, name_ + "/" + name, "No such file or directory");
  }
  return std::make_unique<MemoryFile>(*this, found->second, name_ + "/" + name, mode);
}

Result<std::vector<std::string>> MemoryDirectory::list() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, node] : names_)
    names.push_back(name);
  return names;
}

Result<void> MemoryDirectory::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (is_failing(Call::remove)) return failed("remove", name_ + "/" + name, "Input/output error");
  if (names_.erase(name) == 0) {
    return failed("remove", name_ + "/" + name, "No such file or directory");
  }
  return {};
}

Result<void> MemoryDirectory::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(from);
  if (found == names_.end()) {
    return failed("rename", name_ + "/" + from, "No such file or directory");
  }
  std::shared_ptr<Node> node = std::move(found->second);
  names_.erase(found);
  names_[to] = std::move(node);
  return {};
}

Result<void> MemoryDirectory::sync() {
  const std::lock_guard lock(mutex_);
  if (is_failing(Call::sync)) return failed("sync directory", name_, "Input/output error");
  durable_names_ = names_;
  return {};
}

Result<void> MemoryDirectory::lock() {
  const std::lock_guard lock(mutex_);
  if (is_locked_) {
    return fail(ErrorCode::io, "directory " + name_ + " is in use by process 1 (LOCK is locked)");
  }
  is_locked_ = true;
  return {};
}

Result<std::uint64_t> MemoryDirectory::free_bytes() {
  const std::lock_guard lock(mutex_);
  if (!capacity_) return std::uint64_t{1} << 40;
  const std::uint64_t used = used_bytes();
  return used < *capacity_ ? *capacity_ - used : 0;
}

std::string MemoryDirectory::path() const {
  return name_;
}

void MemoryDirectory::crash(std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  std::set<std::string> all;
  for (const auto& [name, node] : names_)
    all.insert(name);
  for (const auto& [name, node] : durable_names_)
    all.insert(name);
  Names found;
  for (const std::string& name : all) {
    const auto current = names_.find(name);
    const auto durable = durable_names_.find(name);
    const bool is_settled = current != names_.end() && durable != durable_names_.end() &&
                            current->second == durable->second;
    const bool is_kept = is_settled || random() % 2 == 0;
    if (is_kept && current != names_.end()) found[name] = current->second;
    if (!is_kept && durable != durable_names_.end()) found[name] = durable->second;
  }
  std::set<Node*> seen;
  for (auto& [name, node] : found) {
    if (seen.insert(node.get()).second) node->lose_power(random);
  }
  names_ = found;
  durable_names_ = std::move(found);
  is_locked_ = false;
  ++life_;
}

void MemoryDirectory::kill() {
  const std::lock_guard lock(mutex_);
  is_locked_ = false;
  ++life_;
}

void MemoryDirectory::fail_at(Call call, std::uint64_t nth, bool is_persistent) {
  const std::lock_guard lock(mutex_);
  Plan& plan = plans_[call];
  plan.fail_at = plan.calls + nth;
  plan.is_persistent = is_persistent;
}

void MemoryDirectory::clear_faults() {
  const std::lock_guard lock(mutex_);
  plans_.clear();
}

std::uint64_t MemoryDirectory::calls(Call call) const {
  const std::lock_guard lock(mutex_);
  const auto plan = plans_.find(call);
  return plan == plans_.end() ? 0 : plan->second.calls;
}

void MemoryDirectory::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

bool MemoryDirectory::contains(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return names_.contains(name);
}

std::string MemoryDirectory::content(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end()) return {};
  std::string bytes(found->second->size, '\0');
  found->second->read(0, bytes.data(), bytes.size());
  return bytes;
}

void MemoryDirectory::put(const std::string& name, ByteView content) {
  const std::lock_guard lock(mutex_);
  auto node = std::make_shared<Node>();
  if (!content.empty()) node->write(0, content);
  node->make_durable();
  names_[name] = node;
  durable_names_[name] = std::move(node);
}

void MemoryDirectory::flip(const std::string& name, std::uint64_t offset, std::uint8_t mask) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end() || offset >= found->second->size) return;
  Page& page = found->second->pages[offset / page_bytes];
  char& cached = page.cached[offset % page_bytes];
  char& durable = page.durable[offset % page_bytes];
  cached = static_cast<char>(cached ^ static_cast<char>(mask));
  durable = static_cast<char>(durable ^ static_cast<char>(mask));
}

void MemoryDirectory::lose(const std::string& name) {
  const std::lock_guard lock(mutex_);
  names_.erase(name);
  durable_names_.erase(name);
}

}  // namespace sluice::io
