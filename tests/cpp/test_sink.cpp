#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"
#include "wspool/message_queue.hpp"

using namespace wspool_test;
using namespace std::chrono_literals;
using wspool::error_e;
using wspool::message_queue_c;
using wspool::overflow_e;
using status_e = wspool::metadata_c::status_e;

namespace {

struct pulled_t {
    std::shared_ptr<message_queue_c> queue;
    std::shared_ptr<wspool::metadata_c> connection;

    /// The next message, waiting for it; "end" once there are no more.
    [[nodiscard]] std::string take() const {
        while (true) {
            const bool ended = queue->Has_ended();
            message_queue_c::item_t item;
            if (queue->Next(item)) return std::string(item.payload);
            if (ended) return "end";
            if (!queue->Wait_for(message_queue_c::READABLE, patience)) return "nothing came";
        }
    }
};

pulled_t pull(wspool::endpoint_c& endpoint, const std::string& uri,
              const wspool::options_t& options = {}) {
    pulled_t made;
    made.queue = std::make_shared<message_queue_c>(options.queue);
    const auto error = endpoint.Create_new_connection(
        uri, std::shared_ptr<wspool::sink_c>(made.queue), options, made.connection);
    REQUIRE_FALSE(error);
    REQUIRE(made.queue->Wait_for(message_queue_c::OPENED, patience));
    return made;
}

void flood(raw_peer& peer, int count, const std::string& tail) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text(std::to_string(i) + tail);
    peer.send(all);
}

}  // namespace

TEST_CASE("sink: a flood against a small bound arrives whole and in order, in pauses") {
    constexpr int count = 20000;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        flood(peer, count, std::string(200, '.'));
        peer.send(close(1000));
        received_frame_t f;
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.queue.messages = 100;
    options.queue.low_messages = 10;
    const auto pulled = pull(endpoint, server.uri(), options);
    for (int i = 0; i < count; ++i)
        REQUIRE(pulled.take() == std::to_string(i) + std::string(200, '.'));
    CHECK(pulled.take() == "end");
    CHECK(pulled.connection->Get_statistics().pauses > 0);
    CHECK(pulled.connection->Get_status() == status_e::CLOSED);
    CHECK(pulled.connection->Received_close()->code == 1000);
}

TEST_CASE("sink: whole frames, fragments and long messages of one read arrive in order") {
    // So many whole frames that the queue takes the read buffer over, and then what it cannot take
    // over with it, and whole frames again.
    constexpr int rounds = 60;
    const std::string filling(100, '.');
    const std::string longer(5000, '+');
    std::vector<std::string> expected;
    std::string round;
    for (int i = 0; i < 1500; ++i) {
        expected.push_back(std::to_string(i) + filling);
        round += text(expected.back());
    }
    expected.push_back("in fragments");
    round += text("in ", false) + continuation("fragments");
    expected.push_back(longer + longer);
    round += text(longer, false) + continuation(longer);
    for (int i = 0; i < 200; ++i) {
        expected.push_back("after " + std::to_string(i));
        round += text(expected.back());
    }
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        for (int i = 0; i < rounds; ++i) peer.send(round);
        peer.send(close(1000));
        received_frame_t f;
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    const auto pulled = pull(endpoint, server.uri());
    for (int i = 0; i < rounds; ++i) {
        for (const std::string& message : expected) REQUIRE(pulled.take() == message);
    }
    CHECK(pulled.take() == "end");
    CHECK(pulled.connection->Get_statistics().messages_received == rounds * expected.size());
}

TEST_CASE("sink: closing while reading is paused sees the peer's close frame") {
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        std::thread sender([&] { flood(peer, 50000, std::string(100, '.')); });
        received_frame_t f;
        peer.read_until(8, f);
        sender.join();
        peer.send(close(1000));
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.queue.messages = 10;
    const auto pulled = pull(endpoint, server.uri(), options);
    while (pulled.connection->Get_statistics().pauses == 0) std::this_thread::yield();
    CHECK_FALSE(pulled.connection->Close(1000));
    CHECK(pulled.queue->Wait_for(message_queue_c::ENDED, patience));
    CHECK(pulled.connection->Received_close()->code == 1000);
    CHECK(pulled.take().substr(0, 2) == "0.");
    CHECK(pulled.queue->Dropped() > 0);
}

TEST_CASE("sink: overflow_e::FAIL closes with 1008, and hands out what was there") {
    received_frame_t closed;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        flood(peer, 10, "");
        peer.read_until(8, closed);
        peer.send(close(1008));
    });
    {
        wspool::endpoint_c endpoint;
        wspool::options_t options;
        options.queue.messages = 4;
        options.queue.overflow = overflow_e::FAIL;
        const auto pulled = pull(endpoint, server.uri(), options);
        CHECK(pulled.queue->Wait_for(message_queue_c::ENDED, patience));
        for (int i = 0; i < 4; ++i) CHECK(pulled.take() == std::to_string(i));
        CHECK(pulled.take() == "end");
        CHECK(pulled.connection->Get_error()->Code() == error_e::QUEUE_FULL);
        CHECK(pulled.connection->Sent_close()->code == 1008);
    }
}

TEST_CASE("sink: what was dropped is in the statistics at every moment, through the end") {
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        flood(peer, 10, "");
        received_frame_t f;
        if (peer.read_until(8, f)) peer.send(close(1000));
    });
    for (int round = 0; round < 20; ++round) {
        wspool::endpoint_c endpoint;
        wspool::options_t options;
        options.queue.messages = 4;
        options.queue.overflow = overflow_e::DROP_NEWEST;
        const auto pulled = pull(endpoint, server.uri(), options);
        REQUIRE(comes_true([&] { return pulled.queue->Dropped() == 6; }));
        CHECK(pulled.connection->Get_statistics().dropped == 6);
        CHECK(endpoint.Get_statistics().dropped == 6);
        REQUIRE_FALSE(pulled.connection->Close(1000, ""));
        std::uint64_t least = 6;
        std::uint64_t most = 6;
        bool ended = false;
        while (!ended) {
            ended = pulled.connection->Wait_closed(0ns);
            for (const auto dropped :
                 {pulled.connection->Get_statistics().dropped, endpoint.Get_statistics().dropped}) {
                least = std::min(least, dropped);
                most = std::max(most, dropped);
            }
        }
        CHECK(least == 6);
        CHECK(most == 6);
    }
}

TEST_CASE("sink: what came with a protocol error in one read is taken before the end") {
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        frame_spec_t bad;
        bad.opcode = 3;
        peer.send(text("a") + text("b") + frame("", bad));
        received_frame_t f;
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    const auto pulled = pull(endpoint, server.uri());
    CHECK(pulled.take() == "a");
    CHECK(pulled.take() == "b");
    CHECK(pulled.take() == "end");
    CHECK(pulled.connection->Sent_close()->code == 1002);
    CHECK(pulled.connection->Get_error()->Code() == error_e::PROTOCOL);
}

TEST_CASE("sink: what came before a pong, in the same read, is there when the pong is told") {
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        REQUIRE(peer.read_until(9, f));
        peer.send(text("before") + pong(f.payload));
        peer.read_until(8, f);
        peer.send(close(1000));
    });
    wspool::endpoint_c endpoint;
    const auto pulled = pull(endpoint, server.uri());
    signal_t told;
    std::size_t there = 0;
    CHECK_FALSE(pulled.connection->Ping("x", [&](auto) {
        there = pulled.queue->Available();
        told.set();
    }));
    REQUIRE(told.wait());
    CHECK(there == 1);
    CHECK(pulled.take() == "before");
    pulled.connection->Close();
    CHECK(pulled.queue->Wait_for(message_queue_c::ENDED, patience));
}

TEST_CASE("sink: another connection's blocked callback does not keep its messages back") {
    signal_t taken;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("now"));
        received_frame_t f;
        peer.read_until(8, f);
        peer.send(close(1000));
    });
    raw_server blocking_server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("block") + close(1000));
        received_frame_t f;
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    signal_t blocked;
    auto log = std::make_shared<recorder>();
    log->when_message = [&](auto&, std::string_view) {
        blocked.set();
        CHECK(taken.wait());
    };
    auto [kept, connection] = start(endpoint, blocking_server.uri(), {}, log);
    REQUIRE(blocked.wait());
    const auto pulled = pull(endpoint, server.uri());
    CHECK(pulled.take() == "now");
    taken.set();
    pulled.connection->Close();
    CHECK(pulled.queue->Wait_for(message_queue_c::ENDED, patience));
    CHECK(connection->Wait_closed(patience));
}

TEST_CASE("sink: a message in fragments is sent as such, and nothing comes in between") {
    std::string got;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        while (peer.read_frame(f) && f.opcode != 8) {
            got += std::to_string(f.opcode) + (f.final ? "!" : "") + f.payload + " ";
        }
        peer.send(close(1000));
    });
    {
        wspool::endpoint_c endpoint;
        const auto pulled = pull(endpoint, server.uri());
        auto& connection = *pulled.connection;
        CHECK(connection.Send_fragment("x", true, false, true)->Code() == error_e::INVALID_STATE);
        CHECK_FALSE(connection.Send_fragment("a\xC3", true, true, false));
        CHECK(connection.Send("b", true)->Code() == error_e::CONCURRENCY);
        CHECK(connection.Send_fragment("x", true, true, false)->Code() == error_e::CONCURRENCY);
        CHECK(connection.Send_fragment("b", true, false, false)->Code() ==
              error_e::INVALID_ARGUMENT);
        CHECK_FALSE(connection.Send("after", true) == nullptr);
        connection.Close();
        CHECK(pulled.queue->Wait_for(message_queue_c::ENDED, patience));
        const auto again = pull(endpoint, server.uri());
        CHECK_FALSE(again.connection->Send_fragment("c\xC3", true, true, false));
        CHECK_FALSE(again.connection->Send_fragment("\xA9", true, false, false));
        CHECK_FALSE(again.connection->Send_fragment("", true, false, true));
        CHECK_FALSE(again.connection->Send("d", false));
        again.connection->Close();
        CHECK(again.queue->Wait_for(message_queue_c::ENDED, patience));
    }
    CHECK(got == "1a\xC3 1c\xC3 0\xA9 0! 2!d ");
}

TEST_CASE("sink: room in the write buffer is told to who found none") {
    signal_t read_now;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        CHECK(read_now.wait());
        received_frame_t f;
        peer.read_until(8, f);
        peer.send(close(1000));
    });
    const auto ready = std::make_shared<wspool::ready_list_c>();
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.write_bound = 1 << 20;
    const auto queue = std::make_shared<message_queue_c>(options.queue, ready, 1);
    std::shared_ptr<wspool::metadata_c> connection;
    REQUIRE_FALSE(endpoint.Create_new_connection(
        server.uri(), std::shared_ptr<wspool::sink_c>(queue), options, connection));
    REQUIRE(queue->Wait_for(message_queue_c::OPENED, patience));
    const std::string message(100'000, 'x');
    wspool::error_ptr error;
    while (!error) error = connection->Send(message, false, 0ns);
    CHECK(error->Code() == error_e::TIMEOUT);
    CHECK_FALSE(queue->Arm(message_queue_c::WRITABLE));
    CHECK(connection->Send(message, false, 0ns)->Code() == error_e::TIMEOUT);
    read_now.set();
    const auto until = std::chrono::steady_clock::now() + patience;
    while (ready->Take().empty() && std::chrono::steady_clock::now() < until)
        std::this_thread::yield();
    CHECK_FALSE(connection->Send(message, false, 0ns));
    connection->Close();
    CHECK(queue->Wait_for(message_queue_c::ENDED, patience));
}
