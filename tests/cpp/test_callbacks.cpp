#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <stdexcept>
#include <thread>

#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;
using status_e = wspool::metadata_c::status_e;

namespace {

/// Sends back every data message; answers pings and the close.
void echo(raw_peer& peer) {
    if (!peer.upgrade()) return;
    received_frame_t f;
    while (peer.read_frame(f)) {
        if (f.opcode == 1 || f.opcode == 2) peer.send(with_opcode(f.opcode, f.payload));
        if (f.opcode == 9) peer.send(pong(f.payload));
        if (f.opcode == 8) {
            peer.send(with_opcode(8, f.payload));
            return;
        }
    }
}

}  // namespace

TEST_CASE("callbacks: a blocked one keeps neither pings nor messages back") {
    // A server that pings each 5 ms gets every answer while on_msg blocks, and no message is lost.
    signal_t answered;
    constexpr int count = 100;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("block"));
        received_frame_t f;
        for (int i = 0; i < count; ++i) {
            peer.send(text(std::to_string(i)) + ping(std::to_string(i)));
            REQUIRE(peer.read_frame(f));
            CHECK(f.opcode == 10);
            CHECK(f.payload == std::to_string(i));
        }
        answered.set();
        peer.send(close(1000));
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    auto log = std::make_shared<recorder>();
    log->when_message = [&](auto&, std::string_view message) {
        if (message == "block") CHECK(answered.wait());  // until all pings have been answered
    };
    auto [kept, connection] = start(endpoint, server.uri(), {}, log);
    REQUIRE(connection->Wait_closed(patience));
    const auto messages = log->messages();
    REQUIRE(messages.size() == count + 1);
    for (int i = 0; i < count; ++i) {
        CHECK(messages[static_cast<std::size_t>(i) + 1] == std::to_string(i));
    }
    CHECK(log->last_event() == "close 1000 ");
}

TEST_CASE("callbacks: reading pauses at the bound of a stalled consumer and goes on after") {
    // Bounded memory, nothing lost, order kept.
    constexpr int count = 20000;
    signal_t release;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("block"));
        std::string all;
        for (int i = 0; i < count; ++i) all += text(std::to_string(i) + std::string(200, '.'));
        peer.send(all);
        peer.send(close(1000));
        received_frame_t f;
        peer.read_until(8, f);
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.queue.messages = 100;
    auto log = std::make_shared<recorder>();
    log->when_message = [&](auto&, std::string_view message) {
        if (message == "block") CHECK(release.wait());
    };
    auto [kept, connection] = start(endpoint, server.uri(), options, log);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (connection->Get_statistics().pauses == 0 && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    CHECK(connection->Get_statistics().pauses >= 1);
    CHECK(connection->Get_statistics().messages_received < count);
    release.set();
    REQUIRE(connection->Wait_closed(patience));
    const auto messages = log->messages();
    REQUIRE(messages.size() == count + 1);
    bool ordered = true;
    for (int i = 0; i < count; ++i) {
        ordered &= std::atoi(messages[static_cast<std::size_t>(i) + 1].c_str()) == i;
    }
    CHECK(ordered);
}

TEST_CASE("callbacks: exceptions are reported, counted, and change nothing else") {
    // A handler's exception used to leave the connection open and deaf.
    raw_server server(echo);
    wspool::endpoint_c endpoint;
    std::atomic<int> reported{0};
    std::atomic<int> received{0};
    std::promise<void> closed;
    std::future<status_e> opened;
    int id = -1;
    wspool::metadata_c::on_callbacks_t calls;
    calls.on_open = [](auto&, auto) { throw std::runtime_error("open"); };
    calls.on_msg = [&](auto& client, auto handle, auto, auto&) {
        if (++received == 3) client.close(handle, 1000, "");
        throw std::runtime_error("message");
    };
    calls.on_close = [&](auto, auto) {
        closed.set_value();
        throw 5;
    };
    calls.on_error = [&](std::exception_ptr) {
        ++reported;
        throw std::runtime_error("error");
    };
    REQUIRE(endpoint.Create_new_connection(server.uri(), opened, id, calls) == nullptr);
    REQUIRE(opened.wait_for(patience) == std::future_status::ready);
    CHECK(opened.get() == status_e::OPENED);
    const auto connection = endpoint.Get_metadata(id);
    REQUIRE(connection);
    for (int i = 0; i < 3; ++i) CHECK(endpoint.Send_msg(id, "m") == nullptr);
    REQUIRE(closed.get_future().wait_for(patience) == std::future_status::ready);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(reported == 5);
    CHECK(connection->Get_statistics().callback_errors == 5);
    CHECK(received == 3);
}

TEST_CASE("Disable_callbacks: nothing starts after it returns, from another thread or inside") {
    // What the callback used may be destroyed then.
    for (const bool inside : {false, true}) {
        std::atomic<bool> enough{false};
        raw_server server([&](raw_peer& peer) {
            if (!peer.upgrade()) return;
            while (!enough && peer.send(text("flood"))) continue;
            peer.send(close(1000));
            received_frame_t f;
            peer.read_until(8, f);
        });
        wspool::endpoint_c endpoint;
        auto alive = std::make_shared<std::atomic<bool>>(true);
        std::atomic<int> wrong{0};
        std::future<status_e> opened;
        int id = -1;
        std::atomic<int> count{0};
        wspool::metadata_c::on_callbacks_t calls;
        std::shared_ptr<wspool::metadata_c> connection;
        signal_t ready;
        signal_t disabled;
        calls.on_msg = [&](auto&, auto, auto, auto&) {
            if (!*alive) ++wrong;
            CHECK(ready.wait());
            if (++count == 100 && inside) {
                connection->Disable_callbacks();
                *alive = false;
                disabled.set();
            }
        };
        calls.on_close = [&](auto, auto) { ++wrong; };
        REQUIRE(endpoint.Create_new_connection(server.uri(), opened, id, calls) == nullptr);
        connection = endpoint.Get_metadata(id);
        REQUIRE(connection);
        ready.set();
        if (inside) {
            REQUIRE(disabled.wait());
        } else {
            REQUIRE(opened.wait_for(patience) == std::future_status::ready);
            while (count < 100) std::this_thread::yield();
            CHECK(endpoint.Disable_callbacks(id) == nullptr);
            *alive = false;
        }
        CHECK(connection->Callbacks_disabled());
        enough = true;
        CHECK(connection->Wait_closed(patience));
        CHECK(wrong == 0);
    }
}

TEST_CASE("Send: from 8 threads frames never interleave and each thread keeps its order") {
    // One connection shared by many producers.
    constexpr int threads = 8;
    constexpr int each = 2000;
    std::map<int, int> next;
    std::atomic<int> wrong{0};
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        while (peer.read_frame(f) && f.opcode != 8) {
            if (f.opcode == 9) continue;
            const auto colon = f.payload.find(':');
            const int thread = std::atoi(f.payload.c_str());
            const int number = std::atoi(f.payload.c_str() + colon + 1);
            if (!f.masked || !f.final || next[thread]++ != number) ++wrong;
            if (f.payload.find_first_not_of('x', f.payload.find('x')) != std::string::npos) ++wrong;
        }
        peer.send(close(1000));
    });
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    REQUIRE(log->wait_event("open"));
    std::vector<std::thread> senders;
    auto shared = connection;
    for (int t = 0; t < threads; ++t) {
        senders.emplace_back([shared, t, &wrong] {
            for (int i = 0; i < each; ++i) {
                const std::string message = std::to_string(t) + ":" + std::to_string(i) + "x" +
                                            std::string(static_cast<std::size_t>(i * 7 % 300), 'x');
                if (shared->Send(message, i % 2 == 0)) ++wrong;
                if (i % 100 == 0) shared->Ping("p", nullptr);
            }
        });
    }
    for (auto& sender : senders) sender.join();
    CHECK(connection->Close() == nullptr);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(wrong == 0);
    CHECK(next.size() == threads);
    for (const auto& [thread, count] : next) CHECK(count == each);
    CHECK(connection->Get_statistics().messages_sent == threads * each);
}

TEST_CASE("Send: bad UTF-8 is refused, and the connection lives on") {
    // The peer would fail the connection with 1007.
    raw_server server(echo);
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, server.uri());
    CHECK(connection->Send("early", true)->Code() == error_e::INVALID_STATE);
    REQUIRE(log->wait_event("open"));
    CHECK(connection->Send("\xFF", true)->Code() == error_e::INVALID_ARGUMENT);
    CHECK(connection->Send("\xFF", false) == nullptr);
    CHECK(connection->Send("", true) == nullptr);
    REQUIRE(log->wait_messages(2));
    CHECK(log->messages() == std::vector<std::string>{"\xFF", ""});
    connection->Close();
    CHECK(connection->Wait_closed(patience));
}

TEST_CASE("Send: at write_bound it waits, says BUFFER_FULL in callbacks, and wakes at the end") {
    // A server that does not read must cost bounded memory.
    signal_t release;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("go"));
        CHECK(release.wait());
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.write_bound = 1024 * 1024;
    options.close_timeout = 100ms;
    signal_t full;
    auto log = std::make_shared<recorder>();
    log->when_message = [&](wspool::metadata_c& connection, auto) {
        const std::string piece(100000, 'x');
        for (int i = 0; i < 10000; ++i) {
            if (const auto error = connection.Send(piece, false)) {
                CHECK(error->Code() == error_e::BUFFER_FULL);
                full.set();
                return;
            }
        }
    };
    auto [kept, connection] = start(endpoint, server.uri(), options, log);
    REQUIRE(full.wait());
    auto shared = connection;
    std::promise<error_e> woken;
    std::thread sender([&, shared] {
        const std::string piece(100000, 'x');
        while (true) {
            if (const auto error = shared->Send(piece, false)) {
                woken.set_value(error->Code());
                return;
            }
        }
    });
    // The sender fills what the system still takes and then waits; the end wakes it either way.
    CHECK(connection->Close() == nullptr);
    auto result = woken.get_future();
    REQUIRE(result.wait_for(patience) == std::future_status::ready);
    CHECK(result.get() != error_e::BUFFER_FULL);
    sender.join();
    CHECK(connection->Wait_closed(patience));
    CHECK(connection->Get_buffered_amount() == 0);
    release.set();
}

TEST_CASE("Send: 16 MiB both ways, and fragmented back") {
    // Sizes beyond every buffer.
    std::string big(16 << 20, '\0');
    for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 >> 3);
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        received_frame_t f;
        REQUIRE(peer.read_until(2, f));
        CHECK(f.payload == big);
        peer.send(binary(f.payload));
        for (std::size_t at = 0; at < big.size(); at += 1 << 20) {
            const std::string piece = big.substr(at, 1 << 20);
            const bool last = at + piece.size() == big.size();
            peer.send((at == 0 ? binary(piece, last) : continuation(piece, last)) + ping("x"));
        }
        REQUIRE(peer.read_until(8, f));
        peer.send(close(1000));
    });
    wspool::endpoint_c endpoint;
    wspool::options_t options;
    options.max_size = 16 << 20;
    auto [log, connection] = start(endpoint, server.uri(), options);
    REQUIRE(log->wait_event("open"));
    CHECK(connection->Send(big, false) == nullptr);
    REQUIRE(log->wait_messages(2));
    CHECK(log->messages()[0] == big);
    CHECK(log->messages()[1] == big);
    connection->Close();
    CHECK(connection->Wait_closed(patience));
}

TEST_CASE("callbacks: client.send from a stalled on_msg while the connection ends") {
    // The stalled thread no longer owns the loop, and the connection may be gone.
    signal_t gone;
    raw_server server([&](raw_peer& peer) {
        if (!peer.upgrade()) return;
        peer.send(text("m"));
        received_frame_t f;
        peer.read_frame(f);
        peer.reset();
        gone.set();
    });
    wspool::endpoint_c endpoint;
    std::future<status_e> opened;
    int id = -1;
    std::promise<void> closed;
    wspool::metadata_c::on_callbacks_t calls;
    calls.on_msg = [&](auto& client, auto handle, auto, auto&) {
        websocketpp::lib::error_code error;
        client.send(handle, "x", websocketpp::frame::opcode::text, error);
        CHECK(gone.wait());
        const auto until = std::chrono::steady_clock::now() + patience;
        while (!error && std::chrono::steady_clock::now() < until) {
            client.send(handle, "x", websocketpp::frame::opcode::text, error);
        }
        CHECK(error);
    };
    calls.on_close = [&](auto, auto) { closed.set_value(); };
    REQUIRE(endpoint.Create_new_connection(server.uri(), opened, id, calls) == nullptr);
    CHECK(closed.get_future().wait_for(patience) == std::future_status::ready);
}

TEST_CASE("endpoint: Stop in time while a callback blocks; the rest ends when it returns") {
    // A program's exit is bounded, whatever its callbacks do.
    raw_server server(echo);
    signal_t release;
    signal_t blocked;
    auto log = std::make_shared<recorder>();
    log->when_open = [&](auto&) {
        blocked.set();
        CHECK(release.wait());
    };
    wspool::endpoint_c endpoint;
    auto [kept, connection] = start(endpoint, server.uri(), {}, log);
    REQUIRE(blocked.wait());
    CHECK_FALSE(endpoint.Stop(50ms));
    CHECK_FALSE(connection->Wait_closed(0ms));
    std::shared_ptr<wspool::metadata_c> none;
    CHECK(endpoint.Create_new_connection(server.uri(), log, {}, none)->Code() ==
          error_e::INVALID_STATE);
    release.set();
    CHECK(endpoint.Stop(patience));
    CHECK(connection->Wait_closed(patience));
    CHECK(log->last_event() == "close 1006 ");
    connection->Abort();  // handles outlive everything
    CHECK(connection->Send("x", true) != nullptr);
}

TEST_CASE("endpoint: destroyed with open connections each gets its last callback") {
    // A listener's owner waits for it.
    raw_server server([](raw_peer& peer) {
        if (peer.upgrade()) peer.read_eof();
    });
    std::shared_ptr<recorder> log;
    std::shared_ptr<wspool::metadata_c> handle;
    {
        wspool::endpoint_c endpoint;
        auto [recorded, connection] = start(endpoint, server.uri());
        REQUIRE(recorded->wait_event("open"));
        CHECK(endpoint.Wait_for_closing_all(0ms)->Code() == error_e::TIMEOUT);
        log = recorded;
        handle = connection;
    }
    CHECK(log->events() == std::vector<std::string>{"open", "close 1006 "});
    CHECK(handle->Get_status() == status_e::CLOSED);
    CHECK(handle->Get_error()->Code() == error_e::ABORTED);
}

TEST_CASE("endpoint_pool: private pools, turns, bounds, Close") {
    // The names its users know.
    wspool::endpoint_pool_c pool(3);
    CHECK(pool.Max_index() == 2);
    CHECK(&pool.Get_endpoint() == &pool.Get_endpoint(0));
    CHECK(&pool.Get_endpoint() == &pool.Get_endpoint(1));
    CHECK(&pool.Get_endpoint() == &pool.Get_endpoint(2));
    CHECK(&pool.Get_endpoint() == &pool.Get_endpoint(0));
    CHECK_THROWS_AS(pool.Get_endpoint(3), std::out_of_range);
    raw_server server(echo);
    auto [log, connection] = start(pool.Get_endpoint(1), server.uri());
    REQUIRE(log->wait_event("open"));
    CHECK(pool.Close(patience));
    CHECK(log->last_event() == "close 1001 ");
    CHECK(&wspool::endpoint_pool_c::Instance() == &wspool::endpoint_pool_c::Instance());
}

TEST_CASE("endpoint: waiting for oneself in a callback is refused or returns at once") {
    // It could only hang.
    raw_server server(echo);
    wspool::endpoint_c endpoint;
    auto log = std::make_shared<recorder>();
    std::promise<void> checked;
    log->when_open = [&](wspool::metadata_c& connection) {
        CHECK(endpoint.On_own_thread());
        CHECK(endpoint.Wait_for_closing_all()->Code() == error_e::INVALID_STATE);
        CHECK_FALSE(connection.Wait_closed());
        checked.set_value();
    };
    auto [kept, connection] = start(endpoint, server.uri(), {}, log);
    REQUIRE(checked.get_future().wait_for(patience) == std::future_status::ready);
    CHECK_FALSE(endpoint.On_own_thread());
    CHECK(endpoint.Close_all_connections() == nullptr);
    CHECK(endpoint.Wait_for_closing_all(patience) == nullptr);
}
