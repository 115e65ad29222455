"""wspool.TLS, the default trust, and what is taken over from an ssl.SSLContext."""

import copy
import pickle
import ssl
import sys
import types
import warnings
from pathlib import Path

import pytest

import wspool
import wspool.testing
from wspool import TLS, tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with ca.pem, cert.pem and key.pem."""
    folder = tmp_path_factory.mktemp("certificates")
    wspool.testing.make_certificates(folder)
    return folder


@pytest.fixture
def environment(monkeypatch):
    """No variable that says where trust comes from."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return monkeypatch


class TestArguments:
    @pytest.mark.parametrize(
        ("name", "value", "kind"),
        [
            ("ca_file", 1, TypeError),
            ("ca_path", b"x", TypeError),
            ("cert_file", ["x"], TypeError),
            ("ca_data", b"x", TypeError),
            ("key_password", b"secret", TypeError),
            ("ciphers", ["x"], TypeError),
            ("verify", None, TypeError),
            ("check_hostname", 1, TypeError),
            ("min_version", "TLSv1.1", ValueError),
            ("min_version", ssl.TLSVersion.TLSv1_2, ValueError),
            ("key_file", "key.pem", ValueError),
        ],
    )
    def test_bad(self, name, value, kind):
        """Bad arguments are refused at once, and named."""
        with pytest.raises(kind, match=name):
            TLS(**{name: value})

    def test_positional(self):
        """Only by name, so that nobody mixes them up."""
        with pytest.raises(TypeError):
            TLS("ca.pem")

    def test_immutable(self):
        """Settings do not change once made."""
        with pytest.raises(AttributeError):
            TLS().verify = False

    def test_repr_hides_the_password(self):
        """Neither password nor certificates are shown."""
        shown = repr(TLS(cert_file="c", key_password="secret", ca_data="certificate"))
        assert "secret" not in shown
        assert "certificate" not in shown
        assert "cert_file='c'" in shown

    def test_equality_and_copies(self, certificates):
        """Equal settings are equal; copies and pickles work, also after use."""
        setting = TLS(ca_file=certificates / "ca.pem")
        setting.native_context()
        for other in (
            TLS(ca_file=certificates / "ca.pem"),
            copy.copy(setting),
            pickle.loads(pickle.dumps(setting)),
        ):
            assert other == setting
            assert hash(other) == hash(setting)
            assert other.native_context()


class TestContext:
    def test_is_made_once(self, certificates):
        """Every connection shares one native context."""
        setting = TLS(ca_file=certificates / "ca.pem")
        assert setting.native_context() is setting.native_context()

    @pytest.mark.parametrize("name", ["ca_file", "cert_file"])
    def test_missing_file(self, name, tmp_path):
        """A file that is not there is an OSError that names it."""
        with pytest.raises(FileNotFoundError, match="none.pem"):
            TLS(**{name: tmp_path / "none.pem"}).native_context()

    @pytest.mark.parametrize("name", ["ca_file", "cert_file", "ca_data"])
    def test_no_certificate(self, name, tmp_path):
        """What is no certificate is a ValueError that names the argument."""
        path = tmp_path / "junk.pem"
        path.write_text("junk")
        value = "junk" if name == "ca_data" else str(path)
        with pytest.raises(ValueError, match=name):
            TLS(**{name: value}).native_context()

    def test_client_certificate(self, certificates):
        """A client certificate and its key are read."""
        assert TLS(
            cert_file=certificates / "cert.pem", key_file=certificates / "key.pem"
        ).native_context()

    def test_wrong_key(self, certificates, tmp_path):
        """A key that does not belong to the certificate is refused."""
        wspool.testing.make_certificates(tmp_path)
        with pytest.raises(ValueError, match="key_file"):
            TLS(cert_file=certificates / "cert.pem", key_file=tmp_path / "key.pem").native_context()

    def test_ciphers(self):
        """Unknown ciphers are refused, known ones taken."""
        with pytest.raises(ValueError, match="ciphers"):
            TLS(ciphers="NONE-SUCH").native_context()
        assert TLS(ciphers="ECDHE+AESGCM").native_context()

    def test_bad_setting_at_the_call(self, tmp_path):
        """create_new_connection raises, before anything is started."""
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        with pytest.raises(FileNotFoundError):
            endpoint.create_new_connection(
                "wss://localhost:1/", ssl=TLS(ca_file=tmp_path / "none.pem")
            )
        assert endpoint.connections == []


class TestDefaultTrust:
    def test_named_file(self, environment):
        """SSL_CERT_FILE comes first."""
        environment.setenv("SSL_CERT_FILE", "/some/file.pem")
        assert tls.default_trust() == ("/some/file.pem", "")

    def test_pythons_paths(self, environment, tmp_path):
        """Then Python's default locations."""
        (tmp_path / "ca.pem").write_text("x")
        paths = types.SimpleNamespace(cafile=str(tmp_path / "ca.pem"), capath=None)
        environment.setattr(ssl, "get_default_verify_paths", lambda: paths)
        assert tls.default_trust() == (str(tmp_path / "ca.pem"), "")

    def test_named_directory(self, environment, tmp_path):
        """SSL_CERT_DIR is one of them."""
        (tmp_path / "12345678.0").write_text("x")
        environment.setenv("SSL_CERT_DIR", str(tmp_path))
        assert tls.default_trust()[1] == str(tmp_path)

    def test_certifi(self, environment, tmp_path):
        """Then certifi, if it is installed; an empty directory is no trust."""
        paths = types.SimpleNamespace(cafile=None, capath=str(tmp_path))
        environment.setattr(ssl, "get_default_verify_paths", lambda: paths)
        certifi = types.ModuleType("certifi")
        certifi.where = lambda: "/certifi/cacert.pem"
        environment.setitem(sys.modules, "certifi", certifi)
        assert tls.default_trust() == ("/certifi/cacert.pem", "")
        environment.setitem(sys.modules, "certifi", None)
        assert tls.default_trust() == ("", "")

    def test_context_is_shared(self, environment, certificates):
        """One context serves all connections, as long as the environment stays the same."""
        first = tls.native_context(None)
        assert tls.native_context(None) is first
        environment.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
        other = tls.native_context(None)
        assert other is not first
        assert tls.native_context(None) is other
        environment.delenv("SSL_CERT_FILE")
        assert tls.native_context(None) is first

    def test_named_file_is_missing(self, environment, tmp_path):
        """A named file that is not there is an error, not a fallback."""
        environment.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(FileNotFoundError):
            tls.native_context(None)


class TestTakeOver:
    def test_certificates(self, certificates):
        """Trusted certificates are taken over, and nothing else is trusted."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates / "ca.pem")
        setting = tls.take_over(context)
        assert ssl.PEM_cert_to_DER_cert(setting.ca_data) == context.get_ca_certs(True)[0]
        assert setting.verify
        assert setting.check_hostname
        assert setting.min_version == "TLSv1.2"
        assert setting.native_context()

    def test_no_verification(self):
        """A context that does not verify is taken at its word."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        setting = tls.take_over(context)
        assert not setting.verify
        assert not setting.check_hostname

    def test_no_host_name(self, certificates):
        """check_hostname is taken over by itself."""
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        context.check_hostname = False
        setting = tls.take_over(context)
        assert setting.verify
        assert not setting.check_hostname

    def test_minimum_version(self):
        """minimum_version is taken over, above TLS 1.2."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        assert tls.take_over(context).min_version == "TLSv1.3"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
        assert tls.take_over(context).min_version == "TLSv1.2"

    def test_ciphers(self):
        """Ciphers are taken over."""
        context = ssl.create_default_context()
        context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
        setting = tls.take_over(context)
        assert setting.ciphers.startswith("ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=")
        assert setting.native_context()

    def test_maximum_version(self):
        """What cannot be taken over is said."""
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ValueError, match="maximum_version"):
            tls.take_over(context)

    def test_revocation_lists(self):
        """Revocation lists are not read, and that is said."""
        context = ssl.create_default_context()
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        with pytest.raises(ValueError, match="revocation"):
            tls.take_over(context)

    def test_trusted_server_certificate(self, certificates):
        """A trusted certificate that is no CA cannot be seen, and that is said."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates / "cert.pem")
        if context.cert_store_stats()["x509"] == context.cert_store_stats()["x509_ca"]:
            pytest.skip("the certificate counts as a CA")
        with pytest.warns(RuntimeWarning, match="ca_file"):
            tls.take_over(context)

    def test_is_done_once(self, certificates):
        """The same context is taken over once, and again when it has changed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates / "ca.pem")
        first = tls.native_context(context)
        assert tls.native_context(context) is first
        context.check_hostname = False
        assert tls.native_context(context) is not first

    def test_default_context(self):
        """The context that Python makes by default can be used."""
        assert tls.native_context(ssl.create_default_context())


def test_files_are_as_expected(certificates):
    """What the tests above rely on."""
    for name in ("ca.pem", "cert.pem", "key.pem"):
        assert "BEGIN" in Path(certificates / name).read_text()
