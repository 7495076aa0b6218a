"""The configuration as an administrator meets it: sources, refusals, exit codes (docs/configuration.md)."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, ROOT  # noqa: E402

EX_CONFIG = 78


def serve(*options, environment=None):
    """`sluice serve` with a clean environment; it is expected to end by itself."""
    return subprocess.run([str(BINARY), "serve", *options], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", **(environment or {})})


class Config(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sluice-config-")
        self.addCleanup(self.directory.cleanup)
        self.file = pathlib.Path(self.directory.name) / "sluice.toml"

    def refused(self, *options, environment=None):
        """The problems it names; nothing may have been created."""
        data = pathlib.Path(self.directory.name) / "data"
        done = serve("--data", str(data), *options, environment=environment)
        self.assertEqual(done.returncode, EX_CONFIG, done.stdout + done.stderr)
        self.assertFalse(data.exists(), "a refused start made a data directory")
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_each_source_wins_over_the_one_below(self):
        self.file.write_text('io_threads = 2\nqueues_max = 7\nsync = "10ms"\n')
        done = serve("--config", str(self.file), "--io-threads", "4", "--print-config",
                     environment={"SLUICE_IO_THREADS": "3", "SLUICE_QUEUES_MAX": "8"})
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = {line.split(" = ")[0]: line for line in done.stdout.splitlines()}
        self.assertRegex(lines["io_threads"], r"^io_threads = 4 +# --io-threads$")
        self.assertRegex(lines["queues_max"], r"^queues_max = 8 +# SLUICE_QUEUES_MAX$")
        self.assertRegex(lines["sync"], rf'^sync = "10ms" +# {self.file}:3$')
        self.assertRegex(lines["drain"], r'^drain = "10s" +# default$')

    def test_what_is_printed_is_a_file_that_gives_the_same(self):
        printed = serve("--sync", "never", "--resp", "[::1]:0", "--print-config").stdout
        self.file.write_text(printed)
        again = serve("--config", str(self.file), "--print-config").stdout
        strip = lambda text: [line.split(" #")[0].rstrip() for line in text.splitlines()]  # noqa: E731
        self.assertEqual(strip(printed), strip(again))

    def test_the_shipped_file_is_accepted(self):
        done = serve("--config", str(ROOT / "packaging/sluice.toml"), "--print-config")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_unknown_keys_name_key_file_line_and_the_nearest_setting(self):
        self.file.write_text('# comment\nsnyc = "always"\n')
        self.assertIn(f'snyc = "always" ({self.file}:2): there is no such setting; did you mean sync?',
                      self.refused("--config", str(self.file)))

    def test_wrong_types_and_values_name_source_and_limit(self):
        self.file.write_text("io_threads = true\n")
        said = self.refused("--config", str(self.file), environment={"SLUICE_QUEUES_MAX": "many"})
        self.assertIn(f"io_threads = true ({self.file}:1): expected a whole number from 1 to 64", said)
        self.assertIn('queues_max = "many" (SLUICE_QUEUES_MAX): expected a whole number from 1 to 1000000', said)

    def test_a_file_that_is_missing_or_no_toml_is_refused(self):
        self.assertIn("No such file", self.refused("--config", str(self.file)))
        self.file.write_text("sync = always\n")
        self.assertIn(f"{self.file}:1: this is not TOML", self.refused("--config", str(self.file)))

    def test_addresses_that_are_not_loopback_are_refused_with_the_way_on(self):
        for address in ("0.0.0.0:0", "[::]:0", "*:0", ":0", "10.0.0.1:7770", "example.org:7770"):
            with self.subTest(address):
                said = self.refused("--resp", address)
                self.assertIn("(--resp)", said)
                self.assertIn("neither users nor TLS", said)
                self.assertIn("Listen on 127.0.0.1", said)
                self.assertIn("tunnel", said)
        self.assertIn("SLUICE_RESP", self.refused(environment={"SLUICE_RESP": "0.0.0.0:0"}))

    def test_amqp_is_for_this_machine_until_there_are_users(self):
        said = self.refused("--amqp", "0.0.0.0:5672")
        self.assertIn("(--amqp)", said)
        self.assertIn("[[users]]", said)
        self.assertIn("hash-password", said)
        done = subprocess.run([str(BINARY), "hash-password"], input="secret\n", capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.file.write_text(f'[[users]]\nname = "ada"\npassword_hash = "{done.stdout.strip()}"\n')
        done = serve("--amqp", "0.0.0.0:5672", "--config", str(self.file), "--print-config")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("0.0.0.0:5672", done.stdout)

    def test_a_password_needs_to_be_one(self):
        for password in ("", "x" * 513):
            done = subprocess.run([str(BINARY), "hash-password"], input=password, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertIn("1 to 512 bytes", done.stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets may be left to the end of the process.
