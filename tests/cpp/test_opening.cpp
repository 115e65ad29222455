#include <doctest/doctest.h>

#include <atomic>

#include "protocol/handshake.hpp"
#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;
using status_e = wspool::metadata_c::status_e;

namespace {

/// Connects, and expects a failure.
struct failed_t {
    error_e code = error_e::INVALID_STATE;
    std::string text;
    wspool::response_t response;
    int http_status = 0;
};

failed_t fail_with(const std::string& uri, const wspool::options_t& options = {}) {
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, uri, options);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->events() == std::vector<std::string>{"fail"});
    CHECK(connection->Get_status() == status_e::FAILED);
    REQUIRE(connection->Get_error() != nullptr);
    CHECK(connection->Get_error()->Code() == log->error_code());
    MESSAGE(log->error_text());
    return {log->error_code(), log->error_text(), connection->Get_response(),
            connection->Get_error()->Http_status()};
}

failed_t fail_with(raw_server::script_t script, const wspool::options_t& options = {}) {
    raw_server server(std::move(script));
    return fail_with(server.uri(), options);
}

}  // namespace

TEST_CASE("opening: a refused port fails with CONNECT and the system's error") {
    // The commonest failure of all.
    const auto f = fail_with("ws://127.0.0.1:" + std::to_string(refused_port()));
    CHECK(f.code == error_e::CONNECT);
    CHECK(f.text.find("refused") != std::string::npos);
}

TEST_CASE("opening: an unknown host fails with RESOLVE") {
    // .invalid never resolves (RFC 6761).
    CHECK(fail_with("ws://nowhere.invalid/").code == error_e::RESOLVE);
}

TEST_CASE("opening: a refusal with a body fails with STATUS and keeps the response") {
    // Servers say in the body why.
    const auto f = fail_with([](raw_peer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nX-Why: no\r\n\r\nnot here!");
    });
    CHECK(f.code == error_e::STATUS);
    CHECK(f.http_status == 404);
    CHECK(f.response.status == 404);
    CHECK(f.response.body == "not here!");
    CHECK(f.response.headers.size() == 2);
}

TEST_CASE("opening: a refusal's body may end with the stream") {
    // HTTP/1.1 with Connection: close.
    const auto f = fail_with([](raw_peer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 503 Busy\r\n\r\nlater");
    });
    CHECK(f.code == error_e::STATUS);
    CHECK(f.response.body == "later");
}

TEST_CASE("opening: garbage, an early end and a reset fail") {
    // Whatever listens there may not be a WebSocket server.
    CHECK(fail_with([](raw_peer& p) {
              p.read_request();
              p.send("SSH-2.0-OpenSSH_9.2p1\r\n");
          }).code == error_e::HANDSHAKE);
    CHECK(fail_with([](raw_peer& p) {
              p.read_request();
              p.send("HTTP/1.1 101 Swi");
          }).code == error_e::END_OF_STREAM);
    CHECK(fail_with([](raw_peer& p) { p.read_request(); }).code == error_e::END_OF_STREAM);
    const auto reset = fail_with([](raw_peer& p) {
        p.read_request();
        p.reset();
    });
    CHECK(reset.code == error_e::CONNECT);
}

TEST_CASE("opening: an answer with a wrong accept key fails with UPGRADE") {
    // It was not made for this request (RFC 6455 section 4.1).
    const auto f = fail_with([](raw_peer& peer) {
        peer.read_request();
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n");
    });
    CHECK(f.code == error_e::UPGRADE);
    CHECK(f.response.status == 101);
}

TEST_CASE("opening: a head without end fails with SECURITY") {
    // A peer must not fill our memory.
    const auto f = fail_with([](raw_peer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\n");
        while (peer.send("X-Filler: " + std::string(1000, 'x') + "\r\n")) continue;
    });
    CHECK(f.code == error_e::SECURITY);
}

TEST_CASE("opening: a server that says nothing fails with TIMEOUT") {
    // The deadline covers the answer too.
    wspool::options_t options;
    options.open_timeout = 100ms;
    const auto f = fail_with([](raw_peer& peer) { peer.read_eof(); }, options);
    CHECK(f.code == error_e::TIMEOUT);
}

TEST_CASE("opening: a server that answers a byte at a time opens") {
    // TCP gives no messages.
    raw_server server([](raw_peer& peer) {
        const std::string head = peer.read_request();
        const std::size_t at = head.find("Sec-WebSocket-Key: ") + 19;
        const std::string answer =
            "HTTP/1.1 101\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
            "sec-websocket-accept: " +
            wspool::protocol::accept_for(head.substr(at, head.find('\r', at) - at)) + "\r\n\r\n" +
            text("hello") + text("world");
        for (const char byte : answer) peer.send({&byte, 1});
        received_frame_t f;
        CHECK(peer.read_until(8, f));
        peer.send(close(1000));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(log->wait_messages(2));
    CHECK(log->messages() == std::vector<std::string>{"hello", "world"});
    connection->Close();
    CHECK(connection->Wait_closed(patience));
    CHECK(log->last_event() == "close 1000 ");
}

TEST_CASE("opening: messages in the same segment as the answer are delivered") {
    // They arrive in another buffer, and some are longer than it.
    const std::string big(3000, 'b');
    raw_server server([&](raw_peer& peer) {
        // One write: the answer, then frames that pass the handshake's buffer of 1 KiB.
        const std::string head = peer.read_request();
        const std::size_t at = head.find("Sec-WebSocket-Key: ") + 19;
        peer.send(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: " +
            wspool::protocol::accept_for(head.substr(at, head.find('\r', at) - at)) + "\r\n\r\n" +
            text("one") + text(big) + text("two") + close(1000, "done"));
        received_frame_t f;
        CHECK(peer.read_until(8, f));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->messages() == std::vector<std::string>{"one", big, "two"});
    CHECK(log->events() == std::vector<std::string>{"open", "close 1000 done"});
}

TEST_CASE("opening: Abort, Close and Stop while connecting") {
    // Each ends in one on_fail, whatever the state.
    raw_server silent([](raw_peer& peer) { peer.read_eof(); });
    for (const int how : {0, 1, 2}) {
        wspool::endpoint_c endpoint;
        auto [log, connection] = start(endpoint, silent.uri());
        if (how == 0) connection->Abort();
        if (how == 1) CHECK(connection->Close() == nullptr);
        if (how == 2) CHECK(endpoint.Stop(patience));
        REQUIRE(connection->Wait_closed(patience));
        CHECK(log->events() == std::vector<std::string>{"fail"});
        CHECK(log->error_code() == error_e::ABORTED);
    }
}

TEST_CASE("opening: bad arguments are refused at the call") {
    // Nothing is started, and the error names the argument.
    wspool::endpoint_c endpoint;
    const auto refuse = [&](const std::string& uri, const wspool::options_t& options) {
        std::shared_ptr<wspool::metadata_c> connection;
        auto error =
            endpoint.Create_new_connection(uri, std::make_shared<recorder>(), options, connection);
        REQUIRE(error != nullptr);
        CHECK(connection == nullptr);
        return error->Code();
    };
    CHECK(refuse("http://x/", {}) == error_e::INVALID_URI);
    wspool::options_t options;
    options.additional_headers = {{"X", "a\r\nB: c"}};
    CHECK(refuse("ws://x/", options) == error_e::INVALID_ARGUMENT);
    CHECK(endpoint.Get_connections().empty());
}

TEST_CASE("opening: the callbacks of the C++ API and its future") {
    // The names that its users know.
    raw_server server([](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        CHECK(peer.read_until(1, f));
        CHECK(f.masked);
        CHECK(f.payload == "from client.send");
        peer.send(text(R"({"a":7})"));
        CHECK(peer.read_until(9, f));
        CHECK(f.payload == "p");
        CHECK(peer.read_until(8, f));
        CHECK(f.payload == close_payload(4001, "enough"));
        peer.send(close(4001, "enough"));
    });
    wspool::endpoint_c endpoint;
    std::future<status_e> opened;
    int id = -1;
    std::int64_t value = 0;
    std::promise<std::uint16_t> closed;
    wspool::metadata_c::on_callbacks_t calls;
    calls.on_open = [](auto& client, auto handle) {
        client.send(handle, "from client.send", websocketpp::frame::opcode::text);
    };
    calls.on_msg = [&](auto& client, auto handle, auto message,
                       simdjson::ondemand::parser& parser) {
        const simdjson::padded_string json(message->get_payload());
        auto document = parser.iterate(json);
        value = document["a"].get_int64().value();
        client.ping(handle, "p");
        client.close(handle, 4001, "enough");
    };
    calls.on_close = [&](std::uint16_t code, std::string_view) { closed.set_value(code); };
    std::string thrown;
    calls.on_error = [&](std::exception_ptr what) {
        try {
            std::rethrow_exception(what);
        } catch (const std::exception& e) {
            thrown = e.what();
        }
    };
    REQUIRE(endpoint.Create_new_connection(server.uri(), opened, id, calls) == nullptr);
    REQUIRE(opened.wait_for(patience) == std::future_status::ready);
    CHECK(opened.get() == status_e::OPENED);
    auto end = closed.get_future();
    REQUIRE(end.wait_for(patience) == std::future_status::ready);
    CHECK(end.get() == 4001);
    CHECK(value == 7);
    CHECK(thrown == "");
    CHECK(endpoint.Wait_for_closing_all(patience) == nullptr);
    CHECK(endpoint.Send_msg(id, "x")->Code() == error_e::UNKNOWN_CONNECTION);
    CHECK(endpoint.Close(999)->Code() == error_e::UNKNOWN_CONNECTION);
    CHECK(endpoint.Disable_callbacks(id)->Code() == error_e::UNKNOWN_CONNECTION);
    CHECK(endpoint.Get_metadata(id) == nullptr);
}
