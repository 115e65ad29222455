#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "handshake.hpp"
#include "replay_script.hpp"
#include "wspool/testing/loopback_server.hpp"

namespace wspool::testing {

/// The part of a record that moves while a connection is open. Cheap to copy.
struct counters {
    std::uint64_t messages_sent = 0;  // these three without the replay
    std::uint64_t payload_bytes_sent = 0;
    std::uint32_t crc32_sent = 0;
    std::uint64_t replayed = 0;  // offset in the script, all before it handed to the socket
    std::uint64_t messages_received = 0;
    std::uint64_t payload_bytes_received = 0;
    std::uint32_t crc32_received = 0;
    std::uint64_t pings_sent = 0;
    std::uint64_t pings_received = 0;
    std::uint64_t pongs_received = 0;
    std::optional<std::uint16_t> close_code_sent;
    std::optional<std::uint16_t> close_code_received;
};

/// The records of all connections: written by the server's thread, read by any.
///
/// Thread safety: safe.
class record_book {
public:
    explicit record_book(const replay_script* script) : script_(script) {}

    std::size_t add();
    void opened(std::size_t index, handshake_result&& handshake);
    void update(std::size_t index, const counters& now);
    void finished(std::size_t index, const counters& now, std::string error);
    void stopped_accepting();

    [[nodiscard]] std::vector<connection_record_t> snapshot() const;
    bool wait_opened(std::size_t count, std::chrono::duration<double> timeout) const;
    /// No connection is unfinished; with `for_good`, and none will come.
    bool wait_idle(bool for_good, std::chrono::duration<double> timeout) const;
    bool wait_messages(std::uint64_t sent, std::uint64_t received,
                       std::chrono::duration<double> timeout) const;

private:
    struct entry {
        connection_record_t record;  // without what is in `now`
        counters now;
    };
    bool wait(std::chrono::duration<double> timeout, const std::function<bool()>& condition) const;
    void changed() const;

    const replay_script* script_;  // null unless replaying
    mutable std::mutex mutex_;
    mutable std::condition_variable condition_;
    mutable std::size_t waiting_ = 0;
    std::deque<entry> entries_;
    std::size_t opened_ = 0;
    std::size_t unfinished_ = 0;
    bool accepting_ = true;
};

}  // namespace wspool::testing
