// ISO 8601: see instant.h.
#include "gateway/amqp/instant.h"

namespace sluice::amqp {
namespace {

class Scanner {
 public:
  explicit Scanner(ByteView text) : text_(text) {}

  /// A number of so many digits.
  int digits(int count) {
    int number = 0;
    for (int i = 0; i < count; ++i) {
      if (text_.empty() || text_.front() < '0' || text_.front() > '9') {
        is_fine_ = false;
        return 0;
      }
      number = number * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    return number;
  }

  bool skip(char wanted) {
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }

  void expect(char wanted) { is_fine_ = skip(wanted) && is_fine_; }

  /// Behind a decimal point; what is below a millisecond is dropped.
  int milliseconds() {
    int number = 0;
    int count = 0;
    while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      if (count < 3) number = number * 10 + (text_.front() - '0');
      ++count;
      text_.remove_prefix(1);
    }
    if (count == 0) is_fine_ = false;
    for (; count < 3; ++count)
      number *= 10;
    return number;
  }

  bool at_end() const { return text_.empty(); }

  bool is_fine() const { return is_fine_; }

 private:
  ByteView text_;
  bool is_fine_ = true;
};

}  // namespace

std::optional<WallTime> parse_instant(ByteView text) {
  Scanner in(text);
  const int year = in.digits(4);
  in.expect('-');
  const auto month = static_cast<unsigned>(in.digits(2));
  in.expect('-');
  const auto day = static_cast<unsigned>(in.digits(2));
  if (!in.skip('T')) in.expect(' ');
  const int hour = in.digits(2);
  in.expect(':');
  const int minute = in.digits(2);
  int second = 0;
  int millisecond = 0;
  if (in.skip(':')) {
    second = in.digits(2);
    if (in.skip('.')) millisecond = in.milliseconds();
  }
  int east_minutes = 0;
  if (!in.skip('Z') && !in.at_end()) {
    const int sign = in.skip('-') ? -1 : 1;
    if (sign == 1) in.expect('+');
    const int hours = in.digits(2);
    static_cast<void>(in.skip(':'));
    east_minutes = sign * (hours * 60 + in.digits(2));
  }
  const std::chrono::year_month_day date{
      std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  const bool is_possible = date.ok() && hour < 24 && minute < 60 && second <= 60;
  if (!in.is_fine() || !in.at_end() || !is_possible || year < 1970) return std::nullopt;
  const Duration since_1970 = std::chrono::sys_days(date).time_since_epoch() +
                              std::chrono::hours(hour) +
                              std::chrono::minutes(minute - east_minutes) +
                              std::chrono::seconds(second) + Duration(millisecond);
  if (since_1970.count() < 0) return std::nullopt;
  return WallTime(since_1970);
}

}  // namespace sluice::amqp
