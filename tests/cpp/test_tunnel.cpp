/// Through proxies, the whole stack. The handshake by itself is in test_proxy_handshake.cpp.

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "support/certificates.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;
using wspool::proxy_t;

namespace {

/// The proxy's side of one connection, under TLS or not.
class proxied {
public:
    proxied(raw_peer& peer, const certificates* files) : descriptor_(peer.descriptor()) {
        if (files == nullptr) return;
        context_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate_chain_file(context_, files->file("cert.pem").c_str());
        SSL_CTX_use_PrivateKey_file(context_, files->file("key.pem").c_str(), SSL_FILETYPE_PEM);
        ssl_ = SSL_new(context_);
        SSL_set_fd(ssl_, descriptor_);
        if (SSL_accept(ssl_) != 1) is_up_ = false;
    }
    ~proxied() {
        SSL_free(ssl_);
        SSL_CTX_free(context_);
        ERR_clear_error();
    }
    proxied(const proxied&) = delete;
    proxied& operator=(const proxied&) = delete;

    [[nodiscard]] bool is_up() const { return is_up_; }
    std::string read() {
        char buffer[20000];
        const ssize_t got = ssl_ != nullptr ? SSL_read(ssl_, buffer, sizeof buffer)
                                            : ::recv(descriptor_, buffer, sizeof buffer, 0);
        return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
    }
    void write(const std::string& bytes) {
        if (ssl_ != nullptr)
            SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
        else
            ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    [[nodiscard]] bool has_pending() const { return ssl_ != nullptr && SSL_pending(ssl_) > 0; }

    /// Carries bytes between the client and the server on that port until one of them ends.
    void carry(std::uint16_t port) {
        const int server = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        ::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address);
        char buffer[50000];
        while (true) {
            pollfd both[2] = {{descriptor_, POLLIN, 0}, {server, POLLIN, 0}};
            if (!has_pending() && ::poll(both, 2, 20'000) <= 0) break;
            if (has_pending() || both[0].revents != 0) {
                const std::string bytes = read();
                if (bytes.empty()) break;
                ::send(server, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            }
            if (both[1].revents != 0) {
                const ssize_t got = ::recv(server, buffer, sizeof buffer, 0);
                if (got <= 0) break;
                write(std::string(buffer, static_cast<std::size_t>(got)));
            }
        }
        ::close(server);
    }

private:
    const int descriptor_;
    SSL_CTX* context_ = nullptr;
    SSL* ssl_ = nullptr;
    bool is_up_ = true;
};

/// A CONNECT proxy that leads to that port, whatever it is asked for, with what it was asked.
struct connect_proxy {
    connect_proxy(const certificates* files, std::uint16_t port)
        : server([this, files, port](raw_peer& peer, int) {
              proxied client(peer, files);
              if (!client.is_up()) return;
              std::string head;
              while (head.find("\r\n\r\n") == std::string::npos) {
                  const std::string piece = client.read();
                  if (piece.empty()) return;
                  head += piece;
              }
              {
                  const std::lock_guard lock(mutex);
                  heads.push_back(head);
              }
              client.write("HTTP/1.1 200 OK\r\n\r\n");
              client.carry(port);
          }) {}
    std::mutex mutex;
    std::vector<std::string> heads;
    raw_server server;
};

}  // namespace

TEST_CASE(
    "tunnel: TLS and plain through a proxy that speaks TLS or not, large messages both ways") {
    // TLS in TLS: records of the inner one lie across records of the outer.
    const certificates files;
    const certificates proxy_files;
    for (const bool proxy_tls : {false, true}) {
        for (const bool server_tls : {false, true}) {
            CAPTURE(proxy_tls);
            CAPTURE(server_tls);
            const auto server = echo_server(server_tls ? &files : nullptr);
            connect_proxy proxy(proxy_tls ? &proxy_files : nullptr, server->Port());
            auto options = files.trusting();
            options.max_size = 8 << 20;
            options.deflate.enabled = false;
            options.proxy.kind = proxy_tls ? proxy_t::kind_e::HTTPS : proxy_t::kind_e::HTTP;
            options.proxy.host = "localhost";
            options.proxy.port = proxy.server.port();
            options.proxy.tls = proxy_files.trusting().tls;
            wspool::endpoint_c endpoint;
            auto [log, connection] = start(endpoint, server->Uri(), options);
            REQUIRE(log->wait_event("open"));
            std::string big(3 << 20, 'b');
            for (std::size_t i = 0; i < big.size(); ++i)
                big[i] = static_cast<char>(i * 2654435761U >> 13U);
            CHECK(connection->Send("hello", true) == nullptr);
            CHECK(connection->Send(big, false) == nullptr);
            for (int i = 0; i < 500; ++i)
                CHECK(connection->Send(std::to_string(i), true) == nullptr);
            REQUIRE(log->wait_messages(502));
            const auto messages = log->messages();
            CHECK(messages[0] == "hello");
            CHECK(messages[1] == big);
            CHECK(messages.back() == "499");
            CHECK(connection->Close() == nullptr);
            REQUIRE(connection->Wait_closed(patience));
            CHECK(log->last_event() == "close 1000 ");
            CHECK(connection->Get_error() == nullptr);
            const std::lock_guard lock(proxy.mutex);
            REQUIRE(proxy.heads.size() == 1);
            const std::string target =
                (server_tls ? "localhost:" : "127.0.0.1:") + std::to_string(server->Port());
            CHECK(proxy.heads[0].rfind("CONNECT " + target + " HTTP/1.1\r\n", 0) == 0);
        }
    }
}

TEST_CASE("tunnel: each of the certificates is verified, for its own name") {
    // A proxy must not pass for the server, nor another for the proxy.
    const certificates files;
    const certificates proxy_files;
    const auto server = echo_server(&files);
    const auto failure = [&](const wspool::options_t& options) {
        wspool::endpoint_c endpoint;
        auto [log, connection] = start(endpoint, server->Uri(), options);
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->events() == std::vector<std::string>{"fail"});
        return log->error_code();
    };
    connect_proxy proxy(&proxy_files, server->Port());
    auto options = files.trusting();
    options.proxy.kind = proxy_t::kind_e::HTTPS;
    options.proxy.host = "localhost";
    options.proxy.port = proxy.server.port();
    options.proxy.tls = files.trusting().tls;  // does not know the proxy's authority
    CHECK(failure(options) == error_e::TLS_VERIFY);
    options.proxy.tls = proxy_files.trusting().tls;
    options.proxy.server_hostname = "elsewhere.test";
    CHECK(failure(options) == error_e::TLS_VERIFY);
    options.proxy.server_hostname.clear();
    options.tls = proxy_files.trusting().tls;  // does not know the server's
    CHECK(failure(options) == error_e::TLS_VERIFY);
}

TEST_CASE("tunnel: a proxy that ends, says nothing or is none") {
    // Within the opening's deadline, with the proxy's name.
    const auto failure = [](raw_server& server, proxy_t::kind_e kind) {
        wspool::options_t options;
        options.proxy.kind = kind;
        options.proxy.host = "127.0.0.1";
        options.proxy.port = server.port();
        options.open_timeout = 300ms;
        wspool::endpoint_c endpoint;
        auto [log, connection] = start(endpoint, "ws://server.test:1", options);
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->events() == std::vector<std::string>{"fail"});
        return log->error_code();
    };
    using kind_e = proxy_t::kind_e;
    raw_server ends([](raw_peer& peer, int) { peer.read_request(); });
    CHECK(failure(ends, kind_e::HTTP) == error_e::PROXY);
    raw_server silent([](raw_peer& peer, int) { peer.read_eof(); });
    for (const kind_e kind : {kind_e::HTTP, kind_e::HTTPS, kind_e::SOCKS5H})
        CHECK(failure(silent, kind) == error_e::TIMEOUT);
    raw_server ssh([](raw_peer& peer, int) {
        peer.send("SSH-2.0-OpenSSH_9.9\r\n\r\n");
        peer.read_eof();
    });
    CHECK(failure(ssh, kind_e::HTTP) == error_e::PROXY);
    CHECK(failure(ssh, kind_e::HTTPS) == error_e::TLS);
    CHECK(failure(ssh, kind_e::SOCKS5H) == error_e::PROXY);
}
