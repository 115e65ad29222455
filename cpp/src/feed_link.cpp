#include "feed_link.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>
#include <random>
#include <utility>

#include "feed.hpp"
#include "protocol/text.hpp"
#include "protocol/uri.hpp"
#include "wspool/detail/random_source.hpp"

namespace wspool::detail {

namespace {

using std::chrono::nanoseconds;

std::int64_t count_ns(std::chrono::milliseconds duration) {
    return std::chrono::duration_cast<nanoseconds>(duration).count();
}

/// As the gate knows it; empty where the URI is none, or is yet to be made.
std::string host_of(const std::string& text) {
    protocol::uri_t uri;
    std::string why;
    return protocol::parse_uri(text, uri, why) ? uri.authority() : std::string();
}

/// What trying again may mend, while it has never been open.
bool may_be_mended(const error_c& error) {
    switch (error.Code()) {
        case error_e::RESOLVE:
        case error_e::CONNECT:
        case error_e::TLS:
        case error_e::TIMEOUT:
        case error_e::HANDSHAKE:
        case error_e::END_OF_STREAM:
        case error_e::PROTOCOL:
        case error_e::PREPARATION:
            return true;
        case error_e::STATUS: {
            const int status = error.Http_status();
            return status >= 500 || status == 408 || status == 425 || status == 429;
        }
        case error_e::PROXY: {
            const int status = error.Http_status();
            return status != 401 && status != 403 && status != 407 && error.System_code() != EACCES;
        }
        default:
            return false;
    }
}

/// Retry-After as nanoseconds from now (RFC 9110 section 10.2.3); 0 if it says nothing.
std::int64_t read_retry_after(std::string_view value) {
    value = protocol::trimmed(value);
    unsigned seconds = 0;
    const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (failed == std::errc() && end == value.data() + value.size()) {
        return std::int64_t{seconds} * 1'000'000'000;
    }
    if (failed == std::errc::result_out_of_range) return attempt_gate::longest_hold;
    // "Wed, 21 Oct 2015 07:28:00 GMT" (RFC 9110 section 5.6.7). strptime would go by the locale.
    constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const std::string text(value);
    std::tm date{};
    std::array<char, 4> month{};
    if (std::sscanf(text.c_str(), "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &date.tm_mday, month.data(),
                    &date.tm_year, &date.tm_hour, &date.tm_min, &date.tm_sec) != 6) {
        return 0;
    }
    const std::size_t place = months.find(month.data());
    if (place == std::string_view::npos || place % 3 != 0) return 0;
    date.tm_mon = static_cast<int>(place / 3);
    date.tm_year -= 1900;
    const std::time_t then = timegm(&date);
    constexpr std::int64_t second = 1'000'000'000;
    // In seconds first: the date may be too far away for nanoseconds.
    return std::clamp<std::int64_t>(then - runtime::unix_now() / second, 0,
                                    attempt_gate::longest_hold / second) *
           second;
}

}  // namespace

// --- attempts

feed_link::feed_link(std::shared_ptr<feed> owner, const feed_link* predecessor)
    : feed_(std::move(owner)),
      is_successor_(predecessor != nullptr),
      succeeded_(predecessor == nullptr),
      timer_(feed_->loop().io()),
      proof_(feed_->loop().io()),
      acknowledgements_(feed_->options().match),
      failures_(is_successor_ ? 0 : feed_->options().reconnect.failures_before),
      host_(predecessor != nullptr ? predecessor->host_ : host_of(feed_->uri())) {}

feed_link::~feed_link() = default;

void feed_link::start() {
    if (failures_ > 0) return wait(next_delay());  // a sequence that somebody else began
    if (is_successor_) return ask_gate();
    prepare();
}

/// Waits before the next attempt.
void feed_link::wait(std::int64_t duration) {
    state_ = state_e::WAITING;
    timer_.expires_after(nanoseconds(duration));
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (cancelled || self->state_ != state_e::WAITING) return;
        self->ask_gate();
    });
}

void feed_link::ask_gate() {
    // Where the URI is made by user code, the host is that of the last attempt.
    if (!host_.empty()) {
        const std::int64_t wait_for = attempt_gate::of_process().ask(host_, runtime::steady_now());
        if (wait_for > 0) {
            // Who waits for the same host must not come at the same moment.
            const double later = 1 + 0.2 * random_source::This_thread()() / 4294967296.0;
            return wait(static_cast<std::int64_t>(static_cast<double>(wait_for) * later));
        }
        place_ = place_e::ASKED;
    }
    prepare();
}

void feed_link::prepare() {
    ++attempts_;
    state_ = state_e::PREPARING;
    began_ = runtime::steady_now();
    const unsigned number = ++asked_;
    if (feed_->prepares()) {
        watch_user_code([](feed_link& self) {
            self.attempt_failed(
                error_c(error_e::PREPARATION,
                        "user code that makes what an attempt needs did not return in time", 0,
                        ETIMEDOUT),
                nullptr);
        });
    }
    feed_->prepare(attempts_,
                   [self = shared_from_this(), number](error_ptr error, const attempt_t& attempt) {
                       if (self->state_ != state_e::PREPARING || self->asked_ != number) return;
                       self->timer_.cancel();
                       if (error) return self->attempt_failed(*error, nullptr);
                       self->connect(attempt);
                   });
}

/// User code may block for ever. `is_late` is called when the attempt's deadline has passed, or the
/// feed has been down for `give_up_after`; an answer that comes later counts for nothing.
void feed_link::watch_user_code(std::function<void(feed_link&)> is_late) {
    const auto& options = feed_->options();
    const std::int64_t now = runtime::steady_now();
    constexpr auto never = std::numeric_limits<std::int64_t>::max();
    std::int64_t deadline = never;
    if (options.open_timeout.count() > 0) deadline = now + count_ns(options.open_timeout);
    const std::int64_t bound = count_ns(options.reconnect.give_up_after);
    if (options.reconnect.enabled && bound > 0) deadline = std::min(deadline, down_since_ + bound);
    if (deadline == never) return;
    timer_.expires_after(nanoseconds(std::max<std::int64_t>(0, deadline - now)));
    timer_.async_wait([self = shared_from_this(), number = asked_,
                       is_late = std::move(is_late)](std::error_code cancelled) {
        if (cancelled || self->state_ != state_e::PREPARING || self->asked_ != number) return;
        ++self->asked_;
        is_late(*self);
    });
}

void feed_link::connect(const attempt_t& attempt) {
    const std::string host = host_of(attempt.uri);
    if (host != host_) {
        settle_gate(attempt_gate::outcome_e::UNKNOWN);
        host_ = host;
    }
    state_ = state_e::CONNECTING;
    subscriptions_ = attempt.subscriptions;
    const std::chrono::milliseconds spent((runtime::steady_now() - began_) / 1'000'000);
    if (auto error = feed_->make_session(attempt, spent, shared_from_this(), session_)) {
        return attempt_failed(*error, nullptr);
    }
    // What could not be made until here says nothing about the host.
    if (!host_.empty()) {
        attempt_gate::of_process().enter(host_, place_ == place_e::ASKED);
        place_ = place_e::UNDER_WAY;
    }
    feed_->connecting(session_);
    session_->start();
}

/// The outcome is that of an attempt that connected; another one had none.
void feed_link::settle_gate(attempt_gate::outcome_e outcome) {
    proof_.cancel();
    auto& gate = attempt_gate::of_process();
    const place_e place = std::exchange(place_, place_e::NONE);
    if (place == place_e::ASKED) gate.withdraw(host_);
    if (place == place_e::UNDER_WAY) gate.settled(host_, outcome, runtime::steady_now());
}

/// An attempt that has stayed open for a while counts for the host.
void feed_link::watch_proof() {
    proof_.expires_after(nanoseconds(attempt_gate::proven_after));
    proof_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (!cancelled) self->settle_gate(attempt_gate::outcome_e::PROVEN);
    });
}

/// Has it replaced `after` so long. A feed replaces one connection at a time, so it may have to ask
/// again; as it does where a successor was given up.
void feed_link::watch_age(std::chrono::milliseconds after) {
    if (after.count() <= 0) return;
    // Feeds that were opened together shall not all be replaced together.
    const double part = 0.9 + 0.1 * random_source::This_thread()() / 4294967296.0;
    timer_.expires_after(
        nanoseconds(static_cast<std::int64_t>(part * static_cast<double>(count_ns(after)))));
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (cancelled || self->state_ != state_e::READY) return;
        constexpr std::chrono::milliseconds look_again{1'000};
        const auto age = self->feed_->options().replace_after;
        self->watch_age(self->feed_->replace(*self) ? age : std::min(age, look_again));
    });
}

void feed_link::On_end() noexcept {
    const auto keep = shared_from_this();
    const auto ended = std::exchange(session_, nullptr);
    const bool was_ready = state_ == state_e::READY;
    state_ = state_e::WAITING;
    timer_.cancel();
    held_.clear();
    held_bytes_ = 0;
    const bool has_no_room = std::exchange(has_no_room_, false);
    settle_gate(must_end_ ? attempt_gate::outcome_e::UNKNOWN : attempt_gate::outcome_e::FAILED);
    honour_retry_after(*ended);
    const auto stated = ended->Get_error();
    // Where nothing was stated it was closed in order, by whom ever.
    const error_c error = stated ? *stated
                          : must_end_ && !was_ready
                              ? error_c(error_e::ABORTED, "the connection was aborted")
                              : error_c(error_e::CLOSED, "the peer closed the connection");
    if (!was_ready) {
        feed_->failed(ended.get(), error);
        ++failures_;
        return decide(error, false,
                      !has_no_room && (feed_->has_been_open() || may_be_mended(error)));
    }
    down_since_ = runtime::steady_now();
    const std::int64_t open_for = down_since_ - ready_at_;
    failures_ = open_for >= count_ns(feed_->options().reconnect.stable_after) ? 1 : failures_ + 1;
    // While a successor is on its way there is nothing to make again.
    if (feed_->is_being_replaced(*this)) must_end_ = true;
    feed_->lost(*this, *ended);
    if (state_ == state_e::ENDED) return;
    decide(error, true, !has_no_room && error.Code() != error_e::QUEUE_FULL);
}

void feed_link::attempt_failed(const error_c& error, const session* attempt) {
    settle_gate(attempt_gate::outcome_e::UNKNOWN);  // it did not connect
    feed_->failed(attempt, error);
    ++failures_;
    decide(error, false, feed_->has_been_open() || may_be_mended(error));
}

/// Whether there is another attempt. Asks user code where it wants to be asked.
void feed_link::decide(const error_c& error, bool was_open, bool by_default) {
    const auto& how = feed_->options().reconnect;
    const std::int64_t bound = count_ns(how.give_up_after);
    const bool out_of_attempts = (how.max_attempts != 0 && failures_ >= how.max_attempts) ||
                                 (bound > 0 && runtime::steady_now() - down_since_ >= bound);
    if (must_end_ || !how.enabled || out_of_attempts || (how.until_open && was_open) ||
        error.Code() == error_e::ABORTED) {
        if (out_of_attempts && how.enabled && !must_end_) {
            feed_->log(log_c::level_e::ERROR, "given up after " + std::to_string(failures_) +
                                                  " failures in a row: " + error.Error_msg());
        }
        return finish();
    }
    state_ = state_e::PREPARING;
    const unsigned number = ++asked_;
    if (feed_->judges()) {
        watch_user_code([error, by_default](feed_link& self) {
            self.feed_->log(log_c::level_e::WARNING,
                            "user code that decides whether to try again did not return in time; "
                            "it counts as if it were not there");
            self.decided(error, by_default);
        });
    }
    feed_->judge(error, was_open, by_default,
                 [self = shared_from_this(), number, error](bool try_again) {
                     if (self->state_ != state_e::PREPARING || self->asked_ != number) return;
                     self->timer_.cancel();
                     self->decided(error, try_again);
                 });
}

void feed_link::decided(const error_c& error, bool try_again) {
    if (try_again) return again(error);
    feed_->log(log_c::level_e::ERROR, "given up: " + error.Error_msg());
    finish();
}

void feed_link::again(const error_c& error) {
    const std::int64_t delay = next_delay();
    const std::int64_t wait_for =
        std::max(delay, attempt_gate::of_process().look(host_, runtime::steady_now()));
    // That a connection is lost and made again happens to every feed; that it fails need not.
    const auto level = failures_ == 1 ? log_c::level_e::INFO : log_c::level_e::WARNING;
    const std::string how_often =
        failures_ == 1 ? "" : "after " + std::to_string(failures_) + " failures in a row, ";
    feed_->log(level, "will try again in " + std::to_string(wait_for / 1'000'000) +
                          " ms: " + how_often + error.Error_msg());
    wait(delay);
}

/// Full jitter: clients that were disconnected together must not come back together.
std::int64_t feed_link::next_delay() {
    const auto& how = feed_->options().reconnect;
    const auto first = static_cast<double>(count_ns(how.initial_delay));
    if (first <= 0) return 0;  // times infinity it would be no number
    const double grown =
        first * std::pow(how.factor, failures_ > 0 ? static_cast<double>(failures_ - 1) : 0.0);
    const double bound = std::min(grown, static_cast<double>(count_ns(how.max_delay)));
    const double part = random_source::This_thread()() / 4294967296.0;
    return static_cast<std::int64_t>(bound * part);
}

void feed_link::honour_retry_after(const session& attempt) {
    const auto response = attempt.Get_response();
    if (response.status != 429 && response.status != 503) return;
    for (const auto& [name, value] : response.headers) {
        if (!protocol::equals_ignoring_case(name, "Retry-After")) continue;
        const std::int64_t duration = read_retry_after(value);
        if (duration > 0) attempt_gate::of_process().hold(host_, duration, runtime::steady_now());
    }
}

void feed_link::finish() {
    if (state_ == state_e::ENDED) return;
    state_ = state_e::ENDED;
    timer_.cancel();
    settle_gate(attempt_gate::outcome_e::UNKNOWN);
    held_.clear();
    const auto keep = shared_from_this();
    feed_->ended(*this);
}

// --- ending

void feed_link::close(std::uint16_t code, const std::string& reason, bool is_failure) {
    must_end_ = true;
    if (!session_) return finish();
    if (state_ == state_e::CONNECTING) return give_up();
    if (is_failure)
        session_->Fail(code, reason);
    else
        session_->Close(code, reason);
}

void feed_link::give_up() {
    must_end_ = true;
    if (!session_) return finish();
    session_->Abort();
}

void feed_link::retire() {
    must_end_ = retired_ = true;
    if (!session_) return finish();
    session_->Close(1000, "replaced");
    if (feed_->options().close_timeout.count() > 0) return;
    // Without a deadline the successor would hold for as long as the peer likes.
    constexpr std::chrono::seconds patience{10};
    timer_.expires_after(patience);
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (!cancelled && self->session_) self->cut("the peer did not answer the close frame");
    });
}

/// Ends a retired connection; what it had not received is a gap. Not at once: the session may be in
/// the middle of handing out what it has read, and would hand it out again before it ends.
void feed_link::cut(const char* why) {
    is_cut_ = true;
    feed_->loop().post([cut = session_, why] { cut->give_up(error_c(error_e::TIMEOUT, why)); });
}

/// A connection that is being closed cannot push back any more. So what a slow consumer has no room
/// for is bounded by ending it.
sink_c::verdict_e feed_link::bounded(verdict_e verdict, std::size_t bytes) {
    if (!retired_ || is_cut_) return verdict;
    surplus_ = verdict == verdict_e::PAUSE ? surplus_ + bytes : 0;
    if (surplus_ > feed_->options().queue.bytes) {
        cut("it was replaced, and the consumer has no room for what still came");
    }
    return verdict;
}

void feed_link::fail_for_full_queue() {
    if (state_ == state_e::ENDED) return;
    has_no_room_ = true;
    if (state_ == state_e::READY) return session_->fail_for_full_queue();
    const error_c error(error_e::QUEUE_FULL, "the receive queue is full");
    if (session_) return session_->give_up(error);
    timer_.cancel();
    settle_gate(attempt_gate::outcome_e::UNKNOWN);
    has_no_room_ = false;
    decide(error, false, false);
}

void feed_link::pause_reading() {
    if (session_) session_->pause_reading();
}

void feed_link::resume_reading() {
    // What it holds is not what there is room for; it goes on when it is handed on.
    if (state_ == state_e::HOLDING && holds_enough()) return;
    if (session_) session_->Resume_reading();
}

}  // namespace wspool::detail
