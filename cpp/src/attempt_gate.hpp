#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

namespace wspool::detail {

/// Keeps the process from hammering a host that is in trouble: one gate for all endpoints and
/// pools, because a server that comes back does not care whose connections they are.
///
/// A host is healthy until an attempt fails, or what it opened is closed within `proven_after`.
/// Then one attempt is let through every `interval`. When one has stayed open for `proven_after`,
/// two may be under way at once, then four, and so on; from `healthy_from` on it is healthy again.
///
/// Between asking and connecting user code may make the attempt, and take for ever. So what is only
/// asked for takes its turn, but no place: it holds nobody up for longer than `interval`.
///
/// Thread safety: any thread. Times are steady nanoseconds.
class attempt_gate {
public:
    static constexpr std::int64_t proven_after = 1'000'000'000;
    /// So that in the first ten seconds there are at most ten attempts.
    static constexpr std::int64_t interval = 1'200'000'000;
    static constexpr unsigned healthy_from = 32;
    static constexpr std::int64_t longest_hold = std::int64_t{3600} * 1'000'000'000;

    /// The process's own; after fork() the child has a fresh one.
    static attempt_gate& of_process();

    /// Asks to make an attempt. 0: go, and `enter` or `withdraw` must follow; else how long to wait
    /// at least before asking again.
    std::int64_t ask(const std::string& host, std::int64_t now);
    /// How long one has to wait at least, as it looks now.
    std::int64_t look(const std::string& host, std::int64_t now);
    /// An attempt connects; `settled` must follow. One that has not asked is made all the same: the
    /// user wants it now.
    void enter(const std::string& host, bool has_asked);
    /// What was asked for is not made.
    void withdraw(const std::string& host);

    enum class outcome_e {
        PROVEN,   ///< it has stayed open
        FAILED,   ///< it did not open, or was closed at once
        UNKNOWN,  ///< we gave it up
    };
    void settled(const std::string& host, outcome_e outcome, std::int64_t now);
    /// The host asks for no attempts for a while (Retry-After).
    void hold(const std::string& host, std::int64_t duration, std::int64_t now);

private:
    struct host_t {
        bool failing = false;
        unsigned window = 1;     // attempts that may be under way while failing
        unsigned asked = 0;      // let through, and neither entered nor withdrawn
        unsigned under_way = 0;  // entered, and not settled
        std::int64_t next = 0;   // no attempt before, while failing
        std::int64_t held_until = 0;
    };
    void forget_idle(std::int64_t now);

    std::mutex mutex_;
    std::unordered_map<std::string, host_t> hosts_;  // guarded by mutex_
};

}  // namespace wspool::detail
