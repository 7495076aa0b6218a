#!/usr/bin/env python3
"""Installs the build into a temporary directory and uses it as a stranger would: the README's C++ program and
the examples through find_package(sluice), one program through pkg-config, and the installed server."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", harness.ROOT / "build/release")).resolve()
CMAKE_LISTS = """
cmake_minimum_required(VERSION 3.25)
project(first LANGUAGES CXX)
find_package(sluice REQUIRED)
add_executable(first first.cc)
target_link_libraries(first PRIVATE sluice::client)
"""


def readme_program():
    return re.search(r"^```cpp test\n(.*?)^```$", (harness.ROOT / "README.md").read_text(), re.M | re.S)[1]


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sluice-install-")
        cls.work = pathlib.Path(cls.folder.name)
        cls.prefix = cls.work / "usr"
        cls.run_in("cmake", "--install", BUILD, "--prefix", cls.prefix)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def run_in(cls, *command, **options):
        done = subprocess.run([str(word) for word in command], text=True, stdin=subprocess.DEVNULL, cwd=cls.work,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500, **options)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout}")
        return done.stdout

    def uses_server(self, program):
        with harness.Server() as server:
            output = self.run_in(program, f"sluice://127.0.0.1:{server.port}")
        self.assertEqual(output, 'welcome {"to":"ada@example.org"}\nsent\n')

    def test_the_installed_server_runs(self):
        self.assertIn("0.1.0", self.run_in(self.prefix / "bin/sluice", "version"))

    def test_the_debian_package_has_the_server_its_service_and_what_it_depends_on(self):
        self.run_in("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", self.work / "package")
        package = next((self.work / "package").glob("*.deb"))
        self.assertRegex(self.run_in("dpkg-deb", "--field", package, "Depends"), r"libc6.*libssl|libc6.*libfmt")
        self.run_in("dpkg-deb", "--extract", package, self.work / "root")
        self.assertIn("0.1.0", self.run_in(self.work / "root/usr/bin/sluice", "version"))
        units = list((self.work / "root").rglob("sluice.service"))
        self.assertEqual(len(units), 1)
        self.assertIn("Type=notify", units[0].read_text())

    def test_the_readme_program_with_find_package(self):
        source = self.work / "first"
        source.mkdir()
        (source / "first.cc").write_text(readme_program())
        (source / "CMakeLists.txt").write_text(CMAKE_LISTS)
        self.run_in("cmake", "-S", source, "-B", source / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                    "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_STANDARD=20")
        self.run_in("cmake", "--build", source / "build")
        self.uses_server(source / "build/first")

    def test_the_readme_program_with_pkg_config(self):
        (self.work / "second.cc").write_text(readme_program())
        found = next(self.prefix.rglob("sluice.pc"))
        flags = self.run_in("pkg-config", "--cflags", "--libs", "--static", "sluice",
                            env={**os.environ, "PKG_CONFIG_PATH": str(found.parent)}).split()
        compile_flags = [flag for flag in flags if not flag.startswith(("-l", "-L"))]
        self.run_in("g++", "-std=c++20", *compile_flags, "second.cc", "-o", "second", *flags)
        self.uses_server(self.work / "second")

    def test_the_examples_build_against_it(self):
        self.run_in("cmake", "-S", harness.ROOT / "examples", "-B", self.work / "examples", "-G", "Ninja",
                    f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Debug")
        self.run_in("cmake", "--build", self.work / "examples")


if __name__ == "__main__":
    unittest.main(verbosity=1)
