#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "transport/proxy_handshake.hpp"

using namespace std::string_literals;
using wspool::error_e;
using wspool::proxy_t;
using wspool::transport::proxy_handshake;
using kind_e = proxy_t::kind_e;
using step_e = proxy_handshake::step_e;

namespace {

proxy_t make_proxy(kind_e kind, bool has_credentials = false) {
    proxy_t proxy;
    proxy.kind = kind;
    proxy.host = "proxy.test";
    proxy.port = 3128;
    proxy.has_credentials = has_credentials;
    if (has_credentials) {
        proxy.user = "joe";
        proxy.password = "s3cret";
    }
    return proxy;
}

struct outcome_t {
    step_e step = step_e::wants_read;
    std::string sent;  // after the first output
    std::string error;
    int status = 0;
};

/// Gives `answers`, each once the handshake wants it, in pieces of `size`.
outcome_t talk(proxy_handshake& handshake, const std::vector<std::string>& answers,
               std::size_t size) {
    outcome_t outcome;
    for (std::string_view answer : answers) {
        while (!answer.empty() && outcome.step == step_e::wants_read) {
            const auto piece = answer.substr(0, size);
            answer.remove_prefix(piece.size());
            outcome.step = handshake.take(piece);
            outcome.sent += handshake.take_output();
        }
    }
    if (outcome.step != step_e::failed) return outcome;
    const auto error = handshake.take_error();
    REQUIRE(error != nullptr);
    CHECK(error->Code() == error_e::PROXY);
    outcome.error = error->Error_msg();
    outcome.status = error->Http_status();
    CHECK(outcome.error.find("proxy proxy.test port 3128: ") == 0);
    CHECK(outcome.error.find("s3cret") == std::string::npos);
    CHECK(outcome.error.find("am9lOnMzY3JldA==") == std::string::npos);
    return outcome;
}

/// The same byte by byte and in one piece, which must not make a difference.
outcome_t talk_both(const proxy_t& proxy, const std::vector<std::string>& answers,
                    const std::string& host = "server.test") {
    outcome_t found[2];
    const std::size_t sizes[] = {1, 1 << 20};
    for (int i = 0; i < 2; ++i) {
        proxy_handshake handshake(proxy, host, 8443, "agent/1");
        handshake.take_output();
        found[i] = talk(handshake, answers, sizes[i]);
    }
    CHECK(found[0].step == found[1].step);
    CHECK(found[0].sent == found[1].sent);
    CHECK(found[0].error == found[1].error);
    return found[0];
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A reply with an IPv4 address.
std::string socks_reply(int code) {
    return "\x05"s + static_cast<char>(code) + "\0\1\0\0\0\0\0\0"s;
}

}  // namespace

// --- CONNECT

TEST_CASE("CONNECT: the request, with and without what is optional") {
    // Byte for byte (RFC 9110 section 9.3.6); IPv6 in brackets, the port always.
    proxy_handshake plain(make_proxy(kind_e::HTTP), "server.test", 443, "");
    CHECK(plain.take_output() ==
          "CONNECT server.test:443 HTTP/1.1\r\nHost: server.test:443\r\n\r\n");
    CHECK(plain.take_output().empty());  // once
    proxy_handshake full(make_proxy(kind_e::HTTPS, true), "2001:db8::1", 80, "agent/1");
    CHECK(full.take_output() ==
          "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n"
          "Proxy-Authorization: Basic am9lOnMzY3JldA==\r\nUser-Agent: agent/1\r\n\r\n");
}

TEST_CASE("CONNECT: every 2xx answer is success, with any headers") {
    // Content-Length and Transfer-Encoding mean nothing here (RFC 9110 section 9.3.6).
    for (const char* answer : {
             "HTTP/1.1 200 Connection established\r\n\r\n",
             "HTTP/1.0 200\r\n\r\n",
             "HTTP/1.1 204 \r\nContent-Length: 5\r\nVia: x\r\n\r\n",
             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK"
             "\r\n\r\n",
         }) {
        CAPTURE(answer);
        const auto outcome = talk_both(make_proxy(kind_e::HTTP), {answer});
        CHECK(outcome.step == step_e::done);
        CHECK(outcome.sent.empty());
    }
}

TEST_CASE("CONNECT: a refusal is told with its status") {
    // 407 and 403 will not be mended by trying again, 503 may be.
    for (const int status : {101, 300, 302, 403, 407, 503, 999}) {
        CAPTURE(status);
        const auto outcome =
            talk_both(make_proxy(kind_e::HTTP, true),
                      {"HTTP/1.1 " + std::to_string(status) + " Not today\r\nX: y\r\n\r\n"});
        CHECK(outcome.step == step_e::failed);
        CHECK(outcome.status == status);
        CHECK(contains(outcome.error, "it answered " + std::to_string(status) + " Not today"));
    }
}

TEST_CASE("CONNECT: what is no HTTP fails, and is quoted without what is not printable") {
    // Another service may listen there.
    for (const auto& answer : {
             "SSH-2.0-OpenSSH_9\r\n\r\n"s,
             "HTTP/2 200 OK\r\n\r\n"s,
             "HTTP/1.2 200 OK\r\n\r\n"s,
             "HTTP/1.1200 OK\r\n\r\n"s,
             "HTTP/1.1 20 OK\r\n\r\n"s,
             "HTTP/1.1 2000 OK\r\n\r\n"s,
             "HTTP/1.1 -20 OK\r\n\r\n"s,
             "HTTP/1.1 099 OK\r\n\r\n"s,
             "HTTP/1.1  200 OK\r\n\r\n"s,
             "http/1.1 200 OK\r\n\r\n"s,
             "\r\n\r\n"s,
             "\x1B[31m\0\xFF HTTP/1.1 200\r\n\r\n"s,
         }) {
        CAPTURE(answer);
        const auto outcome = talk_both(make_proxy(kind_e::HTTP), {answer});
        CHECK(outcome.step == step_e::failed);
        CHECK(contains(outcome.error, "its answer is not HTTP"));
        for (const char c : outcome.error) CHECK((c >= ' ' && c <= '~'));
        CHECK(outcome.error.size() < 200);
    }
}

TEST_CASE("CONNECT: the length of an answer is bounded") {
    // 16 KiB, whether its end comes or not; interim answers begin anew.
    const std::string longest = "HTTP/1.1 200 OK\r\nX: ";
    const auto of_size = [&](std::size_t size) {
        return longest + std::string(size - longest.size(), 'x') + "\r\n\r\n";
    };
    CHECK(talk_both(make_proxy(kind_e::HTTP), {of_size(proxy_handshake::longest_answer)}).step ==
          step_e::done);
    const auto above =
        talk_both(make_proxy(kind_e::HTTP), {of_size(proxy_handshake::longest_answer + 8)});
    CHECK(above.step == step_e::failed);
    CHECK(contains(above.error, "longer than 16 KiB"));
    const auto endless = talk_both(make_proxy(kind_e::HTTP), {std::string(1 << 18, '\r')});
    CHECK(endless.step == step_e::failed);
    CHECK(contains(endless.error, "longer than 16 KiB"));
    std::string interim;
    for (int i = 0; i < 5000; ++i) interim += "HTTP/1.1 100\r\n\r\n";
    proxy_handshake flooded(make_proxy(kind_e::HTTP), "server.test", 443, "");
    for (int i = 0; i < 10; ++i) CHECK(flooded.take(interim) == step_e::wants_read);
    CHECK(flooded.take("HTTP/1.1 200 OK\r\n\r\n") == step_e::done);
}

TEST_CASE("CONNECT: bytes behind the answer are refused") {
    // The server does not speak first, so they are the proxy's.
    for (const kind_e kind : {kind_e::HTTP, kind_e::HTTPS}) {
        proxy_handshake handshake(make_proxy(kind), "server.test", 443, "");
        const auto outcome =
            talk(handshake, {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Hi\r\n"}, 1 << 20);
        CHECK(outcome.step == step_e::failed);
        CHECK(contains(outcome.error, "more than its answer"));
    }
}

TEST_CASE("CONNECT: a proxy that echoes the credentials does not get them into the error") {
    // Errors are logged. Basic's form of them is no secret to whoever can read it.
    for (const char* line : {"407 s3cret is wrong", "407 am9lOnMzY3JldA== is wrong"}) {
        const auto outcome =
            talk_both(make_proxy(kind_e::HTTP, true), {"HTTP/1.1 "s + line + "\r\n\r\n"});
        CHECK(outcome.step == step_e::failed);
        CHECK(outcome.status == 407);
        CHECK(contains(outcome.error, "407"));
    }
    const auto other =
        talk_both(make_proxy(kind_e::HTTP, true), {"Basic am9lOnMzY3JldA==\r\n\r\n"});
    CHECK(other.step == step_e::failed);
}

// --- SOCKS5

TEST_CASE("SOCKS5: greeting, request and reply without authentication") {
    // Byte for byte (RFC 1928); a name, an IPv4 and an IPv6 address.
    struct case_t {
        std::string host;
        std::string address;
    };
    for (const auto& [host, address] : {
             case_t{"server.test", "\3\x0Bserver.test"s},
             case_t{"192.0.2.7", "\1\xC0\0\2\7"s},
             case_t{"2001:db8::1", "\4\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\1"s},
         }) {
        CAPTURE(host);
        proxy_handshake handshake(make_proxy(kind_e::SOCKS5H), host, 8443, "agent/1");
        CHECK(handshake.take_output() == "\5\1\0"s);
        const auto outcome = talk_both(make_proxy(kind_e::SOCKS5), {"\5\0"s, socks_reply(0)}, host);
        CHECK(outcome.step == step_e::done);
        CHECK(outcome.sent == "\5\1\0"s + address + "\x20\xFB"s);
    }
}

TEST_CASE("SOCKS5: user name and password, where the proxy chooses them") {
    // RFC 1929. A proxy that wants none is not told any.
    proxy_handshake handshake(make_proxy(kind_e::SOCKS5, true), "s", 80, "");
    CHECK(handshake.take_output() == "\5\2\0\2"s);
    const std::string request = "\5\1\0\3\x0Bserver.test\x20\xFB"s;
    const auto asked =
        talk_both(make_proxy(kind_e::SOCKS5, true), {"\5\2"s, "\1\0"s, socks_reply(0)});
    CHECK(asked.step == step_e::done);
    CHECK(asked.sent == "\1\3joe\6s3cret"s + request);
    const auto not_asked = talk_both(make_proxy(kind_e::SOCKS5, true), {"\5\0"s, socks_reply(0)});
    CHECK(not_asked.step == step_e::done);
    CHECK(not_asked.sent == request);
    const auto own_version =
        talk_both(make_proxy(kind_e::SOCKS5, true), {"\5\2"s, "\5\0"s, socks_reply(0)});
    CHECK(own_version.step == step_e::done);
}

TEST_CASE("SOCKS5: bound addresses of every type are read to their end") {
    // Their length decides where the peer's bytes begin.
    for (const auto& reply : {
             "\5\0\0\1\1\2\3\4\5\6"s,
             "\5\0\0\3\0\5\6"s,
             "\5\0\0\3\xFF"s + std::string(255, 'x') + "\5\6",
             "\5\0\0\4"s + std::string(16, '\0') + "\5\6",
         }) {
        const auto outcome = talk_both(make_proxy(kind_e::SOCKS5), {"\5\0"s, reply});
        CHECK(outcome.step == step_e::done);
        proxy_handshake handshake(make_proxy(kind_e::SOCKS5), "s", 80, "");
        const auto more = talk(handshake, {"\5\0"s, reply + "x"}, 1 << 20);
        CHECK(more.step == step_e::failed);
        CHECK(contains(more.error, "more than its answer"));
    }
}

TEST_CASE("SOCKS5: every failure has its words") {
    // So that somebody can do something about it.
    struct case_t {
        std::vector<std::string> answers;
        bool has_credentials;
        std::string said;
    };
    const std::vector<case_t> cases = {
        {{"HTTP/1.1 400"}, false, "is not a SOCKS5 proxy"},
        {{"\4\0"s}, false, "is not a SOCKS5 proxy"},
        {{"\5\xFF"s}, false, "wants authentication"},
        {{"\5\xFF"s}, true, "accepts neither"},
        {{"\5\2"s}, false, "not offered"},
        {{"\5\1"s}, true, "not offered"},
        {{"\5\2"s, "\1\1"s}, true, "does not accept the user name and password"},
        {{"\5\0"s, "\5\1"s}, false, "general failure"},
        {{"\5\0"s, "\5\2"s}, false, "not allowed"},
        {{"\5\0"s, "\5\3"s}, false, "network unreachable"},
        {{"\5\0"s, "\5\4"s}, false, "host unreachable"},
        {{"\5\0"s, "\5\5"s}, false, "connection refused"},
        {{"\5\0"s, "\5\6"s}, false, "TTL expired"},
        {{"\5\0"s, "\5\7"s}, false, "command not supported"},
        {{"\5\0"s, "\5\x8"s}, false, "address type not supported"},
        {{"\5\0"s, "\5\x9"s}, false, "unknown reply"},
        {{"\5\0"s, "\5\xFF"s}, false, "unknown reply"},
        {{"\5\0"s, "\4\0"s}, false, "is not a SOCKS5 proxy"},
        {{"\5\0"s, "\5\0\0\2\0"s}, false, "unknown type of address"},
    };
    for (const auto& [answers, has_credentials, said] : cases) {
        CAPTURE(said);
        const auto outcome = talk_both(make_proxy(kind_e::SOCKS5, has_credentials), answers);
        CHECK(outcome.step == step_e::failed);
        CHECK(outcome.status == 0);
        CHECK(contains(outcome.error, said));
    }
}

TEST_CASE("SOCKS5: an answer to what was not asked yet is refused") {
    // Otherwise the request would never be sent, and the reply be believed all the same.
    const std::vector<std::string> early = {
        "\5\0"s + socks_reply(0),
        "\5\2\1\0"s,
    };
    for (const std::string& answer : early) {
        proxy_handshake handshake(make_proxy(kind_e::SOCKS5, true), "server.test", 443, "");
        handshake.take_output();
        const auto outcome = talk(handshake, {answer}, 1 << 20);
        CHECK(outcome.step == step_e::failed);
        CHECK(contains(outcome.error, "more than its answer"));
    }
    proxy_handshake handshake(make_proxy(kind_e::SOCKS5, true), "server.test", 443, "");
    handshake.take_output();
    CHECK(handshake.take("\5\2"s) == step_e::wants_read);
    const auto outcome = talk(handshake, {"\1\0"s + socks_reply(0)}, 1 << 20);
    CHECK(outcome.step == step_e::failed);
}

TEST_CASE("SOCKS5: names and credentials that do not fit in a byte's length are refused") {
    // A length that wraps around would have the proxy read the rest as something else.
    const auto long_host = talk_both(make_proxy(kind_e::SOCKS5H), {"\5\0"s}, std::string(256, 'x'));
    CHECK(long_host.step == step_e::failed);
    CHECK(contains(long_host.error, "255"));
    CHECK(talk_both(make_proxy(kind_e::SOCKS5H), {"\5\0"s}, std::string(255, 'x')).step ==
          step_e::wants_read);
    for (const bool in_user : {true, false}) {
        auto proxy = make_proxy(kind_e::SOCKS5, true);
        (in_user ? proxy.user : proxy.password) = std::string(256, 'x');
        const auto outcome = talk_both(proxy, {"\5\2"s});
        CHECK(outcome.step == step_e::failed);
        CHECK(contains(outcome.error, "255"));
        CHECK_FALSE(contains(outcome.error, "xxx"));
    }
}
