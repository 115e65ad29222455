/// Feeds: reconnection, subscriptions, user code that takes part, and how they end. The host of
/// each test is a port of its own, which the process's gate knows as a host of its own; a
/// connection that is lost within a second is made again after 1.2 s.

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "attempt_gate.hpp"
#include "runtime/loop.hpp"
#include "support/feed_log.hpp"
#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "wspool/message_queue.hpp"

using namespace wspool_test;
using wspool::error_e;
using wspool::message_queue_c;
using wspool::options_t;
using wspool::overflow_e;
using status_e = wspool::metadata_c::status_e;
using strings = std::vector<std::string>;

namespace {

/// Answers attempts as the test says.
class scripted_source : public wspool::attempt_source_c {
public:
    std::function<void(unsigned, prepared_t)> prepare;
    std::function<void(const wspool::error_c&, bool, bool, judged_t)> judge;

    [[nodiscard]] bool Prepares() const noexcept override { return prepare != nullptr; }
    [[nodiscard]] bool Judges() const noexcept override { return judge != nullptr; }
    void Prepare(unsigned attempt, prepared_t answer) override {
        prepare(attempt, std::move(answer));
    }
    void Judge(wspool::metadata_c& /*connection*/, const wspool::error_c& error, bool was_open,
               bool by_default, judged_t answer) override {
        judge(error, was_open, by_default, std::move(answer));
    }
};

/// Keeps what is logged of feeds, as "2 text" with the level.
class kept_lines : public wspool::log_c {
public:
    [[nodiscard]] bool Wants(level_e /*level*/) const noexcept override { return true; }
    void Write(level_e level, std::string_view topic, const std::string& text) override {
        if (topic != "reconnect") return;
        const std::lock_guard lock(mutex_);
        lines_.push_back(std::to_string(static_cast<int>(level)) + " " + text);
    }
    [[nodiscard]] strings of(level_e level) {
        const std::lock_guard lock(mutex_);
        strings found;
        for (const std::string& line : lines_) {
            if (line.front() == '0' + static_cast<int>(level)) found.push_back(line.substr(2));
        }
        return found;
    }

private:
    std::mutex mutex_;
    strings lines_;
};

/// What a consumer takes from a queue: events, messages, "+" behind a fragment that others follow,
/// "cut" where a message was cut off.
std::string take(message_queue_c& queue) {
    message_queue_c::item_t item;
    while (!queue.Next(item)) {
        if (queue.Has_ended() && !queue.Next(item)) return "end";
        if (!queue.Wait_for(message_queue_c::READABLE, patience)) return "nothing";
    }
    if (item.event) return brief(*item.event);
    if (item.generation == 0) return "cut";
    return std::to_string(item.generation) + ":" + std::string(item.payload) +
           (item.is_final ? "" : "+");
}

strings take(message_queue_c& queue, std::size_t count) {
    strings taken;
    while (taken.size() < count) taken.push_back(take(queue));
    return taken;
}

std::shared_ptr<wspool::metadata_c> start_queue(wspool::endpoint_c& endpoint,
                                                const std::string& uri, const options_t& options,
                                                const std::shared_ptr<message_queue_c>& queue) {
    std::shared_ptr<wspool::metadata_c> feed;
    const auto error = endpoint.Create_new_connection(
        uri, std::static_pointer_cast<wspool::sink_c>(queue), options, feed);
    if (error) throw std::runtime_error(error->Error_msg());
    return feed;
}

}  // namespace

// --- reconnection

TEST_CASE("feed: each loss is told in order with the messages, with generations") {
    // Nobody can tell what is missing otherwise. A loss without a word, one with a close frame.
    raw_server server([](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        peer.send(text("a" + std::to_string(number)) + text("b" + std::to_string(number)));
        if (number == 1) peer.close_with(1012, "come back");
        if (number == 2) peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), reconnecting());
    REQUIRE(log->wait("3:b2"));
    CHECK(feed->Get_status() == status_e::OPENED);
    CHECK(feed->Get_error() == nullptr);
    CHECK(feed->Get_generation() == 3);
    CHECK(feed->Close() == nullptr);
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items() == strings{"opened 1", "open", "1:a0", "1:b0", "closed 1 1006",  //
                                  "gap 2", "opened 2", "open", "2:a1", "2:b1", "closed 2 1012",
                                  "gap 3", "opened 3", "open", "3:a2", "3:b2", "closed 3 1000",
                                  "close 1000"});
    CHECK(feed->Get_status() == status_e::CLOSED);
    CHECK(feed->Get_error() == nullptr);
    const auto statistics = feed->Get_statistics();
    CHECK(statistics.reconnects == 2);
    CHECK(statistics.failed_attempts == 0);
    CHECK(statistics.messages_received == 6);
    for (const auto& event : log->events()) {
        if (event.kind != wspool::event_t::kind_e::GAP) continue;
        CHECK(event.since_ns > 0);
        CHECK(event.since_ns <= event.time_ns);
        CHECK(event.attempt == 1);
        CHECK(event.reason == (event.generation == 2 ? "the peer ended TCP without a close frame"
                                                     : "close frame 1012 come back"));
    }
}

TEST_CASE("feed: a queue gets the events among its messages, or only messages") {
    // As the consumer asked for.
    for (const bool takes_events : {true, false}) {
        raw_server server([](raw_peer& peer, int /*number*/) {
            if (!peer.upgrade()) return;
            peer.send(text("a"));
            peer.close_with(1001);
        });
        wspool::endpoint_c endpoint;
        const auto options = reconnecting();
        const auto queue =
            std::make_shared<message_queue_c>(options.queue, nullptr, 0, takes_events);
        const auto feed = start_queue(endpoint, server.uri(), options, queue);
        if (takes_events) {
            CHECK(take(*queue, 6) ==
                  strings{"opened 1", "1:a", "closed 1 1001", "gap 2", "opened 2", "2:a"});
        } else {
            CHECK(take(*queue, 2) == strings{"1:a", "2:a"});
        }
        feed->Abort();
        while (take(*queue) != "end") continue;
        CHECK(feed->Wait_closed(patience));
    }
}

TEST_CASE(
    "feed: the rest of a message whose connection is lost never comes, and the next is whole") {
    // A stream of fragments says so; who takes whole messages never sees the beginning.
    for (const bool streaming : {true, false}) {
        raw_server server([](raw_peer& peer, int number) {
            if (!peer.upgrade()) return;
            if (number == 0) {
                peer.send(text("begin", false) + continuation("more", false));
                std::this_thread::sleep_for(50ms);
                return;
            }
            peer.send(text("wh", false) + continuation("ole"));
            peer.end_in_order();
        });
        wspool::endpoint_c endpoint;
        const auto options = reconnecting();
        const auto queue = std::make_shared<message_queue_c>(options.queue, nullptr, 0, true);
        queue->Set_streaming(streaming);
        const auto feed = start_queue(endpoint, server.uri(), options, queue);
        if (streaming) {
            CHECK(take(*queue, 9) == strings{"opened 1", "1:begin+", "1:more+", "cut",
                                             "closed 1 1006", "gap 2", "opened 2", "2:wh+",
                                             "2:ole"});
        } else {
            CHECK(take(*queue, 5) ==
                  strings{"opened 1", "closed 1 1006", "gap 2", "opened 2", "2:whole"});
        }
        feed->Close();
        CHECK(feed->Wait_closed(patience));
    }
}

TEST_CASE("feed: a listener that stalls over a reconnection misses nothing") {
    // With room for all that comes meanwhile, and with so little that reading pauses.
    for (const std::size_t bound : {std::size_t{4096}, std::size_t{4}}) {
        CAPTURE(bound);
        raw_server server([](raw_peer& peer, int number) {
            if (!peer.upgrade()) return;
            for (int i = 0; i < 20; ++i) {
                peer.send(text(std::to_string(i)));
                std::this_thread::sleep_for(1ms);
            }
            if (number == 1) peer.end_in_order();
        });
        signal_t go_on;
        auto log = std::make_shared<feed_log>();
        log->when_message = [&](auto) { CHECK(go_on.wait()); };
        wspool::endpoint_c endpoint;
        auto options = reconnecting();
        options.queue.messages = bound;
        options.queue.low_messages = bound / 4;
        auto [kept, feed] = start_feed(endpoint, server.uri(), options, log);
        REQUIRE(log->wait("1:0"));
        if (bound > 1000) {
            REQUIRE(comes_true([&, one = feed] { return one->Get_generation() == 2; }));
            REQUIRE(comes_true(
                [&, one = feed] { return one->Get_statistics().messages_received == 40; }));
        } else {
            REQUIRE(comes_true([&, one = feed] { return one->Get_statistics().pauses > 0; }));
        }
        const auto waiting = feed->Get_statistics();
        CHECK(waiting.waiting_messages > 0);
        CHECK(waiting.waiting_bytes > 0);
        CHECK(waiting.waiting_since_ns > 0);
        CHECK(waiting.waiting_since_ns <= wspool::runtime::unix_now());
        go_on.set();
        REQUIRE(log->wait("2:19"));
        strings expected{"opened 1", "open"};
        for (int i = 0; i < 20; ++i) expected.push_back("1:" + std::to_string(i));
        for (const char* one : {"closed 1 1006", "gap 2", "opened 2", "open"})
            expected.emplace_back(one);
        for (int i = 0; i < 20; ++i) expected.push_back("2:" + std::to_string(i));
        CHECK(log->items() == expected);
        // Counted when the callback has returned.
        CHECK(comes_true([&, one = feed] { return one->Get_statistics().waiting_messages == 0; }));
        feed->Close();
        CHECK(feed->Wait_closed(patience));
    }
}

TEST_CASE("feed: a consumer that does not come is not filled by one connection after the other") {
    // A server that sends and closes at once would put one read beyond the bound into the queue
    // with each connection, for ever.
    raw_server server([](raw_peer& peer, int /*number*/) {
        if (!peer.upgrade()) return;
        std::this_thread::sleep_for(20ms);  // apart from the handshake's read
        std::string all;
        for (int i = 0; i < 100; ++i) all += text("x");
        peer.send(all + wspool_test::close(1013));  // in one piece
        received_frame_t frame;
        peer.read_until(8, frame);
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.queue.messages = 4;
    options.queue.low_messages = 1;
    const auto queue = std::make_shared<message_queue_c>(options.queue);
    const auto feed = start_queue(endpoint, server.uri(), options, queue);
    REQUIRE(comes_true([&] { return feed->Get_generation() == 2; }));
    std::this_thread::sleep_for(2s);
    CHECK(feed->Get_generation() == 2);
    CHECK(queue->Waiting().messages == 100);
    // Once it comes, it goes on.
    for (int i = 0; i < 200; ++i) REQUIRE(take(*queue) != "end");
    feed->Abort();
    CHECK(feed->Wait_closed(patience));
}

TEST_CASE("feed: after so many failed attempts in a row it gives up") {
    // The last failure says why.
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.reconnect.max_attempts = 3;
    const std::string uri = "ws://127.0.0.1:" + std::to_string(refused_port());
    auto [log, feed] = start_feed(endpoint, uri, options);
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items() == strings{"fail"});
    CHECK(log->failure()->Code() == error_e::CONNECT);
    CHECK(feed->Get_status() == status_e::FAILED);
    CHECK(feed->Get_statistics().failed_attempts == 3);
    CHECK(feed->Send("x", true)->Code() == error_e::CLOSED);
}

TEST_CASE("feed: what trying again will not mend is given up at once") {
    // A wrong path stays wrong.
    raw_server server([](raw_peer& peer, int) {
        peer.read_request();
        peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        peer.read_eof();
    });
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), reconnecting());
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->failure()->Code() == error_e::STATUS);
    CHECK(feed->Get_statistics().failed_attempts == 1);
}

TEST_CASE("feed: Retry-After holds the host back, whatever date it says") {
    // A date far away is an hour at the most, not an overflow.
    for (const char* when : {"7", "Fri, 31 Dec 9999 23:59:59 GMT", "99999999999999999999"}) {
        CAPTURE(when);
        raw_server server([&](raw_peer& peer, int) {
            peer.read_request();
            peer.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " +
                      std::string(when) + "\r\n\r\n");
            peer.read_eof();
        });
        wspool::endpoint_c endpoint;
        auto [log, feed] = start_feed(endpoint, server.uri(), reconnecting());
        REQUIRE(comes_true([&, one = feed] { return one->Get_statistics().failed_attempts == 1; }));
        std::this_thread::sleep_for(20ms);
        const std::string host = server.uri().substr(5);
        const std::int64_t wait =
            wspool::detail::attempt_gate::of_process().ask(host, wspool::runtime::steady_now());
        CHECK(wait > 5'000'000'000);
        if (std::string(when) != "7") CHECK(wait > 3'500'000'000'000);
        CHECK(wait <= wspool::detail::attempt_gate::longest_hold);
        feed->Abort();
        CHECK(feed->Wait_closed(patience));
    }
}

TEST_CASE("feed: delays of zero stay zero, however many failures there were") {
    // Zero times a power that is infinite is no number.
    raw_server server([](raw_peer& peer, int) {
        if (peer.upgrade()) peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.reconnect.initial_delay = 0ms;
    options.reconnect.failures_before = 5000;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    CHECK(log->wait("opened 1"));
    feed->Close();
    CHECK(feed->Wait_closed(patience));
}

TEST_CASE("feed: options that make no sense are refused") {
    // When it is created, not at the first loss.
    wspool::endpoint_c endpoint;
    const auto refusal = [&](const options_t& options) {
        std::shared_ptr<wspool::metadata_c> feed;
        const auto error = endpoint.Create_new_connection(
            "ws://127.0.0.1:1", std::make_shared<feed_log>(), options, feed);
        return error ? error->Error_msg() : "";
    };
    auto options = reconnecting();
    options.reconnect.factor = 0.5;
    CHECK(refusal(options).find("factor") != std::string::npos);
    options.reconnect.factor = std::nan("");
    CHECK(refusal(options).find("factor") != std::string::npos);
    options = reconnecting();
    options.redundancy = 2;
    CHECK(refusal(options).find("dedup") != std::string::npos);
    options.redundancy = 17;
    CHECK(refusal(options).find("redundancy") != std::string::npos);
    options.redundancy = 2;
    options.dedup = {"u"};
    CHECK(refusal(options).find("dedup") != std::string::npos);
    options = reconnecting();
    options.match.emplace_back();
    CHECK(refusal(options).find("match") != std::string::npos);
}

TEST_CASE("feed: a callback's handle is that of a connection that was ready") {
    // Not that of one that the loop is making while the callback's thread is behind.
    signal_t has_come;
    signal_t is_lost;
    raw_server server([&](raw_peer& peer, int number) {
        if (number == 0) {
            if (!peer.upgrade()) return;
            peer.send(text("a"));
            CHECK(has_come.wait());
            peer.send(text("b"));
            return;
        }
        peer.read_request();
        is_lost.set();
        peer.read_eof();
    });
    using handle_t = websocketpp::connection_hdl;
    signal_t is_done;
    handle_t opened;
    std::vector<handle_t> of_messages;
    wspool::metadata_c::on_callbacks_t callbacks;
    callbacks.on_open = [&](auto&, handle_t handle) { opened = std::move(handle); };
    callbacks.on_msg = [&](auto&, handle_t handle, const auto& message, auto&) {
        of_messages.push_back(std::move(handle));
        if (message->get_payload() == "b") return is_done.set();
        has_come.set();
        CHECK(is_lost.wait());
    };
    wspool::endpoint_c endpoint;
    std::future<status_e> future;
    int id = 0;
    REQUIRE(endpoint.Create_new_connection(server.uri(), future, id, callbacks, reconnecting()) ==
            nullptr);
    REQUIRE(is_done.wait());
    REQUIRE(of_messages.size() == 2);
    for (const handle_t& one : of_messages) {
        CHECK_FALSE(one.owner_before(opened));
        CHECK_FALSE(opened.owner_before(one));
    }
    CHECK(endpoint.Stop(5s));
}

// --- subscriptions

TEST_CASE(
    "feed: subscriptions are sent at every connection, and it is ready when all are answered") {
    // Before that nothing counts as open; what came meanwhile is there, behind the event.
    std::mutex mutex;
    strings asked;
    feed_log* seen = nullptr;
    std::shared_ptr<wspool::metadata_c> handle;
    signal_t is_set_up;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade() || !is_set_up.wait()) return;
        received_frame_t frame;
        for (int i = 0; i < 2 && peer.read_frame(frame); ++i) {
            const std::lock_guard lock(mutex);
            asked.push_back(std::to_string(number) + " " + std::to_string(frame.opcode) +
                            frame.payload);
        }
        peer.send(text("early") + text(R"({"ok":true,"id":2})"));
        std::this_thread::sleep_for(50ms);
        CHECK(handle->Get_status() == status_e::CONNECTING);
        CHECK(handle->Send("too early", true)->Code() == error_e::INVALID_STATE);
        CHECK(seen->count("opened " + std::to_string(number + 1)) == 0);
        peer.send(text(R"({"ok":false,"id":1})") + text("done one") + text("late"));
        if (number == 1) peer.end_in_order();
    });
    auto options = reconnecting();
    options.subscriptions = {{"one", true}, {"two", false}};
    wspool::acknowledgement_t picked;
    picked.where = {{"/id", {std::int64_t{2}}}, {"/ok", {true}}};
    options.match = {containing("done"), picked};
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    seen = log.get();
    handle = feed;
    is_set_up.set();
    REQUIRE(log->wait("2:late"));
    {
        const std::lock_guard lock(mutex);
        CHECK(asked == strings{"0 1one", "0 2two", "1 1one", "1 2two"});
    }
    feed->Close();
    REQUIRE(feed->Wait_closed(patience));
    strings expected;
    for (const std::string g : {"1", "2"}) {
        for (const auto& one :
             strings{"gap " + g, "opened " + g, "open", g + ":early", g + R"(:{"ok":true,"id":2})",
                     g + R"(:{"ok":false,"id":1})", g + ":done one", g + ":late"}) {
            if (one != "gap 1") expected.push_back(one);
        }
        if (g == "1") expected.emplace_back("closed 1 1006");
    }
    expected.insert(expected.end(), {"closed 2 1000", "close 1000"});
    CHECK(log->items() == expected);
}

TEST_CASE("feed: all subscriptions are sent, however small the write bound is") {
    // A link that is ready without some of them would be silent about these for ever.
    constexpr int count = 1000;
    std::atomic<int> in_order{0};
    raw_server server([&](raw_peer& peer, int) {
        if (!peer.upgrade()) return;
        received_frame_t frame;
        for (int i = 0; i < count && peer.read_until(1, frame); ++i) {
            if (frame.payload == std::to_string(i) + std::string(100, '.')) ++in_order;
        }
        peer.end_in_order();
    });
    options_t options;
    options.write_bound = std::size_t{64} * 1024;
    options.deflate.enabled = false;
    for (int i = 0; i < count; ++i) {
        options.subscriptions.push_back({std::to_string(i) + std::string(100, '.'), true});
    }
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    CHECK(log->wait("opened 1"));
    CHECK(comes_true([&] { return in_order == count; }));
    feed->Abort();
    CHECK(feed->Wait_closed(patience));
}

TEST_CASE("feed: a subscription that cannot be sent fails the attempt") {
    // As text that is none.
    raw_server server([&](raw_peer& peer, int) {
        if (peer.upgrade()) peer.read_eof();
    });
    options_t options;
    options.subscriptions = {{"one", true}, {"\xFF", true}};
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items() == strings{"fail"});
    CHECK(log->failure()->Code() == error_e::INVALID_ARGUMENT);
}

TEST_CASE("feed: acknowledgements behind more than the queue holds fail the attempt") {
    // It must not be ready after all because the acknowledgement stands in the same read, nor come
    // twice what was held back.
    for (const std::string& last : {text("ack"), text("a", false) + continuation("ck")}) {
        raw_server server([&](raw_peer& peer, int) {
            if (!peer.upgrade()) return;
            std::this_thread::sleep_for(20ms);  // apart from the handshake's read
            peer.send(text("1") + text("2") + text("3") + text("4") + last + text("5"));
            peer.read_eof();
        });
        options_t options;
        options.match = {containing("ack")};
        options.queue.messages = 2;
        wspool::endpoint_c endpoint;
        auto [log, feed] = start_feed(endpoint, server.uri(), options);
        REQUIRE(feed->Wait_closed(patience));
        CHECK(log->items() == strings{"fail"});
        CHECK(log->failure()->Code() == error_e::QUEUE_FULL);
    }
}

TEST_CASE("feed: acknowledgements that do not come fail the attempt within open_timeout") {
    // It is part of the opening.
    raw_server server([&](raw_peer& peer, int) {
        if (peer.upgrade()) peer.read_eof();
    });
    options_t options;
    options.match = {containing("ack")};
    options.open_timeout = 200ms;
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items() == strings{"fail"});
    CHECK(log->failure()->Code() == error_e::TIMEOUT);
}

// --- ends

TEST_CASE("feed: it can be closed and aborted in each state, and ends then") {
    // Nothing must be left that waits: a delay, user code, a peer.
    const std::string refused = "ws://127.0.0.1:" + std::to_string(refused_port());
    for (const bool aborts : {false, true}) {
        CAPTURE(aborts);
        wspool::endpoint_c endpoint;
        const auto end = [&](const fed_t& one) {
            const auto begin = std::chrono::steady_clock::now();
            if (aborts)
                one.feed->Abort();
            else
                CHECK(one.feed->Close() == nullptr);
            REQUIRE(one.feed->Wait_closed(patience));
            CHECK(std::chrono::steady_clock::now() - begin < 5s);
            CHECK(one.feed->Close() == nullptr);  // again is nothing
            one.feed->Abort();
        };
        SUBCASE("while user code makes the attempt, which answers afterwards") {
            signal_t asked;
            wspool::attempt_source_c::prepared_t answer;
            auto source = std::make_shared<scripted_source>();
            source->prepare = [&](unsigned, auto one) {
                answer = std::move(one);
                asked.set();
            };
            auto options = reconnecting();
            options.source = source;
            const auto one = start_feed(endpoint, refused, options);
            REQUIRE(asked.wait());
            end(one);
            CHECK(one.log->items() == strings{"fail"});
            CHECK(one.log->failure()->Code() == error_e::ABORTED);
            answer(nullptr, {refused, {}, {}, {}});
            answer = nullptr;
            CHECK(endpoint.Stop(5s));
        }
        SUBCASE("while user code judges, which answers afterwards") {
            signal_t asked;
            wspool::attempt_source_c::judged_t answer;
            auto source = std::make_shared<scripted_source>();
            source->judge = [&](const auto&, bool, bool, auto one) {
                answer = std::move(one);
                asked.set();
            };
            auto options = reconnecting();
            options.source = source;
            const auto one = start_feed(endpoint, refused, options);
            REQUIRE(asked.wait());
            end(one);
            CHECK(one.log->items() == strings{"fail"});
            answer(true);
            answer = nullptr;
            CHECK(endpoint.Stop(5s));
        }
        SUBCASE("while it waits before the next attempt") {
            auto options = reconnecting();
            options.reconnect.initial_delay = options.reconnect.max_delay = 60s;
            const auto one = start_feed(endpoint, refused, options);
            REQUIRE(comes_true([&] { return one.feed->Get_statistics().failed_attempts == 1; }));
            CHECK(one.feed->Get_error()->Code() == error_e::CONNECT);
            end(one);
            CHECK(one.log->items() == strings{"fail"});
        }
        SUBCASE("while it connects") {
            signal_t asked;
            raw_server silent([&](raw_peer& peer, int) {
                peer.read_request();
                asked.set();
                peer.read_eof();
            });
            const auto one = start_feed(endpoint, silent.uri(), reconnecting());
            REQUIRE(asked.wait());
            end(one);
            CHECK(one.log->items() == strings{"fail"});
            CHECK(one.log->failure()->Code() == error_e::ABORTED);
        }
        SUBCASE("while acknowledgements are missing") {
            signal_t is_open;
            raw_server silent([&](raw_peer& peer, int) {
                if (!peer.upgrade()) return;
                received_frame_t frame;
                peer.read_frame(frame);
                is_open.set();
                peer.end_in_order();
            });
            auto options = reconnecting();
            options.subscriptions = {{"one", true}};
            options.match = {containing("ack")};
            const auto one = start_feed(endpoint, silent.uri(), options);
            REQUIRE(is_open.wait());
            end(one);
            CHECK(one.log->items() == strings{"fail"});
            CHECK(one.log->failure()->Code() == error_e::ABORTED);
            CHECK(one.feed->Get_status() == status_e::FAILED);
        }
        SUBCASE("while it is open") {
            raw_server server([&](raw_peer& peer, int) {
                if (peer.upgrade()) peer.end_in_order();
            });
            const auto one = start_feed(endpoint, server.uri(), reconnecting());
            REQUIRE(one.log->wait("opened 1"));
            end(one);
            const std::string code = aborts ? "1006" : "1000";
            CHECK(one.log->items() ==
                  strings{"opened 1", "open", "closed 1 " + code, "close " + code});
            CHECK(one.feed->Get_status() == status_e::CLOSED);
        }
        SUBCASE("while it waits to come back") {
            raw_server server([&](raw_peer& peer, int) { peer.upgrade(); });
            auto options = reconnecting();
            options.reconnect.initial_delay = options.reconnect.max_delay = 60s;
            const auto one = start_feed(endpoint, server.uri(), options);
            REQUIRE(one.log->wait("closed 1 1006"));
            end(one);
            CHECK(one.log->items() == strings{"opened 1", "open", "closed 1 1006", "close 1006"});
            CHECK(one.feed->Get_status() == status_e::CLOSED);
        }
    }
}

TEST_CASE("feed: an endpoint that stops ends feeds in whichever state") {
    // Without waiting for hosts that do not answer, or for user code that never does.
    raw_server silent([](raw_peer& peer, int) { peer.read_eof(); });
    raw_server open([](raw_peer& peer, int) {
        if (peer.upgrade()) peer.read_eof();
    });
    auto waiting = reconnecting();
    waiting.reconnect.initial_delay = waiting.reconnect.max_delay = 60s;
    auto asking = reconnecting();
    wspool::attempt_source_c::prepared_t never_called;
    auto source = std::make_shared<scripted_source>();
    source->prepare = [&](unsigned, auto answer) { never_called = std::move(answer); };
    asking.source = source;
    std::vector<fed_t> feeds;
    {
        wspool::endpoint_c endpoint;
        feeds.push_back(start_feed(endpoint, silent.uri(), reconnecting()));
        feeds.push_back(start_feed(endpoint, open.uri(), reconnecting()));
        feeds.push_back(
            start_feed(endpoint, "ws://127.0.0.1:" + std::to_string(refused_port()), waiting));
        feeds.push_back(start_feed(endpoint, open.uri(), asking));
        REQUIRE(feeds[1].log->wait("opened 1"));
        REQUIRE(comes_true([&] { return feeds[2].feed->Get_statistics().failed_attempts == 1; }));
        CHECK(endpoint.Stop(5s));
    }
    for (const auto& one : feeds) {
        CHECK(one.feed->Wait_closed(0s));
        CHECK(one.log->count_of("fail") + one.log->count_of("close ") == 1);
    }
    never_called = nullptr;
}

// --- user code that takes part

TEST_CASE("feed: user code that does not answer in time is an attempt that failed") {
    wspool::endpoint_c endpoint;
    const std::string refused = "ws://127.0.0.1:" + std::to_string(refused_port());
    std::mutex mutex;
    std::vector<wspool::attempt_source_c::prepared_t> prepared;
    std::vector<wspool::attempt_source_c::judged_t> judged;
    auto source = std::make_shared<scripted_source>();
    auto options = reconnecting();
    options.source = source;
    options.open_timeout = 50ms;
    SUBCASE("what makes it") {
        source->prepare = [&](unsigned, auto answer) {
            const std::lock_guard lock(mutex);
            prepared.push_back(std::move(answer));
        };
        options.reconnect.max_attempts = 2;
        const auto one = start_feed(endpoint, refused, options);
        REQUIRE(one.log->wait("fail"));
        CHECK(one.log->failure()->Code() == error_e::PREPARATION);
        CHECK(one.log->failure()->System_code() == ETIMEDOUT);
        CHECK(one.feed->Get_statistics().failed_attempts == 2);
        const std::lock_guard lock(mutex);
        for (const auto& answer : prepared) answer(nullptr, {refused, {}, {}, {}});
    }
    SUBCASE("what makes it, without open_timeout, when the feed is to be given up") {
        source->prepare = [&](unsigned, auto answer) {
            const std::lock_guard lock(mutex);
            prepared.push_back(std::move(answer));
        };
        options.open_timeout = 0ms;
        options.reconnect.give_up_after = 50ms;
        const auto one = start_feed(endpoint, refused, options);
        REQUIRE(one.log->wait("fail"));
        CHECK(one.log->failure()->System_code() == ETIMEDOUT);
        CHECK(one.feed->Get_statistics().failed_attempts == 1);
    }
    SUBCASE("what judges counts as if it were not there") {
        source->judge = [&](const auto&, bool, bool, auto answer) {
            const std::lock_guard lock(mutex);
            judged.push_back(std::move(answer));
        };
        options.reconnect.max_attempts = 3;
        const auto one = start_feed(endpoint, refused, options);
        REQUIRE(one.log->wait("fail"));
        CHECK(one.log->failure()->Code() == error_e::CONNECT);
        CHECK(one.feed->Get_statistics().failed_attempts == 3);
        const std::lock_guard lock(mutex);
        CHECK(judged.size() == 2);
        for (const auto& answer : judged) answer(false);
    }
    CHECK(endpoint.Stop(5s));
}

TEST_CASE(
    "feed: user code makes each attempt, from another thread, and its second answer is none") {
    // Attempts are numbered until it is open; headers and subscriptions are those of the attempt.
    std::mutex mutex;
    strings asked;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        received_frame_t frame;
        if (peer.read_frame(frame)) {
            const std::lock_guard lock(mutex);
            asked.push_back(frame.payload);
        }
        if (number == 1) peer.end_in_order();
    });
    std::vector<unsigned> numbers;
    std::vector<std::thread> threads;
    auto source = std::make_shared<scripted_source>();
    source->prepare = [&](unsigned attempt, auto answer) {
        const std::lock_guard lock(mutex);
        numbers.push_back(attempt);
        const std::size_t count = numbers.size();
        threads.emplace_back([answer = std::move(answer), count, uri = server.uri()] {
            if (count == 1) {
                answer(std::make_unique<wspool::error_c>(error_e::PREPARATION, "no token"), {});
                answer(nullptr, {uri, {}, {}, {}});  // too late
                return;
            }
            wspool::attempt_t made{uri, {}, {{"sub " + std::to_string(count), true}}, {}};
            answer(nullptr, made);
            answer(std::make_unique<wspool::error_c>(error_e::PREPARATION, "again"), {});
        });
    };
    auto options = reconnecting();
    options.source = source;
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, "ws://elsewhere.test", options);
    REQUIRE(log->wait("opened 2"));
    REQUIRE(comes_true([&] {
        const std::lock_guard lock(mutex);
        return asked.size() == 2;
    }));
    feed->Close();
    CHECK(feed->Wait_closed(patience));
    CHECK(endpoint.Stop(5s));
    for (auto& thread : threads) thread.join();
    const std::lock_guard lock(mutex);
    CHECK(numbers == std::vector<unsigned>{1, 2, 1});
    CHECK(asked == strings{"sub 2", "sub 3"});
    CHECK(feed->Get_statistics().failed_attempts == 1);
    CHECK(log->events().front().attempt == 2);
}

TEST_CASE("feed: user code that throws is an attempt that failed, or no judgement") {
    // It must not leave the feed waiting for an answer for ever.
    auto source = std::make_shared<scripted_source>();
    source->prepare = [](unsigned, const auto&) { throw std::runtime_error("no token"); };
    source->judge = [](const wspool::error_c& error, bool, bool by_default, const auto&) {
        CHECK(error.Code() == error_e::PREPARATION);
        CHECK(by_default);
        throw std::runtime_error("no judgement");
    };
    auto options = reconnecting();
    options.source = source;
    options.reconnect.max_attempts = 2;
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, "ws://127.0.0.1:1", options);
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items() == strings{"error", "error", "error", "fail"});
    CHECK(log->failure()->Code() == error_e::PREPARATION);
    CHECK(feed->Get_statistics().callback_errors == 3);
    const auto queue = std::make_shared<message_queue_c>(options.queue);
    const auto other = start_queue(endpoint, "ws://127.0.0.1:1", options, queue);
    CHECK(other->Wait_closed(patience));
}

TEST_CASE("feed: attempts that user code fails say nothing about the host") {
    // It was never asked; others need not wait for it.
    raw_server healthy([](raw_peer& peer, int) { peer.read_eof(); });
    auto source = std::make_shared<scripted_source>();
    SUBCASE("as it makes none") {
        source->prepare = [](unsigned, const auto& answer) {
            answer(std::make_unique<wspool::error_c>(error_e::PREPARATION, "no token"), {});
        };
    }
    SUBCASE("as what it makes is not allowed") {
        source->prepare = [&](unsigned, const auto& answer) {
            answer(nullptr, {healthy.uri(), {{"bad name", "x"}}, {}, {}});
        };
        source->judge = [](const auto&, bool, bool, const auto& answer) { answer(true); };
    }
    auto options = reconnecting();
    options.source = source;
    options.reconnect.max_attempts = 3;
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, healthy.uri(), options);
    REQUIRE(feed->Wait_closed(patience));
    CHECK(feed->Get_statistics().failed_attempts == 3);
    auto& gate = wspool::detail::attempt_gate::of_process();
    const std::string host = healthy.uri().substr(5);
    for (int i = 0; i < 3; ++i) CHECK(gate.ask(host, wspool::runtime::steady_now()) == 0);
    CHECK(healthy.count() == 0);
}

TEST_CASE("feed: a URI that is none is refused, and its password told to nobody") {
    // Also where user code makes something else of each attempt, or the URI itself: then there may
    // be a name in its place.
    auto source = std::make_shared<scripted_source>();
    source->prepare = [](unsigned, const auto& answer) {
        answer(std::make_unique<wspool::error_c>(error_e::PREPARATION, "no token"), {});
    };
    options_t options;
    options.source = source;
    wspool::endpoint_c endpoint;
    std::shared_ptr<wspool::metadata_c> feed;
    const auto create = [&](const std::string& uri) {
        return endpoint.Create_new_connection(uri, std::make_shared<feed_log>(), options, feed);
    };
    const auto error = create("ws://user:secret@host:port/");
    REQUIRE(error != nullptr);
    CHECK(error->Code() == error_e::INVALID_URI);
    CHECK(error->Error_msg().find("secret") == std::string::npos);
    CHECK(feed == nullptr);
    REQUIRE(create("user:sec@ret@host/path") == nullptr);
    CHECK(feed->Get_uri() == "host/path");
    REQUIRE(create("make_uri()") == nullptr);
    CHECK(feed->Get_uri() == "make_uri()");
    CHECK(endpoint.Stop(5s));
}

TEST_CASE("feed: user code that hangs stops no other feed of its host") {
    // It was let through by the gate, and answers when it likes.
    const std::string refused = "ws://127.0.0.1:" + std::to_string(refused_port());
    signal_t hangs;
    wspool::attempt_source_c::prepared_t never_called;
    auto source = std::make_shared<scripted_source>();
    source->prepare = [&](unsigned attempt, auto answer) {
        if (attempt == 1) return answer(nullptr, {refused, {}, {}, {}});
        never_called = std::move(answer);
        hangs.set();
    };
    auto hanging = reconnecting();
    hanging.source = source;
    wspool::endpoint_c endpoint;
    const auto one = start_feed(endpoint, refused, hanging);
    REQUIRE(hangs.wait());
    const auto other = start_feed(endpoint, refused, reconnecting());
    CHECK(comes_true([&] { return other.feed->Get_statistics().failed_attempts >= 2; }));
    CHECK(one.feed->Get_statistics().failed_attempts == 1);
    CHECK(endpoint.Stop(5s));
    never_called = nullptr;
}

TEST_CASE("feed: user code judges what is tried again") {
    // Against the default, both ways.
    raw_server server([](raw_peer& peer, int number) {
        if (number == 1) {
            if (!peer.upgrade()) return;
            peer.close_with(1001);
            return;
        }
        peer.read_request();
        peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        peer.read_eof();
    });
    std::mutex mutex;
    strings judged;
    auto source = std::make_shared<scripted_source>();
    source->judge = [&](const wspool::error_c& error, bool was_open, bool by_default, auto answer) {
        const std::lock_guard lock(mutex);
        judged.push_back(std::to_string(static_cast<int>(error.Code())) +
                         (was_open ? " open" : "") + (by_default ? " again" : ""));
        answer(!by_default);
    };
    auto options = reconnecting();
    options.source = source;
    wspool::endpoint_c endpoint;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(feed->Wait_closed(patience));
    const std::lock_guard lock(mutex);
    CHECK(judged == strings{std::to_string(static_cast<int>(error_e::STATUS)),
                            std::to_string(static_cast<int>(error_e::CLOSED)) + " open again"});
    CHECK(log->items().back() == "close 1001");
}

TEST_CASE("feed: the log says that a feed is given up, and why") {
    // However it came to that; but not that the user ended it.
    using level_e = wspool::log_c::level_e;
    const auto lines = std::make_shared<kept_lines>();
    auto options = reconnecting();
    options.log = lines;
    wspool::endpoint_c endpoint;
    SUBCASE("as trying again will not mend it") {
        raw_server server([](raw_peer& peer, int) {
            peer.read_request();
            peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            peer.read_eof();
        });
        auto [log, feed] = start_feed(endpoint, server.uri() + "/?token=secret", options);
        REQUIRE(feed->Wait_closed(patience));
        CHECK(lines->of(level_e::ERROR) ==
              strings{server.uri() + "/?...: given up: " + log->failure()->Error_msg()});
    }
    SUBCASE("as user code says so") {
        raw_server server([](raw_peer& peer, int) {
            if (peer.upgrade()) peer.close_with(1001);
        });
        auto source = std::make_shared<scripted_source>();
        source->judge = [](const auto&, bool, bool, const auto& answer) { answer(false); };
        options.source = source;
        auto [log, feed] = start_feed(endpoint, server.uri(), options);
        REQUIRE(feed->Wait_closed(patience));
        CHECK(lines->of(level_e::ERROR) ==
              strings{server.uri() + "/: given up: the peer closed the connection"});
    }
    SUBCASE("as the queue has no room") {
        raw_server server([](raw_peer& peer, int) {
            if (!peer.upgrade()) return;
            for (int i = 0; i < 5; ++i) peer.send(text("x"));
            peer.end_in_order();
        });
        options.queue.messages = 2;
        options.queue.overflow = overflow_e::FAIL;
        const auto queue = std::make_shared<message_queue_c>(options.queue);
        const auto feed = start_queue(endpoint, server.uri(), options, queue);
        REQUIRE(feed->Wait_closed(patience));
        CHECK(comes_true([&] { return !lines->of(level_e::ERROR).empty(); }));
        CHECK(lines->of(level_e::ERROR) ==
              strings{server.uri() + "/: given up: the receive queue is full"});
    }
    SUBCASE("not where it was closed") {
        raw_server server([](raw_peer& peer, int) {
            if (peer.upgrade()) peer.end_in_order();
        });
        auto [log, feed] = start_feed(endpoint, server.uri(), options);
        REQUIRE(log->wait("opened 1"));
        feed->Close();
        REQUIRE(feed->Wait_closed(patience));
        CHECK(lines->of(level_e::ERROR).empty());
    }
}

TEST_CASE("feed: a queue that failed for want of room takes messages again, if user code says so") {
    // Otherwise the feed would be open, and deaf for ever.
    raw_server server([](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        if (number == 0) {
            for (int i = 0; i < 5; ++i) peer.send(text("x"));
        } else {
            peer.send(text("after"));
        }
        peer.end_in_order();
    });
    auto source = std::make_shared<scripted_source>();
    source->judge = [](const wspool::error_c& error, bool, bool by_default, const auto& answer) {
        CHECK(error.Code() == error_e::QUEUE_FULL);
        CHECK_FALSE(by_default);
        answer(true);
    };
    auto options = reconnecting();
    options.source = source;
    options.queue.messages = 2;
    options.queue.overflow = overflow_e::FAIL;
    wspool::endpoint_c endpoint;
    const auto queue = std::make_shared<message_queue_c>(options.queue);
    const auto feed = start_queue(endpoint, server.uri(), options, queue);
    REQUIRE(comes_true([&] { return queue->Dropped() > 0; }));
    CHECK(take(*queue, 3) == strings{"1:x", "1:x", "2:after"});
    feed->Close();
    CHECK(feed->Wait_closed(patience));
}
