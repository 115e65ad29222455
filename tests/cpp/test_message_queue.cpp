#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "wspool/message_queue.hpp"
#include "wspool/ready_list.hpp"

using namespace std::chrono_literals;
using wspool::incoming_t;
using wspool::message_block_t;
using wspool::message_queue_c;
using wspool::message_view_t;
using wspool::overflow_e;
using wspool::queue_bound_t;
using verdict_e = wspool::sink_c::verdict_e;

namespace {

queue_bound_t bound(std::size_t messages, overflow_e overflow, std::size_t low = 0,
                    std::size_t bytes = 1 << 20) {
    return {messages, low, bytes, overflow};
}

verdict_e put(message_queue_c& queue, std::string payload, bool first = true, bool final = true) {
    const message_view_t message{payload, 7, true, false, first, final};
    if (!first || !final) return queue.On_piece(message, std::string(payload));
    incoming_t incoming;
    incoming.messages = &message;
    incoming.count = 1;
    incoming.bytes = payload.size();
    return queue.On_messages(incoming);
}

/// Text messages of one read, in a block of `block_size` bytes, behind a header of two bytes each.
incoming_t read_of(const std::vector<std::string>& payloads, std::size_t block_size) {
    incoming_t incoming;
    incoming.block = std::make_shared<message_block_t>();
    incoming.block->bytes.reset(new char[block_size]);
    incoming.block->size = block_size;
    char* at = incoming.block->bytes.get();
    for (const std::string& payload : payloads) {
        at = std::copy(payload.begin(), payload.end(), at + 2);
        incoming.block->messages.push_back({{at - payload.size(), payload.size()}, 7, true, true});
        incoming.bytes += payload.size();
    }
    incoming.messages = incoming.block->messages.data();
    incoming.count = payloads.size();
    return incoming;
}

/// What Next hands out, with "+" behind a fragment that others follow; empty if there is nothing.
std::string next(message_queue_c& queue) {
    message_queue_c::item_t item;
    if (!queue.Next(item)) return "";
    return std::string(item.payload) + (item.is_final ? "" : "+");
}

}  // namespace

TEST_CASE("message_queue: messages come out as they went in, whatever is put in meanwhile") {
    message_queue_c queue(bound(1'000'000, overflow_e::PAUSE));
    int in = 0;
    int out = 0;
    for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < round; ++i) {
            CHECK(put(queue, std::to_string(in++)) < verdict_e::PAUSE);
        }
        CHECK(queue.Available() == static_cast<std::size_t>(in - out));
        for (int i = 0; i < round / 2; ++i) CHECK(next(queue) == std::to_string(out++));
    }
    while (out < in) REQUIRE(next(queue) == std::to_string(out++));
    CHECK(next(queue).empty());
}

TEST_CASE("message_queue: a long payload in a string of its own is taken over, not copied") {
    message_queue_c queue(bound(10, overflow_e::PAUSE));
    std::string payload(100'000, 'x');
    const char* const place = payload.data();
    queue.On_piece({payload, 7}, std::move(payload));
    message_queue_c::item_t item;
    REQUIRE(queue.Next(item));
    CHECK(item.payload.data() == place);
    CHECK(item.payload.size() == 100'000);
    CHECK(item.received_ns == 7);
    CHECK_FALSE(item.is_text);
}

TEST_CASE("message_queue: a read that fills its block is taken over, a small one is copied") {
    message_queue_c queue(bound(1000, overflow_e::PAUSE));
    incoming_t small = read_of({"one", "two"}, 100);
    queue.On_messages(small);
    CHECK(static_cast<bool>(small.block));
    incoming_t large = read_of({std::string(30, 'x'), "y"}, 100);
    const char* const place = large.messages[0].payload.data();
    const std::weak_ptr<message_block_t> block = large.block;
    queue.On_messages(large);
    CHECK_FALSE(static_cast<bool>(large.block));
    CHECK(next(queue) == "one");
    CHECK(next(queue) == "two");
    message_queue_c::item_t item;
    REQUIRE(queue.Next(item));
    CHECK(item.payload.data() == place);
    CHECK(item.is_ascii);
    CHECK(next(queue) == "y");
    CHECK_FALSE(block.expired());  // the last one is valid until the next call
    CHECK_FALSE(queue.Arm(message_queue_c::READABLE));
    CHECK(block.expired());  // nothing large is held in a wait
}

TEST_CASE("message_queue: Next_run hands out what stands in a row, and takes back") {
    message_queue_c queue(bound(1000, overflow_e::PAUSE));
    incoming_t incoming = read_of({"0", "1", "2", "3"}, 12);
    queue.On_messages(incoming);
    put(queue, "4", true, false);
    CHECK(queue.Next_run(0).count == 0);
    auto run = queue.Next_run(3);
    REQUIRE(run.count == 3);
    CHECK(run.messages[2].payload == "2");
    queue.Put_back(2);
    CHECK(queue.Available() == 3);
    run = queue.Next_run(10);
    REQUIRE(run.count == 3);
    CHECK(run.messages[0].payload == "1");
    CHECK(queue.Next_run(10).count == 0);  // a fragment
    CHECK(queue.Available() == 0);
    put(queue, "5", false, true);
    CHECK(queue.Next_run(10).count == 0);
    CHECK(next(queue) == "45");
    message_queue_c dropping(bound(10, overflow_e::DROP_OLDEST));
    put(dropping, "a");
    CHECK(dropping.Next_run(10).count == 0);
    CHECK(next(dropping) == "a");
}

TEST_CASE("message_queue: reading rests while much waits for a consumer that is quick") {
    message_queue_c queue(bound(1'000'000, overflow_e::PAUSE));
    const auto read = [&queue] {
        incoming_t incoming = read_of({std::string(300'000, 'x')}, 400'000);
        return queue.On_messages(incoming);
    };
    CHECK(read() == verdict_e::GO_ON);  // nobody has come yet
    CHECK_FALSE(next(queue).empty());
    CHECK(next(queue).empty());
    CHECK(read() == verdict_e::REST);
    queue.On_rested();  // and nobody came
    CHECK(read() == verdict_e::GO_ON);
    CHECK_FALSE(next(queue).empty());
    CHECK(read() == verdict_e::REST);
}

TEST_CASE("message_queue: what a read shall bring at the most follows the room for messages") {
    message_queue_c queue(bound(1000, overflow_e::PAUSE));
    const std::size_t most = queue.Read_size();
    incoming_t incoming = read_of(std::vector<std::string>(900, std::string(98, 'x')), 100'000);
    queue.On_messages(incoming);
    CHECK(queue.Read_size() < most);
    CHECK(queue.Read_size() >= 100 * 100);
    while (!next(queue).empty()) {
    }
    CHECK(queue.Read_size() >= 1000 * 100);
    // Where there is room for all that a read may bring, nothing makes it smaller: a read that ends
    // inside a long message costs a copy.
    for (const std::size_t size : {10'000U, 65'536U, 195'000U, 300'000U}) {
        message_queue_c other(bound(1000, overflow_e::PAUSE));
        incoming_t long_one = read_of({std::string(size, 'x')}, 400'000);
        other.On_messages(long_one);
        CHECK(other.Read_size() == most);
    }
}

TEST_CASE("message_queue: PAUSE at the bound in messages or in bytes") {
    message_queue_c few(bound(3, overflow_e::PAUSE));
    CHECK(put(few, "a") == verdict_e::GO_ON);
    CHECK(put(few, "b") == verdict_e::GO_ON);
    CHECK(put(few, "c") == verdict_e::PAUSE);
    message_queue_c small(bound(100, overflow_e::PAUSE, 0, 10));
    CHECK(put(small, "12345") == verdict_e::GO_ON);
    CHECK(put(small, "12345") == verdict_e::PAUSE);
    CHECK(next(few) == "a");
    CHECK(few.Dropped() == 0);
}

TEST_CASE("message_queue: the end of a message that nobody can take yet is not paused for") {
    message_queue_c queue(bound(100, overflow_e::PAUSE, 0, 10));
    CHECK(put(queue, "1234567890", true, false) == verdict_e::GO_ON);
    CHECK(put(queue, "1234567890", false, false) == verdict_e::GO_ON);
    CHECK(next(queue).empty());
    CHECK(put(queue, "x", false, true) == verdict_e::PAUSE);
    CHECK(next(queue) == "12345678901234567890x");
}

TEST_CASE("message_queue: DROP_OLDEST keeps the newest, and the next one says how many went") {
    message_queue_c queue(bound(3, overflow_e::DROP_OLDEST));
    for (int i = 0; i < 10; ++i) CHECK(put(queue, std::to_string(i)) == verdict_e::GO_ON);
    message_queue_c::item_t item;
    REQUIRE(queue.Next(item));
    CHECK(item.payload == "7");
    CHECK(item.dropped == 7);
    CHECK(queue.Dropped() == 7);
    REQUIRE(queue.Next(item));
    CHECK(item.payload == "8");
    CHECK(item.dropped == 0);
    for (int i = 10; i < 14; ++i) put(queue, std::to_string(i));
    REQUIRE(queue.Next(item));
    CHECK(item.payload == "11");
    CHECK(item.dropped == 2);
    CHECK(queue.Dropped() == 9);
}

TEST_CASE("message_queue: DROP_OLDEST by bytes; one that is larger than the bound stays alone") {
    message_queue_c queue(bound(100, overflow_e::DROP_OLDEST, 0, 10));
    for (const char* text : {"1234", "5678", "abcd"}) put(queue, text);
    CHECK(queue.Dropped() == 1);
    put(queue, "a payload that is too long");
    CHECK(queue.Dropped() == 3);
    CHECK(next(queue) == "a payload that is too long");
    CHECK(next(queue).empty());
}

TEST_CASE("message_queue: DROP_NEWEST keeps the oldest") {
    message_queue_c queue(bound(3, overflow_e::DROP_NEWEST));
    for (int i = 0; i < 10; ++i) put(queue, std::to_string(i));
    CHECK(next(queue) == "0");
    put(queue, "10");
    CHECK(next(queue) == "1");
    CHECK(next(queue) == "2");
    message_queue_c::item_t item;
    REQUIRE(queue.Next(item));
    CHECK(item.payload == "10");
    CHECK(item.dropped == 7);
    CHECK(queue.Dropped() == 7);
}

TEST_CASE("message_queue: DROP_OLDEST leaves events where they are, however much is dropped") {
    // Several blocks are filled and dropped behind an event that nobody has taken.
    constexpr int count = 5000;
    message_queue_c queue(bound(10, overflow_e::DROP_OLDEST), nullptr, 0, true);
    wspool::event_t event;
    for (int i = 0; i < count; ++i) {
        if (i % 1000 == 0) {
            event.generation = static_cast<std::uint32_t>(i / 1000 + 1);
            queue.On_event(event);
        }
        put(queue, std::to_string(i) + std::string(100, '.'));
    }
    CHECK(queue.Waiting().messages == 10);
    std::vector<std::string> taken;
    std::vector<std::uint64_t> dropped;
    message_queue_c::item_t item;
    while (queue.Next(item)) {
        dropped.push_back(item.dropped);
        if (item.event)
            taken.push_back("event " + std::to_string(item.event->generation));
        else
            taken.emplace_back(item.payload.substr(0, 4));
    }
    // The last event came behind message 3999, and five messages are left beside the five events.
    CHECK(taken == std::vector<std::string>{"event 1", "event 2", "event 3", "event 4", "event 5",
                                            "4995", "4996", "4997", "4998", "4999"});
    CHECK(dropped == std::vector<std::uint64_t>{0, 1000, 1000, 1000, 1000, 995, 0, 0, 0, 0});
    CHECK(queue.Dropped() == 4995);
    CHECK(queue.Waiting().messages == 0);
    CHECK(queue.Waiting().bytes == 0);
    put(queue, "on");
    CHECK(next(queue) == "on");
}

TEST_CASE("message_queue: events come through when messages find no room any more") {
    for (const auto overflow : {overflow_e::FAIL, overflow_e::PAUSE}) {
        message_queue_c queue(bound(2, overflow), nullptr, 0, true);
        put(queue, "a");
        put(queue, "b");
        if (overflow == overflow_e::PAUSE) queue.On_closing();
        put(queue, "d");
        put(queue, "e");
        CHECK(queue.Dropped() == 2);
        queue.On_interrupted();
        wspool::event_t event;
        event.kind = wspool::event_t::kind_e::CLOSED;
        queue.On_event(event);
        queue.On_end();
        CHECK(next(queue) == "a");
        CHECK(next(queue) == "b");
        message_queue_c::item_t item;
        REQUIRE(queue.Next(item));
        CHECK(static_cast<bool>(item.event));
        CHECK_FALSE(queue.Next(item));
    }
}

TEST_CASE("message_queue: a message that closing cut off does not hide the event behind it") {
    message_queue_c queue(bound(1, overflow_e::PAUSE), nullptr, 0, true);
    put(queue, "a");
    put(queue, "b", true, false);
    queue.On_closing();
    put(queue, "c", false, true);
    queue.On_interrupted();
    queue.On_event({});
    queue.On_end();
    CHECK(next(queue) == "a");
    message_queue_c::item_t item;
    REQUIRE(queue.Next(item));
    CHECK(static_cast<bool>(item.event));
    CHECK_FALSE(queue.Next(item));
}

TEST_CASE("message_queue: FAIL says so once, and what was queued stays") {
    message_queue_c queue(bound(2, overflow_e::FAIL));
    CHECK(put(queue, "a") == verdict_e::GO_ON);
    CHECK(put(queue, "b") == verdict_e::GO_ON);
    CHECK(put(queue, "c") == verdict_e::FAIL);
    CHECK(put(queue, "d") == verdict_e::GO_ON);
    CHECK(queue.Dropped() == 2);
    queue.On_end();
    CHECK(next(queue) == "a");
    CHECK(next(queue) == "b");
    CHECK(next(queue).empty());
    CHECK(queue.Has_ended());
}

TEST_CASE("message_queue: fragments as they come while streaming, joined otherwise") {
    message_queue_c queue(bound(100, overflow_e::PAUSE));
    CHECK(queue.Wants_fragments());
    put(queue, "a", true, false);
    CHECK(next(queue).empty());
    queue.Set_streaming(true);
    CHECK(next(queue) == "a+");
    CHECK(next(queue).empty());
    put(queue, "b", false, false);
    put(queue, "c", false, true);
    CHECK(next(queue) == "b+");
    CHECK(next(queue) == "c");
    queue.Set_streaming(false);
    put(queue, "d", true, false);
    put(queue, "", false, false);
    put(queue, "e", false, true);
    CHECK(next(queue) == "de");
}

TEST_CASE("message_queue: the rest of a message is skipped when streaming ends in its middle") {
    message_queue_c queue(bound(2, overflow_e::PAUSE));
    put(queue, "a", true, false);
    queue.Set_streaming(true);
    CHECK(next(queue) == "a+");
    queue.Set_streaming(false);
    put(queue, "b", false, false);
    CHECK(next(queue).empty());
    put(queue, "c", false, true);
    put(queue, "whole");
    CHECK(next(queue) == "whole");
}

TEST_CASE("message_queue: many fragments are joined, so that empty ones cost no memory") {
    message_queue_c queue(bound(2, overflow_e::PAUSE, 0, 1 << 30));
    std::string all = "<";
    put(queue, "<", true, false);
    for (int i = 0; i < 20'000; ++i) {
        const std::string piece = i % 3 == 0 ? std::to_string(i) : "";
        all += piece;
        put(queue, piece, false, false);
    }
    put(queue, ">", false, true);
    queue.Set_streaming(true);
    std::string got;
    int pieces = 0;
    for (std::string piece = next(queue);; piece = next(queue)) {
        ++pieces;
        if (piece.back() != '+') {
            got += piece;
            break;
        }
        piece.pop_back();
        got += piece;
    }
    CHECK(got == all + ">");
    CHECK(pieces <= 4100);

    message_queue_c nothing(bound(2, overflow_e::PAUSE, 0, 1 << 30));
    put(nothing, "", true, false);
    for (int i = 0; i < 20'000; ++i) put(nothing, "", false, false);
    put(nothing, ">", false, true);
    nothing.Set_streaming(true);
    pieces = 1;
    while (next(nothing) != ">") ++pieces;
    CHECK(pieces <= 4100);
}

TEST_CASE("message_queue: after our close frame nothing pauses any more, and the bound holds") {
    message_queue_c queue(bound(2, overflow_e::PAUSE));
    put(queue, "a");
    CHECK(put(queue, "b") == verdict_e::PAUSE);
    queue.On_closing();
    CHECK(put(queue, "c") == verdict_e::GO_ON);
    CHECK(put(queue, "d", true, false) == verdict_e::GO_ON);
    CHECK(put(queue, "d", false, true) == verdict_e::GO_ON);
    CHECK(put(queue, "e") == verdict_e::GO_ON);
    CHECK(queue.Dropped() == 3);
    CHECK(next(queue) == "a");
    CHECK(next(queue) == "b");
    CHECK(next(queue).empty());
}

TEST_CASE("message_queue: what is armed is posted once, and what holds already is said at once") {
    const auto ready = std::make_shared<wspool::ready_list_c>();
    message_queue_c queue(bound(10, overflow_e::PAUSE), ready, 42);
    CHECK_FALSE(queue.Arm(message_queue_c::READABLE));
    put(queue, "a");
    put(queue, "b");
    CHECK(ready->Take() == std::vector<std::uint64_t>{42});
    CHECK(queue.Arm(message_queue_c::READABLE));
    CHECK(next(queue) == "a");
    CHECK(next(queue) == "b");
    CHECK(next(queue).empty());
    CHECK_FALSE(queue.Arm(message_queue_c::WRITABLE | message_queue_c::ENDED));
    queue.On_room();
    queue.On_room();
    CHECK(ready->Take() == std::vector<std::uint64_t>{42});
    queue.On_end();
    CHECK(ready->Take() == std::vector<std::uint64_t>{42});
    CHECK(queue.Arm(message_queue_c::READABLE));
    CHECK(ready->Take().empty());
}

TEST_CASE("message_queue: a waiting thread is woken by a message, and by the end") {
    message_queue_c queue(bound(10, overflow_e::PAUSE));
    CHECK_FALSE(queue.Wait_for(message_queue_c::READABLE, 1ms));
    std::thread producer([&] {
        put(queue, "a");
        queue.On_end();
    });
    CHECK(queue.Wait_for(message_queue_c::READABLE, 10s));
    CHECK(queue.Wait_for(message_queue_c::ENDED, 10s));
    producer.join();
    CHECK(next(queue) == "a");
}

TEST_CASE("message_queue: one thread puts, one takes, a third asks; nothing is lost") {
    for (const auto overflow : {overflow_e::PAUSE, overflow_e::DROP_OLDEST}) {
        message_queue_c queue(bound(64, overflow, 16));
        constexpr int total = 20'000;
        std::atomic<bool> done{false};
        std::thread producer([&] {
            for (int i = 0; i < total; ++i) {
                put(queue, std::to_string(i));
                if (i % 50 == 0) std::this_thread::yield();
            }
            queue.On_end();
        });
        std::thread asker([&] {
            while (!done) {
                static_cast<void>(queue.Dropped());
                queue.Wait_for(message_queue_c::ENDED, 1ms);
            }
        });
        std::uint64_t got = 0;
        std::uint64_t dropped = 0;
        long last = -1;
        while (true) {
            const bool ended = queue.Has_ended();
            message_queue_c::item_t item;
            bool any = false;
            while (queue.Next(item)) {
                any = true;
                ++got;
                dropped += item.dropped;
                const long number = std::stol(std::string(item.payload));
                REQUIRE(number == last + 1 + static_cast<long>(item.dropped));
                last = number;
            }
            if (ended && !any) break;
            if (!any) queue.Wait_for(message_queue_c::READABLE, 1s);
        }
        done = true;
        producer.join();
        asker.join();
        CHECK(got + dropped == total);
        CHECK(dropped == queue.Dropped());
        if (overflow == overflow_e::PAUSE) CHECK(dropped == 0);
    }
}

TEST_CASE("ready_list: many posts from many threads, one wake-up, nothing lost") {
    wspool::ready_list_c ready;
    CHECK(ready.Descriptor() >= 0);
    CHECK(ready.Take().empty());
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&ready, t] {
            for (std::uint64_t i = 0; i < 1000; ++i) ready.Post(t * 1000 + i);
        });
    }
    std::size_t got = 0;
    while (got < 4000) got += ready.Take().size();
    for (auto& thread : threads) thread.join();
    CHECK(got == 4000);
    CHECK(ready.Take().empty());
}
