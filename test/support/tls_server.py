"""ZooKeeper servers with TLS, certificates for them, and clients that show an identity.

The openssl command makes the certificates, valid for two days, in a folder of the test.  A server
with TLS has a second port without it, which shows whether it serves.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.posted_events import PostedEvents, address, driven
from support.waiting import DEADLINE_S
from support.zookeeper import Port, Server, server_version
from zkexec.cli.cluster_access import acl_of, client_settings
from zkexec.cli.security import Access
from zkexec.group.member_profile import MemberProfile, PhaseTime
from zkexec.runtime.cluster_session import ClusterSession

LOCALHOST = "DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, and the file of both that Java takes."""

    cert: Path
    key: Path
    both: Path


class Authority:
    """Makes certificates; `ca` is the file by which they are trusted."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._own = self._make(name, "-subj", f"/CN={name}")
        self.ca = self._own.cert

    def issue(self, name: str, hosts: str = LOCALHOST) -> Certificate:
        """Make a certificate for a subject, and for hosts as OpenSSL writes them."""
        signed = ("-CA", str(self._own.cert), "-CAkey", str(self._own.key))
        names = ("-addext", f"subjectAltName={hosts}", "-addext", "basicConstraints=CA:FALSE")
        return self._make(name, "-subj", f"/CN={name}", *signed, *names)

    def _make(self, name: str, *options: str) -> Certificate:
        cert, key, both = (self._folder / f"{name}.{end}" for end in ("cert", "key", "pem"))
        command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", *options]
        command += ["-keyout", str(key), "-out", str(cert)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        both.write_bytes(key.read_bytes() + cert.read_bytes())
        return Certificate(cert, key, both)


class TlsServer:
    """A ZooKeeper that speaks TLS at `port`; `plain` is the server with its other port.

    It shows the certificate, trusts those of `ca`, and of clients demands none, wants or needs one.
    """

    def __init__(
        self, ca: Path, certificate: Certificate, *, demand: str = "none", protocol: str = "TLSv1.2"
    ) -> None:
        self._port = Port()
        self.port = self._port.number
        settings = {
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "secureClientPort": str(self.port),
            "secureClientPortAddress": "127.0.0.1",
            "ssl.protocol": protocol,
            "ssl.keyStore.location": str(certificate.both),
            "ssl.keyStore.type": "PEM",
            "ssl.trustStore.location": str(ca),
            "ssl.trustStore.type": "PEM",
            "ssl.clientAuth": demand,
        }
        if protocol == "TLSv1.3":
            settings["ssl.ciphersuites"] = "TLS_AES_128_GCM_SHA256"
        self.plain = Server(settings=settings)

    def start(self) -> None:
        """Start it and wait until it serves; the test is skipped where servers know no TLS."""
        if server_version() < (3, 5):
            pytest.skip("this server, older than 3.5, does not speak TLS")
        self.plain.start()

    def close(self) -> None:
        """Stop it and leave nothing behind."""
        self.plain.close()
        self._port.release()


def plain_options(access: Access) -> dict[str, object]:
    """What a plain client needs to show the same to the cluster."""
    options: dict[str, object] = {}
    for one in access.credentials:
        if one.scheme == "digest":
            options["auth_data"] = [("digest", f"{one.user}:{one.password}")]
        else:
            options["sasl_options"] = {
                "mechanism": "DIGEST-MD5",
                "username": one.user,
                "password": one.password,
            }
    if access.tls is not None:
        options |= {
            "use_ssl": True,
            "verify_certs": True,
            "check_hostname": True,
            "ca": access.tls.ca,
            "certfile": access.tls.cert or None,
            "keyfile": access.tls.key or None,
        }
    return options


@contextmanager
def known(hosts: str, access: Access) -> Iterator[KazooClient]:
    """A plain client that shows this to the cluster."""
    client = KazooClient(hosts=hosts, timeout=30.0, **plain_options(access))
    client.start(timeout=DEADLINE_S)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@contextmanager
def identified(
    hosts: str, access: Access, *paths: str, session_timeout_s: float = 10.0, base: str = "/group"
) -> Iterator[tuple[ClusterSession, PostedEvents]]:
    """A session of a member that shows this to the cluster, opened, and its events."""
    posted = PostedEvents()
    profile = MemberProfile(base, "me", "my lock file", "1", PhaseTime(), acl_of(access))
    settings = client_settings([address(hosts)], access, session_timeout_s)
    ensemble = ClusterSession(settings, paths, "", posted.post, profile)
    with driven(ensemble):
        yield ensemble, posted
