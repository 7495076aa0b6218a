"""The Debian package: it builds, depends on what it needs, and what is in it runs."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", harness.ROOT / "build/release"))


@unittest.skipUnless(shutil.which("cpack") and shutil.which("dpkg-shlibdeps"), "cpack or dpkg-dev is missing")
class Deb(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="sluice-deb-")
        cls.addClassCleanup(cls.temporary.cleanup)
        directory = pathlib.Path(cls.temporary.name)
        done = subprocess.run(["cpack", "-G", "DEB", "--config", str(BUILD / "CPackConfig.cmake"), "-B",
                               str(directory)], cwd=BUILD, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        packages = list(directory.glob("*.deb"))
        assert len(packages) == 1, packages
        cls.package, cls.root = packages[0], directory / "root"
        subprocess.run(["dpkg-deb", "-R", str(cls.package), str(cls.root)], check=True, timeout=60)
        cls.binary = cls.root / "usr/bin/sluice"

    def test_its_facts(self):
        control = (self.root / "DEBIAN/control").read_text()
        self.assertRegex(control, r"(?m)^Package: sluice$")
        self.assertRegex(control, r"(?m)^Maintainer: \S")
        self.assertRegex(control, r"(?m)^Depends: .*libc6")
        self.assertRegex(self.package.name, r"^sluice_\d+\.\d+\.\d+_\w+\.deb$")
        self.assertEqual((self.root / "DEBIAN/conffiles").read_text().split(), ["/etc/sluice/sluice.toml"])

    def test_its_files(self):
        for file in ("etc/sluice/sluice.toml", "lib/systemd/system/sluice.service", "usr/share/man/man1/sluice.1",
                     "usr/share/doc/sluice/copyright", "usr/share/doc/sluice/operations.md"):
            self.assertTrue((self.root / file).is_file(), file)
        stray = [file for file in self.root.rglob("*") if file.suffix in (".a", ".h", ".cmake")]
        self.assertEqual(stray, [], "the library belongs to no server package")
        unit = (self.root / "lib/systemd/system/sluice.service").read_text()
        command = re.search(r"(?m)^ExecStart=(\S+)", unit)[1]
        self.assertTrue((self.root / command.lstrip("/")).is_file(), command)

    def test_its_scripts_are_valid_shell(self):
        for script in ("postinst", "prerm", "postrm"):
            path = self.root / "DEBIAN" / script
            self.assertTrue(os.access(path, os.X_OK), script)
            subprocess.run(["sh", "-n", str(path)], check=True)

    def test_its_program_runs_with_its_settings(self):
        done = subprocess.run([str(self.binary), "serve", "--config", str(self.root / "etc/sluice/sluice.toml"),
                               "--print-config"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        original, harness.BINARY = harness.BINARY, self.binary
        try:
            with harness.Server() as server:
                client = server.client()
                job = client("PUSH", "mail", "welcome", "{}")
                self.assertEqual(client.job(job)["state"], b"ready")
                self.assertEqual(server.terminate(), 0)
        finally:
            harness.BINARY = original

    def test_its_program_is_hardened(self):
        done = subprocess.run(["readelf", "-W", "-h", "-l", "-d", str(self.binary)], capture_output=True, text=True)
        self.assertRegex(done.stdout, r"Type:\s+DYN", "not position independent")
        self.assertIn("GNU_RELRO", done.stdout)
        self.assertRegex(done.stdout, r"BIND_NOW|FLAGS.*NOW")
        self.assertRegex(done.stdout, r"GNU_STACK\s+\S+ \S+ \S+ \S+ \S+ RW ")


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets may be left to the end of the process.
