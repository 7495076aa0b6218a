// The in-memory directory: names, faults on command, and accidents. Content: memory_content.h.
#include "io/memory.h"

#include "io/memory_content.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace sluice::io {
namespace {

tl::unexpected<Error> failed(const std::string& what, const std::string& name, const char* why) {
  return fail(ErrorCode::io, "cannot " + what + " " + name + ": " + why);
}

constexpr const char* gone = "Bad file descriptor";
constexpr const char* broken = "Input/output error";
constexpr const char* full = "No space left on device";

}  // namespace

class MemoryFile final : public File {
 public:
  using Call = MemoryDirectory::Call;

  MemoryFile(MemoryDirectory& directory,
             std::shared_ptr<MemoryContent> content,
             std::string name,
             OpenMode mode)
      : directory_(directory),
        content_(std::move(content)),
        name_(std::move(name)),
        is_writable_(mode != OpenMode::read_only),
        life_(directory.life_) {}

  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead() || !is_writable_) return failed("write to", name_, gone);
    if (directory_.is_stopping()) {
      const std::size_t part = directory_.stop_->random() % (bytes.size() + 1);
      content_->write(offset, bytes.substr(0, part));
      return stopped("write to");
    }
    if (directory_.is_failing(Call::write)) {
      content_->write(offset, bytes.substr(0, bytes.size() / 2));
      return failed("write to", name_, broken);
    }
    return directory_.write(*content_, offset, bytes, name_);
  }

  Result<std::size_t> read_at(std::uint64_t offset, char* to, std::size_t size) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead()) return failed("read", name_, gone);
    if (directory_.is_failing(Call::read)) return failed("read", name_, broken);
    return content_->read(offset, to, size);
  }

  Result<void> sync() override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead()) return failed("sync", name_, gone);
    if (directory_.is_stopping()) {
      if (directory_.is_done()) content_->make_durable();
      return stopped("sync");
    }
    if (directory_.is_failing(Call::sync)) {
      content_->lose_dirty_marks();
      return failed("sync", name_, broken);
    }
    directory_.sync(*content_);
    return {};
  }

  Result<void> allocate(std::uint64_t size) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead() || !is_writable_) return failed("allocate", name_, gone);
    if (directory_.is_stopping()) {
      if (directory_.is_done()) content_->grow(size);
      return stopped("allocate");
    }
    if (directory_.is_failing(Call::allocate)) return failed("allocate", name_, full);
    if (size <= content_->size()) return {};
    if (directory_.capacity_ &&
        directory_.used_bytes() - content_->allocated() + size > *directory_.capacity_) {
      return failed("allocate", name_, full);
    }
    content_->grow(size);
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead() || !is_writable_) return failed("cut", name_, gone);
    if (directory_.is_stopping()) {
      if (directory_.is_done()) content_->cut(size);
      return stopped("cut");
    }
    content_->cut(size);
    return {};
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard lock(directory_.mutex_);
    if (is_dead()) return failed("ask for the size of", name_, gone);
    if (directory_.is_failing(Call::size)) return failed("ask for the size of", name_, broken);
    return content_->size();
  }

  void forget_cache() override { forget_front(std::numeric_limits<std::uint64_t>::max()); }

  void forget_front(std::uint64_t bytes) override {
    const std::lock_guard lock(directory_.mutex_);
    if (!is_dead()) content_->forget_clean(bytes);
  }

 private:
  bool is_dead() const { return life_ != directory_.life_; }

  tl::unexpected<Error> stopped(const char* what) {
    directory_.go_down();
    return failed(what, name_, gone);
  }

  MemoryDirectory& directory_;
  std::shared_ptr<MemoryContent> content_;  // Shared with the names that lead to it.
  std::string name_;
  bool is_writable_;
  std::uint64_t life_;
};

MemoryDirectory::MemoryDirectory(std::string name) : name_(std::move(name)) {}

MemoryDirectory::~MemoryDirectory() = default;

// -- What processes do. --------------------------------------------------------------------------

bool MemoryDirectory::Plan::count() {
  ++calls;
  if (fail_at == 0 || calls < fail_at) return false;
  return is_persistent || calls == fail_at;
}

bool MemoryDirectory::is_failing(Call call) {
  return plans_[static_cast<std::size_t>(call)].count();
}

std::uint64_t MemoryDirectory::used_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [name, content] : names_)
    used += content->allocated();
  return used;
}

Result<void> MemoryDirectory::write(MemoryContent& content,
                                    std::uint64_t offset,
                                    ByteView bytes,
                                    const std::string& name) {
  const std::uint64_t end = offset + bytes.size();
  if (capacity_ && end > content.allocated()) {
    const std::uint64_t used = used_bytes();
    const std::uint64_t room = (used < *capacity_ ? *capacity_ - used : 0) + content.allocated();
    if (end > room) {
      if (room > offset) content.write(offset, bytes.substr(0, room - offset));
      return failed("write to", name, full);
    }
  }
  if (!bytes.empty()) content.write(offset, bytes);
  return {};
}

void MemoryDirectory::sync(MemoryContent& content) {
  if (!untruth_ || !untruth_->plan.count()) return content.make_durable();
  if (untruth_->lie == Lie::nothing_durable) {
    ++lies_;
    return;
  }
  if (const auto sector = content.unsynced_sector(untruth_->random)) {
    ++lies_;
    misplace(content, *sector);
  }
  content.make_durable();
}

/// The sector stays as it was on the device; maybe another one gets its bytes.
void MemoryDirectory::misplace(MemoryContent& content, std::uint64_t sector) {
  const auto bytes = content.skip_sector(sector);
  if (untruth_->lie != Lie::misplaced_sector) return;
  auto victim = names_.begin();
  std::advance(victim, static_cast<std::ptrdiff_t>(untruth_->random() % names_.size()));
  const std::uint64_t sectors = victim->second->size() / MemoryContent::sector_bytes;
  if (sectors == 0) return;
  const std::uint64_t place = untruth_->random() % sectors;
  if (victim->second.get() != &content || place != sector) {
    victim->second->overwrite_on_device(place, bytes);
  }
}

Result<std::unique_ptr<File>> MemoryDirectory::open(const std::string& name, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  const std::string path = name_ + "/" + name;
  const char* verb = mode == OpenMode::create_new ? "create" : "open";
  if (is_down_ || is_failing(Call::open)) return failed(verb, path, broken);
  auto found = names_.find(name);
  if (mode == OpenMode::create_new) {
    if (found != names_.end()) return failed(verb, path, "File exists");
    const bool is_stopped = is_stopping();
    if (is_stopped && !is_done()) {
      go_down();
      return failed(verb, path, broken);
    }
    found = names_.emplace(name, std::make_shared<MemoryContent>()).first;
    if (is_stopped) {
      go_down();
      return failed(verb, path, broken);
    }
  } else if (found == names_.end()) {
    return failed(verb, path, "No such file or directory");
  }
  return std::make_unique<MemoryFile>(*this, found->second, path, mode);
}

Result<std::vector<std::string>> MemoryDirectory::list() {
  const std::lock_guard lock(mutex_);
  if (is_down_ || is_failing(Call::list)) return failed("list", name_, broken);
  std::vector<std::string> names;
  for (const auto& [name, content] : names_)
    names.push_back(name);
  return names;
}

Result<void> MemoryDirectory::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const std::string path = name_ + "/" + name;
  if (is_down_ || is_failing(Call::remove)) return failed("remove", path, broken);
  const bool is_stopped = is_stopping();
  const bool is_removed = (!is_stopped || is_done()) && names_.erase(name) != 0;
  if (is_stopped) {
    go_down();
    return failed("remove", path, broken);
  }
  if (!is_removed) return failed("remove", path, "No such file or directory");
  return {};
}

Result<void> MemoryDirectory::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const std::string path = name_ + "/" + from;
  if (is_down_) return failed("rename", path, broken);
  const auto found = names_.find(from);
  if (found == names_.end()) return failed("rename", path, "No such file or directory");
  const bool is_stopped = is_stopping();
  if (!is_stopped || is_done()) {
    Content content = std::move(found->second);
    names_.erase(found);
    names_[to] = std::move(content);
  }
  if (!is_stopped) return {};
  go_down();
  return failed("rename", path, broken);
}

Result<void> MemoryDirectory::sync() {
  const std::lock_guard lock(mutex_);
  if (is_down_ || is_failing(Call::sync)) return failed("sync directory", name_, broken);
  const bool is_stopped = is_stopping();
  if (!is_stopped || is_done()) durable_names_ = names_;
  if (!is_stopped) return {};
  go_down();
  return failed("sync directory", name_, broken);
}

Result<void> MemoryDirectory::lock() {
  const std::lock_guard lock(mutex_);
  if (is_down_) return failed("lock", name_, broken);
  if (is_locked_) {
    return fail(ErrorCode::busy, "directory " + name_ + " is in use by process 1 (LOCK is locked)");
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

// -- Accidents. ----------------------------------------------------------------------------------

void MemoryDirectory::crash(std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  lose_power(seed);
}

void MemoryDirectory::lose_power(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::set<std::string> all;
  for (const auto& [name, content] : names_)
    all.insert(name);
  for (const auto& [name, content] : durable_names_)
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
  std::set<MemoryContent*> seen;
  for (auto& [name, content] : found) {
    if (seen.insert(content.get()).second) content->lose_power(random);
  }
  names_ = found;
  durable_names_ = std::move(found);
  die();
}

void MemoryDirectory::kill() {
  const std::lock_guard lock(mutex_);
  die();
}

void MemoryDirectory::die() {
  is_locked_ = false;
  ++life_;
}

void MemoryDirectory::stop_at(std::uint64_t nth, Accident accident, std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  stop_.emplace(Stop{{0, nth, false}, accident, std::mt19937_64(seed)});
}

void MemoryDirectory::go_down() {
  if (stop_->accident == Accident::power_loss) {
    lose_power(stop_->random());
  } else {
    die();
  }
  stop_.reset();
  is_down_ = true;
}

bool MemoryDirectory::is_down() const {
  const std::lock_guard lock(mutex_);
  return is_down_;
}

void MemoryDirectory::restart() {
  const std::lock_guard lock(mutex_);
  is_down_ = false;
}

void MemoryDirectory::fail_at(Call call, std::uint64_t nth, bool is_persistent) {
  const std::lock_guard lock(mutex_);
  Plan& plan = plans_[static_cast<std::size_t>(call)];
  plan.fail_at = plan.calls + nth;
  plan.is_persistent = is_persistent;
}

void MemoryDirectory::lie_at(Lie lie, std::uint64_t nth, std::uint64_t seed, bool is_persistent) {
  const std::lock_guard lock(mutex_);
  untruth_.emplace(Untruth{{0, nth, is_persistent}, lie, std::mt19937_64(seed)});
}

std::uint64_t MemoryDirectory::lies() const {
  const std::lock_guard lock(mutex_);
  return lies_;
}

void MemoryDirectory::clear_faults() {
  const std::lock_guard lock(mutex_);
  plans_ = {};
  stop_.reset();
  untruth_.reset();
}

std::uint64_t MemoryDirectory::calls(Call call) const {
  const std::lock_guard lock(mutex_);
  return plans_[static_cast<std::size_t>(call)].calls;
}

void MemoryDirectory::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void MemoryDirectory::remove_capacity() {
  const std::lock_guard lock(mutex_);
  capacity_.reset();
}

std::uint64_t MemoryDirectory::taken_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_bytes();
}

// -- Looking and tampering. ----------------------------------------------------------------------

bool MemoryDirectory::contains(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return names_.contains(name);
}

std::string MemoryDirectory::content(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end()) return {};
  std::string bytes(found->second->size(), '\0');
  found->second->read(0, bytes.data(), bytes.size());
  return bytes;
}

void MemoryDirectory::put(const std::string& name, ByteView content) {
  const std::lock_guard lock(mutex_);
  auto stored = std::make_shared<MemoryContent>();
  if (!content.empty()) stored->write(0, content);
  stored->make_durable();
  names_[name] = stored;
  durable_names_[name] = std::move(stored);
}

void MemoryDirectory::flip(const std::string& name, std::uint64_t offset, std::uint8_t mask) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end() || offset >= found->second->size()) return;
  found->second->flip(offset, mask);
}

void MemoryDirectory::lose(const std::string& name) {
  const std::lock_guard lock(mutex_);
  names_.erase(name);
  durable_names_.erase(name);
}

}  // namespace sluice::io
