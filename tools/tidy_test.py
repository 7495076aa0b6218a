#!/usr/bin/env python3
"""Seeds one fault after the other into a small tree and expects tools/tidy.py to name it, and to stay
silent about legal look-alikes."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tidy  # noqa: E402

CMAKE = "\n".join(
    f"add_layer({name}{' DEPENDS ' + ' '.join(sorted(depends)) if depends else ''}"
    f"{' ASIO' if name in ('gateway', 'client', 'worker', 'cli', 'server') else ''})"
    for name, depends in tidy.LAYERS.items())


def findings(code, path="src/gateway/a.cc", head="// What it is for.\n", cmake=CMAKE, extra=None):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "CMakeLists.txt").write_text(cmake)
        for name, text in {path: head + code, **(extra or {})}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        checker = tidy.Tidy(root)
        checker.run()
        return checker.errors


class TidyTest(unittest.TestCase):
    def finds(self, words, code, **where):
        errors = findings(code, **where)
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(words, errors[0])

    def silent(self, code, **where):
        self.assertEqual(findings(code, **where), [])

    def test_layers(self):
        self.finds("layer 'core' may not include 'journal'", '#include "journal/log.h"\n', path="src/core/a.cc")
        self.finds("layer 'gateway' may not include 'core'", '#include "core/core.h"\n')
        self.finds("only gateway/dialog.h, gateway/native/conversation.h", '#include "gateway/native/listener.h"\n',
                   path="src/client/a.cc")
        self.silent('#include "gateway/native/conversation.h"\n', path="src/client/a.cc")
        self.silent('#include "core/core.h"\n', path="src/engine/a.cc")
        self.silent('#include "engine/engine.h"\n', path="src/worker/a_test.cc")
        self.finds("may not include 'server'", '#include "server/config.h"\n', path="src/worker/a_test.cc")
        self.finds("'extra' is not a layer", "", path="src/extra/a.cc")
        self.finds("a public header includes only", '#pragma once\n#include "base/bytes.h"\n', path="include/sluice/a.h",
                   extra={"src/gateway/b.cc": "// b\n#include <sluice/a.h>\n"})

    def test_cmake_says_the_same(self):
        self.finds("layer 'core' depends on ['base'] here", "",
                   cmake=CMAKE.replace("core DEPENDS base model", "core DEPENDS base"))
        self.finds("has no add_layer()", "", cmake=CMAKE.replace("add_layer(base)\n", ""))

    def test_purity(self):
        self.finds("may not include <mutex>", "#include <mutex>\n", path="src/core/a.cc")
        self.finds("may not use steady_clock", "auto t = std::chrono::steady_clock::now();\n", path="src/model/a.cc")
        self.finds("may not use time(", "auto t = time(nullptr);\n", path="src/core/a.cc")
        self.finds("may not use getenv(", 'auto t = getenv("X");\n', path="src/wire/a.cc")
        self.finds("may not include Asio", "#include <boost/asio/awaitable.hpp>\n", path="src/engine/a.cc")
        self.silent("auto t = entry.time(); Time since = event_time(3); // time(nullptr)\n", path="src/core/a.cc")
        self.silent('const char* text = "rand() and time()";\n', path="src/core/a.cc")

    def test_co_await(self):
        for code in ("co_await f({.name = s});", "co_await f(Opts{.name = s, .b = 2});",
                     "Opts o{.a = s, .b = co_await g()};", "co_await f({s1, s2});",
                     "auto x = co_await f(Pair{a, b});"):
            self.finds("a braced temporary", f"void f() {{\n  {code}\n}}\n")
        self.finds("a capturing lambda", "void f() {\n  co_await run([p = std::move(p)] { use(p); });\n}\n")
        self.finds("a capturing lambda", "void f() {\n  co_await run([=]() { use(p); });\n}\n")
        self.finds("?:", "void f() {\n  auto x = b ? co_await f() : other;\n}\n")
        self.silent("void f() {\n  auto op = f({.name = s});\n  co_await std::move(op);\n}\n")
        self.silent("void f() {\n  co_await f(Opts(s), std::string{}, {});\n  co_await run([&] { use(p); });\n}\n")
        self.silent("void f() {\n  if (auto x = co_await g(); x) {\n    h({.a = 1, .b = 2});\n  }\n}\n")
        self.silent("void f() {\n  auto [a, b] = co_await g();\n  co_return Agg{a, b};\n}\n")
        self.silent("void f() {\n  const int y = b ? 1 : 2;\n  co_await g(y);  // what? {.a = 1}\n}\n")

    def test_shape(self):
        body = "  step();\n" * 69
        self.silent(f"void f() {{\n{body[:-10]}}}\n")
        self.finds("function f has 71 lines", f"void f() {{\n{body}}}\n")
        self.finds("function Box::f has 71 lines", f"namespace a {{\nint Box::f(int b) const noexcept {{\n{body}}}\n}}\n")
        self.finds("function f has 72 lines", f"struct Box {{\n  int f()\n  {{\n{body}  }}\n}};\n")
        self.silent("namespace a {\n" + "void f() {\n  step();\n}\n" * 60 + "}\n")
        self.silent("struct A {\n" + "  int a = 0;\n" * 100 + "};\n")
        self.silent("BOOST_DESCRIBE_STRUCT(A, (),\n  (a, b))\n\nnamespace a {\n" + "int f();\n" * 100 + "}\n")
        self.finds("602 lines, at most 600", "int a();\n" * 601)
        self.finds("253 lines, at most 250", "#pragma once\n" + "int a();\n" * 251, path="src/base/a.h",
                   extra={"src/base/b.cc": '// b\n#include "base/a.h"\n'})
        self.finds("101 columns", "// " + "x" * 98 + "\n")

    def test_files(self):
        self.finds("the first line says", "int a;\n", head="")
        self.finds("#pragma once", "int a;\n", path="src/base/a.h", extra={"src/base/b.cc": '// b\n#include "base/a.h"\n'})
        self.finds("nothing includes this header", "#pragma once\n", path="src/base/a.h")
        self.finds("TODO(#issue)", "// TO" "DO: later\n")
        self.finds("TODO(#issue)", "// FIX" "ME\n")
        self.silent("// TODO(#12): when partitions move.\n")

    def test_words(self):
        self.finds("says 'fail', not 'nack'", "void on_failure();  // a nack\n")
        self.finds("says 'push', not 'enqueue'", "void enqueue();\n")
        self.finds("says 'token', not 'delivery_tag'", "int delivery_tag;\n", path="src/core/a.cc")
        self.finds("says 'token', not 'delivery tag'", "// The delivery tag.\n", path="src/gateway/native/a.cc")
        for folder in ("wire/amqp", "gateway/amqp"):
            self.silent("int delivery_tag;  // of a nack\n", path=f"src/{folder}/a.cc")
            self.finds("says 'push', not 'enqueue'", "// enqueue, nack\n", path=f"src/{folder}/a.cc")
        self.finds("says 'fail', not 'nack'", "// a nack\n", path="src/wire/amqp_other/a.cc")
        self.finds("'QueueManager': say what it is", "class QueueManager;\n")
        self.finds("'kLimit'", "constexpr int kLimit = 3;\n")
        self.finds("'m_size'", "int m_size = 3;\n")
        self.finds("'get_size': name it", "int get_size() const;\n")
        self.silent('auto x = "*3\\r\\nACK";\n')
        self.silent("auto x = std::get_if<A>(&v); auto e = stream.get_executor();\n")

    def test_a_line_can_be_allowed(self):
        self.silent("// tidy: allow the name is the protocol's\nvoid enqueue();\n")


if __name__ == "__main__":
    unittest.main(verbosity=0)
