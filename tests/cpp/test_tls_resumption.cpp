#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "support/certificates.hpp"
#include "transport/tls_context.hpp"
#include "transport/tls_session.hpp"

using namespace wspool_test;
using wspool::transport::tls_resumption;
using wspool::transport::tls_session;

namespace {

/// A TLS server without a network; it can resume what it once was part of.
class memory_server {
public:
    memory_server(const certificates& files, int version)
        : context_(SSL_CTX_new(TLS_server_method())) {
        SSL_CTX_use_certificate_chain_file(context_, files.file("cert.pem").c_str());
        SSL_CTX_use_PrivateKey_file(context_, files.file("key.pem").c_str(), SSL_FILETYPE_PEM);
        SSL_CTX_set_min_proto_version(context_, version);
        SSL_CTX_set_max_proto_version(context_, version);
    }
    ~memory_server() {
        SSL_CTX_free(context_);
        ERR_clear_error();
    }
    memory_server(const memory_server&) = delete;
    memory_server& operator=(const memory_server&) = delete;

    /// One connection, with a message from the server, behind which its tickets have come. True if
    /// it was resumed.
    bool connects(const std::shared_ptr<const wspool::tls_context_c>& context,
                  const std::string& name, bool identifies_itself = true) {
        SSL* const ssl = SSL_new(context_);
        BIO* const in = BIO_new(BIO_s_mem());
        BIO* const out = BIO_new(BIO_s_mem());
        SSL_set_bio(ssl, in, out);
        SSL_set_accept_state(ssl);
        tls_session client(context, name, identifies_itself);
        auto step = tls_session::step_e::wants_read;
        for (int i = 0; i < 10 && step == tls_session::step_e::wants_read; ++i) {
            step = client.handshake();
            move(client, in);
            SSL_do_handshake(ssl);
            move(out, client);
        }
        if (step != tls_session::step_e::done) {
            SSL_free(ssl);
            throw std::runtime_error(client.take_error()->Error_msg());
        }
        SSL_do_handshake(ssl);
        SSL_write(ssl, "hello", 5);
        move(out, client);
        char bytes[16];
        std::size_t count = 0;
        client.read(bytes, sizeof bytes, count);
        CHECK(std::string(bytes, count) == "hello");
        const bool resumed = SSL_session_reused(ssl) == 1;
        client.shut_down();
        SSL_free(ssl);
        return resumed;
    }

private:
    static void move(tls_session& from, BIO* to) {
        auto& bytes = from.output();
        BIO_write(to, bytes.data(), static_cast<int>(bytes.size()));
        bytes.clear();
    }
    void move(BIO* from, tls_session& to) {
        char buffer[16384];
        int got = 0;
        while ((got = BIO_read(from, buffer, sizeof buffer)) > 0) {
            to.feed(buffer, static_cast<std::size_t>(got));
            to.keep_rest();
        }
    }
    SSL_CTX* context_;
};

}  // namespace

TEST_CASE("tls resumption: the next connection to the same server resumes") {
    // It saves the certificate, and a signature on both sides. Several in a row, in both versions.
    const certificates files;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        memory_server server(files, version);
        const auto context = files.trusting().tls;
        CHECK_FALSE(server.connects(context, "localhost"));
        for (int i = 0; i < 5; ++i) CHECK(server.connects(context, "localhost"));
    }
}

TEST_CASE("tls resumption: not for another name, other settings, or another identity") {
    // What was checked for one name says nothing about another; and who keeps the certificate back
    // must not be recognised by a session made with it.
    const certificates files;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        memory_server server(files, version);
        const auto context = files.trusting().tls;
        const auto other = files.trusting().tls;
        CHECK_FALSE(server.connects(context, "localhost"));
        CHECK_FALSE(server.connects(context, "127.0.0.1"));
        CHECK_FALSE(server.connects(context, "localhost", false));
        CHECK_FALSE(server.connects(other, "localhost"));
        // Each has its own by now.
        CHECK(server.connects(context, "localhost"));
        CHECK(server.connects(context, "127.0.0.1"));
        CHECK(server.connects(context, "localhost", false));
        CHECK(server.connects(other, "localhost"));
    }
}

TEST_CASE("tls resumption: a server that knows the session no more gets a full handshake") {
    // As after its restart.
    const certificates files;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const auto context = files.trusting().tls;
        memory_server before(files, version);
        CHECK_FALSE(before.connects(context, "localhost"));
        memory_server after(files, version);
        CHECK_FALSE(after.connects(context, "localhost"));
        CHECK(after.connects(context, "localhost"));
    }
}

TEST_CASE("tls resumption: a session is no way around a certificate that is not accepted") {
    // The name is checked at the first connection, of which there is no session then.
    const certificates files({"other.example"});
    memory_server server(files, TLS1_3_VERSION);
    const auto context = files.trusting().tls;
    CHECK_FALSE(server.connects(context, "other.example"));
    for (int i = 0; i < 2; ++i)
        CHECK_THROWS_AS(server.connects(context, "localhost"), std::runtime_error);
    CHECK(server.connects(context, "other.example"));
}

TEST_CASE("tls resumption: what is kept is bounded, in servers and for each") {
    // Of one server the latest, which it knows best.
    tls_resumption kept;
    CHECK(kept.take("nobody") == nullptr);
    const auto make = [] { return tls_resumption::session_ptr(SSL_SESSION_new()); };
    for (std::size_t i = 0; i < 10 * tls_resumption::most_servers; ++i) {
        kept.keep("server" + std::to_string(i), make());
        kept.keep("busy", make());
    }
    // These cannot be resumed: nothing was negotiated. They are dropped, not handed out.
    CHECK(kept.take("busy") == nullptr);
}
