#include <doctest/doctest.h>

#include <sys/socket.h>

#include <atomic>

#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;
using status_e = wspool::metadata_c::status_e;

TEST_CASE("closing: by us: both close frames, in order, and CLOSED at the end") {
    // RFC 6455 section 7.1.2; Sent_close and Received_close decide between OK and error later.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        CHECK(peer.read_frame(f));
        CHECK(f.payload == "last words");
        CHECK(peer.read_frame(f));
        CHECK(f.opcode == 8);
        CHECK(f.payload == close_payload(3001, "bye"));
        peer.send(text("late") + close(3001, "bye"));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(log->wait_event("open"));
    CHECK(connection->Send("last words", true) == nullptr);
    CHECK(connection->Close(3001, "bye") == nullptr);
    CHECK(connection->Send("too late", true)->Code() != error_e::BUFFER_FULL);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"open", "close 3001 bye"});
    CHECK(log->messages() == std::vector<std::string>{"late"});
    CHECK(connection->Get_status() == status_e::CLOSED);
    REQUIRE(connection->Sent_close());
    CHECK(connection->Sent_close()->code == 3001);
    REQUIRE(connection->Received_close());
    CHECK(connection->Received_close()->reason == "bye");
    CHECK_FALSE(connection->Received_close_first());
    CHECK(connection->Get_error() == nullptr);
    CHECK(connection->Close() == nullptr);
    CHECK(connection->Send("x", true)->Code() == error_e::CLOSED);
}

TEST_CASE("closing: by the server, with every kind of code") {
    // The answer repeats the code (RFC 6455 section 5.5.1), and none is answered by none.
    for (const unsigned code : {1000U, 1001U, 1008U, 1011U, 1014U, 3000U, 4999U, 0U}) {
        raw_server server([code](raw_peer& peer) {
            if (!peer.upgrade()) return;
            const std::string payload = code != 0 ? close_payload(code, "why") : "";
            peer.send(text("before") + with_opcode(8, payload));
            received_frame_t f;
            CHECK(peer.read_frame(f));
            CHECK(f.opcode == 8);
            if (code != 0) CHECK(f.payload.substr(0, 2) == close_payload(code));
            if (code == 0) CHECK(f.payload.empty());
        });
        wspool::endpoint_c endpoint;
        auto [log, connection] = start(endpoint, server.uri());
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->messages() == std::vector<std::string>{"before"});
        CHECK(log->last_event() ==
              (code != 0 ? "close " + std::to_string(code) + " why" : "close 1005 "));
        CHECK(connection->Received_close_first());
        REQUIRE(connection->Sent_close());
    }
}

TEST_CASE("closing: what came in the close frame's segment can be answered") {
    // The messages are delivered before the end begins.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("question") + close(1000));
        received_frame_t f;
        CHECK(peer.read_frame(f));
        CHECK(f.payload == "answer");
        CHECK(peer.read_until(8, f));
    });
    wspool::endpoint_c endpoint;
    auto log = std::make_shared<recorder>();
    log->when_message = [](auto& connection, auto) {
        CHECK(connection.Send("answer", true) == nullptr);
    };
    auto made = start(endpoint, server.uri(), {}, log);
    CHECK(made.connection->Wait_closed(patience));
}

TEST_CASE("closing: a close frame with the end of TCP right behind it is answered all the same") {
    // RFC 6455 section 5.5.1. The end can be read before the answer is written.
    std::atomic<int> answers{0};
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(close(1001, "bye"));
        ::shutdown(peer.descriptor(), SHUT_WR);
        received_frame_t f;
        if (peer.read_until(8, f) && f.payload == close_payload(1001, "bye")) ++answers;
    });
    constexpr int rounds = 300;
    wspool::endpoint_c endpoint;
    for (int i = 0; i < rounds; ++i) {
        auto [log, connection] = start(endpoint, server.uri());
        REQUIRE(connection->Wait_closed(patience));
        CHECK(connection->Received_close()->code == 1001);
        CHECK(connection->Get_error() == nullptr);
    }
    CHECK(comes_true([&] { return answers == rounds; }));
}

TEST_CASE("closing: an end without a close frame is 1006") {
    // RFC 6455 section 7.1.5; also in the middle of a frame, and by a reset.
    for (const int how : {0, 1, 2}) {
        raw_server server([how](raw_peer& peer) {
            if (!peer.upgrade()) return;
            peer.send(text("one"));
            received_frame_t f;
            CHECK(peer.read_frame(f));
            if (how == 1) peer.send(binary(std::string(10000, 'x')).substr(0, 5000));
            if (how == 2) peer.reset();
        });
        wspool::endpoint_c endpoint;
        auto log = std::make_shared<recorder>();
        log->when_message = [](auto& connection, auto) { connection.Send("got it", true); };
        auto [kept, connection] = start(endpoint, server.uri(), {}, log);
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->events() == std::vector<std::string>{"open", "close 1006 "});
        REQUIRE(connection->Get_error() != nullptr);
        CHECK(connection->Get_error()->Code() ==
              (how == 2 ? error_e::CONNECT : error_e::END_OF_STREAM));
        CHECK_FALSE(connection->Received_close());
        CHECK_FALSE(connection->Sent_close());
    }
}

TEST_CASE("closing: a server that never answers the close costs close_timeout") {
    // Nobody may hold a connection open for ever.
    signal_t release;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        CHECK(release.wait());
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.close_timeout = 100ms;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(log->wait_event("open"));
    CHECK(connection->Close() == nullptr);
    CHECK(connection->Wait_closed(patience));
    release.set();
    CHECK(log->last_event() == "close 1006 ");
    REQUIRE(connection->Sent_close());
    CHECK(connection->Sent_close()->code == 1000);
}

TEST_CASE("closing: a server that answers and keeps TCP open costs close_timeout") {
    // The server should end TCP first (RFC 6455 section 7.1.1), but may not.
    signal_t release;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        CHECK(peer.read_until(8, f));
        peer.send(close(1000));
        CHECK(release.wait());
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.close_timeout = 100ms;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(log->wait_event("open"));
    connection->Close();
    CHECK(connection->Wait_closed(patience));
    release.set();
    CHECK(log->last_event() == "close 1000 ");
}

TEST_CASE("closing: a protocol error is answered with its code, then EOF") {
    // RFC 6455 section 7.1.7, and the server must be able to read why.
    struct violation_t {
        std::string bytes;
        unsigned code;
        error_e error;
    };
    frame_spec_t masked;
    masked.masked = true;
    frame_spec_t rsv;
    rsv.reserved = 4;
    const std::vector<violation_t> all = {
        {frame("x", masked), 1002, error_e::PROTOCOL},
        {frame("x", rsv), 1002, error_e::PROTOCOL},
        {continuation("x"), 1002, error_e::PROTOCOL},
        {close(1005), 1002, error_e::PROTOCOL},
        {text("\xFF"), 1007, error_e::PROTOCOL},
        {close(1000, "\xFF"), 1007, error_e::PROTOCOL},
        {binary(std::string(2000, 'x')), 1009, error_e::PAYLOAD_TOO_BIG},
        {binary(std::string(900, 'x'), false) + continuation(std::string(200, 'x')), 1009,
         error_e::PAYLOAD_TOO_BIG},
    };
    for (const auto& v : all) {
        INFO(v.code);
        raw_server server([&v](raw_peer& peer) {
            if (!peer.upgrade()) return;
            // Much follows, which must not turn the end into a reset.
            peer.send(text("good") + v.bytes + std::string(300000, 'z'));
            received_frame_t f;
            REQUIRE(peer.read_frame(f));
            CHECK(f.opcode == 8);
            CHECK(f.payload.substr(0, 2) == close_payload(v.code));
            CHECK(peer.read_eof());
        });
        wspool::endpoint_c endpoint;
        wspool::options_t options;
        options.max_size = 1000;
        auto [log, connection] = start(endpoint, server.uri(), options);
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->messages() == std::vector<std::string>{"good"});
        CHECK(log->last_event() == "close 1006 ");
        REQUIRE(connection->Get_error() != nullptr);
        CHECK(connection->Get_error()->Code() == v.error);
        REQUIRE(connection->Sent_close());
        CHECK(connection->Sent_close()->code == v.code);
    }
}

TEST_CASE("closing: wrong codes and reasons are refused at the call") {
    // Bad input from a caller must not reach the wire.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        CHECK(peer.read_frame(f));
        CHECK(f.payload == close_payload(1000, std::string(123, 'r')));
        peer.send(close(1000));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(log->wait_event("open"));
    for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 2999U, 5000U}) {
        const auto error = connection->Close(static_cast<std::uint16_t>(code));
        REQUIRE(error);
        CHECK(error->Code() == error_e::INVALID_ARGUMENT);
    }
    CHECK(connection->Close(1000, std::string(124, 'r'))->Code() == error_e::INVALID_ARGUMENT);
    CHECK(connection->Close(1000, "\xFF")->Code() == error_e::INVALID_ARGUMENT);
    CHECK(connection->Get_status() == status_e::OPENED);
    CHECK(connection->Close(1000, std::string(123, 'r')) == nullptr);
    CHECK(connection->Wait_closed(patience));
}

TEST_CASE("closing: Abort and Close inside every callback") {
    // Callbacks are where users close.
    for (const bool abort : {true, false}) {
        for (const bool in_open : {true, false}) {
            raw_server server([](raw_peer& peer) {
                if (!peer.upgrade()) return;
                peer.send(text("m"));
                received_frame_t f;
                if (peer.read_until(8, f)) peer.send(close(1000));
            });
            wspool::endpoint_c endpoint;
            auto log = std::make_shared<recorder>();
            const auto end = [abort](wspool::metadata_c& connection) {
                if (abort) connection.Abort();
                if (!abort) CHECK(connection.Close() == nullptr);
            };
            if (in_open) log->when_open = end;
            if (!in_open) log->when_message = [end](auto& connection, auto) { end(connection); };
            log->when_end = end;  // again, where it must do nothing
            auto [kept, connection] = start(endpoint, server.uri(), {}, log);
            REQUIRE(connection->Wait_closed(patience));
            CHECK(log->last_event() == (abort ? "close 1006 " : "close 1000 "));
            CHECK(log->events().size() == 2);
        }
    }
}

TEST_CASE("keepalive: silence after a ping fails the connection with 1011") {
    // A dead peer is noticed, and told should it still listen.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        REQUIRE(peer.read_frame(f));
        CHECK(f.opcode == 9);
        REQUIRE(peer.read_until(8, f));
        CHECK(f.payload == close_payload(1011, "keepalive ping timeout"));
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.ping_interval = 50ms;
    options.ping_timeout = 50ms;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->last_event() == "close 1006 ");
    CHECK(connection->Get_error()->Code() == error_e::TIMEOUT);
    REQUIRE(connection->Sent_close());
    CHECK(connection->Sent_close()->code == 1011);
}

TEST_CASE("keepalive: answered pings keep the connection and tell the latency") {
    // Twenty intervals, all answered.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        for (int i = 0; i < 20 && peer.read_until(9, f); ++i) peer.send(pong(f.payload));
        peer.send(close(1000));
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.ping_interval = 10ms;
    options.ping_timeout = 10s;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->last_event() == "close 1000 ");
    CHECK(connection->Get_latency().count() > 0);
}

TEST_CASE("Ping: the answer to a later ping answers the earlier ones, the end the rest") {
    // RFC 6455 section 5.5.3: only the latest ping need be answered.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        CHECK(peer.read_frame(f));
        CHECK(f.payload == "a");
        CHECK(peer.read_frame(f));
        peer.send(pong("unknown") + pong("b"));
        CHECK(peer.read_frame(f));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(log->wait_event("open"));
    std::promise<bool> a;
    std::promise<bool> b;
    std::promise<bool> c;
    const auto tell = [](std::promise<bool>& p) {
        return [&p](auto took) { p.set_value(took.has_value()); };
    };
    CHECK(connection->Ping("a", tell(a)) == nullptr);
    CHECK(connection->Ping("b", tell(b)) == nullptr);
    CHECK(a.get_future().get());
    CHECK(b.get_future().get());
    CHECK(connection->Ping("c", tell(c)) == nullptr);
    CHECK_FALSE(c.get_future().get());
    CHECK(connection->Wait_closed(patience));
    CHECK(connection->Ping(std::string(126, 'x'), nullptr) != nullptr);
}
