#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wspool/export.hpp"
#include "wspool/options.hpp"
#include "wspool/ready_list.hpp"
#include "wspool/record_batch.hpp"
#include "wspool/sink.hpp"

namespace wspool {

/// How rows become batches, and how many wait.
struct record_stream_options_t {
    std::size_t batch_rows = 4096;
    std::chrono::nanoseconds max_delay{100'000'000};  ///< of a row in a batch that is not full
    std::size_t max_batches = 16;                     ///< finished ones that wait for the consumer
    /// At that bound. PAUSE stops reading; it may be passed by what one read brings.
    overflow_e overflow = overflow_e::PAUSE;
    /// One order of arrival for all connections: then their threads take turns. Else each batch
    /// is of one of `lanes` parts of the connections, which do not wait for each other.
    std::size_t lanes = 1;
    /// Batches tell what happens to feeds; one without rows does if none come in `max_delay`.
    bool takes_events = false;
    std::size_t kept_unmatched = 0;  ///< messages that match nothing: the latest so many are kept
};

struct record_statistics_t {
    std::uint64_t messages = 0;
    std::uint64_t rows = 0;
    std::uint64_t batches = 0;  ///< finished
    std::uint64_t unmatched = 0;
    std::uint64_t not_json = 0;
    /// Rows, by overflow; and messages that came for a full stream while it was being closed.
    std::uint64_t dropped = 0;
    std::uint64_t unmatched_dropped = 0;  ///< of those to keep
};

/// A message that matched none of the fields, or is no JSON.
struct unmatched_t {
    std::string payload;
    std::int64_t received_ns = 0;
    bool is_text = false;
    bool is_json = false;
    std::size_t connection = 0;  ///< number of its sink
};

/// Many connections' messages on their way to one consumer, as columns. Fields are picked on the
/// endpoints' threads, right from the read buffer.
///
/// Thread safety: any thread, but one at a time takes.
class WSPOOL_API record_stream_c {
public:
    /// What a consumer may wait for.
    enum class found_e {
        BATCH,
        NOTHING,  ///< not yet
        END,      ///< all connections have ended, and everything was taken
    };

    record_stream_c(std::shared_ptr<const field_set_c> fields,
                    const record_stream_options_t& options,
                    std::shared_ptr<ready_list_c> ready = nullptr, std::uint64_t number = 0);
    ~record_stream_c();
    record_stream_c(const record_stream_c&) = delete;
    record_stream_c& operator=(const record_stream_c&) = delete;

    /// For a connection, which `label` names in the column `connection`. All sinks are made before
    /// the first connection is.
    std::shared_ptr<sink_c> New_sink(std::string_view label, std::size_t lane = 0);

    /// Takes a batch if one is finished, or if the oldest row has waited for `max_delay`.
    found_e Take(std::shared_ptr<const record_batch_t>& batch);
    /// The same, but waits for at most `timeout`; NOTHING then.
    found_e Take_within(std::chrono::nanoseconds timeout,
                        std::shared_ptr<const record_batch_t>& batch);
    /// What to wait for: that `Take` may find something else than now, that every connection is
    /// open or has ended, that every one has ended.
    enum class change_e { TAKABLE, OPENED, OVER };
    /// Asks for one post when there is any change. False if what is waited for is so already.
    bool Arm(change_e change);
    /// Until the oldest row has waited for `max_delay`; empty if there is none.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> Due_in() const;
    /// Waits until every connection is open or has ended; false after `timeout`.
    bool Wait_opened(std::chrono::nanoseconds timeout);
    [[nodiscard]] bool Are_opened() const;
    /// How many connections have ended.
    [[nodiscard]] std::size_t Ended() const;
    [[nodiscard]] bool Is_over() const;
    /// What was kept of the messages that matched nothing.
    [[nodiscard]] std::vector<unmatched_t> Take_unmatched();
    [[nodiscard]] bool Has_unmatched() const;
    [[nodiscard]] record_statistics_t Statistics() const;

private:
    friend class record_sink_c;
    class impl;
    const std::shared_ptr<impl> impl_;
};

}  // namespace wspool
