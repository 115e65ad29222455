#include "wspool/message_queue.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "wspool/metadata.hpp"

namespace wspool {

namespace {

constexpr std::size_t smallest_block = 4096;
// A block up to here is kept for the next messages, once it is empty.
constexpr std::size_t largest_spare = 256 * 1024;
// A payload that comes in a string of its own is taken over, not copied, from here on.
constexpr std::size_t worth_taking_over = 4096;
// Of one message, so many fragments are kept apart. Empty ones cost the peer two bytes, so what
// comes above is joined to the last.
constexpr std::size_t most_fragments = 4096;
// The consumer says how much it has taken once in so many messages, while reading goes on.
constexpr std::size_t settle_every = 256;

}  // namespace

message_queue_c::message_queue_c(const queue_bound_t& bound, std::shared_ptr<ready_list_c> ready,
                                 std::uint64_t number)
    : bound_(bound),
      hands_over_(bound.overflow == overflow_e::PAUSE),
      ready_(std::move(ready)),
      number_(number) {}

message_queue_c::~message_queue_c() = default;

bool message_queue_c::Wants_fragments() const noexcept { return hands_over_; }

// --- the loop's thread

void message_queue_c::On_open(metadata_c& connection) noexcept {
    std::unique_lock lock(mutex_);
    connection_ = connection.weak_from_this();
    opened_ = true;
    notify(lock, OPENED);
}

void message_queue_c::On_closing() noexcept {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    paused_ = false;
}

void message_queue_c::On_room() noexcept {
    std::unique_lock lock(mutex_);
    notify(lock, WRITABLE);
}

void message_queue_c::On_end() noexcept {
    std::unique_lock lock(mutex_);
    ended_ = true;
    spare_.reset();
    notify(lock, OPENED | READABLE | WRITABLE | ENDED);
}

sink_c::verdict_e message_queue_c::On_messages(incoming_t* messages, std::size_t count) noexcept {
    std::unique_lock lock(mutex_);
    auto verdict = verdict_e::GO_ON;
    std::size_t left = 0;  // so that one block holds what one read brought
    for (std::size_t i = 0; i < count; ++i) left += messages[i].payload.size();
    for (std::size_t i = 0; i < count; ++i) {
        incoming_t& message = messages[i];
        const std::size_t size = message.payload.size();
        if (deaf_) {
            if (message.is_final) ++dropped_;
            continue;
        }
        const bool no_room =
            messages_ >= bound_.messages || (bytes_ > 0 && bytes_ + size > bound_.bytes);
        if (no_room && bound_.overflow == overflow_e::FAIL) {
            deaf_ = true;
            verdict = verdict_e::FAIL;
            ++dropped_;
            continue;
        }
        if (no_room && bound_.overflow == overflow_e::DROP_OLDEST) {
            while (messages_ > 0 &&
                   (messages_ >= bound_.messages || bytes_ + size > bound_.bytes)) {
                drop_oldest();
            }
        } else if (no_room && (closing_ || bound_.overflow == overflow_e::DROP_NEWEST)) {
            if (message.is_final) {
                ++dropped_;
                ++dropped_before_next_;
            }
            // Of a message in fragments not a part alone can be left out.
            deaf_ = hands_over_;
            continue;
        }
        append(message, left);
        left -= size;
    }
    if (hands_over_ && !closing_ && full() && (messages_ > 0 || streaming_)) {
        paused_ = true;
        verdict = verdict_e::PAUSE;
    }
    if (shared_complete_ > 0 || takes_fragments_) notify(lock, READABLE);
    return verdict;
}

void message_queue_c::append(incoming_t& message, std::size_t expected) {
    const std::size_t size = message.payload.size();
    const bool whole = message.is_first && message.is_final;
    entry added{message.payload.data(), size,
                message.received_ns,    std::exchange(dropped_before_next_, 0),
                message.is_text,        message.is_first,
                message.is_final};
    bytes_ += size;
    if (!message.is_first && fragments_ >= most_fragments && !shared_.empty()) {
        chunk& last = *shared_.back();
        entry& before = last.entries.back();
        if (!last.storage.empty() && !before.is_final) {
            last.storage.append(message.payload);
            before.data = last.storage.data();
            before.size = last.storage.size();
            before.is_final = message.is_final;
            if (message.is_final) {
                --fragments_;
                ++messages_;
                ++shared_complete_;
            }
            return;
        }
    }
    const bool many = !whole && fragments_ >= most_fragments && size > 0;
    if (many || (message.storage != nullptr && size >= worth_taking_over)) {
        chunk& own = *shared_.emplace_back(std::make_shared<chunk>());
        if (message.storage != nullptr)
            own.storage = std::move(*message.storage);
        else
            own.storage = message.payload;
        added.data = own.storage.data();
        own.entries.push_back(added);
    } else {
        chunk& target = room_for(size, expected);
        char* const place = target.block.get() + target.used;
        if (size != 0) std::memcpy(place, added.data, size);
        added.data = place;
        target.used += size;
        target.entries.push_back(added);
    }
    if (added.is_final) {
        ++messages_;
        ++shared_complete_;
    } else {
        ++fragments_;
    }
}

/// The chunk at the end of shared_, with room for `size` bytes; a new one has room for `expected`.
message_queue_c::chunk& message_queue_c::room_for(std::size_t size, std::size_t expected) {
    if (!shared_.empty()) {
        chunk& last = *shared_.back();
        if (last.block && last.capacity - last.used >= size) return last;
    }
    const std::size_t wanted = std::max({size, std::min(expected, largest_spare), smallest_block});
    if (spare_ && spare_->capacity >= wanted) {
        shared_.push_back(std::move(spare_));
    } else {
        auto made = std::make_shared<chunk>();
        made->block.reset(new char[wanted]);
        made->capacity = wanted;
        shared_.push_back(std::move(made));
    }
    return *shared_.back();
}

/// Only without fragments: the first entry is a message.
void message_queue_c::drop_oldest() {
    chunk& first = *shared_.front();
    const entry& gone = first.entries[first.next++];
    const std::uint64_t dropped = gone.dropped + 1;
    bytes_ -= gone.size;
    --messages_;
    --shared_complete_;
    ++dropped_;
    if (first.next == first.entries.size()) shared_.pop_front();
    if (shared_.empty())
        dropped_before_next_ += dropped;
    else
        shared_.front()->entries[shared_.front()->next].dropped += dropped;
}

bool message_queue_c::full() const {
    return messages_ + (streaming_ ? fragments_ : 0) >= bound_.messages || bytes_ >= bound_.bytes;
}

// --- the consumer

bool message_queue_c::Next(item_t& out) {
    entry found;
    skip_rest();
    if (skipping_ || !pop(found)) return false;
    out = {{found.data, found.size}, found.received_ns, found.is_text, true, found.dropped};
    if (streaming_) {
        out.is_final = found.is_final;
        in_message_ = !found.is_final;
    } else if (!found.is_final) {
        joined_.assign(found.data, found.size);
        while (!found.is_final && pop(found)) joined_.append(found.data, found.size);
        out.payload = joined_;
        out.received_ns = found.received_ns;
    } else if (!joined_.empty()) {
        joined_ = {};
    }
    return true;
}

/// Takes what has come of a message that is not wanted any more.
void message_queue_c::skip_rest() {
    entry unwanted;
    while (skipping_ && pop(unwanted)) skipping_ = !unwanted.is_final;
}

std::size_t message_queue_c::Available() {
    skip_rest();
    const std::lock_guard lock(mutex_);
    return taken_complete_ + shared_complete_;
}

bool message_queue_c::pop(entry& out) {
    if (!hands_over_) return pop_shared(out);
    while (true) {
        if (!taken_.empty() && taken_.front()->next == taken_.front()->entries.size()) {
            freed_ = std::move(taken_.front());
            taken_.pop_front();
            continue;
        }
        if (!taken_.empty() && (taken_complete_ > 0 || streaming_ || skipping_)) {
            out = taken_.front()->entries[taken_.front()->next++];
            if (out.is_final) {
                --taken_complete_;
                ++unsettled_messages_;
            } else {
                ++unsettled_fragments_;
            }
            unsettled_bytes_ += out.size;
            if (paused_.load(std::memory_order_relaxed) || unsettled_messages_ >= settle_every) {
                std::unique_lock lock(mutex_);
                if (settle()) resume_reading(lock);
            }
            return true;
        }
        if (!refill()) return false;
    }
}

/// Takes over what has come; false if that is nothing.
bool message_queue_c::refill() {
    std::unique_lock lock(mutex_);
    const bool resume = settle();
    const bool some = !shared_.empty();
    if (taken_.empty()) {
        taken_.swap(shared_);
    } else {
        std::move(shared_.begin(), shared_.end(), std::back_inserter(taken_));
        shared_.clear();
    }
    taken_complete_ += std::exchange(shared_complete_, 0);
    if (freed_ && freed_->block && freed_->capacity <= largest_spare && !spare_ && !ended_) {
        spare_ = std::move(freed_);
        spare_->used = spare_->next = 0;
        spare_->entries.clear();
    }
    if (resume) resume_reading(lock);
    return some;
}

/// Where chunks stay with the producer, message by message.
bool message_queue_c::pop_shared(entry& out) {
    const std::lock_guard lock(mutex_);
    if (shared_.empty()) return false;
    current_ = shared_.front();
    out = current_->entries[current_->next++];
    if (current_->next == current_->entries.size()) shared_.pop_front();
    bytes_ -= out.size;
    --messages_;
    --shared_complete_;
    return true;
}

/// Tells the loop's side what the consumer has done; true if reading shall go on. By the consumer,
/// with mutex_ held.
bool message_queue_c::settle() {
    takes_fragments_ = streaming_ || skipping_;
    messages_ -= std::exchange(unsettled_messages_, 0);
    fragments_ -= std::exchange(unsettled_fragments_, 0);
    bytes_ -= std::exchange(unsettled_bytes_, 0);
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

// --- anyone

/// READABLE is only asked for after `Next` said false: what matters then is in shared_.
unsigned message_queue_c::happened() const {
    if (ended_) return OPENED | READABLE | WRITABLE | ENDED;
    const bool readable = shared_complete_ > 0 || (takes_fragments_ && !shared_.empty());
    return (opened_ ? OPENED : 0U) | (readable ? READABLE : 0U);
}

bool message_queue_c::Wait_for(unsigned events, std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    const bool found = changed_.wait_for(lock, timeout, [&] { return (happened() & events) != 0; });
    --waiting_;
    return found;
}

bool message_queue_c::Arm(unsigned events) {
    const std::lock_guard lock(mutex_);
    if ((happened() & events) != 0) return true;
    armed_ |= events;
    return false;
}

/// Wakes who waits for one of `events`. Gives the lock back: others are told without it.
void message_queue_c::notify(std::unique_lock<std::mutex>& lock, unsigned events) {
    const bool post = (armed_ & events) != 0;
    armed_ &= ~events;
    const bool wake = waiting_ > 0;
    lock.unlock();
    if (wake) changed_.notify_all();
    if (post) ready_->Post(number_);
}

bool message_queue_c::Has_ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
}

std::uint64_t message_queue_c::Dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

}  // namespace wspool
