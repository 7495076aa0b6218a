// write_invoice: one A4 page by libharu.
#include "shop/tasks.h"

#include <fmt/core.h>

#include <memory>
#include <system_error>
#include <thread>

#include <hpdf.h>

namespace orders {
namespace {

constexpr HPDF_REAL margin = 60;
constexpr HPDF_REAL line_height = 20;

struct FreeDocument {
  void operator()(HPDF_Doc document) const { HPDF_Free(document); }
};

using Document = std::unique_ptr<std::remove_pointer_t<HPDF_Doc>, FreeDocument>;

/// Writes text at places of one page. libharu keeps the first error in the document.
class Page {
 public:
  explicit Page(HPDF_Doc document)
      : page_(HPDF_AddPage(document)),
        plain_(HPDF_GetFont(document, "Helvetica", "WinAnsiEncoding")),
        bold_(HPDF_GetFont(document, "Helvetica-Bold", "WinAnsiEncoding")) {
    HPDF_Page_SetSize(page_, HPDF_PAGE_SIZE_A4, HPDF_PAGE_PORTRAIT);
    right_ = HPDF_Page_GetWidth(page_) - margin;
    y_ = HPDF_Page_GetHeight(page_) - margin;
  }

  void left(const std::string& text, bool is_bold, HPDF_REAL size = 11) {
    put(margin, text, is_bold, size);
  }

  void right(const std::string& text, bool is_bold) {
    HPDF_Page_SetFontAndSize(page_, is_bold ? bold_ : plain_, 11);
    put(right_ - HPDF_Page_TextWidth(page_, text.c_str()), text, is_bold, 11);
  }

  void next_line(HPDF_REAL lines = 1) { y_ -= line_height * lines; }

  void rule() {
    HPDF_Page_MoveTo(page_, margin, y_);
    HPDF_Page_LineTo(page_, right_, y_);
    HPDF_Page_Stroke(page_);
    next_line();
  }

 private:
  void put(HPDF_REAL x, const std::string& text, bool is_bold, HPDF_REAL size) {
    HPDF_Page_SetFontAndSize(page_, is_bold ? bold_ : plain_, size);
    HPDF_Page_BeginText(page_);
    HPDF_Page_TextOut(page_, x, y_, text.c_str());
    HPDF_Page_EndText(page_);
  }

  HPDF_Page page_;
  HPDF_Font plain_;
  HPDF_Font bold_;
  HPDF_REAL right_ = 0;
  HPDF_REAL y_ = 0;
};

void draw(HPDF_Doc document, const Order& order) {
  Page page(document);
  page.left("The Orders Shop", true, 24);
  page.next_line(2);
  page.left("Invoice " + order.id, true);
  page.next_line();
  page.left(order.customer + ", " + order.email, false);
  page.next_line(2);
  for (const Item& item : order.items) {
    page.left(fmt::format("{} x {}", item.quantity, item.name), false);
    page.right(euros(std::uint64_t{item.quantity} * item.price_cents), false);
    page.next_line();
  }
  page.rule();
  page.left("Total (EUR)", true);
  page.right(euros(total_cents(order)), true);
}

}  // namespace

sluice::Result<std::filesystem::path> write_invoice(const Order& order,
                                                    const std::filesystem::path& directory) {
  // Without an error handler libharu remembers its first error and turns later calls into nothing.
  const Document document(HPDF_New(nullptr, nullptr));
  if (!document) return sluice::fail(sluice::ErrorCode::io, "libharu cannot make a document");
  HPDF_SetCompressionMode(document.get(), HPDF_COMP_ALL);
  HPDF_SetInfoAttr(document.get(), HPDF_INFO_TITLE, ("Invoice " + order.id).c_str());
  draw(document.get(), order);

  const auto path = directory / (order.id + ".pdf");
  // Two attempts of one job may overlap when a lease ran out: each writes its own file first.
  const auto thread = std::hash<std::thread::id>{}(std::this_thread::get_id());
  const auto draft = directory / fmt::format("{}.{:x}.part", order.id, thread);
  HPDF_SaveToFile(document.get(), draft.c_str());
  if (const HPDF_STATUS status = HPDF_GetError(document.get()); status != HPDF_OK) {
    return sluice::fail(sluice::ErrorCode::io,
                        fmt::format("cannot write {}: libharu error 0x{:04x}",
                                    draft.string(),
                                    static_cast<unsigned long>(status)));
  }
  std::error_code ec;
  std::filesystem::rename(draft, path, ec);
  if (ec) return sluice::fail(sluice::ErrorCode::io, path.string() + ": " + ec.message());
  return path;
}

}  // namespace orders
