/// What a link does with the connection that it has made: the sink of one session at a time.

#include <algorithm>
#include <utility>

#include "feed.hpp"
#include "feed_link.hpp"

namespace wspool::detail {

using std::chrono::nanoseconds;

bool feed_link::Wants_fragments() const noexcept { return feed_->wants_fragments(); }

std::size_t feed_link::Read_size() const noexcept { return feed_->read_size(); }

void feed_link::On_open(metadata_c& /*connection*/) noexcept {
    generation_ = feed_->next_generation();
    session_->set_generation(generation_);
    watch_proof();
    acknowledgements_.begin();
    state_ = state_e::SUBSCRIBING;
    subscribe();
    if (state_ == state_e::FAILING) return;
    if (acknowledgements_.are_complete()) return become_ready();
    const auto timeout = feed_->options().open_timeout;
    if (timeout.count() <= 0) return;
    timer_.expires_after(nanoseconds(
        std::max<std::int64_t>(0, began_ + nanoseconds(timeout).count() - runtime::steady_now())));
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (cancelled || self->state_ != state_e::SUBSCRIBING) return;
        self->session_->give_up(
            error_c(error_e::TIMEOUT, "no acknowledgement of the subscriptions came in time"));
    });
}

void feed_link::subscribe() {
    const auto all = std::exchange(subscriptions_, {});
    for (const outgoing_t& message : all) {
        // However many there are: the link's readiness says that the peer gets them all.
        if (auto error = session_->send_beyond_bound(message.payload, message.is_text)) {
            settle_gate(attempt_gate::outcome_e::UNKNOWN);
            return fail_attempt(*error);
        }
    }
}

/// Not at once: the session is in the middle of opening, or of handing out what it has read, and
/// would hand it out again before it ends.
void feed_link::fail_attempt(const error_c& error) {
    state_ = state_e::FAILING;
    feed_->loop().post([failed = session_, error] { failed->give_up(error); });
}

void feed_link::become_ready() {
    timer_.cancel();
    if (!succeeded_) {
        state_ = state_e::HOLDING;
        feed_->succeeding();
        return;
    }
    go_live();
}

void feed_link::take_over() {
    succeeded_ = true;
    if (state_ == state_e::HOLDING) return go_live();
    // Where acknowledgements are missing, it is ready when they have come. What failed while the
    // old connection was open was no outage: that begins now.
    failures_ = 0;
    down_since_ = runtime::steady_now();
    if (state_ == state_e::WAITING) wait(next_delay());
}

void feed_link::go_live() {
    state_ = state_e::READY;
    ready_at_ = runtime::steady_now();
    ready_ns_ = runtime::unix_now();
    ready_attempts_ = std::exchange(attempts_, 0);
    watch_age(feed_->options().replace_after);
    feed_->ready(*this, ready_attempts_);
    has_been_ready_ = true;
    hand_on_held();
}

void feed_link::hand_on_held() {
    held_bytes_ = 0;
    auto held = std::exchange(held_, {});
    for (held_t& one : held) {
        message_view_t view = one.view;
        view.payload = one.payload;
        const verdict_e verdict = feed_->hand_on_piece(view, std::move(one.payload));
        if (verdict == verdict_e::FAIL) return session_->fail_for_full_queue();
    }
    // The consumer may be full of what the connections before have brought.
    if (feed_->is_full())
        session_->pause_reading();
    else
        session_->Resume_reading();  // if it was paused for the predecessor
}

/// Keeps a message until the link is ready.
sink_c::verdict_e feed_link::hold(const message_view_t& message, std::string* storage) {
    held_bytes_ += message.payload.size();
    held_t& one = held_.emplace_back();
    one.view = message;
    one.view.payload = {};
    if (storage != nullptr)
        one.payload = std::move(*storage);
    else
        one.payload = message.payload;
    if (!holds_enough()) return verdict_e::GO_ON;
    // For the old link's end everything is kept by stopping to read, as for a slow consumer.
    if (state_ == state_e::HOLDING) return verdict_e::PAUSE;
    fail_attempt(
        error_c(error_e::QUEUE_FULL,
                "no acknowledgement of the subscriptions came before the queue's bound was "
                "reached"));
    return verdict_e::GO_ON;
}

bool feed_link::holds_enough() const {
    const auto& bound = feed_->options().queue;
    return held_.size() > bound.messages || held_bytes_ > bound.bytes;
}

sink_c::verdict_e feed_link::On_messages(incoming_t& incoming) noexcept {
    if (state_ == state_e::READY) {
        const std::size_t bytes = incoming.bytes;
        return bounded(feed_->hand_on(incoming), bytes);
    }
    verdict_e verdict = verdict_e::GO_ON;
    std::size_t next = 0;
    while (next < incoming.count &&
           (state_ == state_e::SUBSCRIBING || state_ == state_e::HOLDING)) {
        const message_view_t& message = incoming.messages[next++];
        if (state_ == state_e::SUBSCRIBING) acknowledgements_.look_at(message);
        verdict = std::max(verdict, hold(message, nullptr));
        if (state_ == state_e::SUBSCRIBING && acknowledgements_.are_complete()) become_ready();
    }
    if (next == incoming.count || state_ != state_e::READY) return verdict;
    // What stands behind the acknowledgement in the same read.
    incoming_t rest;
    rest.messages = incoming.messages + next;
    rest.count = incoming.count - next;
    for (std::size_t i = 0; i < rest.count; ++i) rest.bytes += rest.messages[i].payload.size();
    return std::max(verdict, feed_->hand_on(rest));
}

sink_c::verdict_e feed_link::On_piece(const message_view_t& piece, std::string&& storage) noexcept {
    if (state_ == state_e::READY) {
        const std::size_t bytes = piece.payload.size();
        return bounded(feed_->hand_on_piece(piece, std::move(storage)), bytes);
    }
    if (state_ != state_e::SUBSCRIBING && state_ != state_e::HOLDING) return verdict_e::GO_ON;
    if (state_ == state_e::SUBSCRIBING) acknowledgements_.look_at(piece);
    const verdict_e verdict = hold(piece, &storage);
    if (state_ == state_e::SUBSCRIBING && acknowledgements_.are_complete()) become_ready();
    return verdict;
}

void feed_link::On_rested() noexcept {
    if (state_ == state_e::READY) feed_->rested();
}

void feed_link::On_closing() noexcept {
    if (state_ == state_e::READY) feed_->closing();
}

void feed_link::On_room() noexcept { feed_->room(); }

}  // namespace wspool::detail
