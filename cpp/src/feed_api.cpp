/// The part of a feed that any thread may call.

#include <algorithm>

#include "endpoint_core.hpp"
#include "feed.hpp"
#include "protocol/frame.hpp"
#include "protocol/utf8.hpp"

namespace wspool::detail {

std::shared_ptr<session> feed::current() const {
    const std::lock_guard lock(state_mutex_);
    return latest_;
}

std::vector<std::shared_ptr<session>> feed::open_sessions() const {
    const std::lock_guard lock(state_mutex_);
    return sessions_;
}

std::shared_ptr<session> feed::heir() const {
    const std::lock_guard lock(state_mutex_);
    return heir_;
}

error_ptr feed::not_open() const {
    return connection_base::not_open("the feed is not connected at the moment");
}

/// To every connection that is open: with `redundancy` the peers must know the same. One that has
/// no room for what another one took is made anew, and told by its subscriptions. `wait` is for all
/// of them together.
template <typename SendOne>
error_ptr feed::send_to_all(std::optional<std::chrono::nanoseconds> wait, SendOne&& send) {
    if (in_other_process()) return wrong_process();
    if (status_.load() != status_e::OPENED) return not_open();
    using clock = std::chrono::steady_clock;
    const auto begin = clock::now();
    const auto left = [&]() -> std::optional<std::chrono::nanoseconds> {
        if (!wait) return {};
        return std::max<std::chrono::nanoseconds>(*wait - (clock::now() - begin),
                                                  std::chrono::nanoseconds(0));
    };
    error_ptr failed;
    bool sent = false;
    std::vector<std::shared_ptr<session>> behind;
    const auto send_on = [&](const std::shared_ptr<session>& one) {
        auto error = send(*one, left());
        if (!error) {
            sent = true;
            return;
        }
        if (error->Code() == error_e::TIMEOUT || error->Code() == error_e::BUFFER_FULL) {
            behind.push_back(one);
        } else if (error->Code() == error_e::CLOSED || error->Code() == error_e::INVALID_STATE) {
            return;  // it is being lost, which has not been noticed yet
        }
        failed = std::move(error);
    };
    for (const auto& one : open_sessions()) send_on(one);
    // A successor knows what its predecessor was told, or is told it in its place: that one may
    // take its time to close.
    if (const auto next = heir(); next && (!sent || options_.redundancy > 1)) send_on(next);
    if (!sent) return failed ? std::move(failed) : not_open();
    if (failed && behind.empty()) return failed;
    if (options_.redundancy == 1) return nullptr;
    for (const auto& one : behind) {
        loop_->post([one] {
            one->give_up(
                error_c(error_e::TIMEOUT, "it did not take what the other connections took"));
        });
    }
    return nullptr;
}

error_ptr feed::Send(std::string_view message, bool is_text,
                     std::optional<std::chrono::nanoseconds> wait) {
    return send_to_all(wait,
                       [&](session& one, auto left) { return one.Send(message, is_text, left); });
}

error_ptr feed::Send_fragment(std::string_view payload, bool is_text, bool is_first, bool is_final,
                              std::optional<std::chrono::nanoseconds> wait) {
    return send_to_all(wait, [&](session& one, auto left) {
        return one.Send_fragment(payload, is_text, is_first, is_final, left);
    });
}

error_ptr feed::Ping(std::string_view payload, on_pong_t on_pong) {
    if (in_other_process()) return wrong_process();
    const auto one = current();
    if (status_.load() != status_e::OPENED || !one) return not_open();
    if (has_sink_ || !on_pong) return one->Ping(payload, std::move(on_pong));
    return one->Ping(payload, [self = self(), call = std::move(on_pong)](auto took) {
        self->loop_->turn().add([self, call, took] { self->guarded([&] { call(took); }); });
    });
}

error_ptr feed::Pong(std::string_view payload) {
    return send_to_all({}, [&](session& one, auto) { return one.Pong(payload); });
}

error_ptr feed::Close(std::uint16_t code, std::string_view reason) {
    return begin_closing(code, reason, false);
}

error_ptr feed::Fail(std::uint16_t code, std::string_view reason) {
    return begin_closing(code, reason, true);
}

error_ptr feed::begin_closing(std::uint16_t code, std::string_view reason, bool is_failure) {
    if (in_other_process()) return wrong_process();
    if (auto error = protocol::check_close(code, reason)) return error;
    status_e expected = status_.load();
    do {
        if (expected != status_e::OPENED && expected != status_e::CONNECTING) return nullptr;
    } while (!status_.compare_exchange_weak(expected, status_e::CLOSING));
    {
        const std::lock_guard lock(state_mutex_);
        if (expected == status_e::OPENED) closing_with_ = close_frame_t{code, std::string(reason)};
    }
    loop_->post([self = self(), code, text = std::string(reason), is_failure] {
        if (self->phase_ != phase_e::RUNNING) return;
        self->phase_ = phase_e::CLOSING;
        self->loss_.reset();
        if (self->links_.empty()) return self->end();
        for (const auto& link : std::vector(self->links_)) link->close(code, text, is_failure);
    });
    return nullptr;
}

void feed::Abort() {
    if (in_other_process()) return;
    loop_->post([self = self()] {
        if (self->phase_ == phase_e::ENDED) return;
        self->phase_ = phase_e::CLOSING;
        if (self->status_.load() != status_e::FAILED) self->status_.store(status_e::CLOSING);
        {
            const std::lock_guard lock(self->state_mutex_);
            self->error_ =
                std::make_shared<const error_c>(error_e::ABORTED, "the connection was aborted");
        }
        if (self->links_.empty()) return self->end();
        for (const auto& link : std::vector(self->links_)) link->give_up();
    });
}

void feed::Resume_reading() {
    if (in_other_process()) return;
    loop_->post([self = self()] {
        self->is_full_ = false;
        for (const auto& link : self->links_) link->resume_reading();
        if (!std::exchange(self->retire_when_resumed_, false)) return;
        // What it waited for may be lost by now.
        if (self->successor_ && self->successor_->is_holding()) self->retire_replaced();
    });
}

// --- what the present connection knows, or the last one

/// Attempts that fail later do not change how the last connection has ended.
std::optional<feed::end_t> feed::last_end() const {
    const std::lock_guard lock(state_mutex_);
    return sessions_.empty() ? last_end_ : std::nullopt;
}

std::optional<close_frame_t> feed::Received_close() const {
    if (const auto end = last_end()) return end->received;
    const auto one = current();
    return one ? one->Received_close() : std::nullopt;
}

std::optional<close_frame_t> feed::Sent_close() const {
    const auto end = last_end();
    const auto one = current();
    auto sent = end ? end->sent : one ? one->Sent_close() : std::nullopt;
    if (sent || status_.load() != status_e::CLOSING) return sent;
    const std::lock_guard lock(state_mutex_);
    return closing_with_;
}

bool feed::Received_close_first() const {
    if (const auto end = last_end()) return end->received_first;
    const auto one = current();
    return one && one->Received_close_first();
}

request_t feed::Get_request() const {
    const auto one = current();
    return one ? one->Get_request() : request_t();
}

response_t feed::Get_response() const {
    const auto one = current();
    return one ? one->Get_response() : response_t();
}

std::string feed::Get_subprotocol() const {
    const auto one = current();
    return one ? one->Get_subprotocol() : std::string();
}

std::pair<std::string, std::uint16_t> feed::Get_local_address() const {
    const auto one = current();
    return one ? one->Get_local_address() : std::pair<std::string, std::uint16_t>();
}

std::pair<std::string, std::uint16_t> feed::Get_remote_address() const {
    const auto one = current();
    return one ? one->Get_remote_address() : std::pair<std::string, std::uint16_t>();
}

std::chrono::nanoseconds feed::Get_latency() const {
    const auto one = current();
    return one ? one->Get_latency() : std::chrono::nanoseconds(0);
}

statistics_t feed::Get_statistics() const {
    std::vector<std::shared_ptr<session>> open;
    statistics_t sum;
    {
        const std::lock_guard lock(state_mutex_);
        open = sessions_;
        sum = retired_;
        sum.reconnects = reconnects_;
        sum.failed_attempts = failures_;
    }
    for (const auto& one : open) sum.add(one->Get_statistics());
    // A stalled listener's backlog is the feed's own: it outlives the connection that it is of.
    add_own_counts(sum);
    sum.duplicates = duplicates_.load(std::memory_order_relaxed);
    return sum;
}

std::size_t feed::Get_buffered_amount() const {
    std::size_t sum = 0;
    for (const auto& one : open_sessions()) sum += one->Get_buffered_amount();
    return sum;
}

}  // namespace wspool::detail
