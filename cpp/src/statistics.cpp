#include "wspool/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace wspool {

namespace {
constexpr double buckets_an_octave = 4;
}

void round_trips_t::add(std::int64_t nanoseconds) {
    std::size_t bucket = 0;
    if (nanoseconds > first_ns) {
        const double octaves = std::log2(static_cast<double>(nanoseconds) / first_ns);
        bucket = std::min(bucket_count - 1,
                          static_cast<std::size_t>(std::ceil(octaves * buckets_an_octave)));
    }
    ++counts[bucket];
    ++count;
    sum_ns += nanoseconds;
    max_ns = std::max(max_ns, nanoseconds);
}

void round_trips_t::add(const round_trips_t& other) {
    if (other.count == 0) return;
    for (std::size_t i = 0; i < bucket_count; ++i) counts[i] += other.counts[i];
    count += other.count;
    sum_ns += other.sum_ns;
    max_ns = std::max(max_ns, other.max_ns);
}

double round_trips_t::upper_ns(std::size_t bucket) {
    return static_cast<double>(first_ns) *
           std::exp2(static_cast<double>(bucket) / buckets_an_octave);
}

double round_trips_t::percentile_ns(double part) const {
    const double wanted = std::ceil(part * static_cast<double>(count));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        seen += counts[i];
        if (seen > 0 && static_cast<double>(seen) >= wanted) {
            // The last bucket has no upper end.
            const auto most = static_cast<double>(max_ns);
            return i + 1 == bucket_count ? most : std::min(upper_ns(i), most);
        }
    }
    return 0;
}

void statistics_t::add(const statistics_t& other) {
    messages_received += other.messages_received;
    payload_received += other.payload_received;
    bytes_received += other.bytes_received;
    messages_sent += other.messages_sent;
    bytes_sent += other.bytes_sent;
    pauses += other.pauses;
    callback_errors += other.callback_errors;
    reconnects += other.reconnects;
    failed_attempts += other.failed_attempts;
    duplicates += other.duplicates;
    dropped += other.dropped;
    last_message_ns = std::max(last_message_ns, other.last_message_ns);
    last_received_ns = std::max(last_received_ns, other.last_received_ns);
    waiting_messages += other.waiting_messages;
    waiting_bytes += other.waiting_bytes;
    if (other.waiting_since_ns != 0 &&
        (waiting_since_ns == 0 || other.waiting_since_ns < waiting_since_ns)) {
        waiting_since_ns = other.waiting_since_ns;
    }
    round_trips.add(other.round_trips);
}

}  // namespace wspool
