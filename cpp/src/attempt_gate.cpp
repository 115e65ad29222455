#include "attempt_gate.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>

#include <pthread.h>

namespace wspool::detail {

namespace {

// While as many as may are under way, the next one looks again after so long.
constexpr std::int64_t look_again = 250'000'000;
// Above this many hosts those of which there is nothing to know are forgotten.
constexpr std::size_t many_hosts = 1024;

std::atomic<attempt_gate*> current{nullptr};

/// After fork() the parent's lock may be held for good, and its threads do not exist here: so the
/// child makes a new one, and that one is left alone. Done before any thread of the child runs.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { current.store(nullptr, std::memory_order_relaxed); });

}  // namespace

attempt_gate& attempt_gate::of_process() {
    // Never destroyed: endpoints may outlive the end of main().
    attempt_gate* one = current.load();
    if (one == nullptr) {
        auto made = std::make_unique<attempt_gate>();
        if (current.compare_exchange_strong(one, made.get())) one = made.release();
    }
    return *one;
}

std::int64_t attempt_gate::ask(const std::string& host, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    host_t& one = hosts_[host];
    if (now < one.held_until) return one.held_until - now;
    if (one.failing) {
        if (now < one.next) return one.next - now;
        if (one.under_way >= one.window) return look_again;
        // Those that may be under way together are not spaced: each is as good as proven.
        if (one.asked + one.under_way + 1 >= one.window) one.next = now + interval;
    }
    ++one.asked;
    return 0;
}

std::int64_t attempt_gate::look(const std::string& host, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    const auto found = hosts_.find(host);
    if (found == hosts_.end()) return 0;
    const host_t& one = found->second;
    return std::max<std::int64_t>(
        {0, one.held_until - now, one.failing ? one.next - now : std::int64_t{0}});
}

void attempt_gate::enter(const std::string& host, bool has_asked) {
    const std::lock_guard lock(mutex_);
    host_t& one = hosts_[host];
    if (has_asked && one.asked > 0) --one.asked;
    ++one.under_way;
}

void attempt_gate::withdraw(const std::string& host) {
    const std::lock_guard lock(mutex_);
    host_t& one = hosts_[host];
    if (one.asked > 0) --one.asked;
}

void attempt_gate::settled(const std::string& host, outcome_e outcome, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    host_t& one = hosts_[host];
    if (one.under_way > 0) --one.under_way;
    if (outcome == outcome_e::FAILED) {
        one.failing = true;
        one.window = 1;
        one.next = std::max(one.next, now + interval);
    } else if (outcome == outcome_e::PROVEN && one.failing) {
        one.window *= 2;
        one.next = 0;
        if (one.window >= healthy_from)
            one = {false, 1, one.asked, one.under_way, 0, one.held_until};
    }
    if (hosts_.size() > many_hosts) forget_idle(now);
}

void attempt_gate::hold(const std::string& host, std::int64_t duration, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    host_t& one = hosts_[host];
    one.held_until = std::max(one.held_until, now + std::min(duration, longest_hold));
}

/// mutex_ is held.
void attempt_gate::forget_idle(std::int64_t now) {
    for (auto host = hosts_.begin(); host != hosts_.end();) {
        const host_t& one = host->second;
        const bool idle = one.asked == 0 && one.under_way == 0 && now >= one.held_until &&
                          (!one.failing || now > one.next + 100 * interval);
        host = idle ? hosts_.erase(host) : std::next(host);
    }
}

}  // namespace wspool::detail
