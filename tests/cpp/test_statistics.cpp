#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "wspool/statistics.hpp"

using wspool::round_trips_t;
using wspool::statistics_t;

TEST_CASE("round trips: nothing was measured") {
    // Zero, not a division by it.
    const round_trips_t none;
    CHECK(none.percentile_ns(0.5) == 0);
    CHECK(none.percentile_ns(1) == 0);
}

TEST_CASE("round trips: a percentile is at most 19 % above what was measured, and never below") {
    // From the smallest to far beyond what the buckets reach.
    for (double value = 1; value < 1e13; value *= 1.07) {
        const auto nanoseconds = static_cast<std::int64_t>(value);
        CAPTURE(nanoseconds);
        round_trips_t one;
        one.add(nanoseconds);
        one.add(std::int64_t{4} * nanoseconds);  // so that max_ns is not the answer
        const double found = one.percentile_ns(0.5);
        const auto measured = static_cast<double>(nanoseconds);
        CHECK(found >= measured);
        if (nanoseconds > round_trips_t::first_ns &&
            measured <= round_trips_t::upper_ns(round_trips_t::bucket_count - 2)) {
            CHECK(found <= measured * 1.19);
        }
        CHECK(one.percentile_ns(1) >= 4 * measured);
    }
}

TEST_CASE("round trips: percentiles of a known distribution") {
    // 900 at 1 ms, 90 at 10 ms, 10 at 100 ms.
    round_trips_t trips;
    for (int i = 0; i < 900; ++i) trips.add(1'000'000);
    for (int i = 0; i < 90; ++i) trips.add(10'000'000);
    for (int i = 0; i < 10; ++i) trips.add(100'000'000);
    const auto is_near = [](double found, double wanted) {
        return found >= wanted && found <= wanted * 1.19;
    };
    CHECK(is_near(trips.percentile_ns(0), 1e6));
    CHECK(is_near(trips.percentile_ns(0.5), 1e6));
    CHECK(is_near(trips.percentile_ns(0.9), 1e6));
    CHECK(is_near(trips.percentile_ns(0.95), 1e7));
    CHECK(is_near(trips.percentile_ns(0.99), 1e7));
    CHECK(trips.percentile_ns(1) == 1e8);  // the largest is known exactly
    CHECK(trips.count == 1000);
    CHECK(trips.sum_ns == 900 * 1'000'000LL + 90 * 10'000'000LL + 10 * 100'000'000LL);
    CHECK(trips.max_ns == 100'000'000);
}

TEST_CASE("round trips: bucket ends grow by four an octave") {
    // Charts are drawn from them.
    CHECK(round_trips_t::upper_ns(0) == round_trips_t::first_ns);
    for (std::size_t i = 4; i < round_trips_t::bucket_count; ++i) {
        CHECK(round_trips_t::upper_ns(i) ==
              doctest::Approx(2 * round_trips_t::upper_ns(i - 4)).epsilon(1e-12));
    }
}

TEST_CASE("round trips: sums of several are as if one had measured all") {
    // A pool's statistics are sums.
    round_trips_t a;
    round_trips_t b;
    round_trips_t all;
    for (std::int64_t i = 1; i < 200; ++i) {
        const std::int64_t nanoseconds = i * i * 10'000;
        (i % 3 == 0 ? a : b).add(nanoseconds);
        all.add(nanoseconds);
    }
    a.add(b);
    a.add(round_trips_t());
    CHECK(a.counts == all.counts);
    CHECK(a.count == all.count);
    CHECK(a.sum_ns == all.sum_ns);
    CHECK(a.max_ns == all.max_ns);
}

TEST_CASE("statistics: sums add what counts, and keep the latest and the oldest moments") {
    // Of what waits, the oldest tells how far behind the consumer is; of what came, the latest.
    statistics_t a;
    a.messages_received = 1;
    a.payload_received = 2;
    a.bytes_received = 3;
    a.messages_sent = 4;
    a.bytes_sent = 5;
    a.pauses = 6;
    a.callback_errors = 7;
    a.reconnects = 8;
    a.failed_attempts = 9;
    a.duplicates = 10;
    a.last_message_ns = 100;
    a.last_received_ns = 200;
    a.waiting_messages = 11;
    a.waiting_bytes = 12;
    a.round_trips.add(1'000'000);
    statistics_t b = a;
    b.last_message_ns = 50;
    b.last_received_ns = 250;
    b.waiting_since_ns = 70;
    statistics_t c;
    c.waiting_since_ns = 60;

    statistics_t sum;
    for (const auto& one : {a, b, c}) sum.add(one);
    CHECK(sum.messages_received == 2);
    CHECK(sum.payload_received == 4);
    CHECK(sum.bytes_received == 6);
    CHECK(sum.messages_sent == 8);
    CHECK(sum.bytes_sent == 10);
    CHECK(sum.pauses == 12);
    CHECK(sum.callback_errors == 14);
    CHECK(sum.reconnects == 16);
    CHECK(sum.failed_attempts == 18);
    CHECK(sum.duplicates == 20);
    CHECK(sum.last_message_ns == 100);
    CHECK(sum.last_received_ns == 250);
    CHECK(sum.waiting_messages == 22);
    CHECK(sum.waiting_bytes == 24);
    CHECK(sum.waiting_since_ns == 60);
    CHECK(sum.round_trips.count == 2);
}
