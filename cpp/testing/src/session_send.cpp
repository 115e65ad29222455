#include <algorithm>
#include <string>

#include "session.hpp"

namespace wspool::testing {
namespace {

// Bytes of one turn, so that connections share the thread fairly while all can take more.
constexpr std::size_t bytes_a_turn = 4U << 20U;
constexpr std::size_t largest_write = 1U << 20U;
// Messages that fall due within this time go out together: a timer a message would be the
// bottleneck at high rates.
constexpr std::chrono::milliseconds timer_step{1};

}  // namespace

void session::begin_replay() {
    replaying_ = true;
    replay_start_ = std::chrono::steady_clock::now();
    next_ping_ = shared_.options.replay.ping_every;
}

/// Sends until there is nothing to send, the socket is full or the turn is over.
void session::pump() {
    if (write_armed_ || phase_ == phase::draining || phase_ == phase::finished) return;
    std::size_t budget = bytes_a_turn;
    progress now = progress::more;
    while (now == progress::more) now = send_some(budget);
    if (now != progress::lost && now != progress::blocked) {
        const progress flushed = outcome(transport_.flush());
        if (flushed != progress::more) now = flushed;
    }
    if (now == progress::lost) {
        on_lost(io_status::failed);
        return;
    }
    if (now == progress::blocked) arm_write();
    if (now == progress::yielded && !pump_posted_) {
        pump_posted_ = true;
        post(&session::pump_again);
    }
    settle();
}

void session::pump_again() {
    pump_posted_ = false;
    pump();
}

session::progress session::outcome(io_status status) const noexcept {
    return status == io_status::done    ? progress::more
           : status == io_status::again ? progress::blocked
                                        : progress::lost;
}

session::progress session::send_some(std::size_t& budget) {
    if (budget == 0) return progress::yielded;
    if (transport_.full()) {
        const progress flushed = outcome(transport_.flush());
        if (flushed != progress::more) return flushed;
        count_sent();
    }
    const bool own = out_sent_ < out_.size();
    // Frames of our own go between the script's; a close frame ends the script there.
    if (own && (offset_ == 0 || shared_.script->frame_boundary(offset_) == offset_)) {
        return send_own(budget);
    }
    return own || (replaying_ && !close_sent_) ? send_script(budget) : progress::idle;
}

session::progress session::send_own(std::size_t& budget) {
    std::size_t size = out_.size() - out_sent_;
    const progress now = outcome(transport_.write(out_.data() + out_sent_, size));
    if (now != progress::more) return now;
    budget -= std::min(budget, size);
    out_sent_ += size;
    if (out_sent_ == out_.size()) {
        out_.clear();
        out_sent_ = 0;
    }
    return now;
}

session::progress session::send_script(std::size_t& budget) {
    const replay_script& script = *shared_.script;
    const replay_options_t& replay = shared_.options.replay;
    if (replay.ping_every != 0 && offset_ == script.offset_after(next_ping_)) {
        append_frame(out_, opcode::ping, true, std::to_string(next_ping_));
        ++counters_.pings_sent;
        next_ping_ += replay.ping_every;
        return progress::more;
    }
    if (offset_ == script.end()) {
        replaying_ = false;
        if (replay.close_after) queue_close(1000, {});
        return progress::more;
    }

    std::uint64_t limit = std::min(script.end(), due_offset());
    if (replay.ping_every != 0) limit = std::min(limit, script.offset_after(next_ping_));
    if (replay.record_per_message && transport_.secure()) {
        if (offset_ == script.offset_after(record_)) ++record_;
        limit = std::min(limit, script.offset_after(record_));
    }
    if (out_sent_ < out_.size()) {
        limit = std::min(limit, script.frame_boundary(offset_));
    }
    if (limit <= offset_) return progress::idle;  // due_offset() has set the timer

    std::size_t size = static_cast<std::size_t>(
        std::min<std::uint64_t>({limit - offset_, script.contiguous(offset_), largest_write}));
    const progress now = outcome(transport_.write(script.at(offset_), size));
    if (now != progress::more) return now;
    offset_ += size;
    budget -= std::min(budget, size);
    return now;
}

/// Up to where the rate allows sending now; sets the timer for the message after that.
std::uint64_t session::due_offset() {
    const double rate = shared_.options.replay.rate;
    if (rate == 0) return replay_script::endless;
    using seconds = std::chrono::duration<double>;
    const auto now = std::chrono::steady_clock::now();
    const auto due = static_cast<std::uint64_t>(seconds(now - replay_start_).count() * rate) + 1;
    const std::uint64_t limit = shared_.script->offset_after(due);
    if (limit <= offset_ && !timer_armed_) {
        timer_armed_ = true;
        const auto next = replay_start_ + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                              seconds(static_cast<double>(due) / rate));
        timer_.expires_at(std::max(next, now + timer_step));
        timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
            self->timer_armed_ = false;
            if (!error) self->guarded([&] { self->pump(); });
        });
    }
    return limit;
}

/// Counts what the socket has taken; with records still staged that is not known.
void session::count_sent() {
    if (transport_.staged()) return;
    counters_.replayed = offset_;
    if (out_sent_ < out_.size()) return;
    counters_.messages_sent = echoed_.messages_sent;
    counters_.payload_bytes_sent = echoed_.payload_bytes_sent;
    counters_.crc32_sent = echoed_.crc32_sent;
}

/// After sending: counts, resumes reading, and ends a connection that is through.
void session::settle() {
    count_sent();
    const bool all_sent = out_sent_ == out_.size() && !transport_.staged();
    if (all_sent && (ending_ || (close_sent_ && close_received_))) {
        transport_.end_of_stream();
        phase_ = phase::draining;
    }
    if (read_paused_ && !backlogged()) {
        read_paused_ = false;
        post(&session::on_readable);
    }
    shared_.book.update(index_, counters_);
}

}  // namespace wspool::testing
