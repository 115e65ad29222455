#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wspool/export.hpp"

namespace wspool {

/// How long answers to pings took, as a histogram: four buckets an octave, so a bound is at most
/// 19 % above what was measured.
struct WSPOOL_API round_trips_t {
    static constexpr std::size_t bucket_count = 96;
    /// Upper end of the first bucket.
    static constexpr std::int64_t first_ns = 16'000;

    std::array<std::uint32_t, bucket_count> counts{};
    std::uint64_t count = 0;
    std::int64_t sum_ns = 0;
    std::int64_t max_ns = 0;

    void add(std::int64_t nanoseconds);
    void add(const round_trips_t& other);
    /// Upper end of a bucket; the last one has none.
    [[nodiscard]] static double upper_ns(std::size_t bucket);
    /// An upper bound of that part of them, 0 to 1; 0 if there are none.
    [[nodiscard]] double percentile_ns(double part) const;
};

/// Counters of one connection, or of all connections of a feed together.
struct WSPOOL_API statistics_t {
    std::uint64_t messages_received = 0;
    std::uint64_t payload_received = 0;  ///< of messages, in bytes, inflated
    std::uint64_t bytes_received = 0;    ///< on the socket, TLS and framing included
    std::uint64_t messages_sent = 0;
    std::uint64_t bytes_sent = 0;       ///< on the socket, TLS and framing included
    std::uint64_t pauses = 0;           ///< times reading stopped for a stalled consumer
    std::uint64_t callback_errors = 0;  ///< exceptions that callbacks let out
    std::uint64_t reconnects = 0;       ///< of a feed
    std::uint64_t failed_attempts = 0;  ///< of a feed
    std::uint64_t dropped = 0;          ///< by the sink, for want of room
    std::uint64_t duplicates = 0;       ///< of a feed: copies that were left out
    std::int64_t last_message_ns = 0;   ///< Unix time; 0: none
    std::int64_t last_received_ns = 0;  ///< Unix time of the last bytes; 0: none
    /// What waits for a stalled listener. A sink knows for itself.
    std::uint64_t waiting_messages = 0;
    std::uint64_t waiting_bytes = 0;
    std::int64_t waiting_since_ns = 0;  ///< Unix time; 0: nothing waits
    round_trips_t round_trips;

    void add(const statistics_t& other);
};

}  // namespace wspool
