"""Servers with certificates: those that somebody vouches for, and the others."""

import functools
import hashlib
import ssl
import subprocess
import threading
import unittest
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from folder import BUILDER, FolderTest

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Handler(SimpleHTTPRequestHandler):
    """Files, and one place that leads to where nothing is encrypted."""

    def do_GET(self):
        if self.path != "/downgraded":
            return super().do_GET()
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/weights")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Tls(FolderTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.openssl("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
        cls.openssl("req", *KEY, "-keyout", "key", "-out", "request", "-subj", "/CN=server")
        (cls.folder / "names").write_text("subjectAltName=DNS:localhost\n")
        cls.openssl(
            "x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "certificate", "-extfile", "names",
        )
        (cls.folder / "model").mkdir()
        (cls.folder / "model/weights").write_bytes(b"weights" * 100_000)
        handler = functools.partial(Handler, directory=cls.folder / "model")
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cls.folder / "certificate", cls.folder / "key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.port = server.server_port

    @classmethod
    def openssl(cls, *arguments):
        subprocess.run(["openssl", *arguments], cwd=cls.folder, check=True, capture_output=True)

    def root_hash(self, host="localhost", path="weights", **environment):
        weights = (self.folder / "model/weights").read_bytes()
        line = f"https://{host}:{self.port}/{path} {len(weights)} {hashlib.sha256(weights).hexdigest()}"
        (self.folder / "list").write_text(f"{line} weights\n")
        return subprocess.run(
            [BUILDER, "root-hash", "--files-from", self.folder / "list"],
            env=environment,
            capture_output=True,
            text=True,
        )

    def refused(self, done, words):
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, words)

    def test_a_certificate_that_is_trusted(self):
        done = self.root_hash(SSL_CERT_FILE=self.folder / "ca.pem")
        self.assertEqual(done.returncode, 0, done.stderr)
        local = subprocess.run([BUILDER, "root-hash", self.folder / "model"], capture_output=True, text=True)
        self.assertEqual(done.stdout, local.stdout)

    def test_a_certificate_that_is_not_trusted(self):
        self.refused(self.root_hash(), f"^disk-builder: cannot fetch https://localhost:{self.port}/weights: .*UnknownIssuer")

    def test_a_certificate_of_another_server(self):
        done = self.root_hash(host="127.0.0.1", SSL_CERT_FILE=self.folder / "ca.pem")
        self.refused(done, "cannot fetch https://127.0.0.1:.*")

    def test_what_was_encrypted_stays_so(self):
        done = self.root_hash(path="downgraded", SSL_CERT_FILE=self.folder / "ca.pem")
        self.refused(done, "/downgraded leads to http://localhost:.*, which is not encrypted")


if __name__ == "__main__":
    unittest.main()
