/// The consumer's side of the queue: who takes messages, one thread at a time.

#include <algorithm>
#include <iterator>
#include <utility>

#include "wspool/message_queue.hpp"
#include "wspool/metadata.hpp"

namespace wspool {

bool message_queue_c::Next(item_t& out) {
    if (!hands_over_) return pop_shared(out);
    out.dropped = 0;
    out.event.reset();
    skip_rest();
    if (skipping_ || !pop(out)) return false;
    if (out.generation == 0 && out.is_first) {
        take_event(out);
    } else if (streaming_) {
        in_message_ = !out.is_final;
    } else if (!out.is_final) {
        joined_.assign(out.payload);
        message_view_t piece;
        do {
            pop(piece);  // it is there: only complete messages are begun
            joined_.append(piece.payload);
        } while (!piece.is_final);
        if (piece.generation == 0) return Next(out);  // it was cut off
        out.payload = joined_;
        out.received_ns = piece.received_ns;
        out.is_final = true;
    } else if (!joined_.empty()) {
        joined_ = {};
    }
    return true;
}

message_queue_c::run_t message_queue_c::Next_run(std::size_t most) {
    if (!hands_over_ || streaming_ || skipping_) return {};
    if (front_is_used_up() && (!refill() || front_is_used_up())) return {};
    chunk& front = *taken_.front();
    const message_view_t* const begin = front.entries().data() + front.next;
    const std::size_t there = std::min(most, front.entries().size() - front.next);
    run_t run{begin, 0};
    std::size_t bytes = 0;
    while (run.count < there && begin[run.count].is_first && begin[run.count].is_final &&
           begin[run.count].generation != 0) {
        bytes += begin[run.count++].payload.size();
    }
    unsettled_bytes_.add(bytes);
    front.next += run.count;
    taken_complete_ -= run.count;
    unsettled_messages_.add(run.count);
    settle_if_due();
    return run;
}

void message_queue_c::Put_back(std::size_t count) {
    if (count == 0) return;
    chunk& front = *taken_.front();
    front.next -= count;
    taken_complete_ += count;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) bytes += front.entries()[front.next + i].payload.size();
    const std::lock_guard lock(mutex_);
    messages_ += count;
    bytes_ += bytes;
}

/// Takes what has come of a message that is not wanted any more.
void message_queue_c::skip_rest() {
    message_view_t unwanted;
    while (skipping_ && pop(unwanted)) skipping_ = !unwanted.is_final;
}

std::size_t message_queue_c::Available() {
    skip_rest();
    std::unique_lock lock(mutex_);
    const std::size_t found = taken_complete_ + shared_complete_;
    if (taken_complete_ == 0 && settle()) resume_reading(lock);
    return found;
}

/// Sets used-up chunks at the front of taken_ aside; true if nothing is left.
bool message_queue_c::front_is_used_up() {
    while (!taken_.empty() && taken_.front()->is_used_up()) {
        freed_.push_back(std::move(taken_.front()));
        taken_.pop_front();
    }
    return taken_.empty();
}

bool message_queue_c::pop(message_view_t& out) {
    while (front_is_used_up() || (taken_complete_ == 0 && !streaming_ && !skipping_)) {
        if (!refill()) return false;
    }
    chunk& front = *taken_.front();
    out = front.entries()[front.next++];
    if (out.is_final) {
        --taken_complete_;
        unsettled_messages_.add(1);
    } else {
        ++unsettled_fragments_;
    }
    unsettled_bytes_.add(out.payload.size());
    settle_if_due();
    return true;
}

/// Says once in a while what was taken.
void message_queue_c::settle_if_due() {
    if (unsettled_messages_.load() < settle_every_ && unsettled_bytes_.load() < settle_bytes_ &&
        (unsettled_fragments_ == 0 || !paused_.load(std::memory_order_relaxed))) {
        return;
    }
    std::unique_lock lock(mutex_);
    if (settle()) resume_reading(lock);
}

/// Frees what has been used up: the payload handed out last is not needed any more. Returns a chunk
/// that may serve again, or null.
message_queue_c::chunk_ptr message_queue_c::let_go() {
    chunk_ptr reusable;
    front_is_used_up();
    for (chunk_ptr& used : freed_) {
        if (!used->is_open || used->block->size > largest_spare) continue;
        used->entries().clear();
        used->gaps.clear();
        used->used = used->next = 0;
        reusable = std::move(used);
    }
    freed_.clear();
    return reusable;
}

/// Takes over what has come; false if that is nothing.
bool message_queue_c::refill() {
    chunk_ptr reusable = let_go();
    std::unique_lock lock(mutex_);
    const bool some = !shared_.empty();
    is_quick_ = is_quick_ || some;
    const bool resume = settle();
    if (taken_.empty()) {
        taken_.swap(shared_);
    } else {
        std::move(shared_.begin(), shared_.end(), std::back_inserter(taken_));
        shared_.clear();
    }
    taken_complete_ += std::exchange(shared_complete_, 0);
    if (oldest_ns_ == 0 && !taken_.empty() && !taken_.front()->is_used_up()) {
        oldest_ns_ = taken_.front()->entries()[taken_.front()->next].received_ns;
    }
    if (!spare_ && !ended_) spare_ = std::move(reusable);
    if (resume) resume_reading(lock);
    return some;
}

/// Where chunks stay with the producer, message by message.
bool message_queue_c::pop_shared(item_t& out) {
    const std::lock_guard lock(mutex_);
    if (shared_.empty()) return false;
    current_ = shared_.front();
    chunk& front = *current_;
    static_cast<message_view_t&>(out) = front.entries()[front.next];
    out.dropped = front.gaps[front.next++];
    if (front.is_used_up()) shared_.pop_front();
    bytes_ -= out.payload.size();
    --messages_;
    --shared_complete_;
    out.event.reset();
    if (out.generation == 0) {
        out.event = std::move(events_.front());
        events_.pop_front();
    }
    return true;
}

void message_queue_c::take_event(item_t& out) {
    const std::lock_guard lock(mutex_);
    out.event = std::move(events_.front());
    events_.pop_front();
}

/// Tells the loop's side what the consumer has done; true if reading shall go on. By the consumer,
/// with mutex_ held.
bool message_queue_c::settle() {
    takes_fragments_ = streaming_ || skipping_;
    messages_ -= unsettled_messages_.take();
    fragments_ -= std::exchange(unsettled_fragments_, 0);
    bytes_ -= unsettled_bytes_.take();
    oldest_ns_ = 0;
    if (!taken_.empty() && !taken_.front()->is_used_up()) {
        oldest_ns_ = taken_.front()->entries()[taken_.front()->next].received_ns;
    }
    if (resting_ && !is_ahead(2)) {
        resting_ = false;
        return true;
    }
    if (!paused_) return false;
    const std::size_t left = messages_ + (streaming_ ? fragments_ : 0);
    // Fragments of a message that nobody streams are waiting for the rest of it.
    if ((left > bound_.low_messages || bytes_ > bound_.bytes / 4) && (messages_ > 0 || streaming_))
        return false;
    paused_ = false;
    return true;
}

void message_queue_c::resume_reading(std::unique_lock<std::mutex>& lock) {
    const auto connection = connection_.lock();
    lock.unlock();
    if (connection) connection->Resume_reading();
}

void message_queue_c::Set_streaming(bool on) {
    std::unique_lock lock(mutex_);
    if (streaming_ == on) return;
    streaming_ = on;
    if (!on) skipping_ = skipping_ || std::exchange(in_message_, false);
    if (settle()) resume_reading(lock);
}

}  // namespace wspool
