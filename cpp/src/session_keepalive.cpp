/// Pings, their answers, and what silence means; loop thread.

#include <algorithm>
#include <array>
#include <iterator>

#include "endpoint_core.hpp"
#include "session.hpp"
#include "wspool/detail/random_source.hpp"

namespace wspool::detail {

namespace {

std::string random_payload() {
    const std::uint32_t number = random_source::This_thread()();
    std::array<char, 4> bytes{};
    std::copy_n(reinterpret_cast<const char*>(&number), bytes.size(), bytes.begin());
    return {bytes.data(), bytes.size()};
}

// Keepalive pings that are remembered. A peer that sends messages and never a pong is alive, and
// makes one more unanswered ping in every interval.
constexpr std::ptrdiff_t most_unanswered = 64;

std::int64_t nanoseconds(std::chrono::milliseconds duration) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

}  // namespace

void session::start_keepalive() {
    last_received_ = runtime::steady_now();
    if (options_.ping_interval.count() <= 0) return;
    next_ping_ = last_received_ + nanoseconds(options_.ping_interval);
    arm_keepalive();
}

void session::arm_keepalive() {
    const std::int64_t due =
        pong_deadline_ == 0 ? next_ping_ : std::min(next_ping_, pong_deadline_);
    keepalive_timer_.expires_after(
        std::chrono::nanoseconds(std::max<std::int64_t>(due - runtime::steady_now(), 0)));
    keepalive_timer_.async_wait([self = self()](std::error_code cancelled) {
        if (!cancelled) self->keepalive_due();
    });
}

void session::keepalive_due() {
    if (status_.load() != status_e::OPENED) return;
    const std::int64_t now = runtime::steady_now();
    if (pong_deadline_ != 0 && now >= pong_deadline_) {
        // Any byte counts as life. And while reading is paused because the consumer is slow,
        // the peer's silence is ours.
        if (last_received_ >= pinged_at_ || paused_) {
            pong_deadline_ = 0;
        } else {
            set_error(error_c(error_e::TIMEOUT, "keepalive ping timeout"));
            skip_linger_ = true;
            error_code failed;
            connection_->close(1011, "keepalive ping timeout", failed);
            flush();
            if (!ending_) connection_->terminate(failed);
            return;
        }
    }
    if (now >= next_ping_) {
        next_ping_ = now + nanoseconds(options_.ping_interval);
        if (pong_deadline_ == 0) {
            forget_old_pings();
            Ping(random_payload(), nullptr);
            pinged_at_ = now;
            if (options_.ping_timeout.count() > 0) {
                pong_deadline_ = now + nanoseconds(options_.ping_timeout);
            }
        }
    }
    arm_keepalive();
}

void session::forget_old_pings() {
    const auto is_keepalive = [](const ping_t& ping) { return !ping.on_pong; };
    const std::lock_guard lock(out_mutex_);
    if (std::count_if(pings_.begin(), pings_.end(), is_keepalive) < most_unanswered) return;
    pings_.erase(std::find_if(pings_.begin(), pings_.end(), is_keepalive));
}

/// True if the ping shall be answered.
bool session::on_ping() { return may_answer_ping(); }

/// An answer stands for all pings sent before the one it names (RFC 6455 section 5.5.3).
void session::on_pong(std::string_view payload) {
    std::vector<ping_t> answered;
    {
        const std::lock_guard lock(out_mutex_);
        const auto named = std::find_if(pings_.begin(), pings_.end(), [&](const ping_t& ping) {
            return ping.payload == payload;
        });
        if (named == pings_.end()) return;  // unsolicited
        std::move(pings_.begin(), named + 1, std::back_inserter(answered));
        pings_.erase(pings_.begin(), named + 1);
    }
    const std::int64_t now = runtime::steady_now();
    latency_ns_.store(now - answered.back().sent);
    pong_deadline_ = 0;
    for (ping_t& ping : answered) {
        answer_ping(std::move(ping.on_pong), std::chrono::nanoseconds(now - ping.sent));
    }
}

void session::answer_ping(on_pong_t call, std::optional<std::chrono::nanoseconds> took) {
    if (!call) return;
    if (has_sink_) {
        if (sink_) hand_to_sink();  // what came before the answer is there when it is told
        return call(took);
    }
    loop_->turn().add(
        [self = self(), call = std::move(call), took] { self->guarded([&] { call(took); }); });
}

void session::drop_pings() {
    std::vector<ping_t> unanswered;
    {
        const std::lock_guard lock(out_mutex_);
        unanswered.swap(pings_);
    }
    for (ping_t& ping : unanswered) answer_ping(std::move(ping.on_pong), std::nullopt);
}

}  // namespace wspool::detail
