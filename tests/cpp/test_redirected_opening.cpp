#include <doctest/doctest.h>

#include <atomic>
#include <string>

#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;
using status_e = wspool::metadata_c::status_e;

namespace {

std::string redirect(const std::string& location, const std::string& body = {}) {
    return "HTTP/1.1 302 Found\r\nLocation: " + location +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// The path of a request.
std::string path_of(const std::string& head) {
    const std::size_t begin = head.find(' ') + 1;
    return head.substr(begin, head.find(' ', begin) - begin);
}

void echo_one(raw_peer& peer) {
    received_frame_t f;
    if (!peer.read_frame(f)) return;
    peer.send(text(f.payload));
    if (peer.read_until(8, f)) peer.send(close(1000));
}

}  // namespace

TEST_CASE("redirects: the connection opens where they lead, and nothing is told in between") {
    // Relative, then with its own authority; a body that is long, one that ends with the stream.
    raw_server target([](raw_peer& peer) {
        if (peer.upgrade()) echo_one(peer);
    });
    raw_server server([&](raw_peer& peer) {
        if (path_of(peer.read_request()) == "/a") {
            peer.send(redirect("b?c", std::string(5000, 'x')));
        } else {
            peer.send("HTTP/1.1 307 x\r\nLocation: " + target.uri("http") + "/d\r\n\r\nbody");
        }
    });
    wspool::endpoint_c endpoint;
    auto log = std::make_shared<recorder>();
    log->when_open = [](wspool::metadata_c& c) { c.Send("hello", true); };
    auto [_, connection] = start(endpoint, server.uri() + "/a", {}, log);
    REQUIRE(log->wait_messages(1));
    CHECK(log->messages() == std::vector<std::string>{"hello"});
    CHECK(connection->Get_uri() == server.uri() + "/a");
    CHECK(connection->Get_request().path == "/d");
    CHECK(connection->Get_response().status == 101);
    CHECK(connection->Get_remote_address().second == target.port());
    CHECK(connection->Get_error() == nullptr);
    connection->Close();
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"open", "close 1000 "});
}

TEST_CASE("redirects: each attempt has a key of its own") {
    // A key answers for one request (RFC 6455 section 4.1).
    std::vector<std::string> heads;
    raw_server server([&](raw_peer& peer) {
        heads.push_back(peer.read_request());
        peer.send(redirect("/"));
    });
    wspool::options_t options;
    options.max_redirects = 1;
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(connection->Wait_closed(patience));
    REQUIRE(heads.size() == 2);
    const auto key = [](const std::string& head) {
        return head.substr(head.find("Sec-WebSocket-Key: ") + 19, 24);
    };
    CHECK(key(heads[0]) != key(heads[1]));
    CHECK(log->error_code() == error_e::SECURITY);
    CHECK(log->error_text() == "more than 1 redirects");
    CHECK(connection->Get_response().status == 302);
}

TEST_CASE("redirects: none is followed where none may be, nor one that leads nowhere") {
    // Then it is a refusal as any other.
    for (const char* location : {"/", "ftp://h/", ""}) {
        raw_server server([&](raw_peer& peer) {
            peer.read_request();
            peer.send(*location == '\0' ? "HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n"
                                        : redirect(location));
        });
        wspool::options_t options;
        if (location == std::string("/")) options.max_redirects = 0;
        wspool::endpoint_c endpoint;
        auto [log, connection] = start(endpoint, server.uri(), options);
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->error_code() == error_e::STATUS);
        CHECK(connection->Get_error()->Http_status() == 302);
    }
}

TEST_CASE("redirects: one deadline for all attempts") {
    // A second attempt must not get a second open_timeout.
    raw_server silent([](raw_peer& peer) { peer.read_eof(); });
    raw_server server([&](raw_peer& peer) {
        peer.read_request();
        peer.send(redirect(silent.uri()));
    });
    wspool::options_t options;
    options.open_timeout = 200ms;
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"fail"});
    CHECK(log->error_code() == error_e::TIMEOUT);
    CHECK(log->error_text().find(server.uri()) != std::string::npos);
}

TEST_CASE("redirects: what the second attempt meets is what the connection fails with") {
    // Nothing is left of the first.
    const auto nobody = "ws://127.0.0.1:" + std::to_string(refused_port());
    raw_server server([&](raw_peer& peer) {
        peer.read_request();
        peer.send(redirect(nobody));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"fail"});
    CHECK(log->error_code() == error_e::CONNECT);
    CHECK(connection->Get_response().status == 0);
    CHECK(connection->Get_remote_address().second == 0);
}

TEST_CASE("redirects: Abort, Close and Stop win over a redirect, at whatever moment") {
    // The server redirects for ever; each way ends it with one on_fail.
    for (int round = 0; round < 60; ++round) {
        std::atomic<int> requests{0};
        signal_t enough;
        raw_server server([&](raw_peer& peer) {
            if (peer.read_request().empty()) return;
            if (++requests == 1 + round % 5) enough.set();
            peer.send(redirect("/"));
        });
        wspool::options_t options;
        options.max_redirects = 1'000'000;
        wspool::endpoint_c endpoint;
        auto [log, connection] = start(endpoint, server.uri(), options);
        REQUIRE(enough.wait());
        if (round % 3 == 0) connection->Abort();
        if (round % 3 == 1) CHECK(connection->Close() == nullptr);
        if (round % 3 == 2) CHECK(endpoint.Stop(patience));
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->events() == std::vector<std::string>{"fail"});
        CHECK(log->error_code() == error_e::ABORTED);
        CHECK(connection->Get_status() == status_e::FAILED);
    }
}

TEST_CASE("redirects: a request that the first server did not read does not disturb the second") {
    // Its socket is still waited for to become writable when the answer comes.
    raw_server target([](raw_peer& peer) {
        if (peer.upgrade()) echo_one(peer);
    });
    raw_server server([&](raw_peer& peer) {
        peer.send(redirect(target.uri()));
        peer.read_eof();
    });
    wspool::options_t options;
    for (int i = 0; i < 100; ++i) {
        options.additional_headers.emplace_back("X-Filler", std::string(100'000, 'x'));
    }
    wspool::endpoint_c endpoint;
    auto log = std::make_shared<recorder>();
    log->when_open = [](wspool::metadata_c& c) { c.Send("hello", true); };
    auto [_, connection] = start(endpoint, server.uri(), options, log);
    REQUIRE(log->wait_messages(1));
    connection->Close();
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"open", "close 1000 "});
}
