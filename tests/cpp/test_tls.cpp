#include <doctest/doctest.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "protocol/handshake.hpp"
#include "support/certificates.hpp"
#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;

namespace {

/// OpenSSL's own server side over a raw socket, for what a good server does not do.
class tls_peer {
public:
    tls_peer(raw_peer& peer, const certificates& files, int max_version) {
        context_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate_chain_file(context_, files.file("cert.pem").c_str());
        SSL_CTX_use_PrivateKey_file(context_, files.file("key.pem").c_str(), SSL_FILETYPE_PEM);
        SSL_CTX_set_max_proto_version(context_, max_version);
        ssl_ = SSL_new(context_);
        SSL_set_fd(ssl_, peer.descriptor());
    }
    ~tls_peer() {
        SSL_free(ssl_);
        SSL_CTX_free(context_);
        ERR_clear_error();
    }
    tls_peer(const tls_peer&) = delete;
    tls_peer& operator=(const tls_peer&) = delete;

    bool upgrade() {
        if (SSL_accept(ssl_) != 1) return false;
        std::string head;
        while (head.find("\r\n\r\n") == std::string::npos) {
            const std::string piece = read();
            if (piece.empty()) return false;
            head += piece;
        }
        const std::size_t at = head.find("Sec-WebSocket-Key: ") + 19;
        return write(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: " +
            wspool::protocol::accept_for(head.substr(at, head.find('\r', at) - at)) + "\r\n\r\n");
    }
    std::string read() {
        char buffer[4096];
        const int got = SSL_read(ssl_, buffer, sizeof buffer);
        return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
    }
    bool write(const std::string& bytes) {
        return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0;
    }
    [[nodiscard]] std::string version() const { return SSL_get_version(ssl_); }
    [[nodiscard]] std::string server_name() const {
        const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
        return name != nullptr ? name : "";
    }

private:
    SSL_CTX* context_ = nullptr;
    SSL* ssl_ = nullptr;
};

error_e failure_of(const std::string& uri, const wspool::options_t& options) {
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, uri, options);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"fail"});
    MESSAGE(log->error_text());
    return log->error_code();
}

}  // namespace

TEST_CASE("tls: verified, plain and TLS on one endpoint, large messages") {
    // The URI decides at run time.
    const certificates files;
    const auto secure = echo_server(&files);
    const auto plain = echo_server(nullptr);
    wspool::endpoint_c endpoint;
    auto options = files.trusting();
    options.max_size = 8 << 20;
    auto [secure_log, secure_connection] = start(endpoint, secure->Uri(), options);
    auto [plain_log, plain_connection] = start(endpoint, plain->Uri(), options);
    auto by_address = start(endpoint, "wss://127.0.0.1:" + std::to_string(secure->Port()), options);
    const std::string big(3 << 20, 'b');
    for (const auto& log : {secure_log, plain_log, by_address.log})
        REQUIRE(log->wait_event("open"));
    for (const auto& one : {secure_connection, plain_connection, by_address.connection}) {
        CHECK(one->Send("hello", true) == nullptr);
        CHECK(one->Send(big, false) == nullptr);
        for (int i = 0; i < 1000; ++i) CHECK(one->Send(std::to_string(i), true) == nullptr);
    }
    for (const auto& log : {secure_log, plain_log, by_address.log}) {
        REQUIRE(log->wait_messages(1002));
        CHECK(log->messages()[1] == big);
        CHECK(log->messages().back() == "999");
    }
    CHECK(endpoint.Close_all_connections(1000) == nullptr);
    CHECK(endpoint.Wait_for_closing_all(patience) == nullptr);
    for (const auto& log : {secure_log, plain_log, by_address.log}) {
        CHECK(log->last_event() == "close 1000 ");
    }
}

TEST_CASE("tls: a wrong host, an unknown authority and an expired certificate fail TLS_VERIFY") {
    // Verification is the default, host name included.
    const certificates other({"other.example"});
    const auto wrong_host = echo_server(&other);
    CHECK(failure_of(wrong_host->Uri(), other.trusting()) == error_e::TLS_VERIFY);
    const certificates files;
    const auto server = echo_server(&files);
    CHECK(failure_of(server->Uri(), other.trusting()) == error_e::TLS_VERIFY);
    CHECK(failure_of(server->Uri(), {}) == error_e::TLS_VERIFY);
    auto named = files.trusting();
    named.server_hostname = "elsewhere.example";
    CHECK(failure_of(server->Uri(), named) == error_e::TLS_VERIFY);
    const certificates old({"localhost"}, -1h);
    const auto expired = echo_server(&old);
    CHECK(failure_of(expired->Uri(), old.trusting()) == error_e::TLS_VERIFY);
}

TEST_CASE("tls: a plain server behind wss fails with TLS, a TLS server behind ws with HANDSHAKE") {
    // A wrong scheme is a common mistake.
    const certificates files;
    raw_server plain([](raw_peer& peer) {
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.read_eof();
    });
    CHECK(failure_of(plain.uri("wss"), files.trusting()) == error_e::TLS);
    const auto secure = echo_server(&files);
    const auto code = failure_of("ws://127.0.0.1:" + std::to_string(secure->Port()), {});
    CHECK(
        (code == error_e::HANDSHAKE || code == error_e::END_OF_STREAM || code == error_e::CONNECT));
    raw_server gone([](raw_peer&) {});
    const auto ended = failure_of(gone.uri("wss"), files.trusting());
    CHECK((ended == error_e::TLS || ended == error_e::CONNECT));
}

TEST_CASE("tls: 1.2 and 1.3, SNI, and the minimal version is kept") {
    // Both are in use; below 1.2 nothing is.
    const certificates files;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        std::string spoken;
        std::string name;
        raw_server server([&](raw_peer& peer) {
            tls_peer tls(peer, files, version);
            if (!tls.upgrade()) return;
            spoken = tls.version();
            name = tls.server_name();
            tls.write(text("hello") + close(1000));
            tls.read();
        });
        wspool::endpoint_c endpoint;
        auto [log, connection] =
            start(endpoint, "wss://localhost:" + std::to_string(server.port()), files.trusting());
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->messages() == std::vector<std::string>{"hello"});
        CHECK(spoken == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"));
        CHECK(name == "localhost");
        CHECK(log->last_event() == "close 1000 ");
    }
    raw_server old([&](raw_peer& peer) {
        tls_peer tls(peer, files, TLS1_2_VERSION);
        CHECK_FALSE(tls.upgrade());
    });
    CHECK(failure_of(old.uri("wss"), files.trusting(wspool::tls_version_e::TLS_1_3)) ==
          error_e::TLS);
}

TEST_CASE("tls: a server that closes without close_notify closes cleanly all the same") {
    // Many do; the WebSocket close frame has said what there was to say.
    const certificates files;
    raw_server server([&](raw_peer& peer) {
        tls_peer tls(peer, files, TLS1_3_VERSION);
        if (!tls.upgrade()) return;
        tls.write(close(1000, "bye"));
        tls.read();
        peer.close();
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri("wss"), files.trusting());
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->last_event() == "close 1000 bye");
    CHECK(connection->Get_error() == nullptr);
}

TEST_CASE("tls: a broken record behind a message delivers it, and ends with TLS") {
    // OpenSSL takes no writes after a fatal error: sending then must not spin.
    const certificates files;
    raw_server server([&](raw_peer& peer) {
        tls_peer tls(peer, files, TLS1_3_VERSION);
        if (!tls.upgrade()) return;
        std::string all;
        tls.write(text("one"));
        peer.send(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
        peer.read_eof();
    });
    wspool::endpoint_c endpoint;
    auto log = std::make_shared<recorder>();
    log->when_message = [](auto& connection, auto) {
        for (int i = 0; i < 10; ++i) connection.Send("answer", true);
    };
    auto [kept, connection] = start(endpoint, server.uri("wss"), files.trusting(), log);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->messages() == std::vector<std::string>{"one"});
    CHECK(log->last_event() == "close 1006 ");
    CHECK(connection->Get_error()->Code() == error_e::TLS);
}
