from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.transport import NodeClosed, NodeTransport, NodeUnreachable, Phase
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import NodeSide, chunked, replying, sized

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "node.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def node_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path) -> NodeTransport:
    return NodeTransport(ssl=ssl.create_default_context(cafile=str(certificate)))


async def test_a_node_behind_tls_is_asked_over_one_connection(
    serve: Serve, node_tls: ssl.SSLContext, trusting: NodeTransport
) -> None:
    node = await serve(replying(sized(b"hello"), chunked(b"a", b"b"), sized(b"x" * 500_000)), tls=node_tls)
    for body in (b"hello", b"ab", b"x" * 500_000):
        reply = await trusting.send(node.origin, b"POST", b"/", [], b"y" * 100_000)
        assert await reply.read() == body
    assert node.accepted == 1
    await trusting.aclose()


async def test_a_certificate_that_no_one_vouches_for_is_unreachable(
    serve: Serve, node_tls: ssl.SSLContext, transport: NodeTransport
) -> None:
    node = await serve(replying(sized(b"hello")), tls=node_tls)
    with pytest.raises(NodeUnreachable, match="certificate") as caught:
        await transport.send(node.origin, b"GET", b"/", [])
    assert caught.value.phase is Phase.CONNECT
    assert transport.connections().open == 0


async def test_a_cut_stream_is_an_error_behind_tls_too(
    serve: Serve, node_tls: ssl.SSLContext, trusting: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(chunked(b"some")[:-5])

    node = await serve(handler, tls=node_tls)
    reply = await trusting.send(node.origin, b"GET", b"/", [])
    with pytest.raises(NodeClosed):
        await reply.read()
    assert trusting.connections().open == 0
