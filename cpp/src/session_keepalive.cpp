/// Pings, their answers, and what silence means; loop thread.

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "endpoint_core.hpp"
#include "session.hpp"
#include "wspool/detail/random_source.hpp"

namespace wspool::detail {

namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
// So often it is looked whether the peer is gone or the consumer slow, if nothing else is due.
constexpr std::int64_t look_every = 20'000'000'000;
constexpr std::int64_t slow_after = 5'000'000'000;

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
    last_received_ = last_data_ = runtime::steady_now();
    next_ping_ = options_.ping_interval.count() <= 0
                     ? never
                     : last_received_ + nanoseconds(options_.ping_interval);
    arm_keepalive();
}

void session::arm_keepalive() {
    const std::int64_t now = runtime::steady_now();
    std::int64_t due = std::min(next_ping_, now + look_every);
    if (pong_deadline_ != 0) due = std::min(due, pong_deadline_);
    if (options_.idle_timeout.count() > 0 && !paused_) {
        due = std::min(due, last_data_ + nanoseconds(options_.idle_timeout));
    }
    if (options_.log && paused_since_ != 0 && !told_slow_) {
        due = std::min(due, paused_since_ + slow_after);
    }
    keepalive_due_ = due;
    keepalive_timer_.expires_after(std::chrono::nanoseconds(std::max<std::int64_t>(due - now, 0)));
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
            return time_out("keepalive ping timeout");
        }
    }
    const std::int64_t idle = nanoseconds(options_.idle_timeout);
    if (idle > 0 && !paused_ && now - last_data_ >= idle) return time_out("idle timeout");
    if (stream_.is_peer_gone(silence_bound())) {
        return time_out("the peer's system does not answer any more");
    }
    tell_slow_consumer(now);
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

/// The peer is silent: ends the connection, telling it why if it still listens.
void session::time_out(const char* reason) {
    set_error(error_c(error_e::TIMEOUT, reason));
    skip_linger_ = true;
    error_code failed;
    connection_->close(1011, reason, failed);
    flush();
    if (!ending_) connection_->terminate(failed);
}

/// How long the peer's system may leave what was sent without an acknowledgement. While reading is
/// paused nobody waits for a pong, and without pings nobody ever does; but TCP's own silence is the
/// peer's all the same. Not shorter than ten seconds: the network may be down for a moment.
std::chrono::milliseconds session::silence_bound() const {
    constexpr std::chrono::milliseconds least(10'000);
    constexpr std::chrono::milliseconds without_pings(60'000);
    if (options_.ping_interval.count() <= 0 || options_.ping_timeout.count() <= 0) {
        return without_pings;
    }
    return std::max(least, options_.ping_interval + options_.ping_timeout);
}

/// Sees to it that a pause that lasts is noticed in time.
void session::watch_pause() {
    if (!options_.log || keepalive_due_ <= paused_since_ + slow_after) return;
    if (status_.load() == status_e::OPENED) arm_keepalive();
}

/// A pause that lasts is the consumer's, not the peer's, and is told as that, once.
void session::tell_slow_consumer(std::int64_t now) {
    if (paused_since_ == 0 || told_slow_ || now - paused_since_ < slow_after) return;
    told_slow_ = true;
    log(log_c::level_e::WARNING, "slow consumer: nothing has been read from " + log_name() +
                                     " for " +
                                     std::to_string((now - paused_since_) / 1'000'000'000) +
                                     " s, because the queue is full");
}

/// What was silence while reading was paused counts for nothing from here on.
void session::go_on_reading() {
    paused_ = resting_ = false;
    if (paused_since_ != 0) {
        const std::int64_t now = runtime::steady_now();
        if (pong_deadline_ != 0) pong_deadline_ = now + nanoseconds(options_.ping_timeout);
        last_data_ = now;
        paused_since_ = 0;
        told_slow_ = false;
        if (options_.idle_timeout.count() > 0 && status_.load() == status_e::OPENED) {
            arm_keepalive();
        }
    }
    wait_readable();
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
    const std::int64_t now = runtime::steady_now();
    std::vector<ping_t> answered;
    {
        const std::lock_guard lock(out_mutex_);
        const auto named = std::find_if(pings_.begin(), pings_.end(), [&](const ping_t& ping) {
            return ping.payload == payload;
        });
        if (named == pings_.end()) return;  // unsolicited
        std::move(pings_.begin(), named + 1, std::back_inserter(answered));
        pings_.erase(pings_.begin(), named + 1);
        if (!round_trips_) round_trips_ = std::make_unique<round_trips_t>();
        round_trips_->add(now - answered.back().sent);
    }
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
