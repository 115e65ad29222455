#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "wspool/record_stream.hpp"

using namespace std::chrono_literals;
using namespace wspool;
using found_e = record_stream_c::found_e;
using batch_ptr = std::shared_ptr<const record_batch_t>;

namespace {

std::shared_ptr<const field_set_c> numbers() {
    fields_t fields;
    fields.columns.push_back({"n", "/n", *column_type_t::Parse("int64")});
    fields.columns.push_back({"s", "/s", *column_type_t::Parse("category")});
    fields.where.push_back({"/e", {std::string("x")}});
    error_ptr error;
    auto compiled = field_set_c::Compile({fields}, error);
    REQUIRE_FALSE(error);
    return compiled;
}

std::string message(int n) {
    return R"({"e":"x","n":)" + std::to_string(n) + R"(,"s":"s)" + std::to_string(n % 7) + "\"}";
}

/// Hands messages to a sink as one read would.
sink_c::verdict_e hand(sink_c& sink, const std::vector<std::string>& texts) {
    std::vector<message_view_t> views;
    incoming_t incoming;
    for (const auto& text : texts) {
        views.push_back({text, 1, true});
        incoming.bytes += text.size();
    }
    incoming.messages = views.data();
    incoming.count = views.size();
    return sink.On_messages(incoming);
}

std::int64_t number_at(const record_batch_t& batch, std::size_t row) {
    std::int64_t number = 0;
    std::memcpy(&number, batch.columns[0]->values.Data() + row * sizeof number, sizeof number);
    return number;
}

record_stream_options_t small(std::size_t rows, std::size_t batches = 16) {
    record_stream_options_t options;
    options.batch_rows = rows;
    options.max_batches = batches;
    options.max_delay = 1h;
    return options;
}

}  // namespace

TEST_CASE("A batch is there when it is full, and the rest at the end") {
    record_stream_c stream(numbers(), small(3));
    const auto sink = stream.New_sink("a");
    batch_ptr batch;
    CHECK(stream.Take(batch) == found_e::NOTHING);
    CHECK(hand(*sink, {message(0), message(1)}) == sink_c::verdict_e::GO_ON);
    CHECK(stream.Take(batch) == found_e::NOTHING);
    hand(*sink, {message(2), message(3), "{}", "nope"});
    REQUIRE(stream.Take(batch) == found_e::BATCH);
    CHECK(batch->rows == 3);
    CHECK(number_at(*batch, 2) == 2);
    sink->On_end();
    REQUIRE(stream.Take(batch) == found_e::BATCH);
    CHECK(batch->rows == 1);
    CHECK(stream.Take(batch) == found_e::END);
    const auto counts = stream.Statistics();
    CHECK(counts.messages == 6);
    CHECK(counts.rows == 4);
    CHECK(counts.unmatched == 1);
    CHECK(counts.not_json == 1);
}

TEST_CASE("A row that has waited for max_delay is handed out") {
    auto options = small(1000);
    options.max_delay = 1ms;
    record_stream_c stream(numbers(), options);
    const auto sink = stream.New_sink("a");
    hand(*sink, {message(5)});
    CHECK(stream.Due_in());
    batch_ptr batch;
    REQUIRE(stream.Take_within(10s, batch) == found_e::BATCH);
    CHECK(batch->rows == 1);
    CHECK_FALSE(stream.Due_in());
    CHECK(stream.Take_within(1ms, batch) == found_e::NOTHING);
}

TEST_CASE("What happens at the bound") {
    const std::vector<std::string> two = {message(0), message(1)};
    SUBCASE("reading pauses") {
        record_stream_c stream(numbers(), small(2, 2));
        const auto sink = stream.New_sink("a");
        CHECK(hand(*sink, two) == sink_c::verdict_e::GO_ON);
        CHECK(hand(*sink, two) == sink_c::verdict_e::PAUSE);
        sink->On_closing();  // from now on reading is not paused, and what comes is dropped
        CHECK(hand(*sink, two) == sink_c::verdict_e::GO_ON);
        CHECK(stream.Statistics().dropped == 2);
    }
    SUBCASE("the connection fails") {
        auto options = small(2, 1);
        options.overflow = overflow_e::FAIL;
        record_stream_c stream(numbers(), options);
        CHECK(hand(*stream.New_sink("a"), two) == sink_c::verdict_e::FAIL);
    }
    SUBCASE("a batch is dropped") {
        for (const auto overflow : {overflow_e::DROP_OLDEST, overflow_e::DROP_NEWEST}) {
            auto options = small(1, 1);
            options.overflow = overflow;
            record_stream_c stream(numbers(), options);
            CHECK(hand(*stream.New_sink("a"), two) == sink_c::verdict_e::GO_ON);
            batch_ptr batch;
            REQUIRE(stream.Take(batch) == found_e::BATCH);
            CHECK(number_at(*batch, 0) == (overflow == overflow_e::DROP_OLDEST ? 1 : 0));
            CHECK(stream.Statistics().dropped == 1);
            CHECK(stream.Take(batch) == found_e::NOTHING);
        }
    }
}

TEST_CASE("What happened to feeds is told to the end, however few batches may wait") {
    // Rows may be dropped; that a connection was lost may not.
    auto options = small(10, 1);
    options.overflow = overflow_e::DROP_NEWEST;
    options.lanes = 2;
    options.takes_events = true;
    record_stream_c stream(numbers(), options);
    const std::vector<std::shared_ptr<sink_c>> sinks{stream.New_sink("a", 0),
                                                     stream.New_sink("b", 1)};
    for (const auto& sink : sinks) {
        event_t event;
        event.generation = 1;
        sink->On_event(event);
        hand(*sink, {message(0)});
        event.kind = event_t::kind_e::CLOSED;
        sink->On_event(event);
        sink->On_end();
    }
    std::size_t told = 0;
    batch_ptr batch;
    while (stream.Take(batch) == found_e::BATCH) told += batch->events.size();
    CHECK(told == 4);
}

TEST_CASE("Messages that match nothing are kept, the latest so many") {
    auto options = small(10);
    options.kept_unmatched = 2;
    record_stream_c stream(numbers(), options);
    const auto sink = stream.New_sink("a");
    hand(*sink, {"1", "2", "[", message(1)});
    const auto kept = stream.Take_unmatched();
    REQUIRE(kept.size() == 2);
    CHECK(kept[0].payload == "2");
    CHECK(kept[0].is_json);
    CHECK_FALSE(kept[1].is_json);
    CHECK(stream.Statistics().unmatched_dropped == 1);
}

TEST_CASE("A change that was asked for is posted once") {
    const auto ready = std::make_shared<ready_list_c>();
    record_stream_c stream(numbers(), small(2), ready, 7);
    const auto sink = stream.New_sink("a");
    using change_e = record_stream_c::change_e;
    CHECK(stream.Arm(change_e::TAKABLE));
    hand(*sink, {message(0)});  // a row waits: who takes has to look at the time
    hand(*sink, {message(1), message(2), message(3)});
    CHECK(ready->Take() == std::vector<std::uint64_t>{7});
    CHECK_FALSE(stream.Arm(change_e::TAKABLE));
    CHECK(stream.Arm(change_e::OVER));
    sink->On_end();
    CHECK(ready->Take() == std::vector<std::uint64_t>{7});
    CHECK_FALSE(stream.Arm(change_e::OVER));
    CHECK_FALSE(stream.Arm(change_e::OPENED));
}

TEST_CASE("Several threads fill, one takes, and every row arrives in its order") {
    for (const std::size_t lanes : {1U, 3U}) {
        auto options = small(64, 1'000'000);
        options.lanes = lanes;
        options.max_delay = 1ms;
        record_stream_c stream(numbers(), options);
        constexpr std::size_t threads = 3;
        constexpr int rounds = 400;
        std::vector<std::shared_ptr<sink_c>> sinks;
        for (std::size_t i = 0; i < threads; ++i)
            sinks.push_back(stream.New_sink("connection " + std::to_string(i), i));
        std::vector<std::thread> filling;
        for (const auto& sink : sinks)
            filling.emplace_back([sink] {
                for (int i = 0; i < rounds; ++i)
                    hand(*sink, {message(3 * i), message(3 * i + 1), "{}", message(3 * i + 2)});
                sink->On_end();
            });
        std::vector<std::int64_t> next(threads, 0);
        std::size_t rows = 0;
        batch_ptr batch;
        for (auto found = found_e::NOTHING; found != found_e::END;) {
            found = stream.Take_within(100ms, batch);
            if (found != found_e::BATCH) continue;
            rows += batch->rows;
            for (std::size_t row = 0; row < batch->rows; ++row) {
                std::uint32_t from = 0;
                std::memcpy(&from, batch->columns[3]->values.Data() + row * sizeof from,
                            sizeof from);
                REQUIRE(number_at(*batch, row) == next[from]++);
            }
        }
        for (auto& thread : filling) thread.join();
        CHECK(rows == threads * rounds * 3);
        CHECK(stream.Statistics().unmatched == threads * rounds);
    }
}
