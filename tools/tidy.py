#!/usr/bin/env python3
"""Checks properties of the code itself that neither compiler nor clang-tidy sees.

Run from the repository root:  python3 tools/tidy.py [ROOT]   (exit 1 and `path:line: error: ...` on a finding)

1. layers      an #include may only point at the file's own layer or at one it may depend on; the table
               below is the one in CMakeLists.txt. Tests may include whatever is below their layer.
2. purity      layers without I/O may not include a header or name a function that touches the world.
3. co_await    a full-expression with co_await may not also hold a braced temporary, a by-value capturing
               lambda or a ?: (GCC 12 destroys such temporaries twice; docs/adr/0003).
4. shape       functions at most 70 lines, sources 600, headers 250, lines 100 columns.
5. files       an orienting comment on top, `#pragma once`, no dead header, no leftovers.
6. words       the glossary's words and no synonyms; no Manager, Helper, get_, m_, k.

A line that has to differ says `tidy: allow <reason>` in a comment on it or on the line above.
"""
import pathlib
import re
import sys

# layer: layers it may include besides itself. Reading this table top to bottom is the architecture.
LAYERS = {
    "base": set(),
    "model": {"base"},
    "wire": {"base"},
    "core": {"base", "model"},
    "io": {"base"},
    "journal": {"base", "io"},
    "engine": {"base", "model", "core", "io", "journal"},
    "gateway": {"base", "model", "wire", "engine"},
    "client": {"base", "wire", "engine", "gateway"},
    "worker": {"base", "wire", "client"},
    "cli": {"base", "client", "worker"},
    "server": {"base", "model", "io", "journal", "engine", "gateway", "cli"},
}
# Where a layer may see only a part of another one.
NARROW = {
    ("client", "gateway"): {"gateway/dialog.h", "gateway/native/conversation.h"},  # the embedded client speaks to the engine with it
    ("server", "core"): {"core/facts.h"},  # `sluice check` reads facts without building a state from them
}
# Beyond a layer's CMake dependencies: what comes along with them and may be named too.
ALSO = {
    "gateway": {"io"},  # native_test.cc opens a real engine
    "client": {"model", "io"},  # embedded(): opens the engine as the server does
    "server": {"wire", "core"},
}
NO_IO = {"base", "model", "wire", "core"}  # deterministic: same input, same output
IMPURE_INCLUDE = re.compile(
    r"<(boost/asio|boost/beast|sys/|unistd\.h|fcntl\.h|thread|mutex|future|random|filesystem|fstream"
    r"|iostream|condition_variable)")
IMPURE_NAME = re.compile(
    r"(system_clock|steady_clock|random_device|\brand\(|(?<![\w.>:])time\(|\bgetenv\(|unordered_(map|set)<[^>]*\*)")
MEMORY = "src/base/pages.cc"  # maps memory and no files
ASIO_INCLUDE = re.compile(r"#include <boost/(asio|beast)")

FUNCTION_LINES_MAX, SOURCE_LINES_MAX, HEADER_LINES_MAX, COLUMNS_MAX = 70, 600, 250, 100

BANNED_NAMES = [
    (re.compile(r"(?<![\w.>:])(m_[a-z]\w*|k[A-Z][a-z]\w*)"), "no m_ and k prefixes"),
    (re.compile(r"\b(?:class|struct|enum class)\s+(\w*(?:Manager|Helper|Util|Utils))\b"), "say what it is"),
    (re.compile(r"^\s*(?:[\w:<>&*,\[\]]+\s+)+(get_(?!if\b)\w+)\s*\("), "name it for what it returns"),
]
BANNED_WORDS = {  # a synonym anywhere outside the gateway that speaks it, and the glossary's word
    "nack": "fail", "enqueue": "push", "enqueued": "pushed", "dequeue": "pull", "dequeued": "pulled",
    "tube": "queue", "visibility_timeout": "lease", "buried": "dead", "deadletter": "dead letter",
    "reservation": "lease", "delivery_tag": "token", "delivery tag": "token",
}
# Words that a protocol brings with it stay where it is spoken: the folders that may say them.
SPOKEN_IN = {
    word: ("src/wire/amqp", "src/gateway/amqp", "bench/peers/amqp.cc", "tests/amqp")
    for word in ("nack", "delivery_tag", "delivery tag")
}
BANNED = re.compile(r"(?<!\\)\b(" + "|".join(BANNED_WORDS) + r")\b", re.I)

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])*\'', re.S)
# What GCC 12 destroys twice when it shares a full-expression with co_await.
AGGREGATE = re.compile(r"[(,]\s*\{\s*[^\s}]|\{\s*\.\w+\s*=|[(,]\s*[\w:<>]+\{[^{}]*,|\{[^{}]*co_await")
LAMBDA = re.compile(r"(?<![\w)\]])\[([^\[\]]*)\]\s*(?:\(|\{|mutable|->)")
CONTAINER = re.compile(r"^(?:.*;|.*\})?\s*(?:inline\s+)?(?:namespace|extern \"\"|(?:template\s*<.*>\s*)?"
                       r"(?:typedef\s+)?(?:class|struct|union|enum))\b(?!.*\)\s*$)", re.S)


class Tidy:
    """One walk over a repository; findings collect in `errors`."""

    def __init__(self, root):
        self.root, self.errors = pathlib.Path(root), []
        self.allowed = set()

    def report(self, path, line, text):
        if (path, line) not in self.allowed:
            self.errors.append(f"{path.relative_to(self.root)}:{line}: error: {text}")

    def files(self):
        found = []
        for folder in ("src", "include", "tests", "examples", "demo", "bench", "sim"):
            found += [p for p in (self.root / folder).rglob("*")
                      if p.suffix in (".h", ".cc") and "node_modules" not in p.parts]
        return sorted(found)

    def run(self):
        files = self.files()
        texts = {path: path.read_text() for path in files}
        included = set(re.findall(r'#include ["<]([^">]+)[">]', "\n".join(texts.values())))
        self.check_cmake()
        for path, text in texts.items():
            self.check_file(path, text)
            for base in ("src", "include"):
                if path.suffix == ".h" and path.is_relative_to(self.root / base):
                    if str(path.relative_to(self.root / base)) not in included:
                        self.report(path, 1, "nothing includes this header")
        return len(files)

    def check_cmake(self):
        """The layer table and CMakeLists.txt say the same."""
        cmake = self.root / "CMakeLists.txt"
        lines = cmake.read_text().splitlines() if cmake.exists() else []
        seen = {}
        for number, line in enumerate(lines, 1):
            if found := re.match(r"add_layer\((\w+)\s*(?:DEPENDS ([a-z ]+))?", line):
                seen[found[1]] = (number, set((found[2] or "").split()))
        for layer, (number, depends) in seen.items():
            if layer not in LAYERS:
                self.report(cmake, number, f"layer '{layer}' is not in LAYERS of tools/tidy.py")
            elif depends != LAYERS[layer]:
                self.report(cmake, number, f"layer '{layer}' depends on {sorted(depends)} here and on "
                                           f"{sorted(LAYERS[layer])} in tools/tidy.py")
        for layer in LAYERS.keys() - seen.keys():
            self.report(cmake, 1, f"layer '{layer}' of tools/tidy.py has no add_layer()")
        self.asio_layers = {name for name in seen if re.search(r"\bASIO\b", lines[seen[name][0] - 1])}

    def check_file(self, path, text):
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if "tidy: allow " in line:
                self.allowed |= {(path, number), (path, number + 1)}
        if not lines or not lines[0].startswith("// "):
            self.report(path, 1, "the first line says what the file is for")
        if path.suffix == ".h" and "#pragma once" not in lines:
            self.report(path, 1, "a header has #pragma once")
        code = COMMENT_OR_STRING.sub(blank, text)
        self.check_layer(path, lines, code)
        self.check_co_await(path, code)
        self.check_shape(path, lines, code)
        self.check_words(path, lines, code)

    def check_layer(self, path, lines, code):
        if not path.is_relative_to(self.root / "src"):
            if path.is_relative_to(self.root / "include"):
                for number, line in enumerate(lines, 1):
                    if re.match(r'#include "', line):
                        self.report(path, number, "a public header includes only <sluice/...> and libraries")
            return
        layer = path.relative_to(self.root / "src").parts[0]
        if layer not in LAYERS:
            return self.report(path, 1, f"'{layer}' is not a layer: LAYERS in tools/tidy.py, CMakeLists.txt")
        is_test = path.stem.endswith("_test") or path.stem.startswith("test_")
        may = (reachable(layer) if is_test else LAYERS[layer] | ALSO.get(layer, set())) | {layer}
        for number, line in enumerate(lines, 1):
            is_pure = layer in NO_IO and not is_test and path != self.root / MEMORY
            if is_pure and line.startswith("#include") and IMPURE_INCLUDE.search(line):
                self.report(path, number, f"'{layer}' does no I/O and may not include {line.split()[-1]}")
            if layer not in self.asio_layers and ASIO_INCLUDE.match(line):
                self.report(path, number, f"'{layer}' may not include Asio (no ASIO in CMakeLists.txt)")
            found = re.match(r'#include "([a-z_]+)/([^"]+)"', line)
            if found and found[1] in LAYERS:
                self.check_include(path, number, layer, may, found, is_test)
        for number, line in enumerate(code.splitlines(), 1):
            if layer in NO_IO and not is_test and (hit := IMPURE_NAME.search(line)):
                self.report(path, number, f"'{layer}' is deterministic and may not use {hit[1]}")

    def check_include(self, path, number, layer, may, found, is_test):
        target, name = found[1], f"{found[1]}/{found[2]}"
        if target not in may:
            self.report(path, number, f"layer '{layer}' may not include '{target}' (allowed: "
                                      f"{', '.join(sorted(may - {layer})) or 'none'})")
        elif name not in NARROW.get((layer, target), {name}) and not is_test:
            self.report(path, number, f"layer '{layer}' may include of '{target}' only "
                                      f"{', '.join(sorted(NARROW[layer, target]))}")

    def check_co_await(self, path, code):
        for line, statement in statements(code, 1):
            if "co_await" not in statement:
                continue
            lambdas = any(captures_by_value(found[1]) for found in LAMBDA.finditer(statement))
            for what, hit in (("a braced temporary", AGGREGATE.search(statement)),
                              ("a capturing lambda", lambdas), ("?:", "?" in statement)):
                if hit:
                    self.report(path, line, f"co_await in one expression with {what}: name it on the line above")

    def check_shape(self, path, lines, code):
        most = HEADER_LINES_MAX if path.suffix == ".h" else SOURCE_LINES_MAX
        if len(lines) > most and not path.stem.endswith("_test"):
            self.report(path, 1, f"{len(lines)} lines, at most {most}: split it by what it knows")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX and "http" not in line:
                self.report(path, number, f"{len(line)} columns, at most {COLUMNS_MAX}")
        for first, last, head in functions(code):
            if last - first + 1 > FUNCTION_LINES_MAX:
                name = re.search(r"([\w:~]+)\s*\(", head)
                self.report(path, first, f"function {name[1] if name else '?'} has {last - first + 1} lines, "
                                         f"at most {FUNCTION_LINES_MAX}")

    def check_words(self, path, lines, code):
        for number, line in enumerate(lines, 1):
            if "FIXME" in line or re.search(r"\bXXX\b", line) or re.search(r"\bTODO\b(?!\(#\d+\))", line):
                self.report(path, number, "resolve it, or TODO(#issue)")
            for hit in BANNED.finditer(line):
                word = hit[1].lower()
                if not any(path.is_relative_to(self.root / folder) for folder in SPOKEN_IN.get(word, ())):
                    self.report(path, number, f"the glossary says '{BANNED_WORDS[word]}', not '{word}'")
        for number, line in enumerate(code.splitlines(), 1):
            for pattern, why in BANNED_NAMES:
                if hit := pattern.search(line):
                    self.report(path, number, f"'{hit[1]}': {why}")


def reachable(layer):
    """What a layer's tests may include: all that is linked into them anyway."""
    direct = LAYERS[layer]
    return direct.union(*(reachable(below) for below in direct))


def blank(match):
    """Drops comments and the contents of strings, keeps line numbers."""
    text = match.group(0)
    return ('""' if text[0] in "\"'R" else "") + "\n" * text.count("\n")


def statements(text, line):
    """Yields (line, statement). A {block} that holds statements is walked on its own and left as {}."""
    statement, start, depth, i = "", line, 0, 0
    while i < len(text):
        c, end = text[i], i + 1
        if c == "{":
            nesting, end = 1, i + 1
            while end < len(text) and nesting:
                nesting += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            if ";" in text[i:end]:
                yield from statements(text[i + 1:end - 1], line)
                statement += "{}"
                if depth == 0:
                    yield start, statement
                    statement = ""
            else:
                statement += text[i:end]
        elif c == ";" and depth == 0:
            yield start, statement
            statement = ""
        else:
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(c, 0)
            start = line if not statement.strip() else start
            statement += c
        line += text.count("\n", i, end)
        i = end


def functions(code):
    """Yields (first line, last line, head) of each function body: a block at namespace or class level
    behind a parameter list. Lambdas inside count with their function."""
    keep_lines = lambda found: "\n" * found[0].count("\n")  # noqa: E731
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", keep_lines, code, flags=re.M)
    # A macro on lines of its own, without a semicolon, is not the head of the block that follows.
    code = re.sub(r"^[A-Z][A-Z0-9_]+\((?:[^()]|\([^()]*\))*\)[ \t]*$", keep_lines, code, flags=re.M)
    stack, head, line, head_line = [], "", 1, 1
    for c in code:
        if c == "{":
            if stack and stack[-1][0] == "body":
                kind = "body"
            elif CONTAINER.match(head.strip()):
                kind = "container"
            else:
                kind = "body"
            outermost = kind == "body" and not any(entry[0] == "body" for entry in stack)
            stack.append((kind, head_line, head if outermost and "(" in head else None))
            head = ""
        elif c == "}":
            if stack:
                _, first, name = stack.pop()
                if name is not None:
                    yield first, line, name
            head = ""
        elif c == ";":
            head = ""
        else:
            if not head.strip() and not c.isspace():
                head_line = line
            head += c
        line += c == "\n"


def captures_by_value(capture_list):
    items = [item.strip() for item in capture_list.split(",")]
    return any(item and item[0] != "&" and item != "this" for item in items)


def main():
    tidy = Tidy(sys.argv[1] if len(sys.argv) > 1 else ".")
    count = tidy.run()
    print("\n".join(tidy.errors) or f"tidy: {count} files, no findings")
    sys.exit(bool(tidy.errors))


if __name__ == "__main__":
    main()
