/// Feeds of several connections at once: replacement and redundancy.

#include <doctest/doctest.h>

#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/feed_log.hpp"
#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "wspool/message_queue.hpp"

using namespace wspool_test;
using wspool::error_e;
using wspool::message_queue_c;
using wspool::options_t;
using status_e = wspool::metadata_c::status_e;
using strings = std::vector<std::string>;

namespace {

bool has_input(const raw_peer& peer) {
    pollfd waiting{peer.descriptor(), POLLIN, 0};
    return ::poll(&waiting, 1, 1) > 0;
}

/// Judges what ended for want of room.
class judging_source : public wspool::attempt_source_c {
public:
    std::atomic<bool> answer{false};
    std::atomic<int> asked{0};

    [[nodiscard]] bool Prepares() const noexcept override { return false; }
    [[nodiscard]] bool Judges() const noexcept override { return true; }
    void Prepare(unsigned /*attempt*/, prepared_t /*answer*/) override {}
    void Judge(wspool::metadata_c& /*connection*/, const wspool::error_c& error, bool /*was_open*/,
               bool by_default, judged_t tell) override {
        if (error.Code() != error_e::QUEUE_FULL) return tell(by_default);
        CHECK_FALSE(by_default);
        ++asked;
        tell(answer);
    }
};

/// What came of one generation, in order.
strings of_generation(const strings& items, int generation) {
    strings found;
    const std::string begin = std::to_string(generation) + ":";
    for (const std::string& item : items) {
        if (item.compare(0, begin.size(), begin) == 0) found.push_back(item.substr(begin.size()));
    }
    return found;
}

std::string numbered(int number) { return text(R"({"u":)" + std::to_string(number) + "}"); }

}  // namespace

// --- replacement

TEST_CASE("replacement: nothing is lost, nothing comes twice, and there is no gap") {
    // The successor's messages wait until the old connection has said all it had to say.
    constexpr int most = 5;
    std::array<std::atomic<int>, most> sent{};
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        int count = 0;
        while (!has_input(peer) && count < 100'000) peer.send(text(std::to_string(count++)));
        for (int i = 0; i < 20; ++i) peer.send(text(std::to_string(count++)));
        if (number < most) sent[static_cast<std::size_t>(number)] = count;
        peer.end_in_order();
    });
    for (const std::size_t bound : {std::size_t{1'000'000}, std::size_t{50}}) {
        CAPTURE(bound);
        wspool::endpoint_c endpoint;
        options_t options;  // replacement alone: no reconnection is needed
        options.replace_after = 100ms;
        options.queue.messages = bound;
        auto [log, feed] = start_feed(endpoint, server.uri(), options);
        REQUIRE(log->wait("opened 3"));
        CHECK(feed->Get_status() == status_e::OPENED);
        feed->Close();
        REQUIRE(feed->Wait_closed(patience));
        const auto items = log->items();
        strings events;
        for (const auto& item : items) {
            if (item.find(':') == std::string::npos) events.push_back(item);
        }
        REQUIRE(events.size() >= 9);
        events.resize(8);
        CHECK(events == strings{"opened 1", "open", "closed 1 1000", "opened 2", "open",
                                "closed 2 1000", "opened 3", "open"});
        for (const int generation : {1, 2}) {
            const auto received = of_generation(items, generation);
            bool in_order = true;
            for (std::size_t i = 0; i < received.size(); ++i)
                in_order = in_order && received[i] == std::to_string(i);
            CHECK(in_order);
            CHECK(received.size() >= 20);
            if (bound > 1000) {
                CHECK(static_cast<int>(received.size()) ==
                      sent[static_cast<std::size_t>(generation - 1)]);
            }
        }
        if (bound > 1000) continue;
        CHECK(log->count_of("gap") == 0);
    }
}

TEST_CASE("replacement: while the old connection closes, what is sent goes to its successor") {
    // A peer may take its time to close; the feed is open all the while.
    signal_t closing;
    signal_t has_come;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        received_frame_t frame;
        if (number == 0) {
            if (!peer.read_until(8, frame)) return;
            closing.set();
            CHECK(has_come.wait());
            peer.send(with_opcode(8, frame.payload));
            return;
        }
        if (number == 1 && peer.read_frame(frame) && frame.payload == "hello") has_come.set();
        peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    options_t options;
    options.replace_after = 100ms;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(closing.wait());
    CHECK(feed->Get_status() == status_e::OPENED);
    const auto error = feed->Send("hello", true);
    CHECK((error ? error->Error_msg() : "") == "");
    has_come.set();  // where it has not
    REQUIRE(log->wait("opened 2"));
    feed->Close();
    CHECK(feed->Wait_closed(patience));
}

TEST_CASE("replacement: a successor whose acknowledgements are missing is not ready without them") {
    // Also where the old connection is lost meanwhile: then there is a gap, as in any loss.
    signal_t is_open;
    signal_t go_on;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        if (number == 0) {
            peer.send(text("ack"));
            CHECK(is_open.wait());
            peer.reset();
            return;
        }
        is_open.set();
        CHECK(go_on.wait());
        peer.send(text("early") + text("ack"));
        peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.replace_after = 100ms;
    options.match = {containing("ack")};
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(log->wait("closed 1 1006"));
    std::this_thread::sleep_for(50ms);
    CHECK(feed->Get_status() == status_e::CONNECTING);
    CHECK(feed->Get_generation() == 1);
    options = {};
    feed->Ping("", nullptr);
    go_on.set();
    REQUIRE(log->wait("2:ack"));
    feed->Abort();
    REQUIRE(feed->Wait_closed(patience));
    auto items = log->items();
    REQUIRE(items.size() >= 9);
    items.resize(9);
    CHECK(items == strings{"opened 1", "open", "1:ack", "closed 1 1006", "gap 2", "opened 2",
                           "open", "2:early", "2:ack"});
}

TEST_CASE(
    "replacement: a successor that fails leaves the old connection open, and its error unsaid") {
    // It is tried again; nobody but the log hears of it.
    raw_server server([&](raw_peer& peer, int number) {
        if (number == 1) {
            peer.read_request();
            peer.reset();
            return;
        }
        if (peer.upgrade()) peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.replace_after = 100ms;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(comes_true([&, one = feed] { return one->Get_statistics().failed_attempts == 1; }));
    CHECK(feed->Get_status() == status_e::OPENED);
    CHECK(feed->Get_error() == nullptr);
    REQUIRE(log->wait("opened 2"));
    feed->Close();
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->count_of("gap") == 0);
    CHECK(feed->Get_error() == nullptr);
}

TEST_CASE("replacement: a successor waits at the gate of a host that is in trouble") {
    // It would be one more on a host that has just refused some; and those that were lost need
    // their turn more.
    raw_server server([&](raw_peer& peer, int number) {
        if (number == 0) return peer.reset();
        if (peer.upgrade()) peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.replace_after = 50ms;
    const auto begun = std::chrono::steady_clock::now();
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(log->wait("opened 2"));
    // The one that follows the refusal waits for more than a second, and its successor for another.
    CHECK(std::chrono::steady_clock::now() - begun >= 2s);
    CHECK(server.count() == 3);
    feed->Close();
    REQUIRE(feed->Wait_closed(patience));
}

TEST_CASE("replacement: what failed while the old connection was open does not end the feed") {
    // Its outage begins when the old one is lost, and so do the attempts that count, the time, and
    // the delays.
    struct server_t {
        std::atomic<int> refused{0};
        raw_server server{[this](raw_peer& peer, int number) {
            if (number == 0) {
                if (!peer.upgrade()) return;
                CHECK(comes_true([&] { return refused == 2; }));
                return peer.reset();
            }
            if (number < 4) {
                peer.read_request();
                peer.reset();
                ++refused;
                return;
            }
            if (peer.upgrade()) peer.end_in_order();
        }};
    };
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.replace_after = 100ms;
    options.reconnect.max_attempts = 3;
    server_t for_attempts;
    const auto counting = start_feed(endpoint, for_attempts.server.uri(), options);
    options.reconnect.max_attempts = 0;
    options.reconnect.give_up_after = 2'500ms;
    server_t for_time;
    const auto timing = start_feed(endpoint, for_time.server.uri(), options);
    for (const auto& one : {counting, timing}) {
        CHECK(comes_true(
            [&] { return one.log->count_of("opened") == 2 || one.feed->Wait_closed(0s); }));
        CHECK(one.log->count_of("opened") == 2);
        one.feed->Close();
        CHECK(one.feed->Wait_closed(patience));
    }
}

TEST_CASE("replacement: a feed that is closed while its successor is on its way ends both") {
    // And says that it was closed, not that an attempt failed.
    signal_t asked;
    raw_server server([&](raw_peer& peer, int number) {
        if (number == 0) {
            if (peer.upgrade()) peer.end_in_order();
            return;
        }
        peer.read_request();
        asked.set();
        peer.read_eof();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.replace_after = 100ms;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(asked.wait());
    feed->Close(1000, "enough");
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items() == strings{"opened 1", "open", "closed 1 1000", "close 1000"});
    CHECK(feed->Get_error() == nullptr);
}

TEST_CASE("replacement: what there is no room for ends the old connection, and comes once") {
    // The end comes in the middle of what one read brought, of many messages or of few.
    for (const int size : {100, 30'000}) {
        CAPTURE(size);
        signal_t cut;
        raw_server server([&](raw_peer& peer, int number) {
            if (!peer.upgrade()) return;
            received_frame_t frame;
            if (number > 0) {
                peer.send(text("new"));
                return peer.end_in_order();
            }
            if (!peer.read_until(8, frame)) return;
            std::string burst;
            for (int i = 0; burst.size() < 4'000'000; ++i)
                burst += text(std::to_string(i) + std::string(static_cast<std::size_t>(size), '.'));
            peer.send(burst);
            while (peer.read_frame(frame)) {
            }
            cut.set();
        });
        wspool::endpoint_c endpoint;
        options_t options;
        options.replace_after = 50ms;
        options.queue.bytes = 200'000;
        const auto queue =
            std::make_shared<wspool::message_queue_c>(options.queue, nullptr, 0, true);
        std::shared_ptr<wspool::metadata_c> feed;
        REQUIRE_FALSE(endpoint.Create_new_connection(
            server.uri(), std::static_pointer_cast<wspool::sink_c>(queue), options, feed));
        REQUIRE(cut.wait());
        CHECK(queue->Waiting().bytes < 2'000'000);
        int next = 0;
        bool in_order = true;
        bool has_gap = false;
        wspool::message_queue_c::item_t item;
        for (bool is_new = false; !is_new;) {
            if (!queue->Next(item)) {
                REQUIRE(queue->Wait_for(wspool::message_queue_c::READABLE, patience));
                continue;
            }
            has_gap = has_gap || (item.event && item.event->kind == wspool::event_t::kind_e::GAP);
            if (item.event) continue;
            is_new = item.payload == "new";
            if (!is_new)
                in_order = in_order &&
                           item.payload.substr(0, item.payload.find('.')) == std::to_string(next++);
        }
        CHECK(in_order);
        CHECK(has_gap);
        CHECK(next > 0);
        feed->Close();
        CHECK(feed->Wait_closed(patience));
    }
}

TEST_CASE("replacement: a successor that waits holds no more than the queue's bound") {
    // Whoever says that there is room speaks of the old connection's messages.
    signal_t is_closing;
    signal_t may_close;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        if (number == 0) {
            received_frame_t frame;
            if (!peer.read_until(8, frame)) return;
            is_closing.set();
            CHECK(may_close.wait());
            peer.send(with_opcode(8, frame.payload));
            return;
        }
        for (int i = 0; number == 1 && i < 2000; ++i) {
            if (!peer.send(text(std::string(16'384, 'x')))) return;
        }
        peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    options_t options;
    options.replace_after = 100ms;
    options.queue.messages = 4;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(is_closing.wait());
    for (int i = 0; i < 200; ++i) {
        feed->Resume_reading();
        std::this_thread::sleep_for(1ms);  // for a read, which there must be none of
    }
    may_close.set();
    REQUIRE(log->wait("opened 2"));
    // The messages that were held are those of two reads or so: else it was paused again and again.
    CHECK(feed->Get_statistics().pauses < 20);
    feed->Abort();
    CHECK(feed->Wait_closed(patience));
}

// --- redundancy

TEST_CASE("redundancy: each message comes once, and one loss is no gap") {
    // That is what the second connection is for. But one of which nothing has come since before
    // the others were ready may have been dead all the while: whether it stood in, nobody knows.
    for (const bool is_silent : {false, true}) {
        CAPTURE(is_silent);
        signal_t lose;
        signal_t speak;
        signal_t lose_second;
        std::atomic<int> hellos{0};
        raw_server server([&](raw_peer& peer, int number) {
            if (!peer.upgrade()) return;
            if (number >= 2) return peer.end_in_order();
            received_frame_t frame;
            if (peer.read_until(1, frame) && frame.payload == "hello") ++hellos;
            for (int i = 0; i < 100; ++i) peer.send(numbered(i));
            CHECK(lose.wait());
            if (number == 0) return peer.reset();
            if (!is_silent) {
                CHECK(speak.wait());
                peer.send(numbered(100));
            }
            CHECK(lose_second.wait());
            peer.reset();
        });
        wspool::endpoint_c endpoint;
        auto options = reconnecting();
        options.redundancy = 2;
        options.dedup = {"/u"};
        auto [log, feed] = start_feed(endpoint, server.uri(), options);
        REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 2; }));
        CHECK(feed->Get_statistics().reconnects == 0);
        CHECK(feed->Send("hello", true) == nullptr);
        REQUIRE(comes_true([&, one = feed] { return one->Get_statistics().duplicates == 100; }));
        CHECK(hellos == 2);
        lose.set();
        REQUIRE(comes_true([&, one = log] { return one->count_of("closed") == 1; }));
        REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 3; }));
        CHECK(feed->Get_error() == nullptr);
        CHECK(feed->Get_statistics().reconnects == 1);
        CHECK(log->count_of("gap") == 0);
        speak.set();
        const auto payloads = [one = log] {
            strings found;
            for (const auto& item : one->items()) {
                if (const auto at = item.find(":{"); at != std::string::npos)
                    found.push_back(item.substr(at + 1));
            }
            return found;
        };
        const std::size_t count = is_silent ? 100 : 101;  // each once
        REQUIRE(comes_true([&] { return payloads().size() == count; }));
        lose_second.set();
        REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 4; }));
        CHECK(log->count_of("gap") == (is_silent ? 1 : 0));
        CHECK(payloads().size() == count);
        feed->Close();
        REQUIRE(feed->Wait_closed(patience));
    }
}

TEST_CASE("redundancy: all connections lost is a gap") {
    // One, of the loss of the last; it ends with the first that is there again.
    signal_t speak;
    signal_t lose;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        if (number >= 2) {
            peer.send(numbered(1));
            return peer.end_in_order();
        }
        CHECK(speak.wait());
        peer.send(numbered(0));
        CHECK(lose.wait());
        peer.reset();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.redundancy = 2;
    options.dedup = {"/u"};
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 2; }));
    speak.set();
    REQUIRE(comes_true([&, one = feed] { return one->Get_statistics().duplicates == 1; }));
    lose.set();
    REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 4; }));
    CHECK(log->count_of("gap") == 1);
    CHECK(feed->Get_statistics().reconnects == 2);
    feed->Close();
    REQUIRE(feed->Wait_closed(patience));
}

TEST_CASE("redundancy: a connection that is refused for good leaves the others") {
    // One is better than none.
    raw_server server([&](raw_peer& peer, int number) {
        if (number == 0) {
            if (peer.upgrade()) peer.end_in_order();
            return;
        }
        peer.read_request();
        peer.send("HTTP/1.1 403 Enough\r\nContent-Length: 0\r\n\r\n");
        peer.read_eof();
    });
    wspool::endpoint_c endpoint;
    options_t options;  // without reconnection
    options.redundancy = 2;
    options.dedup = {"/u"};
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(log->wait("opened 1"));
    REQUIRE(comes_true([&, one = feed] { return one->Get_statistics().failed_attempts == 1; }));
    CHECK(feed->Get_status() == status_e::OPENED);
    CHECK(feed->Send("hello", true) == nullptr);
    feed->Close();
    REQUIRE(feed->Wait_closed(patience));
    CHECK(log->items().back() == "close 1000");
}

TEST_CASE("redundancy: each of the connections is replaced in its time") {
    // They are of one age, so the second is due while the first is being replaced.
    std::array<std::atomic<bool>, 2> was_closed{};
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        peer.end_in_order();
        if (number < 2) was_closed[static_cast<std::size_t>(number)] = true;
    });
    wspool::endpoint_c endpoint;
    options_t options;
    options.redundancy = 2;
    options.dedup = {"/u"};
    options.replace_after = 200ms;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    CHECK(comes_true([&] { return was_closed[0] && was_closed[1]; }));
    CHECK(feed->Get_status() == status_e::OPENED);
    CHECK(log->count_of("gap") == 0);
    feed->Close();
    REQUIRE(feed->Wait_closed(patience));
}

TEST_CASE("redundancy: a queue that has no room and may not drop ends all connections") {
    // What the others bring after that would be missing without a word. User code may go on all the
    // same, and gets a gap.
    for (const bool goes_on : {false, true}) {
        CAPTURE(goes_on);
        signal_t are_open;
        raw_server server([&](raw_peer& peer, int number) {
            if (!peer.upgrade()) return;
            if (number == 0 && are_open.wait()) {
                for (int i = 0; i < 20; ++i) peer.send(numbered(i));
            }
            if (number > 1) peer.send(numbered(99));
            peer.end_in_order();
        });
        auto source = std::make_shared<judging_source>();
        source->answer = goes_on;
        auto options = reconnecting();
        options.redundancy = 2;
        options.dedup = {"/u"};
        options.source = source;
        options.queue.messages = 8;  // events are among them
        options.queue.overflow = wspool::overflow_e::FAIL;
        const auto queue = std::make_shared<message_queue_c>(options.queue, nullptr, 0, true);
        wspool::endpoint_c endpoint;
        std::shared_ptr<wspool::metadata_c> feed;
        REQUIRE(endpoint.Create_new_connection(server.uri(), queue, options, feed) == nullptr);
        REQUIRE(comes_true([&] { return feed->Get_generation() == 2; }));
        are_open.set();
        strings events;
        const auto take_all = [&] {
            for (message_queue_c::item_t item; queue->Next(item);) {
                if (item.event) events.push_back(brief(*item.event).substr(0, 6));
            }
        };
        REQUIRE(comes_true([&] { return queue->Dropped() > 0; }));
        take_all();
        if (goes_on) {
            CHECK(comes_true([&] {
                take_all();
                return feed->Get_generation() == 4;
            }));
            feed->Abort();
        }
        REQUIRE(feed->Wait_closed(patience));
        if (!goes_on) {
            REQUIRE(feed->Get_error() != nullptr);
            CHECK(feed->Get_error()->Code() == error_e::QUEUE_FULL);
        }
        CHECK(source->asked == 2);
        take_all();
        REQUIRE(events.size() >= 4);
        CHECK(std::count(events.begin(), events.end(), "opened") == (goes_on ? 4 : 2));
        CHECK(strings(events.begin(), events.begin() + 4) ==
              strings{"opened", "opened", "closed", "closed"});
        CHECK(std::count(events.begin(), events.end(), "gap 3") +
                  std::count(events.begin(), events.end(), "gap 4") ==
              (goes_on ? 1 : 0));
    }
}

TEST_CASE("redundancy: a connection that does not take what the others took is made anew") {
    // Its peer would not know what theirs know, and nobody would hear of it.
    std::atomic<int> taken{0};
    signal_t is_done;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        if (number == 1) {  // takes nothing
            CHECK(is_done.wait());
            return;
        }
        received_frame_t frame;
        while (peer.read_frame(frame) && frame.opcode != 8) ++taken;
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.redundancy = 2;
    options.dedup = {"/u"};
    options.deflate.enabled = false;
    options.write_bound = 1024 * 1024;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 2; }));
    const std::string message(256 * 1024, 'x');
    int sent = 0;
    while (sent < 400 && log->count_of("closed") == 0) {
        const auto error = feed->Send(message, false, 50ms);
        REQUIRE((error ? error->Error_msg() : "") == "");
        ++sent;
    }
    CHECK(comes_true([&, one = log] { return one->count_of("opened") == 3; }));
    CHECK(log->count_of("closed") == 1);
    CHECK(log->events().at(2).reason == "it did not take what the other connections took");
    CHECK(comes_true([&] { return taken >= sent; }));
    is_done.set();
    feed->Abort();
    CHECK(feed->Wait_closed(patience));
}

TEST_CASE("redundancy: the time to wait for room is one for all connections") {
    // Else it would be as many times what was asked for.
    signal_t is_done;
    raw_server server([&](raw_peer& peer, int) {
        if (peer.upgrade()) CHECK(is_done.wait());
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.redundancy = 8;
    options.dedup = {"/u"};
    options.deflate.enabled = false;
    options.write_bound = 1024;
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(comes_true([&, one = log] { return one->count_of("opened") == 8; }));
    const std::string message(32 * 1024 * 1024, 'x');
    REQUIRE(feed->Send(message, false, 0s) == nullptr);  // as their buffers are empty
    const auto begin = std::chrono::steady_clock::now();
    const auto error = feed->Send(message, false, 500ms);
    const auto took = std::chrono::steady_clock::now() - begin;
    REQUIRE(error != nullptr);
    CHECK(error->Code() == error_e::TIMEOUT);
    CHECK(took >= 500ms);
    CHECK(took < 2s);
    CHECK(log->count_of("closed") == 0);
    is_done.set();
    feed->Abort();
    CHECK(feed->Wait_closed(patience));
}

TEST_CASE("redundancy: what is lost while another connection is being replaced comes back") {
    // The successor stands for the one that it replaces, and for no other.
    signal_t third;
    raw_server server([&](raw_peer& peer, int number) {
        if (!peer.upgrade()) return;
        if (number < 2) {
            peer.send(text("ack"));
            CHECK(third.wait());
            std::this_thread::sleep_for(20ms);
            peer.reset();
            return;
        }
        third.set();
        std::this_thread::sleep_for(200ms);
        peer.send(text("ack"));
        peer.end_in_order();
    });
    wspool::endpoint_c endpoint;
    auto options = reconnecting();
    options.redundancy = 2;
    options.dedup = {"/u"};
    options.replace_after = 300ms;
    options.match = {containing("ack")};
    auto [log, feed] = start_feed(endpoint, server.uri(), options);
    REQUIRE(third.wait());
    CHECK(comes_true([&, one = log] {
        return one->count_of("opened") - one->count_of("closed") == 2 &&
               one->count_of("closed") >= 2;
    }));
    feed->Abort();
    REQUIRE(feed->Wait_closed(patience));
}
